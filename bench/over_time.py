# SPDX-License-Identifier: MIT
"""Resident memory over time, ours and the peers': bursts of blocks, and what stays of them 0.5, 2 and 10 s later.

The programs of one row (a shape and a size of bench_over_time) run under all contenders at the same time: what they do
is sleep, and how much is resident does not depend on who else runs. Seconds of the processor are therefore rough. A
record's figures are row -> contender -> what parse gives, or {"failure": why}; all tables are computed from them.
Memory is in KiB, but for the curve's MiB.
"""

import re
import statistics
from dataclasses import dataclass
from pathlib import Path

from common import paths, tables
from common.errors import Failure
from common.pool import Pool
from bench.ranking import FAIL, NOTHING, render
from bench.runs import output_of, program

TABLE = Path("bench/benchmarks.toml")
KIND = "study-memory"
OURS, REFERENCE = "hakmem", "glibc"
AFTER = (("after_500", "0.5"), ("after_2000", "2"), ("after_10000", "10"))      # seconds after the last burst
MIB = 1024                  # KiB
BEHIND, LEAST = 1.05, MIB   # a peer is ahead by more than both: a MiB is what start-ups differ by
_FIGURES = re.compile(r"^peak=.*$", re.MULTILINE)


@dataclass(frozen=True)
class Word:
    """A word that bench_over_time takes, and what it means."""
    name: str
    sentence: str


@dataclass(frozen=True)
class Metric:
    """One figure of a run: its key, its title, what one unit of a table is, and digits behind the point."""
    key: str
    title: str
    unit: float
    digits: int

    def show(self, value) -> str:
        """A figure of that metric in a table."""
        return NOTHING if value is None else f"{value / self.unit:,.{self.digits}f}"


AREA = Metric("area", "MiB s over the whole run", MIB, 0)
METRICS = (AREA, Metric("peak", "MiB at the peak", MIB, 1), Metric("faults", "thousands of page faults", 1000, 1),
           Metric("cpu", "s of CPU time", 1, 2))
LAST = Metric(AFTER[-1][0], f"MiB {AFTER[-1][1]} s after", MIB, 1)


def words_of(key: str) -> tuple:
    """The shapes or the sizes."""
    return tables.load(paths.ROOT / TABLE, key, Word)


def row_names() -> list:
    """Each shape with each size."""
    return [f"{shape.name} {size.name}" for shape in words_of("shape") for size in words_of("size")]


# running

def parse(text: str) -> dict:
    """The line of --figures. The curve in MiB, or a record would be as long as a book."""
    found = _FIGURES.search(text)
    if not found:
        raise Failure("bench_over_time printed no figures")
    fields = dict(word.split("=", 1) for word in found[0].split())
    curve = [round(int(value) / MIB) for value in fields.pop("curve").split(",") if value]
    return {**{name: float(value) if "." in value else int(value) for name, value in fields.items()}, "curve": curve}


def run_once(name: str, contender, scale: float) -> dict:
    """The figures of one row under one contender, or why there are none. `scale` is of all waiting."""
    percent = str(max(1, round(100 * scale)))
    try:
        return parse(output_of(program("bench_over_time", "--figures", *name.split(), "128", percent), contender)[0])
    except Failure as error:
        return {"failure": str(error).splitlines()[0].rpartition(" failed with ")[2]}


def run_all(everyone, scale: float, show) -> dict:
    """The figures of all rows: one row at a time, under all contenders at once."""
    names, figures = row_names(), {}
    with Pool(len(everyone)) as pool:
        for number, name in enumerate(names, 1):
            show(f"resident memory over time, {number}/{len(names)} {name}")
            jobs = {one.name: pool.submit(run_once, name, one, scale) for one in everyone}
            figures[name] = {who: job.result() for who, job in jobs.items()}
    return figures


# what the figures say

def newest(records):
    """The last record of all rows, at full length and against peers; None without one."""
    found = [record for record in records if record["kind"] == KIND and record["scale"] == 1
             and set(row_names()) <= set(record["figures"])
             and {OURS, REFERENCE} < set(contenders(record["figures"]))]
    return found[-1] if found else None


def contenders(figures: dict) -> list:
    """Their names, as they were run."""
    return list(next(iter(figures.values())))


def mean(figures: dict, rows, contender: str, key: str):
    """Arithmetic mean over rows, since nothing may be left; None when a run failed."""
    values = [figures[row][contender].get(key) for row in rows]
    return None if not values or None in values else statistics.fmean(values)


