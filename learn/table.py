# SPDX-License-Identifier: MIT
"""What was learned, for people: figures before and after, what each parameter alone brings, and what to do next."""

from common.columns import columns
from learn.objective import GUARD, WATCHED, WEIGHED, copies_of, names_of

# Figure -> (what people call it, a short name for the head of a column).
SHOWN = {"time_us": ("modelled time, ms", "time"), "peak_bytes": ("peak memory, MiB", "peak"),
         "byte_operations": ("memory over time, MiB", "over time"),
         "end_bytes": ("memory at the end, MiB", "at the end")}
UNITS = {"time_us": 1e3, "peak_bytes": 1 << 20, "end_bytes": 1 << 20}
UNIT = 6      # a longer unit is a sentence, which core/base/policy.def has
WORSE = {"faults": "page faults", "program_calls": "system calls", "instructions": "instructions of the library"}
LITTLE = 0.001      # a smaller change is not worth a word
HEAD = ("", "before", "after", "change")


def percent(change: float) -> str:
    """`-3.21 %`; what is nothing prints as `0`."""
    return f"{change * 100:+.2f} %" if abs(change) >= 5e-5 else "0"


def ratio(before: float, after: float) -> str:
    """The change of a figure."""
    return percent(after / before - 1) if before else "-" if not after else "new"


def unit_of(name: str, figures: dict) -> float:
    """By what a figure is divided; memory over time by the operations, which makes it the mean of what is resident."""
    return (1 << 20) * (figures.get("events") or 1) if name == "byte_operations" else UNITS[name]


def weighed_rows(before: dict, after: dict) -> list:
    """Cells: the weighed figures of a workload."""
    rows = []
    for name in WEIGHED:
        if name in before:
            unit = unit_of(name, before)
            rows.append((SHOWN[name][0], f"{before[name] / unit:,.2f}", f"{after[name] / unit:,.2f}",
                         ratio(before[name], after[name])))
    return rows


def parts_rows(before: dict, after: dict) -> list:
    """Cells: what the time is made of, over all that was recorded; what is 0 on both sides says nothing."""
    before, after = ({name: row for name, row in side.items() if copies_of(name) == 1} for side in (before, after))
    names = [name for name in names_of(next(iter(before.values()))) if name not in WATCHED]
    rows = []
    for name in names:
        old, new = (sum(figures[name] for figures in side.values()) for side in (before, after))
        if old or new:
            rows.append((name, f"{old:,.0f}", f"{new:,.0f}", ratio(old, new)))
    return rows


def figure_lines(sections) -> list:
    """Of (title, rows of cells): a head, then each title above its rows; all in the same columns."""
    head, *body = columns([HEAD, *(row for _title, rows in sections for row in rows)], indent="  ")
    lines = [head]
    for title, rows in sections:
        lines += [title, *body[:len(rows)]]
        del body[:len(rows)]
    return lines


def word_of(row, value: int) -> str:
    """A value as people write it: with its word, where it stands for one."""
    words = row.unit.split("|") if "|" in row.unit else []
    return words[value - row.lowest] if words else f"{value:,} {row.unit if len(row.unit) <= UNIT else ''}".strip()


def parameter_lines(parts, rows) -> list:
    """One line a parameter, the most worth first."""
    known = {row.name: row for row in rows}
    body = [("parameter", "default", "learned", *(short for _title, short in SHOWN.values()))]
    for part in parts:
        row = known[part.name]
        changes = [percent(part.change.get(name, 0.0)) if part.change else "fails" for name in WEIGHED]
        body.append((part.name, word_of(row, row.default), word_of(row, part.value), *changes))
    return columns(body, indent="  ")


def none_found(tried: int, refusal: str = "") -> str:
    """A search that ended with the default: what that says. `refusal` is what would have gained."""
    if refusal:
        return f"of {tried:,} policies that were tried those that bring anything make another figure worse by more " \
            f"than {(GUARD - 1) * 100:.0f} %:\n  {refusal}"
    return f"the defaults are as good for this as any of {tried:,} policies that were tried" if tried else \
        "the time was up before any policy was tried: nothing is known; give more BUDGET"


def refused(aim, policy: dict, figures: dict, rows, names: dict) -> str:
    """A policy that gains and is not allowed, with the figure that it makes worst."""
    known, changes = {row.name: row for row in rows}, aim.change(figures)
    words = ", ".join(f"{name} {word_of(known[name], value)}" for name, value in policy.items())
    worst, workload, name = max((aim.ratio(workload, name, figures[workload]), workload, name)
                                for workload, name in aim.exceeded(figures))
    gains = ", ".join(f"{short} {percent(changes[key])}" for key, (_title, short) in SHOWN.items()
                      if changes[key] < -LITTLE)
    return f"{words}: {gains}, but {WORSE.get(name, SHOWN.get(name, (name, name))[1])} of {names[workload]} " \
        f"{percent(worst - 1)}"


def table(head: str, names: dict, before: dict, found, rows, tried: int, refusal: str = "") -> str:
    """All of it. `names` are workload -> what people call it, `tried` is the number of policies."""
    sections = [(name, weighed_rows(before[workload], found.figures[workload])) for workload, name in names.items()]
    lines = [head, "", *figure_lines([*sections, ("what the time is made of", parts_rows(before, found.figures))]), ""]
    if found.parts:
        lines += [*parameter_lines(found.parts, rows), "  (each: the policy with it against the policy without it; as "
                  f"a whole it makes no figure worse by more than {(GUARD - 1) * 100:.0f} %, system calls that save "
                  "page faults aside)"]
    elif not found.policy:
        lines.append(none_found(tried, refusal))
    return "\n".join(lines)
