# SPDX-License-Identifier: MIT
"""Edges of what the library is measured by: benchmark programs, what is preloaded beside it, inputs, own commands."""

from pathlib import Path, PurePosixPath

from common.tree import Tree
from common.workloads import RESOLVED
from plan.ninja import Edge
from plan.project import FORGET, IDLE, STEADY, WITNESS, compiler


RECORDER = "clang-learning"
REPLAY = tuple(f"bench/programs/replay_{part}.c" for part in ("trace", "model", "stat"))

REPLAY_HEADER = ("bench/programs/replay.h",)


def program_edge(target, sources, more="", implicit=()) -> Edge:
    """One program or preloaded library, built with gcc, the same for all."""
    return Edge((target,), "program", sources, implicit=implicit,
                variables={"cc": compiler("gcc"), "flags": f"$flags_c {more}".strip()})


def program_edges(project) -> list:
    """Benchmark programs, and what is preloaded into runs that count."""
    edges = [program_edge(STEADY, ("bench/programs/steady.c", "bench/programs/forget.c"), "-shared -fPIC"),
             program_edge(FORGET, ("bench/programs/forget.c",), "-shared -fPIC"),
             program_edge(IDLE, ("bench/programs/idle.c",), "-shared -fPIC"),
             program_edge(WITNESS, ("pgo/witness.c", "pgo/slots.c"),
                          "-shared -fPIC -fno-builtin -fvisibility=hidden")]
    return edges + [program_edge(target, (f"bench/programs/{name}", "bench/programs/harness.c", *parts(name)),
                                 implicit=("bench/programs/harness.h", *(REPLAY_HEADER if parts(name) else ())))
                    for name, target in zip(project.programs, program_targets(project))]


def parts(name) -> tuple:
    """Further sources of a program that is too large for one file."""
    return REPLAY if name == "bench_replay.c" else ()


def program_targets(project) -> tuple:
    """The benchmark programs."""
    return tuple(f"build/bench/{PurePosixPath(name).stem}" for name in project.programs)


def input_edges(project) -> list:
    """Generated inputs."""
    return [Edge((f"build/inputs/{row.name}",), "input", implicit=("bench/inputs.py",),
                 variables={"generator": row.generator}) for row in project.inputs]


def record_edges(project) -> list:
    """Traces: their programs, run under the variant that records."""
    library = Tree(Path("build") / RECORDER).library("base")
    return [Edge((f"build/inputs/{row.name}",), "record",
                 implicit=(library, *(f"build/inputs/{name}" for name in row.inputs), "common/recording.py"),
                 variables={"recording": row.name, "so": library}) for row in project.recordings]


def resolve_edges(project) -> list:
    """Which program an own command really runs. What it was is in a depfile, so that its change is noticed."""
    return [Edge((RESOLVED.format(name=row.name),), "resolve", implicit=(
        f"build/workload/{row.name}.json", *row.watch, WITNESS, STEADY, FORGET, "pgo/resolve.py", "pgo/train.py"),
        variables={"workload": row.name}) for row in project.workloads if row.own]
