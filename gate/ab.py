# SPDX-License-Identifier: MIT
"""Compare two versions of the allocator by exact instruction counts: GO, NEUTRAL or NO-GO.

A and B are git revisions, libraries (*.so), `.` for the working tree, or a stage of this build: base, pgo, layout,
bolt, or `shipped` for the one that ships. `REVISION:STAGE` is a stage of another revision. Revisions are unpacked
apart, in build/ab/, and built there (base alone unless a stage is asked for: the whole pipeline takes minutes);
nothing of the running build is touched. Both sides run the gate's held-out workloads and bench_fastpath, and the
functions are named in which the instructions went up or down. The exit status is the verdict: 0 GO, 1 NEUTRAL, 2
NO-GO; a wrong request is 64 and a failure 70, so that neither can be taken for a verdict.
"""

import io
import re
import shutil
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

from common import clone, files, lock, proc, workloads
from common.arguments import Parser, result_file, seconds
from common.errors import Failure, UserError, guard
from common.paths import BUILD, PYTHON, ROOT, STEADY
from common.pool import Pool
from common.tree import STAGES, Tree
from plan import model
from measure import callgrind, counting, golden, wall
from gate import gate

EXIT_USAGE, EXIT_FAILURE = 64, 70
RULES = ("regression", "removal")
LABEL_LENGTH = 12
SHIPPED = "shipped"
HERE = (*STAGES, SHIPPED)
BUILD_SECONDS = 1800
NAMED = 12              # functions that are named, those with the largest differences


@dataclass(frozen=True)
class Side:
    """One of the two: how it was asked for, and the library that it became."""
    asked: str
    label: str
    library: Path


def resolve_revision(word: str) -> str:
    """The commit that a word names."""
    if not clone.is_repository():
        raise UserError(f"'{word}' is no library (*.so) that exists, and this is no git clone, which has revisions")
    result = clone.git("rev-parse", "--verify", "--quiet", f"{word}^{{commit}}", check=False)
    if result.returncode != 0:
        shallow = clone.git("rev-parse", "--is-shallow-repository", check=False).stdout.strip() == "true"
        raise UserError(f"'{word}' is neither a git revision, nor a library (*.so) that exists, nor '.'"
                        + "; this clone is shallow: `git fetch --unshallow` brings the others" * shallow)
    return result.stdout.strip()


def unpack_revision(commit: str, target: Path):
    """The tree of a commit, once."""
    if target.exists():
        return
    archive = target.with_suffix(".tar")
    archive.parent.mkdir(parents=True, exist_ok=True)
    clone.git("archive", "--format=tar", f"--output={archive}", commit)
    incoming = target.with_suffix(".new")
    shutil.rmtree(incoming, ignore_errors=True)
    with tarfile.open(fileobj=io.BytesIO(archive.read_bytes())) as content:
        content.extractall(incoming, filter="data") if hasattr(tarfile, "data_filter") else content.extractall(incoming)
    archive.unlink()
    incoming.rename(target)


def mirror_working_tree(target: Path):
    """The files of the project, with unchanged ones keeping their time stamp; others of the mirror go."""
    wanted = set(clone.names())
    for name in wanted:
        files.write_atomic(target / name, (ROOT / name).read_bytes())
        (target / name).chmod((ROOT / name).stat().st_mode & 0o777)
    for path in target.rglob("*"):
        name = path.relative_to(target)
        if path.is_file() and name.parts[0] != "build" and str(name) not in wanted and not name.name.startswith("."):
            if name.name not in ("build.ninja", "compile_commands.json"):
                path.unlink()


def build_stage(tree: Path, stage: str, toolchain: str, variant: str) -> Path:
    """The library of a stage of an unpacked tree, or the one that it ships."""
    configure = tree / "configure.py"
    if not configure.exists():
        raise Failure(f"{tree} has no configure.py: that revision is too old to be built")
    proc.run([*PYTHON, str(configure), f"--variant={variant}", f"--toolchain={toolchain}"], cwd=tree, timeout=60)
    made = Tree(Path("build") / f"{toolchain}-{variant}")
    target = made.select("ship.json") if stage == SHIPPED else made.library(stage)
    proc.run(["ninja", str(target)], cwd=tree, timeout=BUILD_SECONDS)
    there = Tree(tree / made.root)
    return there.library(there.chosen("ship") if stage == SHIPPED else stage)


