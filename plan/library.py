# SPDX-License-Identifier: MIT
"""Edges of the library itself: compiling and linking its stages, BOLT, and the checks on what came out."""

from pathlib import PurePosixPath

from common.paths import EXPORTS, PLACES
from common.tree import judged
from plan import policy
from plan.ninja import Edge
from plan.project import LEARNING, compiler, flags_name


def gcc_names(config, source) -> str:
    """Both compiles of a source must name their profile alike, since static functions' identifiers depend on it."""
    return f"-dumpbase {config.tree.notes}/{source} -dumpbase-ext {PurePosixPath(source).suffix}"


def seed(config, source) -> str:
    """gcc draws random numbers for its profile stamps and symbols, unless it is told what to start from."""
    return f"-frandom-seed={source} " if config.toolchain == "gcc" else ""


def compiled_stages(project) -> tuple:
    """The stages that have objects of their own."""
    return tuple(stage for stage in project.stages if stage not in ("layout", "bolt"))


def tuned(project, config, room: str) -> tuple:
    """(flag, what it needs) of a compile with the table of the policy that was given (room `policy`), let through
    (`select`) or has a library that it is judged by (`judged/...`); nothing where no policy was given. Such a table is
    found before the one of core/."""
    if not project.policy:
        return "", ()
    return f"-iquote {config.tree.tuned(room)}", (config.tree.tuned_table(room),)


def compile_edges(project, config, stage, extra=None) -> list:
    """One compile a source. `extra(source)` gives (flags, implicit inputs, implicit outputs)."""
    edges = []
    for source in project.sources:
        more, needs, makes = extra(source) if extra else ("", (), ())
        size = project.variants[config.variant].for_size if source in project.rare else ""
        edges.append(Edge((config.tree.object(stage, source),), "compile", (source,), implicit=needs,
                          implicit_outputs=makes, variables={
                              "cc": compiler(config.toolchain),
                              "flags": " ".join(f"${flags_name(config)} {size} {seed(config, source)}{more}".split())}))
    return edges


def link_variables(project, config, link="$link_so") -> dict:
    """What every link of a configuration has in common."""
    return {"cc": compiler(config.toolchain), "lld": f"$lld_{config.toolchain}", "link": link,
            "optimize": project.variants[config.variant].optimize(config.toolchain)}


def link_edge(project, config, stage) -> Edge:
    """Objects of the stage -> library."""
    return Edge((config.tree.library(stage),), "link", config.objects(project.sources, stage),
                implicit=(EXPORTS, PLACES), variables=link_variables(project, config))


def artifact_edge(config, stage, order=None) -> Edge:
    """The checks on a finished library; its stamp."""
    library = config.tree.library(stage)
    return Edge((config.tree.artifact(stage),), "artifact",
                implicit=(library, EXPORTS, "layout/artifact.py", *((order,) if order else ())),
                variables={"so": library, "options": f"--order {order}" if order else ""})


def base_edges(project, config) -> list:
    """Plain objects and their link."""
    return [*compile_edges(project, config, "base"), link_edge(project, config, "base"), artifact_edge(config, "base")]


def policy_edges(project, config) -> list:
    """The same sources with the values of a policy as their constants."""
    if not project.policy:
        return []
    flag, table = tuned(project, config, "policy")
    bake = [] if project.repeat else [Edge(table, "bake", (project.policy,), implicit=(
        policy.TABLE, "learn/bake.py", "plan/policy.py"))]
    return [*bake, *compile_edges(project, config, "policy", lambda _source: (flag, table, ())),
            link_edge(project, config, "policy"), artifact_edge(config, "policy")]


def judged_edges(project) -> list:
    """For the judge of a policy: the variant that learns with the values that it does not take when it starts."""
    edges = []
    for values in project.compiled:
        stage = judged(values)
        flag, table = tuned(project, LEARNING, stage)
        edges += [Edge(table, "bake_values", (policy.TABLE,), implicit=("learn/bake.py", "plan/policy.py"),
                       variables={"values": ",".join(f"{name}={value}" for name, value in values.items())}),
                  *compile_edges(project, LEARNING, stage, lambda _source, flag=flag, table=table: (flag, table, ())),
                  link_edge(project, LEARNING, stage)]
    return edges


def pgo_edges(project, config) -> list:
    """The same sources with the checked profile."""
    tree, profile = config.tree, config.profile()
    flag, table = tuned(project, config, "select")
    edges = []
    if config.toolchain == "gcc":
        # An instrumented compile deletes the .gcda of its name, so that this comes after all of them.
        instrumented = () if project.repeat else config.objects(project.sources, "train")
        edges.append(Edge((tree.unpacked,), "unpack", (profile,), implicit=("pgo/unpack.py", *instrumented),
                          variables={"directory": tree.notes}))

    def profiled(source):
        if config.toolchain == "clang":
            return f"$pgo_clang -fprofile-use={profile} {flag}", (profile, tree.checked, *table), ()
        return f"$pgo_gcc {gcc_names(config, source)} {flag}", (tree.unpacked, tree.checked, *table), ()

    return [*edges, *compile_edges(project, config, "pgo", profiled), link_edge(project, config, "pgo"),
            artifact_edge(config, "pgo")]


def ordered_link(project, config, target, order, more="") -> Edge:
    """Link the objects that were let through in an order."""
    objects = config.tree.select("objects.rsp")
    every = [name for stage in compiled_stages(project) for name in config.objects(project.sources, stage)]
    return Edge((target,), "link_ordered", implicit=(objects, order, *every, EXPORTS, PLACES),
                variables={**link_variables(project, config), "objects": objects, "order": order, "more": more})


def layout_edges(project, config) -> list:
    """The chosen objects, linked in the order. A repeated build takes the order that was let through."""
    tree = config.tree
    if project.repeat:
        return [ordered_link(project, config, tree.library("layout"), tree.select("order.txt"))]
    return [ordered_link(project, config, tree.library("layout"), tree.order),
            artifact_edge(config, "layout", tree.order)]


def bolt_input_edges(project, config) -> list:
    """The same link, in the order that was let through, with what BOLT needs."""
    return [ordered_link(project, config, config.tree.bolt_input, config.tree.select("order.txt"),
                         "-Wl,--emit-relocs")]


def bolt_edges(_project, config) -> list:
    """BOLT rewrites it."""
    tree = config.tree
    return [Edge((tree.library("bolt"),), "bolt", implicit=(tree.bolt_input, tree.fdata, "layout/bolt.py"),
                 variables={"so": tree.bolt_input, "fdata": tree.fdata}), artifact_edge(config, "bolt")]
