# SPDX-License-Identifier: MIT
"""Instructions, loads, stores and branches of one malloc and one free, pattern by pattern, counted exactly.

bench_fastpath runs each pattern, in a process of its own, at two iteration counts under callgrind; the difference of
the inclusive counts of malloc and of free, divided by the difference of their calls, is the cost of a call, start-up
and warm-up cancelled.
`together` is one operation with what the caller pays too: a call and a PLT stub (2 instructions) for each function
called. `--verify` measures `together` a second way, as the whole program less its twin loop without the calls.

Calibration: glibc 2.36 gives 41.0 + 88.0 for pair64 and gperftools' tcmalloc 32.0 + 35.0, both without call and
stub, which is how such figures are usually published; the targets in GOALS are for `together`.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from common import files, tables
from common.arguments import Parser, result_file, shared_library
from common.errors import Failure, UserError, guard
from common.launch import STDOUT
from common.paths import ROOT
from common.tree import Tree, build_tree, stages_of
from common.workloads import Workload
from measure import callgrind, counting

SCHEMA = 1
FEW, MANY = 1000, 11000
STUB = {"Ir": 2, "Dr": 1, "Dw": 1, "Bc": 0, "Bi": 1}    # call: 1 store; stub: 1 load, 1 indirect jump
# Pattern -> the most instructions that `together` may take.
GOALS = {"pair64": 28, "lifo64": 28, "fifo64": 28, "random1024": 30, "mid32k": 45, "pair64k": 60, "pair256k": 60,
         "pair2m": 120, "random2m": 690, "calloc64": 42, "realloc16": 60}
PATTERNS = tuple(GOALS)
FIGURES = ("malloc", "free", "together")
TABLE = ROOT / "bench" / "golden.toml"
TOLERANCE = 0.005       # rounding of the committed figures, half of their last digit
VERIFY_TOLERANCE = 0.05


@dataclass(frozen=True)
class Row:
    """One committed line of golden.toml: instructions of malloc, of free, and of both with calls and stubs."""
    toolchain: str
    variant: str
    stage: str
    pattern: str
    malloc: float
    free: float
    together: float


def run_each(iterations: int, library, patterns, each="each") -> dict:
    """pattern -> the program's own counts, its calls out among them; `library` None is the C library's own malloc. One
    start of valgrind for all: each pattern's process is forked from one that has allocated nothing. A pattern by itself
    needs no other process."""
    alone = patterns[0] if len(patterns) == 1 else ""
    word = each.replace("each", alone or "each")
    workload = Workload(name=f"bench_fastpath {word} {iterations}", role="train", sentence="",
                        command=("{bench}/bench_fastpath", word, str(iterations)))
    texts = {}

    def keep(scratch, _subject):
        if alone:
            (output,) = scratch.glob(f"{counting.OUTPUT}.*")
            texts[alone] = output.read_text(errors="replace")
            return
        for line in (scratch / STDOUT).read_text().splitlines():
            pid, pattern = line.split()
            if pattern in patterns:
                text = (scratch / f"{counting.OUTPUT}.{pid}").read_text(errors="replace")
                if counting.whole(text):
                    texts[pattern] = text

    counting.under_callgrind(workload, library, keep)
    if len(texts) < len(patterns):
        raise Failure(f"bench_fastpath {each} left no whole counts of {', '.join(set(patterns) - set(texts))}")
    return {pattern: callgrind.parse(texts[pattern], "bench_fastpath") for pattern in patterns}


def difference(few: callgrind.Run, many: callgrind.Run, iterations: int) -> dict:
    """Costs of a call, and of an operation, from runs that differ by so many iterations."""
    index = {name: few.events.index(name) for name in STUB}
    calls, spent = {}, {}
    for name, entry in many.outgoing.items():
        before = few.outgoing.get(name)
        count = entry.count - (before.count if before else 0)
        if count > 0:
            calls[name] = count
            spent[name] = {event: entry.inclusive[at] - (before.inclusive[at] if before else 0)
                           for event, at in index.items()}
    give = [name for name in calls if "free" in name]
    take = [name for name in calls if name not in give]
    if len(take) != 1 or len(give) != 1:
        raise Failure(f"the pattern called {', '.join(sorted(calls)) or 'nothing'}, "
                      "not one allocating function and free: bench_fastpath needs -fno-builtin")
    together = {event: sum(spent[name][event] + cost * calls[name] for name in calls) / iterations
                for event, cost in STUB.items()}
    return {"malloc": spent[take[0]]["Ir"] / calls[take[0]], "free": spent[give[0]]["Ir"] / calls[give[0]],
            "together": together["Ir"], "loads": together["Dr"], "stores": together["Dw"],
            "branches": together["Bc"] + together["Bi"]}


def by_twins(few, many, few_empty, many_empty) -> float:
    """`together` as the whole program's instructions less those of the pattern's loop without calls."""
    spent = [run.program_event("Ir") for run in (few, many, few_empty, many_empty)]
    return ((spent[1] - spent[0]) - (spent[3] - spent[2])) / (MANY - FEW)


def count(library, patterns=PATTERNS, verify=False) -> dict:
    """pattern -> costs."""
    few, many = (run_each(iterations, library, patterns) for iterations in (FEW, MANY))
    empty = [run_each(iterations, library, patterns, "empty:each") for iterations in (FEW, MANY) if verify]
    found = {}
    for pattern in patterns:
        costs = difference(few[pattern], many[pattern], MANY - FEW)
        found[pattern] = {key: round(value, 4) for key, value in costs.items()}
        if verify:
            other = by_twins(few[pattern], many[pattern], *(runs[pattern] for runs in empty))
            if abs(other - found[pattern]["together"]) > VERIFY_TOLERANCE:
                raise Failure(f"{pattern}: {found[pattern]['together']:.2f} instructions by call counts but "
                              f"{other:.2f} by the twin loop: the loops of bench_fastpath are no twins")
    return found


def load_rows(path) -> tuple:
    """The committed table; empty when there is none yet."""
    return tables.load(path, "golden", Row) if Path(path).exists() else ()


def key_of(row: Row) -> tuple:
    """What identifies a row."""
    return row.toolchain, row.variant, row.stage, row.pattern


def check(rows, toolchain, variant, stage, patterns) -> list:
    """One sentence for each figure that rose above the committed one, or that has none."""
    committed = {key_of(row): row for row in rows}
    wrong = []
    for pattern, have in patterns.items():
        row = committed.get((toolchain, variant, stage, pattern))
        if row is None:
            wrong.append(f"{pattern}: no committed figure for {toolchain} {variant} {stage}; write it with --update")
            continue
        for name in FIGURES:
            limit = getattr(row, name)
            if have[name] > limit + TOLERANCE:
                wrong.append(f"{pattern}: {name} takes {have[name]:.2f} instructions, {have[name] - limit:.2f} more "
                             f"than the committed {limit:.2f}")
    return wrong


def update(rows, toolchain, variant, stage, patterns) -> tuple:
    """The table with this configuration's rows replaced."""
    made = {key_of(row): row for row in rows}
    for pattern, have in patterns.items():
        row = Row(toolchain, variant, stage, pattern, *(round(have[name], 2) for name in FIGURES))
        made[key_of(row)] = row
    return tuple(made[key] for key in sorted(made))


