# SPDX-License-Identifier: MIT
"""Put each deliberate bug of mutants.toml into a copy of the sources and see whether the tests notice.

All mutants share one copy, so that ninja compiles again only what a mutant changes."""

import hashlib
import os
import re
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from common import files, proc, tables
from common.arguments import Parser, seconds
from common.errors import Failure, UserError, guard
from common.paths import ROOT
from tests.support import copy_of_sources, ctests, program_of

TABLE = ROOT / "tests" / "mutants" / "mutants.toml"
# What makes programs of several C++ runtimes: each by its id, since all of them would take minutes.
OPERATORS = tuple(f"tests/test_operators.py::{name}" for name in (
    "test_replaced_forms[0]", "test_replaced_forms[8]", "test_blocks_of_several_runtimes", "test_wrong_kinds_are_seen",
    "test_a_program_out_of_memory[shared]"))
# What no row of tests/tests.toml runs, by the name that `notice` has for it.
OF_PYTEST = {"operators": OPERATORS, "policy": ("tests/test_policy.py::test_a_library_does_what_was_compiled_in",)}
LOCKS = "-Wthread-safety"
EXAMPLE = """example: python3 -m tests.mutants.drive
         python3 -m tests.mutants.drive 'calloc overflows' 'inbox'    those whose name has one of these words
         python3 -m tests.mutants.drive --seconds 240                 as many as fit, others for each commit"""


@dataclass(frozen=True)
class Mutant:
    """A row of mutants.toml; the file explains the keys."""
    name: str
    file: str
    text: str
    replacement: str
    sentence: str
    notice: tuple[str, ...]
    variant: str = "bench_minimal"


@dataclass(frozen=True)
class Needs:
    """What tests take: files to build, and the names pytest knows them by."""
    targets: tuple[str, ...]
    nodes: tuple[str, ...]


def load_mutants(path=TABLE) -> tuple:
    """The rows; each expects at least one test, and only such as there are."""
    rows = tables.load(path, "mutant", Mutant)
    known = {*OF_PYTEST, *(row.name for row in ctests() if row.kind in ("preload", "linked", "unit", "fuzz"))}
    for row in rows:
        if not row.notice:
            raise UserError(f"{path}: mutant '{row.name}': notice names no test")
        for name in row.notice:
            if name not in known:
                raise UserError(f"{path}: mutant '{row.name}': no test '{name}' in tests/tests.toml")
    return rows


def mutate(row, text) -> str:
    """The file's text with the bug in it."""
    found = text.count(row.text)
    if found != 1:
        raise UserError(f"mutant '{row.name}': its text occurs {found} times in {row.file}, not once; "
                        "adapt it to the source in tests/mutants/mutants.toml")
    return text.replace(row.text, row.replacement)


def library(variant) -> str:
    """The one library that programs of kind preload run with."""
    return f"build/clang-{variant}/base/libhakmem.so"


def needs(name, variant) -> Needs:
    """Of one row of tests/tests.toml, or of what pytest runs by itself, with a compiler."""
    if name in OF_PYTEST:
        return Needs((library(variant),), OF_PYTEST[name])
    row = next(row for row in ctests() if row.name == name)
    program = str(program_of(row).relative_to(ROOT))
    if name == "misuse":
        return Needs((library(variant), program), ("tests/test_misuse.py",))
    if row.kind == "fuzz":
        return Needs((program,), (f"tests/test_fuzz.py::test_bounded_run[{name}]",))
    if row.kind == "unit":
        return Needs((program,), (f"tests/test_c.py::test_program[{name}]",))
    return Needs((library(variant), program), (f"tests/test_c.py::test_program[{name}-clang-{variant}/base]",))


def needs_of(rows) -> Needs:
    """Of all tests that the mutants name, each once."""
    every = [needs(name, row.variant) for row in rows for name in row.notice]
    return Needs(tuple(dict.fromkeys(target for need in every for target in need.targets)),
                 tuple(dict.fromkeys(node for need in every for node in need.nodes)))


def build(tree, targets):
    """Bring the targets up to date in the copy."""
    proc.run(["ninja", "--quiet", *targets], cwd=tree, timeout=900)


