# SPDX-License-Identifier: MIT
"""What each parameter alone brings: the policy without it. One that brings nothing goes back to its default, so that a
policy stays as small as what it gains, and reads as a list of reasons."""

import math
from dataclasses import dataclass

from learn.objective import WORST, Objective, Score
from learn.search import by_workload


@dataclass(frozen=True)
class Part:
    """A parameter of a policy: by how much the score is worse without it, and each figure with it against without."""
    name: str
    value: int
    worth: float
    change: dict


def as_row(part: Part) -> dict:
    """For files."""
    return {"name": part.name, "value": part.value, "worth": part.worth, **part.change}


@dataclass(frozen=True)
class Attribution:
    """The policy that is left, its figures (workload -> figures), its score and its parts, the most worth first."""
    policy: dict
    figures: dict
    score: Score
    parts: tuple
    dropped: tuple      # names of those that brought nothing
    untold: tuple = ()  # and of those that there was no time to look at

    @property
    def by_promise(self) -> dict:
        """The policy, what is worth most first, what is not known last."""
        order = [part.name for part in self.parts] + list(self.untold)
        return {name: self.policy[name] for name in order}


def without(policy: dict, name: str) -> dict:
    """The policy with one parameter at its default."""
    return {other: value for other, value in policy.items() if other != name}


class Judge:
    """Figures and scores of policies over all jobs. `limit` is of seconds of replaying, as `runs` counts them."""

    def __init__(self, objective: Objective, runs, jobs, limit: float = math.inf):
        self.objective, self.runs, self.jobs, self.limit = objective, runs, tuple(jobs), limit

    def in_time(self, policy: dict) -> list:
        """The names of its parameters, the first ones, that there is time to look at."""
        names = list(policy)
        while names and not self.runs.afford([(values, job) for values in
                                              (policy, *(without(policy, name) for name in names))
                                              for job in self.jobs], self.limit):
            names.pop()
        return names

    def prepare(self, policies):
        """Replay what is not known, side by side."""
        self.runs.figures([(policy, job) for policy in policies for job in self.jobs])

    def figures(self, policy: dict) -> dict:
        """Workload -> figures."""
        return by_workload(self.jobs, self.runs.figures([(policy, job) for job in self.jobs]))

    def score(self, policy: dict) -> Score:
        """Of all jobs."""
        return self.objective.score(self.figures(policy))


def is_worth(judge: Judge, policy: dict, name: str) -> bool:
    """Whether a policy is better with this parameter than without, and no figure pays too much for it."""
    have, lacks = judge.score(policy), judge.score(without(policy, name))
    if lacks == WORST:
        return True
    if lacks.allowed and judge.objective.is_dear(judge.figures(policy), judge.figures(without(policy, name))):
        return False
    return lacks.violation > have.violation or lacks.value > have.value + judge.objective.floor


def prune(judge: Judge, policy: dict) -> tuple:
    """(what is left, names that went): all that bring nothing, if they may go together; else the least worth, and the
    others are looked at again. What there is no time to look at stays."""
    gone = []
    while policy:
        names = judge.in_time(policy)
        judge.prepare([policy, *(without(policy, name) for name in names)])
        idle = [name for name in names if not is_worth(judge, policy, name)]
        if not idle:
            break
        rest = {name: value for name, value in policy.items() if name not in idle}
        if judge.score(rest) <= Score(judge.score(policy).violation, judge.score(policy).value + judge.objective.floor):
            policy, gone = rest, gone + idle
            continue
        least = min(idle, key=lambda name: (judge.score(without(policy, name)), name))
        policy = without(policy, least)
        gone.append(least)
    return policy, tuple(gone)


def part(judge: Judge, policy: dict, name: str) -> Part:
    """One parameter of it."""
    lacking = judge.figures(without(policy, name))
    worth = judge.objective.score(lacking).value - judge.score(policy).value
    known = None not in lacking.values()
    return Part(name, policy[name], worth, judge.objective.change(judge.figures(policy), lacking) if known else {})


def attribute(judge: Judge, policy: dict) -> Attribution:
    """All of it."""
    kept, dropped = prune(judge, policy)
    known = judge.in_time(kept)
    parts = sorted((part(judge, kept, name) for name in known), key=lambda row: (-row.worth, row.name))
    untold = tuple(name for name in kept if name not in known)
    return Attribution(kept, judge.figures(kept), judge.score(kept), tuple(parts), dropped, untold)


def proven(judge: Judge, policy: dict, verify) -> tuple:
    """(Attribution, what `verify(policy)` said, parameters that it dropped -> why) of what is left when real runs have
    judged too, those of what is worth most first. Each looks at what the other leaves: parameters that are left alone
    may be worth less together."""
    found, dropped = attribute(judge, policy), {}
    while True:
        made = verify(found.by_promise)
        dropped |= made.dropped
        if made.policy == found.policy:
            return found, made, dropped
        found = attribute(judge, made.policy)
        if not found.score.allowed:
            found = attribute(judge, {})
