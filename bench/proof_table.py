# SPDX-License-Identifier: MIT
"""What the figures of a proof mean: ratios with their intervals, which goals are met, and the tables. Pure.

A record's `programs` are name -> {policy, parameters, replay, train, held, sentence, figures}, or {"failure": why};
`figures` are subject -> metric -> values, one a round. Without a policy there is no tailored library, and the default
stands for it. `room` is of what any policy could still gain (bench/proof.py).
"""

import functools
import statistics
from dataclasses import dataclass

from common.columns import columns
from learn import objective
from measure import stats

KIND = "proof"
GENERIC, TAILORED, UNTAUGHT, AGAIN = "generic", "tailored", "first_defaults", "again"
FASTER, LEANER, WORSE = 0.95, 0.90, objective.GUARD     # the goals: 5 % less time, 10 % less memory; what none may lose
WANTED_FASTER, WANTED_LEANER = 3, 4             # programs
NOT_MEASURED, SAME = "-", "0"
MEMORY = ("peak", "idle")


@dataclass(frozen=True)
class Metric:
    """One figure: its key, its title, and digits and unit of its absolute form."""
    key: str
    title: str
    unit: float
    form: str

    def show(self, value) -> str:
        """Absolute."""
        return NOT_MEASURED if value is None else format(value / self.unit, self.form)


CPU = Metric("cpu", "CPU time", 1, "")
METRICS = (CPU, Metric("peak", "peak MiB", 1024, ",.1f"), Metric("idle", "idle MiB", 1024, ",.1f"),
           Metric("faults", "page faults", 1, ",.0f"), Metric("syscalls", "system calls", 1, ",.0f"),
           Metric("instructions", "allocator instr.", 1e6, ",.2f"))
GAIN_TITLE = ("the library with the learned policy against the same without, on input that it was not learned from; "
              "~ may be noise")
PART_TITLE = "each parameter: the policy with it against the policy without it, in the replay of that run"
DEFAULT_TITLE = "what was learned for all and is the default now: the library against the same with its first defaults"
ROOM_TITLE = ("what is left: shares of the generic library's figures about which a policy can decide at all; more than "
              "that nothing can gain")
FOR_ALL = "the same, together with what was learned for all and is the default now"
REPLAY = (("time_us", "modelled time"), ("peak_bytes", "peak"), ("byte_operations", "over time"),
          ("end_bytes", "at the end"))


# of one program

def middle(found: dict, subject: str, key: str):
    """The median of a figure; the generic library stands for a tailored one that there is not."""
    if subject == TAILORED and TAILORED not in found["figures"]:
        subject = GENERIC
    values = found["figures"].get(subject, {}).get(key)
    return None if not values or None in values else statistics.median(values)


def of_counts(after, before, floor: float) -> stats.Estimate:
    """The ratio of medians; its interval is all that rounds showed."""
    ratios = [one / other for one, other in zip(after, before) if other > 0]
    value = statistics.median(after) / statistics.median(before)
    return stats.Estimate(value, min([value, *ratios]), max([value, *ratios]), len(ratios), floor)


def floor_of(measured: dict, key: str) -> float:
    """By how much the generic library differs from itself."""
    if not all(key in measured.get(side, {}) for side in (AGAIN, GENERIC)):
        return 0.0
    pair = measured[AGAIN][key], measured[GENERIC][key]
    return stats.noise_floor(_paired(*map(tuple, pair), 0.0) if key == CPU.key else of_counts(*pair, 0.0))


@functools.lru_cache(maxsize=None)
def _paired(after: tuple, before: tuple, floor: float) -> stats.Estimate:
    return stats.paired(after, before, floor)


def ratio(found: dict, key: str, after=TAILORED, before=GENERIC):
    """Of CPU time an Estimate by paired rounds, of all else one of medians; None where a side was not measured."""
    sides = [middle(found, name, key) for name in (after, before)]
    if None in sides or min(sides) <= 0:
        return None
    measured = found["figures"]
    if after == TAILORED and TAILORED not in measured:
        after = GENERIC
    if after == before:
        return stats.Estimate(1.0, 1.0, 1.0, 0)
    floor = floor_of(measured, key)
    if key == CPU.key:
        return _paired(tuple(measured[after][key]), tuple(measured[before][key]), floor)
    return of_counts(measured[after][key], measured[before][key], floor)


