# SPDX-License-Identifier: MIT
"""After the search: real runs of the user's own commands, with the policy and without, several times in turn. What
makes any figure worse by more than the guard goes back to its default, again until nothing does.

A figure is worse where its median is, by more than the guard, and each run with the policy shows more than any run
without: what differs from run to run by more than that decides nothing.
"""

import math
import statistics
from dataclasses import dataclass, field

from common.errors import Failure
from learn import objective, real
from learn.objective import GUARD

ROUNDS = {real.PLAIN: 5, real.CALLS: 3, real.INSTRUCTIONS: 1}
ALLOWED = {"calls": objective.ALLOWED["program_calls"], "faults": objective.ALLOWED["faults"]}
SHARE = 0.3             # of the budget


@dataclass
class Verified:
    """What is left of a policy, why each other parameter went, and in words what was looked at and what was not."""
    policy: dict
    dropped: dict = field(default_factory=dict)
    seen: list = field(default_factory=list)
    unseen: list = field(default_factory=list)

    def drop(self, name: str, why: str):
        """One goes."""
        self.dropped[name] = why
        self.policy = {other: value for other, value in self.policy.items() if other != name}


class Late(Exception):
    """The time does not suffice for more runs."""


def ratio(name: str, before, after) -> float:
    """Of a figure, where it is worse for certain; else 1."""
    old, new = statistics.median(before), statistics.median(after)
    if new - old <= ALLOWED.get(name, 0) or min(after) <= max(before):
        return 1.0
    return new / old if old > 0 else math.inf


class Verifier:
    """`runs` (learn/runs.py) makes or knows the runs, `seconds` is workload -> what a plain one takes, `budget` is of
    seconds, `unable` kind -> why it cannot be."""

    def __init__(self, runs, seconds: dict, budget: float, unable: dict):
        self.runs, self.seconds, self.budget, self.unable = runs, seconds, budget, unable
        self.took: dict = {}        # (workload, kind) -> seconds of a run

    def needs(self, policies, workload: str, kind: str) -> float:
        """Seconds for the runs of these policies that are not known yet."""
        missing = self.runs.missing([(policy, job) for policy in policies for job in jobs_of(workload, kind)])
        guess = real.LEAST_SECONDS + self.seconds[workload] * real.KINDS[kind]
        return len(missing) * self.took.get((workload, kind), guess)

    def can(self, policies, workload: str, kind: str) -> bool:
        """Whether there is time for them."""
        needs = self.needs(policies, workload, kind)
        return needs == 0 or self.runs.spent + needs <= self.budget

    def worse(self, policy: dict, workload: str, kind: str) -> dict:
        """Figure -> ratio, of those that the policy makes worse by more than the guard."""
        if not self.can([{}, policy], workload, kind):
            raise Late
        jobs = jobs_of(workload, kind)
        requests = [(values, job) for job in jobs for values in ({}, policy)]
        begun, missing = self.runs.spent, len(self.runs.missing(requests))
        shown = self.runs.figures(requests)
        if missing:
            self.took[workload, kind] = (self.runs.spent - begun) / missing
        before, after = shown[::2], shown[1::2]
        if None in after:
            return {"failure": math.inf}
        ratios = {name: ratio(name, [row[name] for row in before], [row[name] for row in after])
                  for name in before[0] if all(name in row for row in shown)}
        return {name: value for name, value in ratios.items() if value > GUARD}

    def look(self, made: Verified) -> tuple:
        """The (workload, kind)s that there is time for, and what is worse there; `made.unseen` says of the others why
        not."""
        places, found = [], {}
        for place in ((workload, kind) for workload in self.seconds for kind in real.KINDS):
            workload, kind = place
            if self.unable.get(kind):
                made.unseen.append(f"{real.SHOWS[kind]} of {workload}: {self.unable[kind]}")
            elif not self.can([{}, made.policy], *place):
                made.unseen.append(f"{real.SHOWS[kind]} of {workload}: a run takes {self.seconds[workload]:.1f} s, "
                                   f"and {real.KINDS[kind]:.0f} times that where it is counted; give more BUDGET")
            else:
                places.append(place)
                found |= self.lost(made.policy, [place])
        return places, found

    def verify(self, policy: dict) -> Verified:
        """All of it."""
        made = Verified(dict(policy))
        if not policy:
            return made
        try:
            places, lost = self.look(made)
            while made.policy and lost:
                self.drop_worst(made, lost)
                lost = self.lost(made.policy, places) if made.policy else {}
        except Late:
            for name in list(made.policy):
                made.drop(name, "the time was up before it was clear which parameter costs so much; give more BUDGET")
        except Failure as error:
            made.unseen.append(f"a run fails that was recorded: {str(error).splitlines()[0]}")
        else:
            made.seen = [f"{real.SHOWS[kind]} of {workload}, by {ROUNDS[kind]} real run{'s' * (ROUNDS[kind] > 1)} "
                         "with the policy and without" for workload, kind in places]
        return made

    def lost(self, policy: dict, places) -> dict:
        """(workload, kind) -> figure -> ratio."""
        found = {place: self.worse(policy, *place) for place in places}
        return {place: ratios for place, ratios in found.items() if ratios}

    def drop_worst(self, made: Verified, lost: dict):
        """Each parameter that is too dear by itself; where none is, the one without which the worst figure is least."""
        alone = {name: self.lost({name: value}, lost) for name, value in made.policy.items()}
        for name in [name for name, ratios in alone.items() if ratios]:
            made.drop(name, sentence_of(alone[name]))
        if any(alone.values()):
            return
        rests = {name: {other: value for other, value in made.policy.items() if other != name} for name in made.policy}
        left = {name: sum(excess(ratios) for ratios in self.lost(rest, lost).values()) for name, rest in rests.items()}
        made.drop(min(left, key=lambda name: (left[name], name)), f"with the others: {sentence_of(lost)}")


def excess(ratios: dict) -> float:
    """By how much figures exceed the guard."""
    return sum(value - GUARD for value in ratios.values())


def sentence_of(lost: dict) -> str:
    """The worst figure, in words."""
    value, name, workload = max((value, name, workload) for (workload, _kind), ratios in lost.items()
                                for name, value in ratios.items())
    if name == "failure":
        return f"{workload} fails under it"
    return f"{real.NAMES[name]} of {workload} {(value - 1) * 100:+.1f} %"


def jobs_of(workload: str, kind: str) -> list:
    """What is asked of runs: in turn, so that what the machine does meanwhile meets both sides."""
    return [(f"{workload}:{kind}", number) for number in range(ROUNDS[kind])]