def first_failed(tree, rows) -> tuple:
    """The name of the first test that fails, or "" when all pass, and the end of what was said of it."""
    wanted = needs_of(rows)
    libraries = dict.fromkeys(str(tree / library(row.variant)) for row in rows)
    built = [so for so in libraries if Path(so).exists()]
    environment = {**os.environ, "HAK_SO": ":".join(built)}
    try:
        result = proc.run([sys.executable, "-m", "tests.run", "-x", *wanted.nodes], cwd=tree, env=environment,
                          timeout=300 * len(rows) + 300, check=False)
    except Failure:
        return "a test that does not end", ""
    failed = re.findall(r"^failed +\S+::(?:test_program|test_bounded_run)?(\S+)", result.stdout, re.M)
    if result.returncode == 0 or failed:
        return (failed[0].strip("[]"), proc.tail(result.stdout + result.stderr)) if failed else ("", "")
    raise Failure(f"the tests did not run: exit {result.returncode}{proc.tail(result.stdout + result.stderr)}")


def try_mutant(tree, row) -> str:
    """The name of the test that noticed, or "". A lock that is not held the compiler notices."""
    path = tree / row.file
    original = path.read_text()
    path.write_text(mutate(row, original))
    try:
        build(tree, needs_of([row]).targets)
        return first_failed(tree, [row])[0]
    except Failure as failure:
        if LOCKS in str(failure):
            return f"clang {LOCKS}"
        raise Failure(f"mutant '{row.name}': {failure}") from None
    finally:
        path.write_text(original)


def judge(tree, rows, stream, seconds=0.0) -> tuple:
    """Tries each mutant, or those that begin in time, prints a line for it: (number tried, names of the survivors)."""
    survivors, began = [], time.monotonic()
    for tried, row in enumerate(rows):
        started = time.monotonic()
        if seconds and started - began > seconds:
            return tried, survivors
        noticed = try_mutant(tree, row)
        said = f"by {noticed}" if noticed else f"{row.sentence}; none of {', '.join(row.notice)} noticed"
        print(f"{'caught' if noticed else 'SURVIVED':9}{row.name:40}{time.monotonic() - started:4.0f} s  {said}",
              file=stream, flush=True)
        if not noticed:
            survivors.append(row.name)
    return len(rows), survivors


def choose(rows, words) -> tuple:
    """The rows whose name has one of the words; all without words."""
    chosen = tuple(row for row in rows if not words or any(word in row.name for word in words))
    if not chosen:
        raise UserError(f"no mutant is named so; there are: {', '.join(row.name for row in rows)}")
    return chosen


def order_of(rows, seed: str) -> tuple:
    """The rows in an order of the seed's own, so that bounded runs of different commits try different ones."""
    return tuple(sorted(rows, key=lambda row: hashlib.sha256(f"{seed}\0{row.name}".encode()).digest()))


def main(argv) -> int:
    """0 when every mutant was caught."""
    parser = Parser(prog="tests.mutants.drive", usage=f"{EXAMPLE}\n\n       %(prog)s [options]",
                    description=__doc__)
    parser.add_argument("words", nargs="*", help="of the mutants' names (all)")
    parser.add_argument("--seconds", type=seconds(0), default=0,
                        help="begin no further mutant after so long (0: try all)")
    arguments = parser.parse_args(argv)
    rows = choose(load_mutants(), arguments.words)
    if arguments.seconds:
        rows = order_of(rows, files.source_hash(ROOT))
    for row in rows:
        mutate(row, (ROOT / row.file).read_text())
    with tempfile.TemporaryDirectory(prefix="hakmem.") as directory:
        tree = copy_of_sources(Path(directory))
        proc.run([sys.executable, "configure.py", "--variant=bench_minimal"], cwd=tree)
        build(tree, needs_of(rows).targets)
        failed, said = first_failed(tree, rows)
        if failed:
            raise Failure(f"{failed} fails without any mutant; mend that first{said}")
        tried, survivors = judge(tree, rows, sys.stdout, arguments.seconds)
    left = f", {len(rows) - tried} not tried" if tried < len(rows) else ""
    print(f"{tried - len(survivors)} caught, {len(survivors)} survived{left}")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
