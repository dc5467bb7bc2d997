# SPDX-License-Identifier: MIT
"""The search: rounds of candidates, made by strategies, compared by replay, until the time is up or nothing is new.

  1. Each parameter is looked at alone first: the ends of its range, a rung beside its default, then the middle, first
     of those that changed anything. Without that, small gains of the first parameters that were tried lead away from
     large ones of others (huge pages, found by one seed of five). Then words with what they may need. What gains but
     is not allowed is looked at again half way to the default, until it is.
  2. Twelve strategies (learn/moves.py) make candidates; which one is asked is drawn by softmax of their ELO ratings.
  3. Which parameter a strategy moves is said by UCB1: one that changed nothing for this workload is left alone.
  4. Successive halving: all candidates of a round see the first job, the better half two jobs, and so on; only what is
     left sees every workload and repetition. Last of all comes what stands for larger inputs, for what is not worse
     so far.
  5. Strategies of a round play each other: who gained more on the best policy so far has won.

The same seed and the same figures give the same search, whatever the clock says: the clock only ends it.
Rejected: a model of the figures (Gaussian processes): 25 parameters, most of which do nothing, and a replay takes less
than the model's own step. Genetic populations alone: `mix` is what they add, and its rating shows what it is worth.
"""

import dataclasses
import random
from dataclasses import dataclass

from learn import moves
from learn.bandit import Elo, Ucb1
from learn.objective import WORST, Objective, Score, copies_of, median_figures
from learn.replay import LOOKS
from learn.runs import Runs
from learn.space import Space, first, key_of, last, middle

BATCH = 8               # candidates of a round
ELITE = 8
PROBES = 5              # of a parameter, at most
RELIEF = 0.002          # by how much a change betters a figure to be one
REPAIRS = 3             # the last of the places that they have in a round
NEAR = 0.5              # by how much figures may exceed the guard, together, for a policy to be worth a repair
SHARE = 0.8             # of the budget, at most; the rest shows what each parameter alone brings
LEAST_SHARE = 0.5       # of it, at least
ASKED = 4               # strategies that are asked before a place in the round stays empty
IMPROVED, ALLOWED, CHANGED = 1.0, 0.5, 0.2      # rewards of a parameter: a gain, a better score than none, any change


@dataclass(frozen=True)
class Candidate:
    """A policy that is to be tried, who made it, and the parameters that were moved."""
    policy: dict
    strategy: str
    moved: tuple
    score: Score = WORST
    whole: bool = False         # seen by every job


def jobs_of(weights: dict, repetitions: dict) -> tuple:
    """Every (workload, repetition), those that say most first: the heaviest workloads, then the repetitions; behind all
    of them what is more than was recorded."""
    order = sorted(weights, key=lambda name: (-weights[name], name))
    jobs = [(name, number) for number in range(max(repetitions.values())) for name in order
            if number < repetitions[name]]
    return tuple(sorted(jobs, key=lambda job: copies_of(job[0])))


def rungs_of(jobs) -> list:
    """How many jobs the candidates of a round have seen after each step of halving: 1, 2, 4, ... all."""
    found, number = [], 1
    while number < len(jobs):
        found.append(number)
        number *= 2
    return [*found, len(jobs)]


def by_workload(jobs, figures) -> dict:
    """Workload -> its figures, medians of its repetitions; None when one of them failed."""
    found = {}
    for (workload, _number), shown in zip(jobs, figures):
        found.setdefault(workload, []).append(shown)
    return {name: None if None in shown else median_figures(shown) for name, shown in found.items()}


