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

import argparse
import gzip
import re
import sys
import zlib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from common.errors import Failure, UserError, guard
from common.tree import LIBRARY

# --fair-sched repeats the order in which threads run; the cache sizes are fixed so that machines compare. The
# instruction cache is fully associative: with 8 ways, the misses of the same text at another place differed by up to
# 14 % over six programs, and by a factor of two in one, by conflicts with the program's own lines; with one set the
# count is equal at every place.
FLAGS = ("--tool=callgrind", "--trace-children=yes", "--fair-sched=yes", "--dump-instr=yes", "--collect-jumps=yes",
         "--cache-sim=yes", "--branch-sim=yes", "--I1=32768,512,64", "--D1=32768,8,64", "--LL=33554432,16,64")
_START = re.compile(r"^# callgrind format$", re.MULTILINE)
_COMPRESSED = re.compile(r"\((\d+)\)(?: (.*))?$")
_PLAIN, _CALL, _JUMP = range(3)


@dataclass(frozen=True)
class Entries:
    """Calls of one function across the object's border."""
    address: int
    count: int
    inclusive: tuple        # events of those calls, everything that they called included


@dataclass(frozen=True)
class Profile:
    """Counts of one object in one run. Event tuples are in the order of `events`."""
    events: tuple
    program: tuple          # totals of the whole process
    totals: tuple           # totals of the object's own instructions
    counts: dict            # address -> executions
    conditional: frozenset  # addresses of executed conditional branches
    branches: dict          # (source, target) -> times taken, conditional
    executed: dict          # source -> executions of a conditional branch that was taken at least once
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
    def __init__(self, wanted: str):
        self.wanted = wanted
        self.objects, self.functions = _Names(), _Names()
        self.events, self.width, self.program = (), 1, ()
        self.active = False             # inside the library
        self.function, self.callee = "", ""
        self.here, self.callee_wanted = "", None
        self.counts = defaultdict(int)
        self.self_cost = {}
        self.branches, self.executed = defaultdict(int), defaultdict(int)
        self.jumps, self.calls = defaultdict(int), defaultdict(int)
        self.conditional = set()
        self.entries, self.outgoing = {}, {}
        self.bc = self.bi = self.dw = None
        self.after_call = None          # address of the call whose PLT stub may be charged next

    def header(self, key, value):
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
        values = [int(number) for number in numbers]
        return tuple(values + [0] * (len(self.events) - len(values)))

    def read(self, lines):
        address, pending, payload = 0, _PLAIN, None
        for number, line in enumerate(lines, 1):
            if not line:
                continue
            try:
                first = line[0]
                if first in "0123456789+-*":
                    word = line.split(" ", 1)[0]
                    if first == "+":
                        address += int(word[1:], 0)
                    elif first == "-":
                        address -= int(word[1:], 0)
                    elif first != "*":
                        address = int(word, 0)
                    if pending == _PLAIN:
                        if self.active:
                            self.cost(address, line)
                    else:
                        if payload is not None:
                            self.finish(pending, payload, address, line)
                        pending, payload = _PLAIN, None
                    continue
                key, separator, value = line.partition("=")
                if separator and " " not in key:
                    if key == "calls":
                        pending, payload = _CALL, self.call(value, address)
                    elif key in ("jump", "jcnd"):
                        pending, payload = _JUMP, self.jump(key, value, address)
                    else:
                        self.name(key, value)
                else:
                    key, separator, value = line.partition(":")
                    if separator:
                        self.header(key, value.strip())
            except (ValueError, KeyError, IndexError) as error:
                raise Failure(f"line {number}: '{line[:80]}' is not callgrind output ({error})") from None

    def name(self, key, value):
        if key == "fn":
            self.function = self.functions.resolve(value)
        elif key == "cfn":
            self.callee = self.functions.resolve(value)
        elif key == "ob":
            self.here = self.objects.resolve(value)
            self.active = self.here.rpartition("/")[2] == self.wanted
        elif key == "cob":
            self.callee_wanted = self.objects.resolve(value).rpartition("/")[2] == self.wanted

    def cost(self, address, line):
        fields = line.split()[self.width:]
        if not fields:
            return
        values = [int(field) for field in fields]
        if address != self.after_call or not self.is_stub(values):
            self.after_call = None
            self.counts[address] += values[0]
        if self.bc is not None and len(values) > self.bc and values[self.bc]:
            self.conditional.add(address)
        held = self.self_cost.get(self.function)
        if held is None:
            held = self.self_cost[self.function] = [0] * len(self.events)
        for index, value in enumerate(values):
            held[index] += value

    def is_stub(self, values):
        if self.bi is None or self.dw is None or len(values) <= self.bi:
            return False
        return values[self.bi] > 0 and values[self.dw] < values[0]

    @staticmethod
    def target(text, address):
        if text == "*":
            return address
        if text[0] in "+-":
            return address + int(text, 0)
        return int(text, 0)

    def call(self, value, address):
        into = self.active if self.callee_wanted is None else self.callee_wanted
        self.callee_wanted = None
        if not (self.active or into):
            return None
        fields = value.split()
        return int(fields[0]), self.target(fields[1], address), into, self.callee

    def jump(self, key, value, address):
        if not self.active:
            return None
        counts, where = value.split()[:2]
        taken, _, executed = counts.partition("/")
        return key, int(taken), int(executed or taken), self.target(where, address)

    def finish(self, pending, payload, address, line):
        if pending == _JUMP:
            key, taken, executed, target = payload
            if key == "jump":
                self.jumps[address, target] += taken
            else:
                self.branches[address, target] += taken
                self.executed[address] += executed
            return
        count, target, into, callee = payload
        self.after_call = address
        if self.active:
            self.calls[address, target if into else callee] += count
        if self.active != into:
            table = self.entries if into else self.outgoing
            inclusive = self.pad(line.split()[self.width:])
            held = table.get(callee)
            if held is not None:
                count += held.count
                inclusive = tuple(a + b for a, b in zip(inclusive, held.inclusive))
            table[callee] = Entries(target, count, inclusive)


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


