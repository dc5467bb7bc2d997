# SPDX-License-Identifier: MIT
"""Wall clock of several libraries side by side: interleaved rounds, paired ratios, intervals, an A/A noise floor.

Each round runs every workload under every subject before the next round begins, and each round starts with another
subject, so that drift of the machine meets all alike. The reference library runs twice a round, once under a second
name: the ratio of the two is A against A, and no other ratio inside its interval counts as a difference.
"""

import dataclasses
import sys
import time
from pathlib import Path

from common import files, workloads
from common.arguments import Parser, result_file, seconds
from common.errors import UserError, guard
from common.launch import launch
from common.machine import machine
from common.paths import ROOT
from common.tree import Tree, build_tree
from measure import stats

BUDGET_SECONDS = 25.0
LEAST_ROUNDS = 3
GLIBC, AGAIN = "glibc", "again"     # the C library's own malloc; the reference's second name


def order_of(subjects, turn: int) -> list:
    """The subjects, starting with another one each turn."""
    names = list(subjects)
    start = turn % len(names)
    return names[start:] + names[:start]


def run_rounds(subjects, rows, budget=BUDGET_SECONDS, clock=time.monotonic, run=launch) -> dict:
    """{workload: {subject: [seconds, one a round]}}. `subjects` maps a name to a library or None.

    One discarded run of each workload warms the page cache. Rounds go on while another one fits into the budget,
    and at least LEAST_ROUNDS are made.
    """
    started = clock()
    seconds = {row.name: {name: [] for name in subjects} for row in rows}
    first = next(iter(subjects.values()))
    for row in rows:
        run(row, first)
    done, round_started = 0, clock()
    while True:
        for turn, row in enumerate(rows):
            for name in order_of(subjects, done + turn):
                seconds[row.name][name].append(run(row, subjects[name]).seconds)
        done += 1
        spent = (clock() - round_started) / done
        if done >= LEAST_ROUNDS and clock() - started + spent > budget:
            return seconds


def ratio(seconds, rows, after: str, before: str, floor: float = 0.0) -> stats.Estimate:
    """Time of one subject as a share of another's, over all workloads."""
    return stats.stratified([[a / b for a, b in zip(seconds[row.name][after], seconds[row.name][before])]
                             for row in rows], [row.weight for row in rows], floor)


def as_dict(estimate: stats.Estimate) -> dict:
    """For JSON, with its printed form."""
    return {**dataclasses.asdict(estimate), "decided": estimate.decided, "text": estimate.show()}


def from_dict(fields: dict) -> stats.Estimate:
    """The inverse of as_dict."""
    names = {field.name for field in dataclasses.fields(stats.Estimate)}
    return stats.Estimate(**{key: tuple(value) if key == "warnings" else value
                             for key, value in fields.items() if key in names})


def compare(subjects, rows, reference: str, budget=BUDGET_SECONDS, run=launch) -> dict:
    """The whole comparison as JSON: raw seconds, and every ratio against the reference and against glibc."""
    if not rows:
        raise UserError("no workload has wall = true in bench/workloads.toml")
    everything = {**subjects, AGAIN: subjects[reference]}
    seconds = run_rounds(everything, rows, budget, run=run)
    control = ratio(seconds, rows, AGAIN, reference)
    floor = stats.noise_floor(control)
    against = {}
    for before in dict.fromkeys((reference, GLIBC)):
        if before in subjects:
            against[before] = {name: as_dict(ratio(seconds, rows, name, before, floor))
                               for name in subjects if name != before}
    single = {row.name: {name: as_dict(ratio(seconds, [row], name, reference, floor))
                         for name in subjects if name != reference} for row in rows}
    return {"schema": 1, "kind": "wall", "machine": machine().as_dict(), "reference": reference,
            "subjects": list(subjects), "workloads": [row.name for row in rows],
            "rounds": len(seconds[rows[0].name][reference]),
            "seconds": seconds, "control": as_dict(control), "floor": floor, "against": against, "per_workload": single}


def table(result: dict) -> str:
    """The ratios for a terminal."""
    lines = [f"{result['rounds']} rounds of {len(result['workloads'])} workloads; "
             f"A against A {result['control']['text']}, noise floor {result['floor'] * 100:.1f} %"]
    for before, rows in result["against"].items():
        lines += [f"  {name:10} / {before:8} {row['text']}" for name, row in rows.items()]
    for warning in sorted({w for rows in result["against"].values() for row in rows.values() for w in row["warnings"]}):
        lines.append(f"  warning: {warning}")
    return "\n".join(lines)


def shown(tree: Tree) -> str:
    """The table of the last rounds of a build tree."""
    if not tree.wall.exists():
        raise UserError(f"{tree.wall} is missing: run `make wall` first")
    return f"{tree.label}: {table(files.read_fields(tree.wall, 'rounds', 'workloads', 'control', 'floor', 'against'))}"


def parse_peers(words) -> dict:
    """NAME=LIB words."""
    found = {}
    for word in words:
        name, separator, path = word.partition("=")
        if not separator or not name or not Path(path).exists():
            raise UserError(f"--peer {word}: must be NAME=LIB.so, and the library must exist")
        found[name] = Path(path)
    return found


def main(argv) -> int:
    parser = Parser(
        prog="measure.wall",
        description="example: python3 -m measure.wall --build build/clang-bench_minimal "
                    "--peer mimalloc=/usr/lib/x86_64-linux-gnu/libmimalloc.so.2\n\n"
                    "Compare the stages of a build tree with glibc by interleaved wall-clock rounds.")
    parser.add_argument("--build", type=build_tree, action="append", required=True, metavar="B")
    parser.add_argument("--show", action="store_true", help="run nothing; print what the trees' last rounds gave")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=LIB")
    parser.add_argument("--workload", action="append", default=[], help="only this one; repeatable")
    parser.add_argument("--budget", type=seconds(0), default=BUDGET_SECONDS, metavar="SECONDS",
                        help="(default: %(default)g)")
    parser.add_argument("-o", "--output", type=result_file, help="JSON; without it the table is printed")
    arguments = parser.parse_args(argv)
    if arguments.show:
        print("\n\n".join(shown(Tree(path)) for path in arguments.build))
        return 0
    if len(arguments.build) > 1:
        raise UserError("one --build at a time can be measured; several only with --show")
    tree = Tree(arguments.build[0])
    stages = tree.built_stages()
    if not stages:
        raise UserError(f"{tree.root} holds no library: run `make pgo` first")
    subjects = {stage: tree.library(stage) for stage in stages}
    subjects[GLIBC] = None
    subjects.update(parse_peers(arguments.peer))
    rows = workloads.select(workloads.load_workloads(ROOT), arguments.workload)
    if not arguments.workload:
        rows = tuple(row for row in rows if row.wall)
    if not rows and arguments.output:
        print("no workload has wall = true: the wall clock is left out")
        files.write_json(arguments.output, None)
        return 0
    result = compare(subjects, rows, stages[0], arguments.budget)
    if arguments.output:
        files.write_json(arguments.output, result)
    else:
        print(table(result))
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
