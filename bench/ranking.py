# SPDX-License-Identifier: MIT
"""From samples of the benchmark set to tables: ratios to a reference, geometric means, ranking, points.

Pure: samples in, text out. A contender that failed a benchmark is shown as `fail` and has no geometric mean over
the group, rather than a better one for leaving out what it cannot do.
"""

from dataclasses import dataclass

from common.columns import columns
from measure import stats

GROUPS = (("one thread", False), ("threads", True))
BEHIND = 1.05       # a benchmark on which the best peer is ahead by more is named below the table
FAIL, NOTHING = "fail", "-"


@dataclass(frozen=True)
class Sample:
    """One run. A failed run has a failure and no figures."""
    benchmark: str
    contender: str
    round: int
    seconds: float = 0.0
    peak_rss_kib: int = 0
    failure: str = ""


@dataclass(frozen=True)
class Study:
    """What was run: rows of the benchmark table, contenders in order, who is ours, who is 1.00, and the samples."""
    benchmarks: tuple
    contenders: tuple       # names
    ours: str
    reference: str
    samples: tuple
    extras: tuple = ()      # names that run the scenarios of the points ranking alone

    def values(self, benchmark: str, contender: str, field: str) -> list:
        """A figure of each round, in the order of rounds; empty when a round failed."""
        rows = sorted((row for row in self.samples if row.benchmark == benchmark and row.contender == contender),
                      key=lambda row: row.round)
        return [] if any(row.failure for row in rows) else [getattr(row, field) for row in rows]

    def ratio(self, benchmark: str, contender: str, base: str, field: str):
        """Estimate of contender against base, or None when one of them failed."""
        ours, theirs = self.values(benchmark, contender, field), self.values(benchmark, base, field)
        return stats.paired(ours, theirs) if ours and len(ours) == len(theirs) else None

    def mean(self, rows, contender: str, field: str):
        """Geometric mean over rows of the ratios to the reference; None when a run failed or there are no rows."""
        ratios = [self.ratio(row.name, contender, self.reference, field) for row in rows]
        if not ratios or None in ratios:
            return None
        return stats.geometric_mean(estimate.ratio for estimate in ratios)

    def best_peer(self, benchmark: str, field: str = "seconds"):
        """(name, Estimate of ours against it) of the peer that did best, or None."""
        found = [(name, self.ratio(benchmark, self.ours, name, field)) for name in self.contenders if name != self.ours]
        found = [(name, estimate) for name, estimate in found if estimate is not None]
        return max(found, key=lambda pair: pair[1].ratio, default=None)


def render(rows) -> str:
    """Rows of cells as one text."""
    return "\n".join(columns(rows))


def number(value) -> str:
    """A ratio with two digits, or a dash."""
    return NOTHING if value is None else f"{value:.2f}"


def ratio_table(study: Study, title: str, rows, field: str) -> str:
    """Median ratio to the reference of each contender on each benchmark, and ours against the best peer."""
    table = [(title, *study.contenders, f"{study.ours} / best peer")]
    for row in rows:
        cells = []
        for name in study.contenders:
            estimate = study.ratio(row.name, name, study.reference, field)
            cells.append(FAIL if estimate is None else number(estimate.ratio))
        best = study.best_peer(row.name, field)
        table.append((row.name, *cells, f"{best[1].show()} {best[0]}" if best else NOTHING))
    table.append(("geometric mean", *(number(study.mean(rows, name, field)) for name in study.contenders)))
    return render(table)


def ranking_table(study: Study) -> str:
    """Contenders by time with one thread: geometric means of time for one thread and for threads, and of memory."""
    groups = [tuple(row for row in study.benchmarks if (row.threads > 1) == threaded) for _, threaded in GROUPS]
    means = [(*(study.mean(rows, name, "seconds") for rows in groups),
             study.mean(study.benchmarks, name, "peak_rss_kib")) for name in study.contenders]
    placed = sorted(zip(study.contenders, means), key=lambda pair: [v if v is not None else 1e9 for v in pair[1]])
    return render([("rank", "allocator", *(title for title, _ in GROUPS), "peak memory"),
                   *((str(place), name, *map(number, values)) for place, (name, values) in enumerate(placed, 1))])


def is_faster(study: Study, benchmark: str, name: str, other: str) -> bool:
    """Whether the first takes less time than the other beyond the noise of both."""
    estimate = study.ratio(benchmark, name, other, "seconds")
    return estimate is not None and estimate.decided and estimate.ratio < 1


def points_table(study: Study) -> str:
    """Points over the scenario rows: of n contenders one gets n less one for each that is faster, a failure none. Who
    cannot be told apart shares a place: by medians alone, a place in a row of equals would be luck."""
    rows = [row for row in study.benchmarks if row.points]
    everyone = study.contenders + study.extras
    points = dict.fromkeys(everyone, 0)
    for row in rows:
        for name in everyone:
            if study.values(row.name, name, "seconds"):
                points[name] += len(everyone) - sum(is_faster(study, row.name, other, name) for other in everyone)
    best = sorted(points, key=lambda name: -points[name])
    return render([("points", ", ".join(row.name for row in rows)), *((name, str(points[name])) for name in best)])


def behind_rows(study: Study) -> list:
    """(benchmark, peer, Estimate) where the best peer's median is ahead by more than 5 %, decided or not."""
    best = [(row.name, study.best_peer(row.name)) for row in study.benchmarks]
    return [(name, *found) for name, found in best if found and found[1].ratio > BEHIND]


def behind(study: Study) -> str:
    """The benchmarks on which a peer is ahead by more than 5 %: those that are decided, and those that are not."""
    parts = {True: [], False: []}
    for name, peer, estimate in behind_rows(study):
        parts[estimate.decided].append(f"{name} ({peer}, {estimate.ratio:.2f})")
    said = f"A peer is ahead of {study.ours} by more than 5 % on: {', '.join(parts[True])}." if parts[True] else \
        f"On no benchmark a peer is decidedly ahead of {study.ours} by more than 5 %."
    if parts[False]:
        said += f" Ahead by more than 5 %, but undecided: {', '.join(parts[False])}."
    return said


def failures(study: Study) -> str:
    """One line for each contender and benchmark that failed."""
    lines = dict.fromkeys(f"failed: {row.contender} on {row.benchmark}: {row.failure}" for row in study.samples
                          if row.failure)
    return "\n".join(lines)


def summary(study: Study) -> str:
    """Everything, as `make bench` prints it."""
    rounds = _rounds(study)
    parts = [f"Time and memory relative to {study.reference}; median of {rounds} interleaved rounds; "
             "`~`: the interval includes 1."]
    if rounds < stats.FEW_ROUNDS:
        parts.append(f"Warning: with {rounds} rounds the intervals are too narrow; {stats.FEW_ROUNDS} or more decide.")
    for title, threaded in GROUPS:
        rows = [row for row in study.benchmarks if (row.threads > 1) == threaded]
        if rows:
            parts.append(ratio_table(study, f"time, {title}", rows, "seconds"))
    parts.append(ratio_table(study, "peak memory", study.benchmarks, "peak_rss_kib"))
    if any(row.points for row in study.benchmarks):
        parts.append(points_table(study))
    parts += [ranking_table(study), behind(study), failures(study)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _rounds(study: Study) -> int:
    return 1 + max((row.round for row in study.samples), default=0)