class Search:
    """One search. `report(self)` is called after each round."""

    def __init__(self, space: Space, objective: Objective, runs: Runs, jobs, budget: float, seed=0, report=None):
        self.space, self.objective, self.runs, self.jobs = space, objective, runs, tuple(jobs)
        self.budget, self.report = budget, report
        self.generator = random.Random(seed)
        self.elo, self.ucb = Elo(moves.STRATEGIES), Ucb1(space.names)
        self.seen = {()}
        # Taken from the end: in the order of core/base/policy.def, which begins with what moves most memory.
        self.probes = [*space.size_probes(), *space.probes((first, last)), *space.nearby(), *space.probes((middle,)),
                       *space.joint_probes()][::-1]
        self.elite = [Candidate({}, "default", (), Score(0.0, 0.0), True)]
        self.singles: list = []     # policies of one parameter that every job has seen
        self.gained: list = []      # candidates of one parameter that gain, the best first
        self.last: dict = {}
        self.near: Candidate | None = None      # better than the best, but for a figure that pays too much
        self.rounds = 0
        self.ended = ""         # why it stopped

    @property
    def best(self) -> Candidate:
        return self.elite[0]

    @property
    def limit(self) -> float:
        """Seconds of replaying: what is left has to do for a look at each parameter of the best policy."""
        looks = (len(self.best.policy) + LOOKS) * len(self.jobs) * self.runs.each
        return min(self.budget * SHARE, max(self.budget * LEAST_SHARE, self.budget - looks))

    def view(self) -> moves.View:
        """What strategies may know."""
        return moves.View(self.space, self.generator, tuple(self.ucb.ranked(self.generator)),
                          tuple(row.policy for row in self.elite), self.last,
                          lambda policy: key_of(policy) not in self.seen, self.near and self.near.policy,
                          self.reliefs(), tuple(row.policy for row in self.gained))

    def reliefs(self) -> tuple:
        """Changes that alone better what `near` pays too much of, the largest first."""
        if self.near is None:
            return ()
        dear = self.objective.exceeded(self.figures(self.near.policy))
        found = []
        for policy in self.singles:
            figures = self.figures(policy)
            change = sum(self.objective.ratio(workload, name, figures[workload]) - 1 for workload, name in dear)
            if change < -RELIEF:
                found.append((change, key_of(policy), policy))
        return tuple(policy for _change, _key, policy in sorted(found, key=lambda row: row[:2]))

    def probe(self) -> Candidate | None:
        """The next look at what a parameter does alone."""
        while self.probes:
            changes = self.probes.pop()
            policy = self.space.change({}, changes)
            if key_of(policy) not in self.seen:
                return self.candidate(policy, "probe", tuple(changes))
        return None

    def approach(self, row: Candidate, name: str):
        """It gains, but a figure pays too much: half as far may be allowed. All that is freed given back at once costs
        hundreds of system calls, beyond 4 MiB a dozen, for nearly the same gain."""
        if row.whole and not row.score.allowed and row.score.value < 0:
            self.probes.append({name: self.space.halfway(name, row.policy[name])})

    def prefer(self, name: str):
        """It changed something: what else is to be looked at of it comes next."""
        self.probes.sort(key=lambda changes: name in changes and len(changes) == 1)

    def candidate(self, policy: dict, strategy: str, moved) -> Candidate:
        """One that is going to be tried."""
        self.seen.add(key_of(policy))
        for name in moved:
            self.ucb.pull(name)
        return Candidate(policy, strategy, moved)

    def propose(self, place: int) -> Candidate | None:
        """One candidate that was never tried. What gained alone is gathered at the first place; repairs, if there is
        what to repair, have the next ones."""
        if place >= REPAIRS and self.probes:
            return self.probe()
        for ask in range(ASKED):
            strategy = "gather" if place == 0 and ask == 0 else "repair" if self.near and place < REPAIRS else \
                self.elo.draw(self.generator)
            offer = moves.STRATEGIES[strategy](self.view())
            if offer:
                policy, moved = offer
                return self.candidate(policy, strategy, moved)
        return self.probe()

    def figures(self, policy: dict, jobs=None) -> dict:
        """Workload -> what the jobs, or all of them, show."""
        jobs = self.jobs if jobs is None else jobs
        return by_workload(jobs, self.runs.figures([(policy, job) for job in jobs]))

    def halve(self, candidates) -> list | None:
        """All candidates with what the jobs say that they came to see; None when the time is up."""
        alive, out = list(candidates), []
        for number in rungs_of(self.jobs):
            jobs = self.jobs[:number]
            requests = [(row.policy, job) for row in alive for job in jobs]
            if not self.runs.afford(requests, self.limit):
                return None
            self.runs.figures(requests)
            whole = number == len(self.jobs)
            alive = sorted((dataclasses.replace(row, score=self.objective.score(self.figures(row.policy, jobs)),
                                                whole=whole)
                            for row in alive), key=lambda row: row.score)
            if not whole:
                keep = [row for row in alive if self.is_promising(row, number)][:(len(alive) + 1) // 2]
                alive, out = keep, out + [row for row in alive if row not in keep]
        return alive + out

    def is_promising(self, row: Candidate, seen: int) -> bool:
        """Whether more jobs are to see a candidate. What is worse in all that was recorded need not be shown more of
        the same, which costs several times as much; what changes nothing may gain there."""
        known = seen >= sum(copies_of(workload) == 1 for workload, _number in self.jobs)
        return not known or row.score.value <= 0 and row.score.violation < NEAR

    def gain(self, row: Candidate, best: Score) -> float:
        """By how much a candidate is better than the best before its round."""
        return max(0.0, best.value - row.score.value) if row.whole and row.score.allowed else 0.0

    def settle(self, rows):
        """Learn from a round: parameters, strategies, the good policies."""
        before = self.best.score
        gains = [(row, self.gain(row, before)) for row in rows]
        for row, gain in gains:
            worth = IMPROVED if gain > 0 else ALLOWED if row.score < Score(0.0, 0.0) else \
                CHANGED if row.score != Score(0.0, 0.0) else 0.0
            for name in row.moved:
                self.ucb.reward(name, worth)
            if row.strategy == "probe" and row.score != Score(0.0, 0.0) and len(row.moved) == 1:
                self.prefer(*row.moved)
                self.approach(row, *row.moved)
        players = [(row, gain) for row, gain in gains if row.strategy in self.elo.ratings]
        for place, (row, gain) in enumerate(players):
            for other, theirs in players[place + 1:]:
                if row.strategy != other.strategy:
                    self.elo.play(row.strategy, other.strategy, 0.5 if gain == theirs else float(gain > theirs))
        good = sorted((row for row in (*self.elite, *rows) if row.whole and row.score.allowed),
                      key=lambda row: (row.score, len(row.policy)))
        if good[0].score.value < before.value - self.least():
            self.last = self.direction(good[0].policy, good[0].moved)
            self.elite = good[:ELITE]
        else:
            self.elite = [self.best, *(row for row in good if row is not self.best)][:ELITE]
        self.look_near(rows)

    def look_near(self, rows):
        """Keep the best of what is almost allowed, as long as it would be the best; and what may relieve it."""
        alone = [row for row in rows if row.whole and len(row.policy) == 1]
        good = (row for row in alone if row.score.allowed and row.score.value < -self.least())
        self.gained = sorted([*self.gained, *good], key=lambda row: (row.score, key_of(row.policy)))
        self.singles += [row.policy for row in alone if row.score != WORST]
        almost = [row for row in (self.near, *rows) if row and row.whole and 0 < row.score.violation < NEAR]
        self.near = min(almost, key=lambda row: (row.score.value + row.score.violation, len(row.policy)), default=None)
        if self.near and self.near.score.value >= self.best.score.value:
            self.near = None

    def least(self) -> float:
        """What a gain must exceed: nothing where figures repeat exactly, else what equal runs differ by."""
        return self.objective.floor if any(any(row.values()) for row in self.objective.noise.values()) else 0.0

    def direction(self, policy: dict, moved) -> dict:
        """Parameter -> up or down, of a move from the best policy."""
        found = {}
        for name in moved:
            change = self.space.value(policy, name) - self.space.value(self.best.policy, name)
            if change:
                found[name] = 1 if change > 0 else -1
        return found

    def run(self) -> Candidate:
        """Until the time is up or a whole round brings no new candidate."""
        while True:
            batch = [row for row in map(self.propose, range(BATCH)) if row]
            if not batch:
                self.ended = "nothing new is left to try"
                return self.best
            rows = self.halve(batch)
            if rows is None:
                self.ended = "the time was up"
                return self.best
            self.settle(rows)
            self.rounds += 1
            if self.report:
                self.report(self)