def rows_of(figures: dict, shape: str = "") -> list:
    """The rows, or those of one shape, in the table's order: a record has them sorted."""
    return [row for row in row_names() if row in figures and shape in ("", row.split()[0])]


def best_peer(figures: dict, row: str, key: str):
    """(name, figure) of the peer with the least, or None."""
    found = [(of[key], name) for name, of in figures[row].items() if name != OURS and key in of]
    return min(found)[::-1] if found else None


def behind_rows(figures: dict, metric: Metric) -> list:
    """(row, peer, its figure, ours) where a peer holds clearly less."""
    found = []
    for row in rows_of(figures):
        ours, best = figures[row][OURS].get(metric.key), best_peer(figures, row, metric.key)
        if ours is not None and best and ours > max(best[1] * BEHIND, best[1] + LEAST):
            found.append((row, *best, ours))
    return found


def behind(figures: dict, metric: Metric) -> str:
    """Where a peer holds less memory than we do."""
    rows = [f"{row} ({peer}, {metric.show(theirs)} against {metric.show(ours)})"
            for row, peer, theirs, ours in behind_rows(figures, metric)]
    return f"{metric.title}: a peer has less than {OURS}, by more than 5 %, on {', '.join(rows)}." if rows else \
        f"{metric.title}: on no row a peer has less than {OURS} by more than 5 %."


# tables

def after_cell(found: dict) -> str:
    """`16.5, 1.9, 1.8`: MiB after 0.5, 2 and 10 s; one where they are equal."""
    if "failure" in found:
        return FAIL
    figures = [f"{found[key] / MIB:.1f}" for key, _seconds in AFTER]
    return figures[0] if len(set(figures)) == 1 else ", ".join(figures)


def after_rows(figures: dict) -> list:
    """Cells: what is resident beyond what lives, after the last burst."""
    names = contenders(figures)
    title = f"MiB beyond what lives, {', '.join(seconds for _key, seconds in AFTER)} s after"
    return [(title, *names), *((row, *(after_cell(figures[row][name]) for name in names)) for row in rows_of(figures))]


def metric_rows(figures: dict, metric: Metric) -> list:
    """Cells: one figure of each row."""
    names = contenders(figures)
    body = [(row, *(FAIL if "failure" in figures[row][name] else metric.show(figures[row][name][metric.key])
                    for name in names)) for row in rows_of(figures)]
    return [(metric.title, *names), *body,
            ("mean", *(metric.show(mean(figures, figures, name, metric.key)) for name in names))]


def failures(figures: dict) -> str:
    """One line for each run that failed."""
    return "\n".join(f"failed: {name} on {row}: {found['failure']}" for row, of in figures.items()
                     for name, found in of.items() if "failure" in found)


def rest(figures: dict) -> str:
    """All tables but the first, and where a peer is ahead."""
    parts = [*(render(metric_rows(figures, metric)) for metric in METRICS), behind(figures, LAST),
             behind(figures, AREA), failures(figures)]
    return "\n\n".join(part for part in parts if part)


def summary(figures: dict) -> str:
    """Everything, as `make bench` prints it."""
    return f"{render(after_rows(figures))}\n\n{rest(figures)}\n"


def marked(values, show) -> list:
    """Cells, with the least in bold."""
    least = min((value for value in values if value is not None), default=None)
    return [f"**{show(value)}**" if value is not None and show(value) == show(least) else show(value)
            for value in values]


def joined(cells) -> str:
    """`**28.4**, 7.3, 2.1`, or one figure that stands for all of them."""
    return cells[0] if len(set(cells)) == 1 else ", ".join(cells)


def short_table(figures: dict, names) -> list:
    """Lines of Markdown: a row a shape, the mean of its sizes; then the other metrics over all rows."""
    lines = [f"| MiB beyond what lives | {' | '.join(names)} |", "| --- |" + " --- |" * len(names)]
    for shape in words_of("shape"):
        rows = rows_of(figures, shape.name)
        columns = [marked([mean(figures, rows, name, key) for name in names], LAST.show) for key, _seconds in AFTER]
        lines.append(f"| {shape.name}: {shape.sentence} | {' | '.join(map(joined, zip(*columns)))} |")
    for metric in METRICS:
        cells = marked([mean(figures, figures, name, metric.key) for name in names], metric.show)
        lines.append(f"| {metric.title} | {' | '.join(cells)} |")
    return lines
