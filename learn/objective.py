# SPDX-License-Identifier: MIT
"""What better means: the time model, the four figures that are weighed, and the guard that each is for the others.

The time model is a sum of exact figures of a replay, each by what one costs (learn/costs.toml has the sources). It says
what a policy changes; what the program computes for itself is in no row. The clock is not asked: a replay of half a
second differs by more than most parameters bring.
"""

import functools
import math
import statistics
from dataclasses import dataclass, replace

from common import tables
from common.errors import Failure, UserError
from common.paths import ROOT

COSTS = ROOT / "learn" / "costs.toml"
WEIGHED = ("time_us", "peak_bytes", "byte_operations", "end_bytes")
# Parts of the time that are looked at by themselves: whoever measures the program sees them, and none may pay for
# another.
GUARDED = ("faults", "program_calls", "instructions")
WATCHED = (*WEIGHED, *GUARDED)
# Of each goal how much a figure counts. The small weights decide between policies that the goal calls equal.
GOALS = {
    "time": {"time_us": 1.0, "peak_bytes": 0.1, "byte_operations": 0.05, "end_bytes": 0.02},
    "memory": {"time_us": 0.1, "peak_bytes": 0.6, "byte_operations": 0.3, "end_bytes": 0.2},
    "balanced": {"time_us": 0.5, "peak_bytes": 0.3, "byte_operations": 0.15, "end_bytes": 0.1},
}
GUARD = 1.02            # no figure may get worse by more, whatever the others gain
ALLOWED = {"program_calls": 10, "faults": 10}    # so many more are none: starting a program makes hundreds
SAME_AS = {"calls": "program_calls", "syscalls": "program_calls"}   # what others than replays call them
PAID = 256              # page faults that a further system call must save to be none: one for a huge page saves 511
ALONE = 1.05            # nor by more by what one parameter changes, whatever the other parameters gain
LEAST = 0.01            # of a score: what is less is none
PAGE, HUGE_PAGES = 4096, 512
INSTRUCTIONS_A_NS = 3   # of the library, as the times of learn/costs.toml have it
TIMES = "*"             # in a workload's name: what was recorded, with each block so many times
LARGER = {2: "each block twice", 3: "each block three times"}   # what stands for larger inputs


@dataclass(frozen=True)
class Cost:
    """A row of costs.toml."""
    figure: str
    ns: float
    sentence: str
    source: str
    instructions: float = 0.0       # of the library, of these


def recorded(workload: str) -> str:
    """The name of what was recorded."""
    return workload.partition(TIMES)[0]


def larger(workload: str, copies: int) -> str:
    """The name of what was recorded with each block so many times."""
    return f"{workload}{TIMES}{copies}"


def copies_of(workload: str) -> int:
    """How many times it has each block; 1 where it is what was recorded."""
    return int(workload.partition(TIMES)[2] or 1)


@functools.cache
def load_costs(path=COSTS) -> tuple:
    """The table, checked."""
    rows = tables.load(path, "cost", Cost)
    for row in rows:
        if row.ns < 0:
            raise UserError(f"{path}: [[cost]] '{row.figure}': ns must not be negative, but is {row.ns}")
    return rows


def huge_faults(shown: dict) -> float:
    """How many of the faults brought a huge page. Where the replay does not say it: each brings 511 pages beside the
    one that was asked for, so what is resident at the peak tells them, as far as nothing was given back before."""
    if isinstance(shown.get("faults_huge"), int | float):
        return shown["faults_huge"]
    more = shown["peak_resident_bytes"] / PAGE - shown["faults_minor"]
    return max(0, math.floor(more / (HUGE_PAGES - 1)))


def raw_figures(shown: dict) -> dict:
    """Figures by the names of costs.toml, out of what bench_replay --json prints."""
    library = shown.get("library") or {}
    found = {name: value for part in (library, shown) for name, value in part.items()
             if isinstance(value, int | float) and not isinstance(value, bool)}
    found["faults_huge"] = huge_faults(found)
    found["faults_small"] = max(0, found["faults_minor"] + found.get("faults_major", 0) - found["faults_huge"])
    return found


def figures(shown: dict, costs=None, beside=0, calls=0) -> dict:
    """The figures of a replay that are watched and those that the time is made of. Memory is the program's: what its
    files take, `beside`, is in it, as a tenth more of a small heap is little of a large program. So are the calls of
    the system that are guarded: its reads and writes, `calls`, are among them."""
    needed = ("events", "faults_minor", "peak_resident_bytes", "resident_byte_operations", "end_resident_bytes")
    for name in needed:
        if not isinstance(shown.get(name), int | float):
            raise Failure(f"bench_replay does not say {name}: it is not the one of this clone; run `ninja bench`")
    found = raw_figures(shown)
    costs = load_costs() if costs is None else costs
    parts = {cost.figure: found.get(cost.figure, 0) for cost in costs}
    return {"time_us": sum(parts[cost.figure] * cost.ns for cost in costs) / 1000,
            "peak_bytes": found["peak_resident_bytes"] + beside,
            "byte_operations": found["resident_byte_operations"] + beside * found["events"],
            "end_bytes": found["end_resident_bytes"] + beside, "faults": found["faults_small"] + found["faults_huge"],
            "program_calls": found.get("system_calls", 0) + calls,
            "instructions": sum(parts[cost.figure] * cost.instructions for cost in costs),
            "live_bytes": found.get("peak_live_bytes", 0), **parts}