def stage_here(stage: str, toolchain: str, variant: str) -> Side:
    """A stage of the running build, as it is."""
    tree = Tree(BUILD / f"{toolchain}-{variant}")
    name = tree.chosen("ship") if stage == SHIPPED else stage
    if not tree.library(name).exists():
        raise UserError(f"{tree.library(name)} is missing: run `make pgo` first")
    return Side(stage, f"{name} of this build", tree.library(name))


def existing(word: str) -> Path:
    """A library that is named."""
    if not Path(word).exists():
        raise UserError(f"{word} is missing: build it first, or give a git revision")
    return Path(word)


def commit_and_stage(word: str) -> tuple:
    """(commit or "" for the working tree, stage) of REV[:STAGE]"""
    revision, colon, stage = word.rpartition(":")
    if not colon:
        revision, stage = word, "base"
    if stage not in HERE:
        raise UserError(f"'{word}': '{stage}' is no stage; valid stages: {', '.join(HERE)}")
    return "" if revision == "." else resolve_revision(revision), stage


def check(arguments):
    """What can be said before anything is built."""
    model.check_variant(ROOT, arguments.variant)
    for word in (arguments.a, arguments.b):
        if word.endswith(".so"):
            existing(word)
        elif word not in HERE:
            commit_and_stage(word)


def resolve(word: str, toolchain: str, variant: str) -> Side:
    """The Side that a word asks for, built when needed."""
    if word in HERE:
        return stage_here(word, toolchain, variant)
    if word.endswith(".so"):
        return Side(word, Path(word).name, existing(word))
    commit, stage = commit_and_stage(word)
    if commit:
        tree, label = BUILD / "ab" / commit, commit[:LABEL_LENGTH]
        unpack_revision(commit, tree)
    else:
        tree, label = BUILD / "ab" / "working-tree", "working tree"
        mirror_working_tree(tree)
    label += f", {stage}" if ":" in word else ""
    return Side(word, label, build_stage(tree, stage, toolchain, variant))


def prepare(rows, toolchain, variant):
    """Build the programs and inputs that the measurements run."""
    with lock.alone():
        if not (ROOT / "build.ninja").exists():
            proc.run([*PYTHON, "configure.py", f"--variant={variant}", f"--toolchain={toolchain}"], cwd=ROOT)
        inputs = sorted({f"build/inputs/{name}" for row in rows for name in row.inputs})
        programs = sorted({"bench_fastpath", STEADY, *(name for row in rows for name in row.programs())})
        proc.run(["ninja", *inputs, *(f"build/bench/{name}" for name in programs)], cwd=ROOT, timeout=600)


def function_counts(texts) -> dict:
    """(workload, function) -> instructions of its own, of callgrind outputs by workload."""
    found = {}
    for workload, text in texts.items():
        run = callgrind.parse(text)
        at = run.events.index("Ir")
        for name, events in run.functions.items():
            key = workload, short(name)
            found[key] = found.get(key, 0) + events[at]
    return found


def short(name: str) -> str:
    """A function's name without what compilers and BOLT append to parts and copies of it."""
    return re.sub(r"(\.(cold|part|isra|constprop|llvm|lto_priv)[.\d]*|/\d+|'\d+)+$", "", name)


def by_function(before: dict, after: dict, most=NAMED) -> str:
    """The functions with the largest differences, all workloads together, with the workload that has most of it."""
    moved, where = {}, {}
    for key in before.keys() | after.keys():
        workload, name = key
        difference = after.get(key, 0) - before.get(key, 0)
        moved[name] = moved.get(name, 0) + difference
        if abs(difference) > abs(where.get(name, ("", 0))[1]):
            where[name] = workload, difference
    changed = sorted((name for name in moved if moved[name] != 0), key=lambda name: (-abs(moved[name]), name))
    if not changed:
        return ""
    lines = [f"  {'function':34} {'instructions':>16}   most of it in"]
    lines += [f"  {name:34} {moved[name]:>+16,}   {where[name][0]} ({where[name][1]:+,})" for name in changed[:most]]
    if len(changed) > most:
        rest = sum(moved[name] for name in changed[most:])
        lines.append(f"  {len(changed) - most} more functions {rest:>+25,}")
    return "\n".join(lines)


