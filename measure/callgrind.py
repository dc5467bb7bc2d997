# SPDX-License-Identifier: MIT
"""Reader of callgrind's output: exact counts of one object's instructions, jumps and calls.

The input is what `--dump-instr=yes --collect-jumps=yes --cache-sim=yes --branch-sim=yes` writes, plain or
gzipped. Addresses come out as callgrind gives them, relative to the object, so they equal the symbol table's.

Only one object (the library) is kept; the rest of the process is known by its total. Positions may be relative
to the line before (`+3`, `-7`, `*`) even across functions, so every position is followed, but only the lines
of the library, and the calls into it, are looked at further: about 0.6 s for 10 MB.

The jump in a PLT stub is charged to the address of the call that went through it (callgrind's --skip-plt=yes;
--skip-plt=no would charge it to no object at all). It belongs in the totals and not in the call's execution
count: such a cost line follows the call's, branches indirectly, and stores less often than it executes.
"""

import functools
import gzip
import re
import sys
import zlib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from common.arguments import Parser
from common.errors import Failure, UserError, given, guard
from common.tree import LIBRARY

# --fair-sched repeats the order in which threads run; the cache sizes are fixed so that machines compare. The
# instruction cache is fully associative: with 8 ways, the misses of the same text at another place differed by up to
# 14 % over six programs, and by a factor of two in one, by conflicts with the program's own lines; with one set the
# count is equal at every place.
INSTRUCTIONS = ("--tool=callgrind", "--trace-children=yes", "--fair-sched=yes", "--dump-instr=yes")
FLAGS = (*INSTRUCTIONS, "--collect-jumps=yes", "--cache-sim=yes", "--branch-sim=yes",
         "--I1=32768,512,64", "--D1=32768,8,64", "--LL=33554432,16,64")
_START = re.compile(r"^# callgrind format$", re.MULTILINE)
_COMPRESSED = re.compile(r"\((\d+)\)(?: (.*))?$")
_POSITION = frozenset("0123456789+-*")


@dataclass(frozen=True)
class Entries:
    """Calls of one function across the object's border."""
    address: int
    count: int
    inclusive: tuple        # events of those calls, everything that they called included


@dataclass(frozen=True)
class Run:
    """Counts of one object in one run. Event tuples are in the order of `events`."""
    events: tuple
    program: tuple          # totals of the whole process
    totals: tuple           # totals of the object's own instructions
    counts: dict            # address -> executions
    conditional: frozenset  # addresses of executed conditional branches
    branches: dict          # (source, target) -> times taken, conditional
    jumps: dict             # (source, target) -> times, unconditional
    calls: dict             # (source, target) -> times; target is an address of the library, or a function's name
    entries: dict           # function name -> Entries, calls into the object
    outgoing: dict          # function name -> Entries, calls out of the object (PLT stubs not included)
    functions: dict         # function name -> events of its own instructions

    def event(self, name: str) -> int:
        """The object's total of one event."""
        return self.totals[self._index(name)]

    def program_event(self, name: str) -> int:
        """The process's total of one event."""
        return self.program[self._index(name)]

    def _index(self, name):
        if name not in self.events:
            raise Failure(f"the callgrind output has no event {name}; it has {', '.join(self.events)}: "
                          "run it with --cache-sim=yes --branch-sim=yes")
        return self.events.index(name)


class _Names:
    """Name compression: `(12) malloc` defines, `(12)` refers. One table per kind of name."""

    def __init__(self):
        self._known = {}

    def resolve(self, text: str) -> str:
        found = _COMPRESSED.match(text)
        if not found:
            return text
        number, name = found.groups()
        if name is None:
            return self._known[number]
        self._known[number] = name
        return name


