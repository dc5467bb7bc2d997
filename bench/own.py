"""The answer to whoever gives a program of their own: what the tailored library brings to it.

For each own command, on the C library, on the library as it is built for everybody and on what ships: time by
interleaved rounds, peak memory, page faults, and the share of the program's instructions that the allocator takes.
"""

import argparse
import dataclasses
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

from common import files, workloads
from common.errors import Failure, guard
from common.paths import ROOT
from bench import measure, stats, wall
from bench.tree import Tree
from layout import callgrind

EXAMPLE = "example: python -m bench.own --build build/clang-bench_minimal"
GENERIC, TAILORED = "generic", "tailored"
BUDGET_SECONDS = 10.0       # of a command's rounds
USAGE_RUNS = 3
C_LIBRARY = "libc.so.6"
REQUESTS = ("malloc", "calloc", "realloc", "free", "memalign", "aligned_alloc", "posix_memalign", "cfree")
UNKNOWN = "-"
HEAD = ("", "time vs glibc", "peak memory", "page faults", "of its instructions")


@dataclass(frozen=True)
class Line:
    """One library under one command."""
    subject: str
    time: str
    peak_kib: int | None
    faults: int | None
    share: float | None


def subjects_of(tree: Tree) -> dict:
    """Name -> library."""
    return {wall.GLIBC: None, GENERIC: tree.library("base"), TAILORED: tree.library(tree.chosen("ship"))}


def share_of_glibc(workload) -> float:
    """What the C library's allocator takes: the inclusive cost of calls from outside, since its inner functions have no
    names."""
    profile = callgrind.parse(measure.callgrind_output(workload, None), C_LIBRARY)
    place = profile.events.index("Ir")
    inside = sum(entry.inclusive[place] for name, entry in profile.entries.items() if name.split("@")[0] in REQUESTS)
    return inside / profile.program_event("Ir")


def share_of(tree: Tree, stage: str, workload) -> float:
    """What our library takes, as it was measured."""
    metrics = files.read_fields(tree.measure(stage, workload.name), "metrics")["metrics"]
    return metrics["ir_alloc"] / metrics["ir_total"]


def usage(workload, library) -> tuple:
    """Medians of (peak memory, page faults)."""
    runs = [measure.usage_metrics(workload, library) for _ in range(USAGE_RUNS)]
    return tuple(None if runs[0][name] is None else int(statistics.median(run[name] for run in runs))
                 for name in ("peak_rss_kib", "page_faults"))


def study(tree: Tree, workload, budget=BUDGET_SECONDS) -> dict:
    """Everything about one command, for JSON."""
    subjects = subjects_of(tree)
    everything = {**subjects, wall.AGAIN: None}
    seconds = wall.run_rounds(everything, [workload], budget)
    floor = stats.noise_floor(wall.ratio(seconds, [workload], wall.AGAIN, wall.GLIBC))
    stages = {GENERIC: "base", TAILORED: tree.chosen("ship")}
    lines = []
    for name, library in subjects.items():
        time = wall.ratio(seconds, [workload], name, wall.GLIBC, floor).show() if library else "1.000"
        share = share_of(tree, stages[name], workload) if library else share_of_glibc(workload)
        lines.append(Line(name, time, *usage(workload, library), share))
    return {"workload": workload.name, "role": workload.role, "command": workload.sentence.partition(": ")[2],
            "seconds": statistics.median(seconds[workload.name][wall.GLIBC]), "floor": floor,
            "rounds": len(seconds[workload.name][wall.GLIBC]), "lines": [dataclasses.asdict(line) for line in lines]}


def cells(line: dict) -> tuple:
    """A row of the table."""
    peak, faults = line["peak_kib"], line["faults"]
    return (line["subject"], line["time"], UNKNOWN if peak is None else f"{peak / 1024:,.1f} MiB",
            UNKNOWN if faults is None else f"{faults:,}", f"{line['share'] * 100:.1f} %")


def render(result: dict) -> str:
    """The table for a terminal."""
    lines = [f"{result['label']}: your program, on the C library (glibc), on the library as it is built for everybody "
             f"({GENERIC})", f"and as it was tailored and ships ({TAILORED}: {result['stage']})"]
    for entry in result["commands"]:
        role = "TRAIN  " if entry["role"] == "train" else "HOLDOUT"
        lines.append(f"  {role}  {entry['command']}  ({entry['seconds']:.3g} s, {entry['rounds']} rounds, A against A "
                     f"within {entry['floor'] * 100:.1f} %)")
        body = [HEAD, *map(cells, entry["lines"])]
        widths = [max(len(row[column]) for row in body) for column in range(len(HEAD))]
        lines += ["    " + "  ".join(cell.rjust(width) if column else cell.ljust(width) for column, (cell, width)
                                     in enumerate(zip(row, widths))).rstrip() for row in body]
    if not any(entry["role"] == "holdout" for entry in result["commands"]):
        lines.append("  judged on what it was trained on: give HOLDOUT='another command' to see it on something new")
    return "\n".join(lines)


def main(argv) -> int:
    """Study the own commands of a build, or print what was found."""
    parser = argparse.ArgumentParser(prog="bench.own", usage=f"{EXAMPLE}\n\n       %(prog)s [options]",
                                     description=__doc__)
    parser.add_argument("--build", type=Path, action="append", default=[], metavar="B")
    parser.add_argument("--budget", type=float, default=BUDGET_SECONDS, metavar="SECONDS",
                        help="for the rounds of one command (default: %(default)g)")
    parser.add_argument("-o", "--output", type=Path, help="JSON of the first build; without it, what was found before")
    arguments = parser.parse_args(argv)
    rows = [row for row in workloads.load_workloads(ROOT) if row.own]
    if not arguments.output:
        found = [files.read_fields(path / "own.json", "commands") for path in arguments.build
                 if rows and (path / "own.json").exists()]
        for result in found:
            print(render(result), end="\n\n")
        return 0
    tree = Tree(arguments.build[0])
    if not rows:
        raise Failure("no command of your own was given: make pgo TRAIN='program arguments'")
    files.write_json(arguments.output, {
        "schema": 1, "kind": "own", "label": tree.label, "stage": tree.chosen("ship"),
        "commands": [study(tree, row, arguments.budget) for row in rows]})
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
