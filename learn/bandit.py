# SPDX-License-Identifier: MIT
"""Who gets the next replay: UCB1 among parameters, ELO with softmax among strategies."""

import math

START, STEP, SCALE = 1500.0, 32.0, 400.0       # of ELO, as in chess
TEMPERATURE = 120.0                             # points at which a strategy is drawn e times as often
CURIOSITY = 0.5                                 # of UCB1: how much an untried parameter is worth


class Ucb1:
    """Mean reward and how often, of each arm. A pull counts when it begins, so that one batch spreads over arms."""

    def __init__(self, arms):
        self.pulls = {arm: 0 for arm in arms}
        self.rewards = {arm: 0.0 for arm in arms}

    def bound(self, arm) -> float:
        """What the arm may be worth; an untried one any amount."""
        pulls = self.pulls[arm]
        if pulls == 0:
            return math.inf
        total = sum(self.pulls.values())
        return self.rewards[arm] / pulls + CURIOSITY * math.sqrt(2 * math.log(total) / pulls)

    def ranked(self, generator) -> list:
        """All arms, the best bound first; equal ones in an order by chance."""
        arms = list(self.pulls)
        generator.shuffle(arms)
        return sorted(arms, key=self.bound, reverse=True)

    def pull(self, arm):
        """It is being tried."""
        self.pulls[arm] += 1

    def reward(self, arm, value: float):
        """What came of it."""
        self.rewards[arm] += value


class Elo:
    """Ratings of players by the matches between them."""

    def __init__(self, players):
        self.ratings = {player: START for player in players}
        self.matches = {player: 0 for player in players}

    def play(self, first, second, result: float):
        """1 when the first won, 0 when the second did, 0.5 for a draw."""
        expected = 1 / (1 + 10 ** ((self.ratings[second] - self.ratings[first]) / SCALE))
        self.ratings[first] += STEP * (result - expected)
        self.ratings[second] -= STEP * (result - expected)
        for player in (first, second):
            self.matches[player] += 1

    def draw(self, generator):
        """One of them, by softmax of the ratings: none is ever given up."""
        best = max(self.ratings.values())
        weights = [math.exp((rating - best) / TEMPERATURE) for rating in self.ratings.values()]
        return generator.choices(list(self.ratings), weights)[0]