class _Reader:
    """Takes the lines one by one. A line that begins with a position is a cost, or what a `calls=`, `jump=` or `jcnd=`
    line before it was waiting for: `pending` is then what takes it."""

    def __init__(self, wanted: str):
        self.wanted = wanted
        self.objects, self.functions = _Names(), _Names()
        self.events, self.width, self.program = (), 1, ()
        self.active = False             # inside the library
        self.address = 0
        self.function, self.callee = "", ""
        self.callee_wanted = None       # whether the callee is the library's; None: it is of the caller's object
        self.pending = None
        self.counts = defaultdict(int)
        self.self_cost = {}
        self.branches, self.jumps, self.calls = defaultdict(int), defaultdict(int), defaultdict(int)
        self.conditional = set()
        self.entries, self.outgoing = {}, {}
        self.bc = self.bi = self.dw = None
        self.after_call = None          # address of the call whose PLT stub may be charged next

    def read(self, lines):
        """All lines."""
        for number, line in enumerate(lines, 1):
            try:
                self.line(line)
            except (ValueError, KeyError, IndexError):
                raise Failure(f"line {number}: {ascii(line[:60])} is not callgrind output") from None

    def line(self, line):
        """One of a position, `key=value`, `key: value`, or nothing that counts."""
        if line[:1] in _POSITION:
            self.position(line)
            return
        key, separator, value = line.partition("=")
        if separator and " " not in key:
            self.take.get(key, _Reader.skip)(self, value)
            return
        key, separator, value = line.partition(":")
        if separator:
            self.header(key, value.strip())

    def position(self, line):
        """A line that begins with an address: events spent there."""
        self.address = self.target(line.split(" ", 1)[0])
        pending, self.pending = self.pending, None
        if pending is not None:
            pending(line)
        elif self.active:
            self.cost(line)

    def target(self, text):
        """An address, which may be relative to the present one."""
        if text == "*":
            return self.address
        return int(text, 0) + (self.address if text[0] in "+-" else 0)

    def header(self, key, value):
        """Which columns there are, and the totals."""
        if key == "positions":
            columns = value.split()
            if not columns or columns[0] != "instr":
                raise ValueError("no instruction positions: run callgrind with --dump-instr=yes")
            self.width = len(columns)
        elif key == "events":
            self.events = tuple(value.split())
            self.bc, self.bi, self.dw = (self.events.index(name) if name in self.events else None
                                         for name in ("Bc", "Bi", "Dw"))
        elif key in ("summary", "totals"):
            self.program = self.pad(value.split())

    def pad(self, numbers):
        """Events; those at the end that are 0 are not written."""
        values = [int(number) for number in numbers]
        return tuple(values + [0] * (len(self.events) - len(values)))

    def is_library(self, value):
        """Whether an object is the wanted one."""
        return self.objects.resolve(value).rpartition("/")[2] == self.wanted

    def skip(self, _value):
        """A key that says nothing of counts, or a line that belongs to another object."""

    def enter_function(self, value):
        self.function = self.functions.resolve(value)

    def enter_object(self, value):
        self.active = self.is_library(value)

    def name_callee(self, value):
        self.callee = self.functions.resolve(value)

    def name_callees_object(self, value):
        self.callee_wanted = self.is_library(value)

    def cost(self, line):
        """Events of one instruction of the library."""
        values = [int(field) for field in line.split()[self.width:]]
        if not values:
            return
        if self.address != self.after_call or not self.is_stub(values):
            self.after_call = None
            self.counts[self.address] += values[0]
        if self.bc is not None and len(values) > self.bc and values[self.bc]:
            self.conditional.add(self.address)
        held = self.self_cost.get(self.function)
        if held is None:
            held = self.self_cost[self.function] = [0] * len(self.events)
        for index, value in enumerate(values):
            held[index] += value

    def is_stub(self, values):
        """Whether the events are those of a PLT stub, and not of the call that went through it."""
        if self.bi is None or self.dw is None or len(values) <= self.bi:
            return False
        return values[self.bi] > 0 and values[self.dw] < values[0]

    def call(self, value):
        """`calls=COUNT TARGET`; the next line has its place and what it cost."""
        into = self.active if self.callee_wanted is None else self.callee_wanted
        self.callee_wanted, self.pending = None, self.skip
        if self.active or into:
            count, target = value.split()[:2]
            self.pending = functools.partial(self.called, int(count), self.target(target), into, self.callee)

    def called(self, count, target, into, callee, line):
        """The line behind it."""
        self.after_call = self.address
        if self.active:
            self.calls[self.address, target if into else callee] += count
        if self.active == into:
            return
        table = self.entries if into else self.outgoing
        entry = Entries(target, count, self.pad(line.split()[self.width:]))
        table[callee] = _sum_two(table[callee], entry) if callee in table else entry

    def jump(self, value):
        """`jump=TIMES TARGET`; the next line has its place."""
        self.expect_jump(self.jumps, value)

    def branch(self, value):
        """`jcnd=TAKEN/EXECUTED TARGET`; the next line has its place."""
        self.expect_jump(self.branches, value)

    def expect_jump(self, table, value):
        self.pending = self.skip
        if self.active:
            times, target = value.split()[:2]
            self.pending = functools.partial(self.jumped, table, int(times.partition("/")[0]), self.target(target))

    def jumped(self, table, times, target, _line):
        """The line behind it."""
        table[self.address, target] += times

    take = {"fn": enter_function, "ob": enter_object, "cfn": name_callee, "cob": name_callees_object, "calls": call,
            "jump": jump, "jcnd": branch}