def is_worse(found: dict, metric: Metric) -> bool:
    """By more than 2 %, and not by noise; as the learner sees it, a few more are none, nor calls that save faults."""
    shown = ratio(found, metric.key)
    if shown is None or shown.ratio <= WORSE or not shown.decided:
        return False
    saved = -more_of(found, "faults") if ratio(found, "faults") else 0.0
    return more_of(found, metric.key) > objective.allowed(metric.key, saved)


def more_of(found: dict, key: str) -> float:
    """By how much a figure that was measured is more than the generic library's."""
    return middle(found, TAILORED, key) - middle(found, GENERIC, key)


def worse(found: dict) -> list:
    """Titles of the figures that are."""
    return [metric.title for metric in METRICS if is_worse(found, metric)]


def is_faster(found: dict, before=GENERIC) -> bool:
    """5 % less time at 2 % more memory at most, where it is known."""
    cpu, memory = ratio(found, "cpu", before=before), [ratio(found, key, before=before) for key in MEMORY]
    return cpu is not None and cpu.decided and cpu.ratio <= FASTER and \
        all(one is None or one.ratio <= WORSE for one in memory)


def is_leaner(found: dict, before=GENERIC) -> bool:
    """10 % less peak or idle memory at no loss of time."""
    cpu = ratio(found, "cpu", before=before)
    lost = cpu is not None and cpu.decided and cpu.ratio > 1
    shown = [ratio(found, key, before=before) for key in MEMORY]
    return not lost and any(one is not None and one.ratio <= LEANER for one in shown)


def with_defaults(is_one):
    """The same, with what was learned for all: against the first defaults."""
    return functools.partial(is_one, before=UNTAUGHT)


def verdict(found: dict) -> str:
    """In words."""
    if not found["policy"]:
        return "the default is best"
    words = [word for word, holds_true in (("faster", is_faster(found)), ("leaner", is_leaner(found))) if holds_true]
    lost = worse(found)
    return ", ".join([*words, *([f"worse: {' and '.join(lost)}"] if lost else [])]) or "about the same"


# tables

def percent(estimate) -> str:
    """`-12.3 %`, with `~` where noise may be all of it."""
    if estimate is None:
        return NOT_MEASURED
    change = (estimate.ratio - 1) * 100
    if abs(change) < 0.05:
        return SAME
    return f"{'' if estimate.decided else '~'}{change:+.1f} %"


def measured(record: dict) -> dict:
    """The programs that ran."""
    return {name: found for name, found in record["programs"].items() if "failure" not in found}


def gain_rows(record: dict) -> list:
    """Head and a row a program: the tailored library against the generic one, and how far the time of equal runs lies
    apart."""
    return [("program", *(metric.title for metric in METRICS), "noise of time", "verdict"),
            *((name, *(percent(ratio(found, metric.key)) for metric in METRICS),
               f"{floor_of(found['figures'], CPU.key) * 100:.1f} %", verdict(found))
              for name, found in measured(record).items())]


def default_rows(record: dict) -> list:
    """Head and a row a program: the generic library against the same with the first defaults."""
    shown = [metric for metric in METRICS if metric.key in ("cpu", "peak", "idle", "faults")]
    return [("program", *(metric.title for metric in shown)),
            *((name, *(percent(ratio(found, metric.key, GENERIC, UNTAUGHT)) for metric in shown))
              for name, found in measured(record).items())]


def share(part, whole) -> str:
    """In percent."""
    return f"{100 * part / whole:.1f} %" if part is not None and whole else NOT_MEASURED


