# SPDX-License-Identifier: MIT
"""Edges of measuring: counts, golden figures, wall clock, the user's own commands; and what is made of counts."""

from common.tree import AGAIN, judged
from plan.ninja import Edge
from plan.library import compiled_stages
from plan.project import IDLE, LEARNING, STEADY, workload_needs

REPLAY = "build/bench/bench_replay"

# The modules that every count is read with: a change in one of them makes all counts anew.
READERS = ("measure/callgrind.py", "measure/elf.py", "measure/flow.py")


def measures(project, config, stages=()) -> tuple:
    """The measurements of the stages (all of them), and their golden counts."""
    stages = stages or project.stages
    return (*(config.tree.measure(stage, row.name) for stage in stages for row in project.workloads),
            *(config.tree.golden(stage) for stage in stages))


def judging(project) -> tuple:
    """The workloads that the gates read."""
    return tuple(row for row in project.workloads if row.role == "holdout" and row.gate)


def again(project, config) -> tuple:
    """A second measurement of the base library under the workloads that judge: its difference is the gates' noise."""
    return tuple(config.tree.measure(AGAIN, row.name) for row in judging(project))


def counting_edge(config, library, stage, row) -> Edge:
    """One counting run."""
    tree = config.tree
    return Edge((tree.measure(stage, row.name),), "measure", implicit=(
        library, *workload_needs(row), STEADY, "measure/counting.py", *READERS),
        implicit_outputs=(tree.counts(stage, row.name),),
        variables={"workload": row.name, "json": tree.measure(stage, row.name), "so": library, "stage": stage,
                   **config.names})


def measure_edges(project, config) -> list:
    """Of each stage a counting run a workload, and the golden counts; and the base library once more."""
    tree, edges = config.tree, []
    for stage in project.stages:
        library = tree.library(stage)
        edges += [counting_edge(config, library, stage, row) for row in project.workloads]
        edges.append(Edge((tree.golden(stage),), "golden",
                          implicit=(library, "build/bench/bench_fastpath", STEADY, "measure/golden.py",
                                    "measure/counting.py", *READERS),
                          variables={"so": library, "stage": stage, **config.names}))
    return edges + [counting_edge(config, tree.library("base"), AGAIN, row) for row in judging(project)]


def replay_edges(project, config) -> list:
    """What the policy changes for the user's own commands: those held out, or, without any, those it is trained on."""
    if not project.policy:
        return []
    learning = LEARNING.tree.library("base")
    tuned = tuple(LEARNING.tree.library(judged(values)) for values in project.compiled)
    needs = {need for row in own_rows(project) for need in workload_needs(row)}
    return [Edge((config.tree.replay,), "replay", (project.policy,), implicit=(
        learning, *tuned, REPLAY, STEADY, IDLE, *sorted(needs), "learn/judge.py", "learn/builds.py", "learn/replay.py",
        "learn/record.py", "learn/costs.toml"), variables={"so": learning})]


def training_counts(project, config) -> tuple:
    """What order and BOLT profile are made from: the counts of the stages that compile, and which of them goes on."""
    tree, compiled = config.tree, compiled_stages(project)
    return (tree.select("compile.json"),
            *(tree.counts(stage, row.name) for stage in compiled for row in project.workloads if row.role == "train"),
            *map(tree.library, compiled), "layout/inputs.py", *READERS)


def order_edges(project, config) -> list:
    """Counts -> symbol order."""
    return [Edge((config.tree.order,), "order", implicit=(
        *training_counts(project, config), "layout/order.py", "layout/placement.py"),
        variables={"tree": config.tree})]


def fdata_edges(project, config) -> list:
    """Counts -> BOLT's profile."""
    tree = config.tree
    return [Edge((tree.fdata,), "fdata", implicit=(
        *training_counts(project, config), tree.bolt_input, "layout/fdata.py"), variables={"tree": tree})]


def wall_edges(project, config) -> list:
    """Wall clock of all stages: after every other edge of every configuration, one configuration after the other."""
    tree, place = config.tree, project.configs.index(config)
    finished = [output for other in project.configs for output in
                (*measures(project, other), project.sums(other))]
    earlier = [project.configs[place - 1].tree.wall] if place else []
    needs = {need for row in project.workloads if row.wall for need in workload_needs(row)}
    return [Edge((tree.wall,), "wall", implicit=(*map(tree.library, project.stages), tree.select("ship.json"),
                                                 *sorted(needs), "measure/wall.py"),
                 order_only=(*finished, *earlier), variables={"tree": tree})]


def own_rows(project) -> list:
    """The user's own commands."""
    return [row for row in project.workloads if row.own]


def own_edges(project, config) -> list:
    """What ships, under the user's own commands: alone, after the wall clock of everything."""
    tree, rows = config.tree, own_rows(project)
    if not rows:
        return []
    counted = (tree.measure(stage, row.name) for stage in project.stages for row in rows)
    return [Edge((tree.own,), "own",
                 implicit=(*map(tree.library, project.stages), tree.select("ship.json"), *counted, STEADY,
                           *sorted({need for row in rows for need in workload_needs(row)}), "bench/own.py"),
                 order_only=(tree.wall,), variables={"tree": tree})]


def own_results(project) -> tuple:
    """The answers about them; none where none was given."""
    return tuple(config.tree.own for config in project.configs) if own_rows(project) else ()
