# SPDX-License-Identifier: MIT
"""Libraries for policies that set what a library only has compiled in (scope `build` of core/base/policy.def). The
graph builds them beside the variant that learns (plan/library.py), a library for each set of such values. They read the
policy file as any other does: what it says of these values is what they are.
"""

from pathlib import Path

from common.errors import UserError
from common.tree import Tree, judged
from learn.space import key_of
from plan import policy


class Builds:
    """The library of a policy and of whatever is left of it without one parameter. `so` is the one without any."""

    def __init__(self, so: Path, values=None, rows=()):
        self.rows, tree = rows, Tree(so.parent.parent)
        self.libraries = {(): so}
        for built in policy.builds(values or {}, rows):
            self.libraries[key_of(built)] = path = tree.library(judged(built))
            if not path.exists():
                raise UserError(f"{path} is missing, which has {words(built)} compiled in: run configure.py again with "
                                "this policy, and ninja builds it")

    def library(self, values: dict) -> Path | None:
        """Under which these values run; None where no build can have them together."""
        if self.rows and not policy.can_be(values, self.rows):
            return None
        return self.libraries[key_of(policy.compiled(values, self.rows))]


def words(values: dict) -> str:
    """`name = value`s."""
    return ", ".join(f"{name} = {value}" for name, value in values.items())
