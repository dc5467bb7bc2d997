# SPDX-License-Identifier: MIT
"""What a library costs in a few programs: instructions, peak memory, page faults and time, beside another library.

Counts are exact and made two at a time; time is measured in interleaved rounds, alone, and only when asked for.
"""

import dataclasses
from dataclasses import dataclass, field
from collections.abc import Mapping
from pathlib import Path

from common import workloads
from common.errors import UserError
from common.paths import ROOT
from common.pool import Pool
from measure import counting, golden, stats, wall

PATTERN = "pair64"


@dataclass(frozen=True)
class Subject:
    """A library, and what the environment tells it."""
    name: str
    library: Path
    env: Mapping[str, str] = field(default_factory=dict)
    variant: str = ""


def held_out(names=()) -> tuple:
    """The workloads that judge: those of the gate, or the named ones."""
    rows = workloads.load_table(ROOT)
    if names:
        return workloads.select(rows, names)
    return tuple(row for row in rows if row.role == "holdout" and row.gate)


def under(row, subject):
    """The workload with the subject's settings in its environment."""
    return dataclasses.replace(row, env={**row.env, **subject.env})


def counted(subject: Subject, row) -> dict:
    """Metrics of one program under one library: counts, then a plain run."""
    of = counting.Subject(subject.library, "base", "", subject.variant)
    record, _text = counting.measure(of, under(row, subject), counts_only=True)
    return {**record["metrics"], **counting.usage_metrics(under(row, subject), subject.library)}


def figures(subjects, rows, pattern=PATTERN) -> dict:
    """subject -> {"pair": instructions of an operation, "metrics": workload -> metrics}."""
    with Pool(2) as pool:
        pairs = {subject.name: pool.submit(golden.count, subject.library, [pattern]) for subject in subjects}
        jobs = {(subject.name, row.name): pool.submit(counted, subject, row) for subject in subjects for row in rows}
        return {subject.name: {"pair": pairs[subject.name].result()[pattern]["together"],
                               "metrics": {row.name: jobs[subject.name, row.name].result() for row in rows}}
                for subject in subjects}


def ratio(after: dict, before: dict, metric: str):
    """Geometric mean over the programs of a metric's ratio; None where a side lacks it."""
    pairs = [(after["metrics"][name].get(metric), before["metrics"].get(name, {}).get(metric))
             for name in after["metrics"]]
    if not pairs or any(not new or not old for new, old in pairs):
        return None
    return stats.geometric_mean(new / old for new, old in pairs)


def times(subjects, rows, reference: str, seconds: float) -> dict:
    """subject -> Estimate as JSON of its time against the reference; {} without a budget."""
    if seconds <= 0:
        return {}
    if any(subject.env for subject in subjects):
        raise UserError("time is compared between libraries, not between settings")
    result = wall.compare({subject.name: subject.library for subject in subjects}, rows, reference, seconds)
    return {name: {key: row[key] for key in ("ratio", "low", "high", "n", "floor", "decided", "text")}
            for name, row in result["against"][reference].items()}
