# SPDX-License-Identifier: MIT
"""The file in which all processes of a training run count (pgo/slots.c): made before the run, read and added up after
it, and turned into a profile by the library that counted.

Addition is the same in every order, so equal runs give equal profiles, whatever order their processes ended in.
"""

import array
import ctypes
import os
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

from common import proc
from common.arguments import Parser
from common.errors import Failure, guard, naming
from common.paths import PYTHON, ROOT
from common.scratch import SETTING

NAME = "counters"
MAGIC = 0x31746e756f436b48
SLOTS, STRIDE = 1024, 64 * 1024
PAGE, RECORD, ARGUMENTS = 4096, 1024, 768
_HEADER = struct.Struct("<5Q")
_RECORD = struct.Struct("<4Q224s768s")
# The library is loaded at run time into an interpreter that never calls it: its thread-local storage needs room.
ROOMY = "glibc.rtld.optional_static_tls=65536"
# Of the user's environment: what tells the runtimes where to write, and the library what to do.
NOT_INHERITED = ("GCOV_", "LLVM_PROFILE_", SETTING)


@dataclass(frozen=True)
class Process:
    """What one process counted. `forked`: a child of a process that had the library, not a program that was started."""
    pid: int
    parent: int
    forked: bool
    program: str
    arguments: tuple        # of a program that was started; () when they did not fit
    counts: array.array


def make(scratch: Path):
    """An empty file, sparse, which every user may write."""
    path = scratch / NAME
    with naming(path), open(path, "wb") as stream:
        stream.write(_HEADER.pack(MAGIC, SLOTS, STRIDE, 0, 0))
        stream.truncate(PAGE + SLOTS * (RECORD + STRIDE))
    path.chmod(0o666)


def read(scratch: Path) -> tuple:
    """The processes that counted, in the order in which they began."""
    with open(scratch / NAME, "rb") as stream:
        magic, slots, stride, begun, used = _HEADER.unpack(stream.read(_HEADER.size))
        if (magic, slots, stride) != (MAGIC, SLOTS, STRIDE):
            raise Failure(f"{scratch / NAME} was overwritten by the program that was run")
        found = []
        for number in range(min(begun, SLOTS)):
            stream.seek(PAGE + number * RECORD)
            pid, parent, forked, length, program, arguments = _RECORD.unpack(stream.read(RECORD))
            stream.seek(PAGE + SLOTS * RECORD + number * STRIDE)
            counts = array.array("Q")
            counts.frombytes(stream.read(used))
            words = arguments[:length].split(b"\0")[:-1] if length <= ARGUMENTS else []
            found.append(Process(pid, parent, bool(forked), os.fsdecode(program.split(b"\0")[0]),
                                 tuple(map(os.fsdecode, words)), counts))
    return tuple(found)


def total(processes) -> bytes:
    """The sum of all counters."""
    words = len(processes[0].counts)
    added = [0] * words
    for process in processes:
        added = [(a + b) & 0xffffffffffffffff for a, b in zip(added, process.counts)]
    return array.array("Q", added).tobytes()


def write_profile(so: Path, counters: bytes, out: Path, environment=None):
    """Let the instrumented library write a profile of these counters, in a process of its own."""
    summed = out.with_name(f"{out.name}.counters")
    summed.write_bytes(counters)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(NOT_INHERITED)}
    proc.run([*PYTHON, "-m", "pgo.counters", "--so", so.resolve(), "--counters", summed.resolve(), out.resolve()],
             cwd=ROOT, env={**inherited, "GLIBC_TUNABLES": ROOMY, **(environment or {})})
    summed.unlink()


def parse(argv):
    """Command line."""
    parser = Parser(prog="pgo.counters", description=__doc__, usage=(
        "example: python3 -m pgo.counters --so train/libhakmem.so --counters sum out.profraw\n\n"
        "       %(prog)s [options] OUT"))
    parser.add_argument("--so", required=True, type=Path, help="the instrumented library")
    parser.add_argument("--counters", required=True, type=Path, help="the counters, as they lie in memory")
    parser.add_argument("out", type=Path, help="the raw profile; gcc's go below $GCOV_PREFIX instead")
    return parser.parse_args(argv)


def main(argv) -> int:
    """Write the profile."""
    arguments = parse(argv)
    data = arguments.counters.read_bytes()
    try:
        library = ctypes.CDLL(os.fspath(arguments.so))
    except OSError as error:
        raise Failure(f"cannot load {arguments.so}: {error}") from None
    if library.hak_profile_write(data, os.fsencode(arguments.out)) != 0:
        raise Failure(f"the profile runtime could not write {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
