# SPDX-License-Identifier: MIT
"""Edges of the profile: the instrumented library, a training run each, the weighted merge and its check."""

from pathlib import PurePosixPath

from plan.library import compile_edges, gcc_names, link_variables, tuned
from plan.ninja import Edge
from plan.project import STEADY, WITNESS, compiler, flags_name, workload_needs


def instrumented_edges(project, config) -> list:
    """The library that counts."""
    toolchain, tree = config.toolchain, config.tree
    flag, table = tuned(project, config, "select")

    def instrumented(source):
        if toolchain == "clang":
            return f"$train_clang {flag}", table, ()
        notes = tree.notes / PurePosixPath(source).with_suffix(".gcno")
        return f"$train_gcc {gcc_names(config, source)} {flag}", table, (notes,)

    glue = tuple(tree.root / "train" / f"{name}.o" for name in ("instrument", "slots"))
    edges = compile_edges(project, config, "train", instrumented)
    for target in glue:
        edges.append(Edge((target,), "compile", (f"pgo/{target.stem}.c",), variables={
            "cc": compiler(toolchain),
            "flags": f"${flags_name(config)} -DHAK_INSTRUMENT_GCC={int(toolchain == 'gcc')}"}))
    # No version script here: the runner calls functions of instrument.c.
    script = f"pgo/counters-{toolchain}.ld"
    wrap = " -Wl,--wrap=__gcov_exit" if toolchain == "gcc" else ""
    variables = link_variables(project, config, f"$link_shared -fprofile-generate -Wl,-T,{script}{wrap}")
    return [*edges, Edge((tree.library("train"),), "link", (*config.objects(project.sources, "train"), *glue),
                         implicit=(script,), variables=variables)]


def trained(project, config) -> list:
    """(workload, its profile) of the rows that train."""
    return [(row, config.tree.trained(config.toolchain, row.name)) for row in project.workloads if row.role == "train"]


def train_edges(project, config) -> list:
    """The instrumented library, and a run of each training workload."""
    library = config.tree.library("train")
    return [*instrumented_edges(project, config), *(
        Edge((out,), "train", implicit=(library, *workload_needs(row), STEADY, WITNESS, "pgo/train.py",
                                        "pgo/counters.py"), implicit_outputs=(f"{out}.json",),
             variables={"workload": row.name, "so": library, **config.names}) for row, out in trained(project, config))]


def merge_edges(project, config) -> list:
    """One profile of all."""
    profile, parts = config.profile(), trained(project, config)
    needs = [name for _row, out in parts for name in (out, f"{out}.json")]
    return [Edge((profile,), "merge", implicit=(*needs, "pgo/merge.py"), implicit_outputs=(f"{profile}.json",),
                 variables={"parts": " ".join(f"{row.weight}:{out}" for row, out in parts), "profile": profile,
                            **config.names})]


def check_edges(project, config) -> list:
    """Whether it is a profile of this library; of a shipped one, of this compiler."""
    tree, profile = config.tree, config.profile()
    library = tree.library("train")
    notes = f" --notes {tree.notes}" if config.toolchain == "gcc" else ""
    needs, options = ((), "") if project.repeat else ((library,), f"--so {library}{notes}")
    return [Edge((tree.checked,), "check", implicit=(profile, f"{profile}.json", *needs, "pgo/check.py"),
                 variables={"options": options, "profile": profile, **config.names})]
