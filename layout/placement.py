# SPDX-License-Identifier: MIT
"""How many instruction cache misses an order of the functions will have, predicted from counts alone.

A program runs much other code between two visits of one line of the allocator, so a line that is visited n times in
a run is still cached with a probability that grows with n: misses = n * exp(-n / t), summed over lines, where t is
how often a line must be visited to survive. t belongs to the program, not to the layout, and is found from the one
run that was measured. (This is the independent reference model with Che's characteristic time.)

Addresses are exact: functions follow each other from the start of the text, each at its alignment. So the prediction
sees what sorting cannot: which functions share a line, and how many lines a function covers where it comes to lie.

Measured (git, perl and jq, none of them trained on; PGO objects; misses against the linker's own order):
    clang   density +6.0 %   c3 +5.3 %    search -5.3 %      gcc   density +10.3 %   c3 +10.9 %   search -7.8 %
"""

import math
from collections import defaultdict
from dataclasses import dataclass

from measure.counting import LINE_BYTES

MAX_ALIGNMENT = 16


@dataclass(frozen=True)
class Transfer:
    """Control reached an offset of a function so many times; `source` is an offset of the same function, or None."""
    source: int | None
    target: int
    times: float


@dataclass(frozen=True)
class Function:
    """One executed function. `transfers` has a tuple of Transfer for each workload."""
    name: str
    size: int
    alignment: int
    transfers: tuple


@dataclass(frozen=True)
class Workload:
    """What the model knows of a program: its weight, and t above."""
    weight: float
    survival: float


def misses(visits: float, survival: float) -> float:
    """Expected misses of a line."""
    return visits * math.exp(-visits / survival)


def fit_survival(visits, measured: float) -> float:
    """The t for which the lines' misses add up to the measured ones."""
    low, high = 1e-3, 1e15
    for _step in range(200):
        middle = math.sqrt(low * high)
        if sum(misses(times, middle) for times in visits) < measured:
            low = middle
        else:
            high = middle
    return high


def alignment_of(address: int) -> int:
    """The alignment that a function's address shows, 16 at most: what compilers give to functions."""
    return min(address & -address, MAX_ALIGNMENT) if address else MAX_ALIGNMENT


def transfers(instructions, index, run, fall_throughs) -> dict:
    """Function address -> [Transfer] of one run: fall-throughs, jumps, calls into it, returns to it."""
    found = defaultdict(list)

    def add(source, target, times):
        function = index.find(target)
        if function is None or not times:
            return
        inside = source is not None and index.find(source) is function
        found[function.address].append(Transfer(source - function.address if inside else None,
                                                target - function.address, times))

    straight = dict(fall_throughs)
    for before, after in zip(instructions, instructions[1:]):
        times = run.counts.get(before.address, 0)
        if not times or index.find(before.address) is not index.find(after.address):
            continue
        if before.kind == "call":
            add(None, after.address, times)
        elif before.kind == "cond":
            add(before.address, after.address, straight.get((before.address, after.address), 0))
        elif before.kind == "plain":
            add(before.address, after.address, times)
    for table in (run.branches, run.jumps):
        for (source, target), times in table.items():
            add(source, target, times)
    for (_source, target), times in run.calls.items():
        if isinstance(target, int):
            add(None, target, times)
    for entry in run.entries.values():
        add(None, entry.address, entry.count)
    return found


def line_visits(rows, start: int) -> dict:
    """Line number -> visits of a function that starts at this address."""
    visits = defaultdict(float)
    for row in rows:
        line = (start + row.target) // LINE_BYTES
        if row.source is None or (start + row.source) // LINE_BYTES != line:
            visits[line] += row.times
    return visits


class Model:
    """Predicts orders of some functions that begin at one address."""

    def __init__(self, functions, workloads, start: int):
        self.functions = {function.name: function for function in functions}
        self.workloads = tuple(workloads)
        self.start = start
        self._pieces = {}

    def _split(self, function, residue):
        """(misses of the lines that no other function can share, {edge line: visits by workload})."""
        last = (residue + function.size - 1) // LINE_BYTES
        inner, edges = 0.0, {0: [0.0] * len(self.workloads), last: [0.0] * len(self.workloads)}
        for at, (workload, rows) in enumerate(zip(self.workloads, function.transfers)):
            for line, times in line_visits(rows, residue).items():
                if line in edges:
                    edges[line][at] += times
                else:
                    inner += workload.weight * misses(times, workload.survival)
        return inner, edges

    def _piece(self, function, residue):
        """The same, computed once."""
        key = function.name, residue
        if key not in self._pieces:
            self._pieces[key] = self._split(function, residue)
        return self._pieces[key]

    def _line(self, visits) -> float:
        return sum(workload.weight * misses(times, workload.survival)
                   for workload, times in zip(self.workloads, visits) if times)

    def predict(self, names) -> float:
        """Weighted misses of an order."""
        total, address = 0.0, self.start
        open_line, open_visits = None, ()
        for name in names:
            function = self.functions[name]
            address += -address % function.alignment
            inner, edges = self._piece(function, address % LINE_BYTES)
            total += inner
            for line in sorted(edges):
                number = address // LINE_BYTES + line
                if number == open_line:
                    open_visits = [a + b for a, b in zip(open_visits, edges[line])]
                    continue
                total += self._line(open_visits)
                open_line, open_visits = number, edges[line]
            address += function.size
        return total + self._line(open_visits)


def _moved(model: Model, names: list, name: str, value: float) -> tuple:
    """The best order, of this value, with one function at another place, and its value; the same list when no place is
    better."""
    rest, best = [other for other in names if other != name], names
    for position in range(len(names)):
        trial = rest[:position] + [name] + rest[position:]
        predicted = model.predict(trial)
        if predicted < value * (1 - 1e-9):
            best, value = trial, predicted
    return best, value


def search(model: Model, starts, budget: int) -> list:
    """The best order found from the given ones by moving one function at a time, in about `budget` predictions."""
    best = min((list(names) for names in starts), key=model.predict)
    value = model.predict(best)
    improved = True
    while improved and budget > 0:
        improved = False
        for name in list(best):
            before = best
            best, value = _moved(model, before, name, value)
            improved |= best is not before
            budget -= len(best)
            if budget <= 0:
                break
    return best