def room_rows(record: dict) -> list:
    """Head and a row a program: how much of its time its page faults take, and the library's own code; how much of its
    peak are neither blocks that live nor its files. Of a server the time of a request is known, which is no such whole.
    """
    rows = [("program", "time: page faults", "time: allocator", "peak: not live, no files")]
    for name, found in measured(record).items():
        left = found.get("room")
        if left is None:
            continue
        cpu, faults, instructions = (None if left["server"] else middle(found, GENERIC, key)
                                     for key in ("cpu", "faults", "instructions"))
        known = None not in (cpu, faults, instructions)
        rows.append((name, share(faults * objective.cost_of("faults_small") / 1000 if known else None, cpu),
                     share(instructions / objective.INSTRUCTIONS_A_NS / 1000 if known else None, cpu),
                     share(left["peak"] - left["files"] - left["live"], left["peak"])))
    return rows


def amount_rows(record: dict) -> list:
    """Head and a row a program: before and after, in numbers."""
    shown = METRICS[1:]
    cells = [(name, *(f"{metric.show(middle(found, GENERIC, metric.key))} > "
                      f"{metric.show(middle(found, TAILORED, metric.key))}" for metric in shown))
             for name, found in measured(record).items()]
    return [("program", *(metric.title for metric in shown)), *cells]


def part_rows(record: dict) -> list:
    """Head and a row a parameter: what it alone changes in the replay of the held-out run."""
    rows = [("program", "parameter", "default", "learned", *(title for _key, title in REPLAY))]
    for name, found in measured(record).items():
        defaults = {row["name"]: row.get("default") for row in found["parameters"]} | found.get("defaults", {})
        for part in sorted(found["replay"]["parts"], key=lambda row: (-row["worth"], row["name"])):
            rows.append((name, part["name"], str(defaults.get(part["name"], NOT_MEASURED)), str(part["value"]), *(
                f"{part[key] * 100:+.1f} %" if key in part else "fails" for key, _title in REPLAY)))
            name = ""
    return rows


def tables(record: dict) -> list:
    """(title, head and rows)"""
    amounts = f"before > after; idle is {record['idle']:g} s behind the work"
    every = [(GAIN_TITLE, gain_rows(record)), (amounts, amount_rows(record)),
             (PART_TITLE, part_rows(record)), (DEFAULT_TITLE, default_rows(record)), (ROOM_TITLE, room_rows(record))]
    return [(title, rows) for title, rows in every if len(rows) > 1]


def listed(names) -> str:
    """`a, b and c`, `none`."""
    names = list(names)
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else "".join(names) or "none"


def goal(record: dict, title: str, wanted: int, is_one) -> str:
    """Which programs meet a goal, and whether they are enough."""
    names = [name for name, found in measured(record).items() if is_one(found)]
    return f"{title}: {listed(names)} ({len(names)} of {wanted} wanted)"


def statements(record: dict) -> list:
    """The goals, one sentence each."""
    programs = measured(record)
    lost = [f"{name} ({' and '.join(worse(found))})" for name, found in programs.items() if worse(found)]
    best = [name for name, found in programs.items() if not found["policy"]]
    failed = [f"{name}: {found['failure']}" for name, found in record["programs"].items() if "failure" in found]
    return [goal(record, "at least 5 % less time at no more than 2 % more memory", WANTED_FASTER, is_faster),
            goal(record, FOR_ALL, WANTED_FASTER, with_defaults(is_faster)),
            goal(record, "at least 10 % less peak or idle memory at no loss of time", WANTED_LEANER, is_leaner),
            goal(record, FOR_ALL, WANTED_LEANER, with_defaults(is_leaner)),
            f"worse by more than 2 % in a figure: {listed(lost)}", f"the default is best for: {listed(best)}",
            *(f"failed: {sentence}" for sentence in failed)]


def render(record: dict) -> str:
    """All of it, for a terminal."""
    left = {GAIN_TITLE: (0, len(METRICS) + 1), PART_TITLE: (0, 1)}
    parts = []
    for title, rows in tables(record):
        parts += [title, *columns(rows, left.get(title, (0,)), "  "), ""]
    return "\n".join([*parts, *statements(record)])
