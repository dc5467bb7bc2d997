"""clang's profiles: LLVM raw files of each process, merged into indexed .profdata files."""

import re
from pathlib import Path

from common import proc
from common.errors import Failure
from pgo import tools

SUFFIX = "profdata"
ENVIRONMENT = {"LLVM_PROFILE_FILE": "{scratch}/profile-%m-%p.profraw"}

_FUNCTION = re.compile(r"^  (\S.*):$")
_COUNTS = re.compile(r"^    Block counts: \[(.*)\]$")


def collect(scratch: Path, _so: Path) -> bytes:
    """One indexed profile of all processes of a run."""
    raw = sorted(scratch.glob("*.profraw"))
    if not raw:
        raise Failure("the run left no .profraw file: the library was not preloaded, or the program was killed")
    return _merge(scratch, [str(path) for path in raw])


def merge(weighted, scratch: Path) -> bytes:
    """One profile of (path, integer weight) pairs."""
    return _merge(scratch, [f"--weighted-input={weight},{path}" for path, weight in weighted])


def _merge(scratch: Path, inputs) -> bytes:
    out = scratch / "merged.profdata"
    proc.run([tools.require("llvm-profdata"), "merge", "--sparse", "--num-threads=1", *inputs, "-o", out])
    return out.read_bytes()


def functions(path, _notes=None) -> dict:
    """Function name -> the sum of its block counts. A static's name is preceded by its file's and ';'."""
    shown = proc.run([tools.require("llvm-profdata"), "show", "--all-functions", "--counts", path]).stdout
    counts, name = {}, ""
    for line in shown.splitlines():
        if match := _FUNCTION.match(line):
            name = match[1]
        elif match := _COUNTS.match(line):
            words = [word for word in match[1].split(",") if word.strip()]
            if not all(word.strip().isdecimal() for word in words):
                raise Failure(f"llvm-profdata says of {path}: '{line.strip()}', which are no counts")
            counts[name] = counts.get(name, 0) + sum(map(int, words))
    return counts


def total(path) -> int:
    """The sum of all counts: how long the run was."""
    return sum(functions(path).values())
