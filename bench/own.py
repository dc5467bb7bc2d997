# SPDX-License-Identifier: MIT
"""The answer to whoever gives a program of their own: what the tailored library brings to it.

For each own command, on the C library, on the library as it is built for everybody and on what ships: time by
interleaved rounds, peak memory, page faults, and the share of the program's instructions that the allocator takes.
"""

import dataclasses
import statistics
import sys
import time
from dataclasses import dataclass

from common import files, workloads
from common.arguments import Parser, result_file, seconds
from common.columns import columns
from common.errors import UserError, guard
from common.launch import launch
from common.paths import ROOT
from common.tree import Tree, build_tree
from measure import callgrind, counting, stats, wall

EXAMPLE = "example: python3 -m bench.own --build build/clang-bench_minimal"
GENERIC, TAILORED = "generic", "tailored"
BUDGET_SECONDS = 10.0       # of a command's rounds
USAGE_RUNS = 3
C_LIBRARY = "libc.so.6"
REQUESTS = ("malloc", "calloc", "realloc", "free", "memalign", "aligned_alloc", "posix_memalign", "cfree")
UNKNOWN = "-"
SERVER_HEAD = ("", "CPU a request", "vs glibc", "p50", "p99", "peak memory")
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
    glibc = callgrind.parse(counting.callgrind_output(workload, None), C_LIBRARY)
    place = glibc.events.index("Ir")
    inside = sum(entry.inclusive[place] for name, entry in glibc.entries.items() if name.split("@")[0] in REQUESTS)
    return inside / glibc.program_event("Ir")


def share_of(tree: Tree, stage: str, workload) -> float:
    """What our library takes, as it was measured."""
    metrics = files.read_fields(tree.measure(stage, workload.name), "metrics")["metrics"]
    return metrics["ir_alloc"] / metrics["ir_total"]


def usage(workload, library) -> tuple:
    """Medians of (peak memory, page faults)."""
    runs = [counting.usage_metrics(workload, library) for _ in range(USAGE_RUNS)]
    return tuple(None if runs[0][name] is None else int(statistics.median(run[name] for run in runs))
                 for name in ("peak_rss_kib", "page_faults"))


def server_rounds(subjects, workload, budget: float, clock=time.monotonic, run=launch) -> dict:
    """{subject: [common.serve.Run, one a round]}, interleaved; another subject begins each round."""
    started, done = clock(), 0
    found = {name: [] for name in subjects}
    while done < wall.LEAST_ROUNDS or clock() - started < budget * done / (done + 1):
        for name in wall.order_of(subjects, done):
            found[name].append(run(workload, subjects[name]).server)
        done += 1
    return found


def middle(runs, field: str):
    """The median of a figure; None where the load does not say it."""
    values = [getattr(run, field) for run in runs]
    return None if None in values else statistics.median(values)


def study_server(tree: Tree, workload, budget=BUDGET_SECONDS) -> dict:
    """Everything about one server, for JSON."""
    subjects = subjects_of(tree)
    runs = server_rounds({**subjects, wall.AGAIN: None}, workload, budget)

    def ratio(name, floor=0.0):
        pairs = [(mine.cpu_us, other.cpu_us) for mine, other in zip(runs[name], runs[wall.GLIBC])]
        ratios = [mine / other for mine, other in pairs if mine > 0 and other > 0]
        return stats.of_ratios(ratios, floor) if ratios else None

    control = ratio(wall.AGAIN)
    floor = stats.noise_floor(control) if control else 0.0
    lines = []
    for name in subjects:
        compared = ratio(name, floor) if subjects[name] else None
        shown = compared.show() if compared else UNKNOWN if subjects[name] else "1.000"
        figures = {field: middle(runs[name], field) for field in ("cpu_us", "p50", "p99", "peak_kib", "requests")}
        lines.append({"subject": name, "time": shown, **figures})
    return {"workload": workload.name, "role": workload.role, "command": workload.sentence.partition(": ")[2],
            "server": True, "floor": floor, "rounds": len(runs[wall.GLIBC]), "lines": lines}


