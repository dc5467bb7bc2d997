# SPDX-License-Identifier: MIT
"""clang's profiles: indexed .profdata files."""

import re
from pathlib import Path

from common import proc, tools
from common.errors import Failure
from pgo import counters

_FUNCTION = re.compile(r"^  (\S.*):$")
_COUNTS = re.compile(r"^    Block counts: \[(.*)\]$")


def make(so: Path, summed: bytes, scratch: Path) -> bytes:
    """The indexed profile of a run's counters."""
    raw = scratch / "run.profraw"
    counters.write_profile(so, summed, raw)
    return _merge(scratch, [str(raw)])


def merge(weighted, scratch: Path) -> bytes:
    """One profile of (path, integer weight) pairs."""
    return _merge(scratch, [f"--weighted-input={weight},{path}" for path, weight in weighted])


def _merge(scratch: Path, inputs) -> bytes:
    out = scratch / "merged.profdata"
    proc.run([tools.require("llvm-profdata"), "merge", "--sparse", "--num-threads=1", *inputs, "-o", out])
    return out.read_bytes()


def _show(path) -> str:
    return proc.run([tools.require("llvm-profdata"), "show", "--all-functions", "--counts", path]).stdout


def _rows(path) -> dict:
    """Function name -> its counts. A static's name is preceded by its file's and ';'."""
    rows, name = {}, ""
    for line in _show(path).splitlines():
        if match := _FUNCTION.match(line):
            name = match[1]
        elif match := _COUNTS.match(line):
            words = [word for word in match[1].split(",") if word.strip()]
            if not all(word.strip().isdecimal() for word in words):
                raise Failure(f"llvm-profdata says of {path}: '{line.strip()}', which are no counts")
            rows.setdefault(name, []).append([int(word) for word in words])
    return rows


def calls(path, _notes=None) -> dict:
    """Function name -> how often it was called: its first counter, by -pgo-instrument-entry."""
    return {name: sum(row[0] for row in rows if row) for name, rows in _rows(path).items()}


def functions(path, _notes=None) -> dict:
    """Function name -> the sum of its block counts."""
    return {name: sum(map(sum, rows)) for name, rows in _rows(path).items()}


def total(path) -> int:
    """The sum of all counts: how long the run was."""
    return sum(functions(path).values())