def _sum_entries(tables) -> dict:
    added = {}
    for table in tables:
        for name, entry in table.items():
            held = added.get(name)
            added[name] = entry if held is None else Entries(
                held.address, held.count + entry.count, _sum_rows((held.inclusive, entry.inclusive)))
    return added


def combine(profiles) -> Profile:
    """The Profile of several processes of one run, all of which have the same library."""
    if len(profiles) == 1:
        return profiles[0]
    if len({profile.events for profile in profiles}) != 1:
        raise Failure("the processes of the run counted different events")
    functions = {}
    for profile in profiles:
        for name, row in profile.functions.items():
            functions[name] = _sum_rows((functions[name], row)) if name in functions else row
    return Profile(
        profiles[0].events, _sum_rows(profile.program for profile in profiles),
        _sum_rows(profile.totals for profile in profiles), _sum(profile.counts for profile in profiles),
        frozenset().union(*(profile.conditional for profile in profiles)),
        *(_sum(getattr(profile, name) for profile in profiles) for name in ("branches", "executed", "jumps", "calls")),
        *(_sum_entries(getattr(profile, name) for profile in profiles) for name in ("entries", "outgoing")), functions)


def parse(text: str, library: str = LIBRARY) -> Profile:
    """The Profile of one object (by file name) in callgrind's output, of one process or of several. Failure names the
    line that is malformed."""
    return combine([_parse(part, library) for part in processes(text)])


def _parse(text: str, library: str) -> Profile:
    reader = _Reader(library)
    reader.read(text.splitlines())
    if not reader.events:
        raise Failure("there is no 'events:' line, so this is not callgrind output")
    totals = tuple(sum(column) for column in zip(*reader.self_cost.values())) or (0,) * len(reader.events)
    return Profile(reader.events, reader.program or (0,) * len(reader.events), totals, dict(reader.counts),
                   frozenset(reader.conditional), dict(reader.branches), dict(reader.executed), dict(reader.jumps),
                   dict(reader.calls), reader.entries, reader.outgoing,
                   {name: tuple(row) for name, row in reader.self_cost.items()})


def load(path, library: str = LIBRARY) -> Profile:
    """parse() of a file, gzipped or not."""
    path = Path(path)
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: measure first (`python -m measure.counting --help`)") from None
    except (OSError, EOFError, zlib.error) as error:
        raise Failure(f"{path} cannot be read ({error}): delete it and measure again") from None
    try:
        return parse(data.decode(errors="replace"), library)
    except Failure as error:
        raise Failure(f"{path}: {error}: delete it and measure again") from None


def main(argv) -> int:
    parser = argparse.ArgumentParser(
        prog="measure.callgrind", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="example: python -m measure.callgrind build/clang-balanced/measure/base/python.cg.gz\n\n"
                    "Show what a callgrind output says of one object: its events and its functions.")
    parser.add_argument("profile", help="callgrind output, gzipped or not")
    parser.add_argument("--object", default=LIBRARY, help="file name of the object (default: %(default)s)")
    arguments = parser.parse_args(argv)
    profile = load(arguments.profile, arguments.object)
    for name, total, whole in zip(profile.events, profile.totals, profile.program):
        print(f"{name:6} {total:14,} of {whole:14,}")
    for name, row in sorted(profile.functions.items(), key=lambda item: -item[1][0]):
        calls = profile.entries[name].count if name in profile.entries else 0
        print(f"{row[0]:14,} instructions  {calls:10,} calls from outside  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