def study(tree: Tree, workload, budget=BUDGET_SECONDS) -> dict:
    """Everything about one command, for JSON."""
    if workload.server:
        return study_server(tree, workload, budget)
    subjects = subjects_of(tree)
    everything = {**subjects, wall.AGAIN: None}
    seconds = wall.run_rounds(everything, [workload], budget)
    floor = stats.noise_floor(wall.ratio(seconds, [workload], wall.AGAIN, wall.GLIBC))
    stages = {GENERIC: "base", TAILORED: tree.chosen("ship")}
    lines = []
    for name, library in subjects.items():
        ratio = wall.ratio(seconds, [workload], name, wall.GLIBC, floor).show() if library else "1.000"
        share = share_of(tree, stages[name], workload) if library else share_of_glibc(workload)
        lines.append(Line(name, ratio, *usage(workload, library), share))
    return {"workload": workload.name, "role": workload.role, "command": workload.sentence.partition(": ")[2],
            "seconds": statistics.median(seconds[workload.name][wall.GLIBC]), "floor": floor,
            "rounds": len(seconds[workload.name][wall.GLIBC]), "lines": [dataclasses.asdict(line) for line in lines]}


def cells(line: dict) -> tuple:
    """A row of the table."""
    peak, faults = line["peak_kib"], line["faults"]
    return (line["subject"], line["time"], UNKNOWN if peak is None else f"{peak / 1024:,.1f} MiB",
            UNKNOWN if faults is None else f"{faults:,}", f"{line['share'] * 100:.1f} %")


def server_cells(line: dict) -> tuple:
    """A row of a server's table."""
    latency = [UNKNOWN if line[field] is None else f"{line[field]:,.3f} ms" for field in ("p50", "p99")]
    return (line["subject"], f"{line['cpu_us']:,.1f} us", line["time"], *latency, f"{line['peak_kib'] / 1024:,.1f} MiB")


def table_of(entry: dict) -> list:
    """Head and rows of one command."""
    if entry.get("server"):
        return [SERVER_HEAD, *map(server_cells, entry["lines"])]
    return [HEAD, *map(cells, entry["lines"])]


def caption(entry: dict) -> str:
    """The line above a table."""
    role = "TRAIN  " if entry["role"] == "train" else "HOLDOUT"
    length = "" if entry.get("server") else f"{entry['seconds']:.3g} s, "
    load = ", held-out load" if entry.get("server") and entry["role"] == "holdout" else ""
    return (f"  {role}  {entry['command']}{load}  ({length}{entry['rounds']} rounds, A against A within "
            f"{entry['floor'] * 100:.1f} %)")


def render(result: dict) -> str:
    """The table for a terminal."""
    lines = [f"{result['label']}: your program, on the C library (glibc), on the library as it is built for everybody "
             f"({GENERIC})", f"and as it was tailored and ships ({TAILORED}: {result['stage']})"]
    for entry in result["commands"]:
        lines.append(caption(entry))
        lines += columns(table_of(entry), indent="    ")
    if not any(entry["role"] == "holdout" for entry in result["commands"]):
        lines.append("  judged on what it was trained on: give HOLDOUT='another command' to see it on something new")
    return "\n".join(lines)


def main(argv) -> int:
    """Study the own commands of a build, or print what was found."""
    parser = Parser(prog="bench.own", usage=f"{EXAMPLE}\n\n       %(prog)s [options]",
                    description=__doc__)
    parser.add_argument("--build", type=build_tree, action="append", required=True, metavar="B")
    parser.add_argument("--budget", type=seconds(0), default=BUDGET_SECONDS, metavar="SECONDS",
                        help="for the rounds of one command (default: %(default)g)")
    parser.add_argument("-o", "--output", type=result_file,
                        help="JSON of the first build; without it, what was found before")
    arguments = parser.parse_args(argv)
    rows = [row for row in workloads.load_workloads(ROOT) if row.own]
    if not arguments.output:
        paths = [Tree(root).own for root in arguments.build]
        found = [files.read_fields(path, "commands", "label", "stage") for path in paths if rows and path.exists()]
        for result in found:
            print(render(result), end="\n\n")
        return 0
    tree = Tree(arguments.build[0])
    if not rows:
        raise UserError("no command of your own was given: make pgo TRAIN='program arguments'")
    files.write_json(arguments.output, {
        "schema": 1, "kind": "own", "label": tree.label, "stage": tree.chosen("ship"),
        "commands": [study(tree, row, arguments.budget) for row in rows]})
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
