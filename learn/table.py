# SPDX-License-Identifier: MIT
"""What was learned, for people: figures before and after, what each parameter alone brings, and what to do next."""

from learn.objective import GUARD, WEIGHED, names_of

SHOWN = {"time_us": "modelled time, ms", "peak_bytes": "peak memory, MiB", "byte_operations": "memory over time, MiB"}
UNITS = {"time_us": 1e3, "peak_bytes": 1 << 20}
WIDTH = 24


def percent(change: float) -> str:
    """`-3.21 %`; what is nothing prints as `0`."""
    return f"{change * 100:+.2f} %" if abs(change) >= 5e-5 else "0"


def ratio(before: float, after: float) -> str:
    """The change of a figure."""
    return percent(after / before - 1) if before else "-" if not after else "new"


def unit_of(name: str, figures: dict) -> float:
    """By what a figure is divided; memory over time by the operations, which makes it the mean of what is resident."""
    return (1 << 20) * (figures.get("events") or 1) if name == "byte_operations" else UNITS[name]


def weighed_lines(before: dict, after: dict) -> list:
    """The three figures of a workload."""
    lines = []
    for name in WEIGHED:
        unit = unit_of(name, before)
        lines.append(f"  {SHOWN[name]:{WIDTH}} {before[name] / unit:>14,.2f} {after[name] / unit:>14,.2f} "
                     f"{ratio(before[name], after[name]):>10}")
    return lines


def parts_lines(before: dict, after: dict) -> list:
    """What the time is made of, over all workloads; what is 0 on both sides says nothing."""
    names = [name for name in names_of(next(iter(before.values()))) if name not in WEIGHED]
    lines = []
    for name in names:
        old, new = (sum(figures[name] for figures in side.values()) for side in (before, after))
        if old or new:
            lines.append(f"  {name:{WIDTH}} {old:>14,.0f} {new:>14,.0f} {ratio(old, new):>10}")
    return lines


def word_of(row, value: int) -> str:
    """A value as people write it: with its word, where it stands for one."""
    words = row.unit.split("|") if "|" in row.unit else []
    return words[value - row.lowest] if words else f"{value:,} {row.unit}".strip()


def parameter_lines(parts, rows) -> list:
    """One line a parameter, the most worth first."""
    known = {row.name: row for row in rows}
    lines = [f"{'parameter':{WIDTH + 2}} {'default':>14} {'learned':>14} {'time':>10} {'peak':>10} {'over time':>10}"]
    for part in parts:
        row = known[part.name]
        changes = [f"{percent(part.change[name]) if part.change else 'fails':>10}" for name in WEIGHED]
        lines.append(f"  {part.name:{WIDTH}} {word_of(row, row.default):>14} {word_of(row, part.value):>14} "
                     f"{' '.join(changes)}")
    return lines


def table(head: str, names: dict, before: dict, found, rows) -> str:
    """All of it. `names` are workload -> what people call it."""
    lines = [head, "", f"{'':{WIDTH + 2}} {'before':>14} {'after':>14} {'change':>10}"]
    for workload, name in names.items():
        lines += [name, *weighed_lines(before[workload], found.figures[workload])]
    lines += ["what the time is made of", *parts_lines(before, found.figures), ""]
    if found.parts:
        lines += [*parameter_lines(found.parts, rows), "  (each: the policy with it against the policy without it; no "
                  f"figure of any workload may get worse by more than {(GUARD - 1) * 100:.0f} %)"]
    else:
        lines.append("no parameter brings anything: the defaults are as good for this as any policy that was tried")
    return "\n".join(lines)