def collect(sides, rows, toolchain, variant, patterns=golden.PATTERNS) -> list:
    """(Evidence, instructions by function) of both sides. Two runs at a time: counts do not depend on the load."""
    with Pool(2) as pool:
        counted = [pool.submit(golden.count, side.library, patterns) for side in sides]
        measured = [[pool.submit(counting.measure, counting.Subject(side.library, "base", toolchain, variant), row,
                                 counts_only=True) for row in rows] for side in sides]
        return [(gate.Evidence({row.name: job.result()[0] for row, job in zip(rows, jobs)}, count.result()),
                 function_counts({row.name: job.result()[1] for row, job in zip(rows, jobs)}))
                for count, jobs in zip(counted, measured)]


def details(before: gate.Evidence, after: gate.Evidence) -> str:
    """Figures by workload and pattern; those that did not change by a single instruction are counted only."""
    lines, same = [], 0

    def line(name, old, new, form):
        nonlocal same
        if old == new:
            same += 1
        else:
            lines.append(f"  {name:34} {format(old, form):>16} {format(new, form):>16} "
                         f"{gate.percent(new / old - 1 if old else None):>12}")

    for name, record in sorted(before.measures.items()):
        line(f"{name}: allocator instructions", record["metrics"]["ir_alloc"],
             after.measures[name]["metrics"]["ir_alloc"], ",")
    for pattern, row in before.golden.items():
        for function in ("malloc", "free"):
            line(f"{pattern}: {function}", row[function], after.golden[pattern][function], ",.2f")
    if same:
        lines.append(f"  {same} figures are equal to the last instruction")
    return "\n".join(lines)


def compare(sides, rules, toolchain, variant, budget=wall.BUDGET_SECONDS):
    """(Judgement, before, after, table of functions) of two sides."""
    rows = tuple(row for row in workloads.load_workloads(ROOT) if row.role == "holdout" and row.gate)
    timed = tuple(row for row in workloads.load_workloads(ROOT) if row.wall)
    prepare(rows + timed, toolchain, variant)
    (before, old), (after, new) = collect(sides, rows, toolchain, variant)
    gates = gate.load_gates()
    if any(row.scope == "wall" for row in gates.rows if row.stage == rules):
        result = wall.compare({"a": sides[0].library, "b": sides[1].library}, timed, "a", budget)
        after = gate.Evidence(after.measures, after.golden, wall.from_dict(result["against"]["a"]["b"]))
    return gate.judge(rules, before, after, gates), before, after, by_function(old, new)


def main(argv) -> int:
    parser = Parser(
        prog="gate.ab", check=check,
        description="example: python3 -m gate.ab --a HEAD~1 --b .\n\n"
                    "Compare two versions of the allocator by exact instruction counts.\n"
                    "Exit 0 GO, 1 NEUTRAL, 2 NO-GO; 64 wrong request, 70 failure.")
    parser.add_argument("--a", required=True, metavar="REV[:STAGE]|STAGE|SO|.", help="what was")
    parser.add_argument("--b", required=True, metavar="REV[:STAGE]|STAGE|SO|.", help="what would be")
    parser.add_argument("--toolchain", default="clang", choices=("clang", "gcc"))
    parser.add_argument("--variant", default="bench_minimal")
    parser.add_argument("--rules", default="regression", choices=RULES,
                        help="rows of gate/gates.toml to judge by; removal also takes wall clock "
                             "(default: %(default)s)")
    parser.add_argument("--seconds", type=seconds(0), default=wall.BUDGET_SECONDS,
                        help="of wall clock, where the rules ask for it (default %(default)g)")
    parser.add_argument("-o", "--output", type=result_file, help="also write the verdict as JSON")
    arguments = parser.parse_args(argv)
    model.check_variant(ROOT, arguments.variant)
    with lock.alone():
        sides = [resolve(word, arguments.toolchain, arguments.variant) for word in (arguments.a, arguments.b)]
    judgement, before, after, functions = compare(sides, arguments.rules, arguments.toolchain, arguments.variant,
                                                  arguments.seconds)
    print(f"A: {sides[0].asked} ({sides[0].label})   B: {sides[1].asked} ({sides[1].label})")
    print(details(before, after))
    if functions:
        print(functions)
    print(gate.table(judgement))
    if arguments.output:
        files.write_json(arguments.output, gate.as_dict(judgement, sides[0].label))
    return gate.EXIT[judgement.verdict]


def guarded(argv) -> int:
    """main with the exit statuses that are no verdict."""
    return guard(main, argv, name="gate.ab", usage=EXIT_USAGE, failure=EXIT_FAILURE)


if __name__ == "__main__":
    sys.exit(guarded(sys.argv[1:]))