def allowed(name: str, faults_saved: float = 0.0) -> float:
    """By how many a figure may be more, whatever share that is: of replays, of real runs (learn/verify.py) and of a
    proof (bench/proof_table.py)."""
    name = SAME_AS.get(name, name)
    return max(ALLOWED.get(name, 0), faults_saved / PAID if name == "program_calls" else 0)


def cost_of(figure: str) -> float:
    """Nanoseconds that one of a figure costs."""
    return next(cost.ns for cost in load_costs() if cost.figure == figure)


def names_of(figures: dict) -> tuple:
    """The names of figures in the order in which they are shown: the weighed ones, then as costs.toml has them."""
    parts = (cost.figure for cost in load_costs() if cost.figure in figures)
    return tuple(dict.fromkeys((*WEIGHED, *parts, *(name for name in GUARDED if name in figures))))


def median_figures(runs) -> dict:
    """Of several replays of one workload under one policy."""
    return runs[0] if len(runs) == 1 else {name: statistics.median(run[name] for run in runs) for name in runs[0]}


@dataclass(frozen=True, order=True)
class Score:
    """Less is better. `violation` is by how much figures exceed the guard: it comes before any gain."""
    violation: float
    value: float

    @property
    def allowed(self) -> bool:
        return self.violation == 0


WORST = Score(math.inf, math.inf)


@dataclass(frozen=True)
class Objective:
    """A goal, what the default gives (workload -> figures), how much a workload counts, and by how much its figures
    differ from run to run (workload -> figure -> share)."""
    goal: str
    before: dict
    weights: dict
    noise: dict

    def ratio(self, workload: str, name: str, after: dict) -> float:
        """A figure against the default's."""
        old, new = self.before[workload].get(name, 0), after.get(name, 0)
        return new / old if old > 0 else 1.0 if new <= 0 else math.inf

    def score(self, after: dict) -> Score:
        """Of workload -> figures; workloads that are not there do not count. No figure of any may get worse."""
        if not after or any(figures is None for figures in after.values()):
            return WORST
        total = sum(self.weights[workload] for workload in after)
        violation = value = 0.0
        for workload, found in after.items():
            violation += sum(self.excess(workload, name, found) for name in WATCHED)
            for name, weight in GOALS[self.goal].items():
                ratio = self.ratio(workload, name, found)
                if ratio == math.inf:
                    return WORST
                value += weight * math.log(max(ratio, 1e-9)) * self.weights[workload] / total
        return Score(violation, value)

    def excess(self, workload: str, name: str, after: dict, most: float = GUARD) -> float:
        """By what share a figure is beyond the guard, noise left aside; 0 when it is allowed."""
        old, new = self.before[workload].get(name, 0), after.get(name, 0)
        saved = self.before[workload].get("faults", 0) - after.get("faults", 0)
        if new - old <= allowed(name, saved):
            return 0.0
        return max(0.0, self.ratio(workload, name, after) - most - self.noise.get(workload, {}).get(name, 0.0))

    def is_dear(self, have: dict, lacks: dict) -> bool:
        """Whether what a parameter costs is more than others should make up for: on another input they gain less.
        `have` and `lacks` are the figures with it and without."""
        beside = replace(self, before=lacks)
        return any(beside.excess(workload, name, found, ALONE) > 0 for workload, found in have.items()
                   for name in WATCHED)

    def exceeded(self, after: dict) -> list:
        """(workload, figure)s that the guard forbids."""
        return [(workload, name) for workload, found in after.items() for name in WATCHED
                if self.excess(workload, name, found) > 0]

    @property
    def floor(self) -> float:
        """A change of the score below this is none: a hundredth, which is 2 % of the time, 3 % of the peak or 10 % of
        what is left at the end, and what equal runs differ by."""
        differ = [weight * self.noise.get(workload, {}).get(name, 0.0) for workload in self.before
                  for name, weight in GOALS[self.goal].items()]
        return max([LEAST, *differ])

    def change(self, after: dict, before: dict | None = None) -> dict:
        """Figure -> geometric mean of after against before (the default) over the workloads, less 1."""
        before = self.before if before is None else before
        total = sum(self.weights[workload] for workload in after)
        found = {}
        for name in WEIGHED:
            mean = sum(self.weights[workload] / total * math.log(after[workload][name] / before[workload][name])
                       for workload in after if after[workload].get(name, 0) > 0 and before[workload].get(name, 0) > 0)
            found[name] = math.expm1(mean)
        return found


def check_goal(goal: str):
    """A UserError for one that is not there."""
    if goal not in GOALS:
        raise UserError(f"unknown goal '{goal}'; valid goals: {', '.join(GOALS)}")
