# SPDX-License-Identifier: MIT
"""Strategies: kinds of moves from policies that are known to new ones. Each is a function of what the search knows, and
gives (policy, the parameters that it moved), or None when it has nothing to offer."""

from dataclasses import dataclass

JUMPS = 3       # parameters that a fresh start sets
TRIES = 12      # of a strategy that draws by chance


@dataclass(frozen=True)
class View:
    """What a strategy may look at. `arms` are the parameters, the most promising first; `is_new(policy)` tells what was
    not tried yet; `elite` are good policies, the best first; `last` are the changes of the last gain; `near` would
    be the best one, if no figure paid too much; `reliefs` are changes that alone make that figure better; `gains`
    those that alone better the score, the largest gain first."""
    space: object
    generator: object
    arms: tuple
    elite: tuple
    last: dict
    is_new: object
    near: dict | None = None
    reliefs: tuple = ()
    gains: tuple = ()

    @property
    def best(self) -> dict:
        return self.elite[0] if self.elite else {}

    def offer(self, changes: dict, base=None):
        """The move, if it leads somewhere new."""
        made = self.space.change(self.best if base is None else base, changes)
        return (made, tuple(changes)) if changes and self.is_new(made) else None

    def other(self, name: str, base=None) -> int:
        """Another value of a parameter: as often a rung away as anywhere on its ladder."""
        if self.generator.random() < 0.5:
            return self.space.rung(self.best if base is None else base, name, self.generator.choice((1, -1)))
        return self.generator.choice(self.space.ladders[name])

    def directions(self) -> list:
        """Up and down, in an order by chance."""
        return self.generator.sample((1, -1), 2)


def first(offers):
    """The first that is one."""
    return next((offer for offer in offers if offer), None)


def step(view: View):
    """One parameter, one rung up or down."""
    return first(view.offer({name: view.space.rung(view.best, name, direction)})
                 for name in view.arms for direction in view.directions())


def jump(view: View):
    """One parameter to any value of its ladder."""
    return first(view.offer({name: view.generator.choice(view.space.ladders[name])})
                 for name in view.arms for _try in range(2))


def extreme(view: View):
    """One parameter to an end of its range."""
    ends = {1: -1, -1: 0}
    return first(view.offer({name: view.space.ladders[name][ends[direction]]})
                 for name in view.arms for direction in view.directions())


def onward(view: View):
    """The last gain once more, two rungs in the same direction."""
    changes = {name: view.space.rung(view.best, name, 2 * direction) for name, direction in view.last.items()}
    return view.offer(changes)


def between(view: View):
    """One parameter half way to the next rung: finer than the ladder."""
    moved = [name for name in view.arms if name in view.best]
    return first(view.offer({name: view.space.middle(view.best, name, direction)})
                 for name in moved for direction in view.directions())


def pair(view: View):
    """Two parameters: what alone brings nothing may together."""
    for _try in range(TRIES):
        names = view.generator.sample(view.arms, min(2, len(view.arms)))
        offer = view.offer({name: view.other(name) for name in names})
        if offer:
            return offer
    return None


def axis(view: View):
    """The parameters of an axis, each changed or left alone: those are the ones that need each other."""
    axes = list(view.space.axes.values())
    for _try in range(TRIES):
        names = [name for name in view.generator.choice(axes) if view.generator.random() < 0.5]
        offer = view.offer({name: view.other(name) for name in names})
        if offer:
            return offer
    return None


def back(view: View):
    """One parameter back to its default."""
    return first(view.offer({name: view.space.by_name[name].default}) for name in view.arms if name in view.best)


def mix(view: View):
    """Of two good policies, each parameter from one or the other."""
    for _try in range(TRIES if len(view.elite) > 1 else 0):
        one, other = view.generator.sample(view.elite, 2)
        names = sorted(one.keys() | other.keys())
        made = {name: view.space.value(view.generator.choice((one, other)), name) for name in names}
        changed = {name: value for name, value in made.items() if value != view.space.value(view.best, name)}
        offer = view.offer(changed)
        if offer:
            return offer
    return None


def gather(view: View):
    """What gained alone, beside what the best one sets."""
    return first(view.offer(gain) for gain in view.gains if not gain.keys() & view.best.keys())


def repair(view: View):
    """What would be the best, were it not too dear: with what the best one has, with each relief, with several, or with
    any parameter more."""
    if view.near is None:
        return None
    several = [{name: value for relief in view.reliefs[:number] for name, value in relief.items()}
               for number in range(2, len(view.reliefs) + 1)]
    joined = [made for more in (view.best, *view.reliefs, *several) for made in ({**more, **view.near},
                                                                                 {**view.near, **more})]
    return first(view.offer(made, base={}) for made in joined) or first(
        view.offer({name: view.other(name, view.near)}, base=view.near) for name in view.arms if name not in view.near)


def fresh(view: View):
    """From the default, a few parameters to any value: away from where all others look."""
    for _try in range(TRIES):
        names = view.generator.sample(view.arms, min(JUMPS, len(view.arms)))
        offer = view.offer({name: view.generator.choice(view.space.ladders[name]) for name in names}, base={})
        if offer:
            return offer
    return None


STRATEGIES = {move.__name__: move for move in (
    step, jump, extreme, onward, between, pair, axis, back, mix, gather, repair, fresh)}