def render(rows) -> str:
    """golden.toml's text."""
    lines = ["# Instructions of malloc, of free, and of both with calls and PLT stubs (bench_fastpath, callgrind).",
             "# `python -m measure.golden --check` compares, `--update` writes. A rise must be explained in its "
             "commit."]
    for row in rows:
        lines += ["", "[[golden]]"]
        lines += [f'{name} = "{getattr(row, name)}"' for name in ("toolchain", "variant", "stage", "pattern")]
        lines += [f"{name} = {getattr(row, name):.2f}" for name in FIGURES]
    return "\n".join(lines) + "\n"


def table(patterns) -> str:
    """The figures for a terminal."""
    lines = [f"{'pattern':12} {'malloc':>8} {'free':>8} {'together':>9} {'goal':>5} {'loads':>6} {'stores':>6} "
             f"{'branches':>8}"]
    for pattern, row in patterns.items():
        lines.append(f"{pattern:12} {row['malloc']:8.1f} {row['free']:8.1f} {row['together']:9.2f} "
                     f"{GOALS.get(pattern, 0):5} {row['loads']:6.1f} {row['stores']:6.1f} {row['branches']:8.1f}")
    return "\n".join(lines)


def stages_table(tree: Tree) -> str:
    """What a build tree holds: malloc + free = together of each pattern, stage by stage, and the goal of `together`."""
    found = {stage: files.read_fields(tree.golden(stage), "patterns")["patterns"] for stage in tree.stages
             if tree.golden(stage).exists()}
    if not found:
        raise UserError(f"{tree.root} holds no golden figures: run `make golden` first")
    lines = [f"{tree.label}: instructions of malloc + free = together (with two calls and two PLT stubs)",
             f"  {'pattern':12}{'goal':>5}" + "".join(f"{stage:>24}" for stage in found)]
    for pattern in PATTERNS:
        rows = [patterns.get(pattern) for patterns in found.values()]
        sums = ["-" if row is None else f"{row['malloc']:.1f} + {row['free']:.1f} = {row['together']:.2f}"
                for row in rows]
        cells = "".join(text.rjust(24) for text in sums)
        lines.append(f"  {pattern:12}{GOALS[pattern]:>5}{cells}")
    return "\n".join(lines)


