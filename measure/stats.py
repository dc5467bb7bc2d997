# SPDX-License-Identifier: MIT
"""Statistics of paired wall-clock rounds: medians of ratios, bootstrap intervals, the A/A noise floor.

No bare means: an Estimate carries its interval, its n and its warnings, and prints `~` when undecided.
Everything is deterministic: the bootstrap's generator is seeded by a constant.
"""

import math
import random
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

RESAMPLES = 2000
PARTS = 40              # of which the outermost two are left out: an interval of 95 %
FEW_ROUNDS = 6          # below, a 95 % interval of a median does not exist without assumptions
SEED = 20220131


@dataclass(frozen=True)
class Estimate:
    """A ratio with its interval. `floor` is the noise floor as a relative change, 0 when it was not measured."""
    ratio: float
    low: float
    high: float
    n: int
    floor: float = 0.0
    warnings: tuple = ()

    @property
    def decided(self) -> bool:
        """Whether the interval excludes 1, and the ratio leaves the noise floor."""
        return (self.low > 1 or self.high < 1) and abs(math.log(self.ratio)) > math.log1p(self.floor)

    def show(self) -> str:
        """`0.871 [0.860, 0.883]`, with `~` in front when undecided."""
        return f"{'' if self.decided else '~'}{self.ratio:.3f} [{self.low:.3f}, {self.high:.3f}]"


def geometric_mean(values: Iterable[float], weights: Iterable[float] | None = None) -> float:
    """Weighted geometric mean of positive numbers."""
    values = list(values)
    weights = list(weights) if weights is not None else [1.0] * len(values)
    if not values or len(values) != len(weights) or min(values) <= 0 or min(weights) <= 0:
        raise ValueError("a geometric mean needs positive values, and a positive weight for each")
    return math.exp(statistics.fmean(map(math.log, values), weights))


def bootstrap(groups, statistic) -> tuple:
    """Percentile bootstrap interval (low, high) of a statistic of groups, each of which is resampled by itself."""
    generator = random.Random(SEED)
    drawn = [statistic([generator.choices(group, k=len(group)) for group in groups]) for _ in range(RESAMPLES)]
    low, *_between, high = statistics.quantiles(drawn, n=PARTS, method="inclusive")
    return low, high


def paired(after: Sequence[float], before: Sequence[float], floor: float = 0.0) -> Estimate:
    """Median of after/before over rounds that ran side by side."""
    if len(after) != len(before) or not after:
        raise ValueError(f"paired rounds need equal, non-zero numbers of times, not {len(after)} and {len(before)}")
    return of_ratios([a / b for a, b in zip(after, before)], floor)


def of_ratios(ratios: Sequence[float], floor: float = 0.0) -> Estimate:
    """Estimate of ratios, one a round."""
    if not ratios or min(ratios) <= 0:
        raise ValueError("ratios must be positive")
    low, high = bootstrap([ratios], lambda drawn: statistics.median(drawn[0]))
    return Estimate(statistics.median(ratios), low, high, len(ratios), floor, _warnings(len(ratios), low, high))


def stratified(groups, weights=None, floor: float = 0.0) -> Estimate:
    """Estimate over several workloads: geometric mean of each one's median ratio, rounds resampled within each."""
    groups = [list(group) for group in groups]
    if not groups or any(not group or min(group) <= 0 for group in groups):
        raise ValueError("every workload needs at least one positive ratio")
    weights = list(weights) if weights is not None else [1.0] * len(groups)

    def mean(drawn):
        return geometric_mean(map(statistics.median, drawn), weights)

    low, high = bootstrap(groups, mean)
    return Estimate(mean(groups), low, high, sum(map(len, groups)), floor,
                    _warnings(min(map(len, groups)), low, high))


def _warnings(rounds, low, high) -> tuple:
    found = []
    if rounds < FEW_ROUNDS:
        found.append(f"only {rounds} rounds: the interval is too narrow")
    if high / low > 1.10:
        found.append("the interval is wider than 10 %: the machine was busy")
    return tuple(found)


def noise_floor(estimate: Estimate) -> float:
    """Relative change that A against A cannot exclude: the farther end of its interval."""
    return math.expm1(max(abs(math.log(estimate.low)), abs(math.log(estimate.high))))