def is_whole(text: str) -> bool:
    """Whether an output goes to its end, which is a line of totals."""
    return text.rstrip("\n").rpartition("\n")[2].startswith("totals:")


def processes(text: str) -> list:
    """The outputs of the processes of a run, which stand one behind the other."""
    starts = [match.start() for match in _START.finditer(text)]
    return [text[start:end] for start, end in zip([0, *starts[1:]], [*starts[1:], len(text)])]


def _sum(tables) -> dict:
    """Address or edge -> its counts, added."""
    added = defaultdict(int)
    for table in tables:
        for key, times in table.items():
            added[key] += times
    return dict(added)


def _sum_rows(rows) -> tuple:
    return tuple(map(sum, zip(*rows)))


def _sum_two(one: Entries, other: Entries) -> Entries:
    return Entries(other.address, one.count + other.count, _sum_rows((one.inclusive, other.inclusive)))


def _sum_entries(tables) -> dict:
    added = {}
    for table in tables:
        for name, entry in table.items():
            added[name] = _sum_two(entry, added[name]) if name in added else entry
    return added


def combine(runs) -> Run:
    """The Run of several processes of one run, all of which have the same library."""
    if len(runs) == 1:
        return runs[0]
    if len({run.events for run in runs}) != 1:
        raise Failure("the processes of the run counted different events")
    functions = {}
    for run in runs:
        for name, row in run.functions.items():
            functions[name] = _sum_rows((functions[name], row)) if name in functions else row
    return Run(
        runs[0].events, _sum_rows(run.program for run in runs),
        _sum_rows(run.totals for run in runs), _sum(run.counts for run in runs),
        frozenset().union(*(run.conditional for run in runs)),
        *(_sum(getattr(run, name) for run in runs) for name in ("branches", "jumps", "calls")),
        *(_sum_entries(getattr(run, name) for run in runs) for name in ("entries", "outgoing")), functions)


def parse(text: str, library: str = LIBRARY) -> Run:
    """The Run of one object (by file name) in callgrind's output, of one process or of several. Failure names the
    line that is malformed."""
    return combine([_parse(part, library) for part in processes(text)])


def _parse(text: str, library: str) -> Run:
    reader = _Reader(library)
    reader.read(text.splitlines())
    if not reader.events:
        raise Failure("there is no 'events:' line, so this is not callgrind output")
    totals = tuple(sum(column) for column in zip(*reader.self_cost.values())) or (0,) * len(reader.events)
    return Run(reader.events, reader.program or (0,) * len(reader.events), totals, dict(reader.counts),
               frozenset(reader.conditional), dict(reader.branches), dict(reader.jumps), dict(reader.calls),
               reader.entries, reader.outgoing, {name: tuple(row) for name, row in reader.self_cost.items()})


def load(path, library: str = LIBRARY) -> Run:
    """parse() of a file, gzipped or not."""
    path = Path(path)
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: measure first (`python3 -m measure.counting --help`)") from None
    except (OSError, EOFError, zlib.error) as error:
        raise Failure(f"{path} cannot be read ({error}): delete it and measure again") from None
    try:
        return parse(data.decode(errors="replace"), library)
    except Failure as error:
        raise Failure(f"{path}: {error}: delete it and measure again") from None


def main(argv) -> int:
    parser = Parser(
        prog="measure.callgrind",
        description="example: python3 -m measure.callgrind build/clang-balanced/measure/base/python.cg.gz\n\n"
                    "Show what a callgrind output says of one object: its events and its functions.")
    parser.add_argument("output", help="callgrind output, gzipped or not")
    parser.add_argument("--object", default=LIBRARY, help="file name of the object (default: %(default)s)")
    arguments = parser.parse_args(argv)
    with given(arguments.output):
        run = load(arguments.output, arguments.object)
    for name, total, whole in zip(run.events, run.totals, run.program):
        print(f"{name:6} {total:14,} of {whole:14,}")
    for name, row in sorted(run.functions.items(), key=lambda item: -item[1][0]):
        calls = run.entries[name].count if name in run.entries else 0
        print(f"{row[0]:14,} instructions  {calls:10,} calls from outside  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
