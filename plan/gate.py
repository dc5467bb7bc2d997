# SPDX-License-Identifier: MIT
"""Edges of deciding: verdicts, what goes on by them, and what ships."""

from pathlib import PurePosixPath

from common.paths import EXPORTS, PLACES
from common.tree import GIVEN, LIBRARY
from plan.library import compiled_stages
from plan.measure import again, measures
from plan.ninja import Edge
from plan.project import SUMS

# What dist/repeat/ holds of a build tree: with it, `--repeat` repeats a build without training or measuring.
REPEATED = ("select/objects.rsp", "select/compile.json", "select/order.txt", "select/layout.json", "select/ship.json",
            "bolt/profile.fdata", "gate/pgo.json", "gate/layout.json", "gate/bolt.json")
# The same where a policy was given. The first is what tells so.
REPEATED_POLICY = ("policy/tuned/base/policy.def", "select/tuned/base/policy.def", "select/policy.json",
                   "gate/policy.json")


def repeated(given: bool) -> tuple:
    """What dist/repeat/ holds of a build with a policy, or without."""
    return (*REPEATED, *(REPEATED_POLICY if given else ()))


def gate_edge(project, config, stage, *needs) -> Edge:
    """The verdict on a stage, from the measurements of the stages up to it."""
    stages = project.stages[:project.stages.index(stage) + 1]
    return Edge((config.tree.gate(stage),), "gate",
                implicit=(*measures(project, config, stages), *again(project, config), *needs, "gate/gates.toml",
                          "gate/gate.py"),
                variables={"stage": stage, "tree": config.tree})


def select_edge(config, what, outputs, gate, *needs, options="") -> Edge:
    """A verdict made effective: the files that name what goes on."""
    tree = config.tree
    return Edge(tuple(map(tree.select, outputs)), "select", implicit=(tree.gate(gate), "gate/select.py", *needs),
                variables={"what": what, "tree": tree, "options": options})


def policy_edges(project, config) -> list:
    """Whether the policy that was given goes on."""
    if not project.policy:
        return []
    tree = config.tree
    return [gate_edge(project, config, GIVEN, tree.replay),
            select_edge(config, GIVEN, ("tuned/base/policy.def", "policy.json"), GIVEN, tree.tuned_table(GIVEN))]


def pgo_edges(project, config) -> list:
    """Which objects go on: those with the profile, or those before it."""
    names = " ".join(str(PurePosixPath(name).with_suffix(".o")) for name in project.sources)
    chosen = (config.tree.select("policy.json"),) if project.policy else ()
    return [gate_edge(project, config, "pgo", *chosen),
            select_edge(config, "compile", ("objects.rsp", "compile.json"), "pgo", *chosen,
                        options=f"--objects {names}")]


def layout_edges(project, config) -> list:
    """Whether the order goes on."""
    chosen = config.tree.select("compile.json")
    return [gate_edge(project, config, "layout", chosen),
            select_edge(config, "order", ("order.txt", "layout.json"), "layout", config.tree.order, chosen)]


def bolt_edges(project, config) -> list:
    """What ships."""
    chosen = config.tree.select("layout.json")
    return [gate_edge(project, config, "bolt", chosen), select_edge(config, "ship", ("ship.json",), "bolt", chosen)]


def repeat_edges(project, config) -> list:
    """What was decided before, in place of training, measuring and judging: copies."""
    root, profile = config.tree.root, config.profile()
    names = (*repeated(bool(project.policy)), *(f"{profile.relative_to(root)}{suffix}" for suffix in ("", ".json")))
    return [Edge((root / name,), "copy", (f"{project.repeat}/{name}",)) for name in names]


def ship_edges(project, config) -> list:
    """The shipped directory: whichever library select/ship.json names."""
    tree, directory = config.tree, project.ships_to(config)
    outputs = tuple(f"{directory}/{name}" for name in (
        SUMS, LIBRARY, "libhakmem.a", "manifest.json", "repeat/repeat.json", "LICENSE"))
    every = [name for stage in compiled_stages(project) for name in config.objects(project.sources, stage)]
    return [Edge(outputs, "ship", implicit=(
        *map(tree.library, project.stages), *every, *(tree.root / name for name in repeated(bool(project.policy))),
        config.profile(), EXPORTS, PLACES, "include/hakmem.h", "LICENSE", "ship/ship.py"),
        order_only=tuple(tree.artifact(stage) for stage in project.stages if stage != "layout"),
        variables={"directory": directory, "tree": tree, **config.names})]