def golden_figures(tree: Tree):
    """((toolchain, variant, stage), patterns) of each stage that a tree holds figures of."""
    toolchain, _dash, variant = tree.label.partition("-")
    for stage in stages_of(given=False):       # what a user's policy makes of it is no matter of ours
        if tree.golden(stage).exists():
            yield (toolchain, variant, stage), files.read_fields(tree.golden(stage), "patterns")["patterns"]


def judge_trees(trees, check_with, update_with) -> int:
    """Compare what trees hold with the committed rows, or write it there."""
    wrong = []
    for tree in trees:
        for where, patterns in golden_figures(tree):
            if update_with:
                files.write_atomic(update_with, render(update(load_rows(update_with), *where, patterns)))
            if check_with:
                wrong += [f"{tree.label} {where[2]}: {text}" for text in check(load_rows(check_with), *where, patterns)]
    if wrong:
        raise Failure("; ".join(wrong))
    return 0


def main(argv) -> int:
    parser = Parser(
        prog="measure.golden",
        description="example: python3 -m measure.golden --so build/clang-bench_minimal/base/libhakmem.so\n\n"
                    "Count the instructions of malloc and free. `together` includes two calls and two PLT stubs.")
    parser.add_argument("--so", type=shared_library, help="library (default: none, that is the C library's own malloc)")
    parser.add_argument("--stage", default="base")
    parser.add_argument("--toolchain", default="clang")
    parser.add_argument("--variant", default="bench_minimal")
    parser.add_argument("--pattern", action="append", choices=PATTERNS, help="only this one; repeatable")
    parser.add_argument("--verify", action="store_true", help="count a second time by twin loops; both must agree")
    parser.add_argument("--check", type=Path, nargs="?", const=TABLE, metavar="TOML",
                        help="exit 1 when a figure is above the committed one")
    parser.add_argument("--update", type=Path, nargs="?", const=TABLE, metavar="TOML", help="write the figures there")
    parser.add_argument("-o", "--output", type=result_file, help="JSON; without it a table is printed")
    parser.add_argument("--build", type=build_tree, action="append", default=[], metavar="B",
                        help="count nothing; print (--check, --update) what these build trees hold, stage by stage")
    arguments = parser.parse_args(argv)
    if arguments.build:
        print("\n\n".join(stages_table(Tree(path)) for path in arguments.build))
        return judge_trees([Tree(path) for path in arguments.build], arguments.check, arguments.update)
    patterns = count(arguments.so, arguments.pattern or PATTERNS, arguments.verify)
    where = (arguments.toolchain, arguments.variant, arguments.stage)
    if arguments.output:
        files.write_json(arguments.output, {
            "schema": SCHEMA, "kind": "golden", "toolchain": where[0], "variant": where[1], "stage": where[2],
            "source": files.sha256(arguments.so) if arguments.so else "", "patterns": patterns})
    else:
        print(table(patterns))
    if arguments.update:
        files.write_atomic(arguments.update, render(update(load_rows(arguments.update), *where, patterns)))
    if arguments.check:
        wrong = check(load_rows(arguments.check), *where, patterns)
        if wrong:
            raise Failure(f"{arguments.so}: " + "; ".join(wrong))
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
