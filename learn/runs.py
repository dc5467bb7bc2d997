# SPDX-License-Identifier: MIT
"""What was replayed so far: each (policy, job) once, however often it is asked for, and kept in a file, so that a
search that was interrupted walks the same way again without a replay and goes on where it was.

A job is (workload, repetition). The file says what it is of; one of anything else is not used.
"""

import json
import time
from pathlib import Path

from common import files
from common.errors import Failure
from common.pool import Pool
from learn.space import key_of

SCHEMA = 1
FIELDS = ("schema", "of", "spent", "runs")


class Runs:
    """`replay(policy, workload)` gives figures, or None when the program failed under the policy. `of` says what the
    figures depend on, `spent` counts seconds of replaying, those of earlier runs of the tool too."""

    def __init__(self, replay, path=None, of=None, workers=1, clock=time.monotonic):
        self.replay, self.path, self.of = replay, path, of or {}
        self.workers, self.clock = workers, clock
        self.known: dict = {}
        self.spent = 0.0
        self.replays = 0        # by this run of the tool
        self.resumed = self.load()

    def load(self) -> bool:
        """Take over what an earlier run left, if it is of the same. True when it did."""
        if self.path is None or not Path(self.path).exists():
            return False
        try:
            found = files.read_fields(self.path, *FIELDS)
            if found["schema"] != SCHEMA or found["of"] != self.of:
                return False
            known = {(tuple(map(tuple, key)), workload, repetition): figures
                     for key, workload, repetition, figures in found["runs"]}
            self.spent = float(found["spent"])
        except (Failure, TypeError, ValueError):
            return False        # damaged: all it holds can be replayed again
        self.known = known
        return bool(known)

    def save(self):
        """Whole or not at all. On one line: indented, hundreds of replays would take longer to write than to make."""
        if self.path is not None:
            rows = [[[list(pair) for pair in key], workload, repetition, figures]
                    for (key, workload, repetition), figures in self.known.items()]
            files.write_atomic(self.path, json.dumps({"schema": SCHEMA, "of": self.of, "spent": self.spent,
                                                      "runs": rows}) + "\n")

    def missing(self, requests) -> list:
        """Of (policy, job)s those that have to be replayed, each once."""
        found = {}
        for policy, (workload, repetition) in requests:
            place = (key_of(policy), workload, repetition)
            if place not in self.known:
                found.setdefault(place, policy)
        return list(found.items())

    def _make(self, missing):
        """Replay what is missing, several at a time, and keep what there is should that be interrupted."""
        begun = self.clock()
        try:
            with Pool(self.workers) as pool:
                made = pool.map(lambda item: self.replay(item[1], item[0][1]), missing)
                for (place, _policy), found in zip(missing, made):
                    self.known[place] = found
                    self.replays += 1
        finally:
            self.spent += self.clock() - begun
            self.save()

    def figures(self, requests) -> list:
        """Figures (or None) of each (policy, job). What is not known yet is replayed."""
        requests = list(requests)
        missing = self.missing(requests)
        if missing:
            self._make(missing)
        return [self.known[key_of(policy), workload, repetition] for policy, (workload, repetition) in requests]

    @property
    def tried(self) -> int:
        """How many policies, beside the default."""
        return len({key for key, _workload, _repetition in self.known} - {()})

    @property
    def each(self) -> float:
        """Seconds that a replay takes, side by side with others."""
        return self.spent / len(self.known) if self.known else 0.0

    def afford(self, requests, budget: float) -> bool:
        """Whether the requests can be answered within so many seconds of replaying, all told. What is known is free."""
        missing = len(self.missing(requests))
        return missing == 0 or self.spent + missing * self.each <= budget
