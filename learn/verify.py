# SPDX-License-Identifier: MIT
"""After the search: real runs of the user's own commands and servers, with the policy and without, several times in
turn. What makes any figure worse by more than the guard goes back to its default, again until nothing does.

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
SERVER_ROUNDS = {real.PLAIN: 3, real.INSTRUCTIONS: 1}     # each is started, loaded and stopped
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


def ratio(name: str, before, after, faults_saved: float = 0.0) -> float:
    """Of a figure, where it is worse for certain; else 1."""
    old, new = statistics.median(before), statistics.median(after)
    if new - old <= objective.allowed(name, faults_saved) or min(after) <= max(before):
        return 1.0
    return new / old if old > 0 else math.inf


class Verifier:
    """`runs` (learn/runs.py) makes or knows the runs, `seconds` is workload -> what a plain one takes, `budget` is of
    seconds, `unable` kind -> why it cannot be, `names` workload -> what people call it, `servers` those that are."""

    def __init__(self, runs, seconds: dict, budget: float, unable: dict, names=None, servers=frozenset()):
        self.runs, self.seconds, self.budget, self.unable, self.servers = runs, seconds, budget, unable, servers
        self.names = names or {name: name for name in seconds}
        self.took: dict = {}        # (workload, kind) -> seconds of a run

    def jobs(self, workload: str, kind: str) -> list:
        """What is asked of runs: in turn, so that what the machine does meanwhile meets both sides."""
        rounds = (SERVER_ROUNDS if workload in self.servers else ROUNDS)[kind]
        return [(f"{workload}:{kind}", number) for number in range(rounds)]

    def longer(self, workload: str, kind: str) -> float:
        """How many times as long as the recorded run one of this kind is thought to take."""
        return (real.SERVER_KINDS if workload in self.servers else real.KINDS)[kind]

    def needs(self, policies, workload: str, kind: str) -> float:
        """Seconds for the runs of these policies that are not known yet; at first, of one of each, which tells what the
        others take."""
        missing = self.runs.missing([(policy, job) for policy in policies for job in self.jobs(workload, kind)])
        guess = real.LEAST_SECONDS + self.seconds[workload] * self.longer(workload, kind)
        took = self.took.get((workload, kind))
        return len(missing) * took if took else min(len(missing), len(policies)) * guess

    def can(self, policies, workload: str, kind: str) -> bool:
        """Whether there is time for them."""
        needs = self.needs(policies, workload, kind)
        return needs == 0 or self.runs.spent + needs <= self.budget

    def pair(self, policy: dict, workload: str, kind: str, job) -> list:
        """Figures of one run without the policy and one with it. What that takes says what the next ones will."""
        if not self.can([{}, policy], workload, kind):
            raise Late
        requests = [({}, job), (policy, job)]
        begun, missing = self.runs.spent, len(self.runs.missing(requests))
        shown = self.runs.figures(requests)
        if missing:
            self.took[workload, kind] = (self.runs.spent - begun) / missing
        return shown

    def worse(self, policy: dict, workload: str, kind: str) -> dict:
        """Figure -> ratio, of those that the policy makes worse by more than the guard."""
        shown = self.pairs(policy, workload, kind)
        if any(after is None for _before, after in shown):
            return {"failure": math.inf}
        saved = self.faults_saved(policy, workload) if kind == real.CALLS else 0.0
        ratios = {name: ratio(name, *sides, saved) for name, sides in by_figure(shown).items()}
        return {name: value for name, value in ratios.items() if value > GUARD}

    def faults_saved(self, policy: dict, workload: str) -> float:
        """By how many page faults are fewer, by the plain runs, where these are known or there is time for them."""
        shown = self.pairs(policy, workload, real.PLAIN)
        sides = by_figure(shown) if all(after for _before, after in shown) else {}
        before, after = map(statistics.median, sides.get("faults", ([0], [0])))
        return max(0.0, before - after)

    def pairs(self, policy: dict, workload: str, kind: str) -> list:
        """(without, with) of each round."""
        return [self.pair(policy, workload, kind, job) for job in self.jobs(workload, kind)]

    def said(self, policy: dict, workload: str, kind: str) -> str:
        """What was looked at, and what it showed."""
        rounds = len(self.jobs(workload, kind))
        text = f"{real.SHOWS[kind]} of {self.names[workload]}, by {rounds} real run{'s' * (rounds > 1)} with the " \
            "policy and without"
        if not policy:
            return text
        sides = by_figure(self.pairs(policy, workload, kind))
        return f"{text}: {', '.join(f'{real.NAMES[name]} {change(*both)}' for name, both in sides.items())}"

    def why_not(self, workload: str, kind: str) -> str:
        """Why no run of this kind tells anything; "" where it does."""
        if workload in self.servers and kind not in SERVER_ROUNDS:
            return "how many a server makes depends on when its clients' requests arrive"
        return self.unable.get(kind, "")

    def look(self, made: Verified) -> tuple:
        """The (workload, kind)s that there is time for, and what is worse there; `made.unseen` says of the others why
        not."""
        places, found = [], {}
        for place in ((workload, kind) for workload in self.seconds for kind in real.KINDS):
            workload, kind = place
            if why := self.why_not(workload, kind):
                made.unseen.append(f"{real.SHOWS[kind]} of {self.names[workload]}: {why}")
                continue
            try:
                found |= self.lost(made.policy, [place])
                places.append(place)
            except Late:
                made.unseen.append(f"{real.SHOWS[kind]} of {self.names[workload]}: a run takes "
                                   f"{self.seconds[workload]:.1f} s, and {self.longer(workload, kind):.0f} times that "
                                   "where it is counted; give more BUDGET")
        return places, found

    def verify(self, policy: dict) -> Verified:
        """All of it. `policy` has first what is worth most."""
        made = Verified(dict(policy))
        if not policy:
            return made
        places = []
        try:
            places, lost = self.look(made)
            dear = set(lost)
            while made.policy and lost:
                self.build_up(made, [place for place in places if place in dear])
                lost = self.lost(made.policy, places) if made.policy else {}
                dear |= set(lost)
        except Late:
            made.unseen.append("what is left of the policy as a whole: the time was up; give more BUDGET")
        except Failure as error:
            made.unseen.append(f"a run fails that was recorded: {str(error).splitlines()[0]}")
        else:
            made.seen = [self.said(made.policy, *place) for place in places]
        return made

    def lost(self, policy: dict, places) -> dict:
        """(workload, kind) -> figure -> ratio."""
        found = {place: self.worse(policy, *place) for place in places}
        return {place: ratios for place, ratios in found.items() if ratios}

    def build_up(self, made: Verified, places):
        """From none, one parameter after the other: one with which nothing is worse there stays. So the time goes to
        what is worth most, and what it does not suffice for is left out, rather than all."""
        kept = {}
        for name, value in list(made.policy.items()):
            try:
                lost = self.lost({**kept, name: value}, places)
            except Late:
                made.drop(name, "the time was up before a real run showed what it costs; give more BUDGET")
                continue
            if lost:
                made.drop(name, f"{'with the others: ' if kept else ''}{sentence_of(lost, self.names)}")
            else:
                kept[name] = value


def by_figure(shown) -> dict:
    """Figure -> ([without], [with]), of those that all runs show; in one order, whether they ran or were known."""
    rows = [row for pair in shown for row in pair]
    return {name: ([before[name] for before, _after in shown], [after[name] for _before, after in shown])
            for name in real.NAMES if all(name in row for row in rows)}


def change(before, after) -> str:
    """Of medians, in percent; ~ where some run with the policy lies among those without, which may be noise."""
    old, new = statistics.median(before), statistics.median(after)
    among = min(after) <= max(before) and min(before) <= max(after)
    if old == new or old <= 0:
        return "0" if old == new else f"{old:g} > {new:g}"
    return f"{'~' * (among and len(before) > 1)}{(new / old - 1) * 100:+.1f} %"


def sentence_of(lost: dict, names: dict) -> str:
    """The worst figure, in words."""
    value, name, workload = max((value, name, workload) for (workload, _kind), ratios in lost.items()
                                for name, value in ratios.items())
    if name == "failure":
        return f"{names[workload]} fails under it"
    return f"{real.NAMES[name]} of {names[workload]} {(value - 1) * 100:+.1f} %"
