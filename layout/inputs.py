# SPDX-License-Identifier: MIT
"""What order and fdata share: which counts, of which library, with which weights."""

import argparse
from pathlib import Path

from common import workloads
from common.errors import UserError
from common.paths import ROOT
from common.tree import Tree, build_tree, training_counts
from measure import callgrind, flow


def add_arguments(parser: argparse.ArgumentParser):
    """--build, or --so with --counts."""
    parser.add_argument("--build", type=build_tree, metavar="B",
                        help="build tree: the training counts of the compile stage that the gate selected")
    parser.add_argument("--so", type=Path, help="library that the counts were measured on")
    parser.add_argument("--counts", nargs="+", type=Path, default=[], metavar="CG",
                        help="callgrind outputs; a file named after a workload gets that workload's weight, else 1")


def weight_of(path: Path, rows) -> int:
    """Weight of the workload that a counts file name says, 1 when it names none."""
    name = path.name.split(".")[0]
    return next((row.weight for row in rows if row.name == name), 1)


def load_runs(arguments) -> tuple:
    """(library, [(Run, weight)]) that the arguments ask for."""
    if arguments.build:
        place = Tree(arguments.build)
        stage = place.chosen("compile")
        library = place.library(stage)
        pairs = training_counts(place, stage, workloads.load_workloads(ROOT))
    elif arguments.so and arguments.counts:
        rows = workloads.load_workloads(ROOT) if (ROOT / "bench" / "workloads.toml").exists() else ()
        library = arguments.so
        pairs = tuple((path, weight_of(path, rows)) for path in arguments.counts)
    else:
        raise UserError("give --build B, or --so SO and --counts CG...; see --help")
    if not pairs:
        raise UserError("there is no training workload: a row of bench/workloads.toml needs role = \"train\"")
    return library, [(callgrind.load(path), weight) for path, weight in pairs]


def load_flow(arguments) -> flow.Flow:
    """Their weighted Flow."""
    return flow.merge(*load_runs(arguments))
