# SPDX-License-Identifier: MIT
"""What a search may change: of each parameter the values that are tried, and the ways from one policy to another.

A policy is a dict of the parameters that differ from their defaults, so that equal policies are equal dicts. The rows
are those of core/base/policy.def, as plan/policy.py reads them.
"""

from dataclasses import dataclass, field, replace

FEW = 8             # values up to which every one is tried; beyond, powers of two
BETWEEN = 2         # rungs are this far apart

# Below these the pairs of malloc and free that no trace happens to make pay for what one gains: instructions of all
# patterns of bench_fastpath under callgrind, against the default policy (the gate allows 1.05 for a whole policy).
FLOORS = {
    "bin_tiny_kb": 16,          # 1.005; 1: 1.14, and 1.6 for 1,024 blocks at random
    "bin_mid_kb": 256,          # 64: 1.04, and 1.5 for mid sizes
    "bin_blocks": 64,           # 1.007; 32: 1.08; 3: 1.35
    "bin_growth": 2,            # 1: 1.06, and 1.8 for mid sizes
    "heap_cache_kb": 2048,      # 1.003; 1,024: 1.16, and five times as many for a block of 2 MiB that comes and goes
    "tick_every": 16,           # 1: 1.04
    # And this one by other input: 2 gave less back too early in a larger sqlite, and took a quarter more page faults.
    "retain_mb": 4,
}


def searched(rows) -> tuple:
    """The rows that a search may change, from where it may: those that a run can set."""
    return tuple(replace(row, lowest=max(row.lowest, FLOORS.get(row.name, row.lowest)))
                 for row in rows if row.scope != "build")


def is_size(row) -> bool:
    """Whether it is one more size of blocks: any may be tried that the traces are full of, and no other."""
    return row.scope == "start"


def ladder(row) -> tuple:
    """The values of a parameter that are tried first, rising: each one where there are few; else its ends, its default,
    and the powers of two between."""
    if row.highest - row.lowest < FEW:
        return tuple(range(row.lowest, row.highest + 1))
    values, power = {row.lowest, row.highest, row.default}, 1
    while power < row.highest:
        if power > row.lowest:
            values.add(power)
        power *= BETWEEN
    return tuple(sorted(values))


def first(_rungs) -> int:
    """The place of the least value of a ladder."""
    return 0


def last(_rungs) -> int:
    """Of the greatest."""
    return -1


def middle(rungs) -> int:
    """Between."""
    return len(rungs) // 2


@dataclass(frozen=True)
class Space:
    """The parameters of a search. `sizes` are those that are worth a class, the best first."""
    rows: tuple
    sizes: tuple = ()
    ladders: dict = field(default_factory=dict)
    by_name: dict = field(default_factory=dict)

    def __post_init__(self):
        object.__setattr__(self, "rows", tuple(row for row in self.rows if self.sizes or not is_size(row)))
        object.__setattr__(self, "ladders", {row.name: (0, *sorted(self.sizes)) if is_size(row) else ladder(row)
                                             for row in self.rows})
        object.__setattr__(self, "by_name", {row.name: row for row in self.rows})

    @property
    def names(self) -> tuple:
        return tuple(self.by_name)

    @property
    def axes(self) -> dict:
        """Axis -> the names of its parameters."""
        found = {}
        for row in self.rows:
            found.setdefault(row.axis, []).append(row.name)
        return found

    def value(self, policy: dict, name: str) -> int:
        """What a parameter is under a policy."""
        return policy.get(name, self.by_name[name].default)

    def change(self, policy: dict, changes: dict) -> dict:
        """The policy with other values; those that are the default leave it."""
        made = self.in_order({**policy, **changes})
        return {name: made[name] for name in self.names if name in made and made[name] != self.by_name[name].default}

    def in_order(self, policy: dict) -> dict:
        """Equal policies alike: of the sizes no two the same, the smaller one first."""
        names = [row.name for row in self.rows if is_size(row)]
        sizes = sorted({policy.get(name, 0) for name in names} - {0})
        return {**policy, **dict(zip(names, sizes + [0] * (len(names) - len(sizes))))}

    def size_probes(self) -> list:
        """Each size alone, then the two that save most."""
        names = [row.name for row in self.rows if is_size(row)]
        pairs = [dict(zip(names, self.sizes))] if min(len(self.sizes), len(names)) > 1 else []
        return [{name: size} for name in names[:1] for size in self.sizes] + pairs

    def nearby(self) -> list:
        """Each parameter a rung below and above its default: where the ends of a range are out of the question."""
        return [{row.name: value} for row in self.rows if not is_size(row)
                for value in dict.fromkeys(self.rung({}, row.name, steps) for steps in (-1, 1)) if value != row.default]

    def probes(self, places) -> list:
        """Changes that show first what each parameter does, at these places of its ladder."""
        return [{name: value} for name, rungs in self.ladders.items() if not is_size(self.by_name[name])
                for value in dict.fromkeys(rungs[place(rungs)] for place in places)
                if value != self.by_name[name].default]

    def joint_probes(self) -> list:
        """A word may decide whether the amounts of its axis mean anything: each word with the middle of each amount."""
        words = [row for row in self.rows if row.highest - row.lowest < FEW]
        amounts = [row for row in self.rows if row.highest - row.lowest >= FEW]
        return [{word.name: value, other.name: self.ladders[other.name][middle(self.ladders[other.name])]}
                for word in words for value in self.ladders[word.name] if value != word.default
                for other in amounts if other.axis == word.axis]

    def rung(self, policy: dict, name: str, steps: int) -> int:
        """The value so many rungs above (or below) the present one; the end of the ladder where it ends."""
        rungs, value = self.ladders[name], self.value(policy, name)
        if steps > 0:
            above = [rung for rung in rungs if rung > value]
            return above[min(steps, len(above)) - 1] if above else value
        below = [rung for rung in rungs if rung < value]
        return below[max(steps, -len(below))] if below else value

    def halfway(self, name: str, value: int) -> int:
        """The rung half way between a value and the default."""
        rungs = self.ladders[name]
        return rungs[(rungs.index(value) + rungs.index(self.by_name[name].default)) // 2] if value in rungs else value

    def middle(self, policy: dict, name: str, direction: int) -> int:
        """Half way to the next rung: what the ladder leaves out. Between two sizes is none of the program's."""
        value = self.value(policy, name)
        if is_size(self.by_name[name]):
            return value
        return (value + self.rung(policy, name, direction)) // 2


def key_of(policy: dict) -> tuple:
    """What tells a policy from others."""
    return tuple(sorted(policy.items()))
