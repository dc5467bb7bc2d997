# SPDX-License-Identifier: MIT
"""Write ninja edges: escaping, and nothing that ninja itself can do."""

import io
import re
from dataclasses import dataclass, field


def escape(path) -> str:
    """A path in a build line."""
    return str(path).replace("$", "$$").replace(" ", "$ ").replace(":", "$:")


def escape_value(value) -> str:
    """A variable's value that shall not be expanded."""
    return str(value).replace("$", "$$")


@dataclass(frozen=True)
class Edge:
    """One build statement. Paths and values may be given as anything that prints as them; they are kept as text."""
    outputs: tuple
    rule: str
    inputs: tuple = ()
    implicit: tuple = ()
    order_only: tuple = ()
    implicit_outputs: tuple = ()
    variables: dict = field(default_factory=dict)
    comment: str = ""       # a line above it

    def __post_init__(self):
        for name in ("outputs", "inputs", "implicit", "order_only", "implicit_outputs"):
            object.__setattr__(self, name, tuple(map(str, getattr(self, name))))
        object.__setattr__(self, "variables", {name: str(value) for name, value in self.variables.items()})

    def text(self) -> str:
        """The statement in ninja's syntax. Values are ninja text: `$name` in them is expanded."""
        out = io.StringIO()
        if self.comment:
            out.write(f"# {self.comment}\n")
        out.write(f"build {' '.join(map(escape, self.outputs))}")
        _part(out, "|", self.implicit_outputs)
        out.write(f": {self.rule}")
        _part(out, "", self.inputs)
        _part(out, "|", self.implicit)
        _part(out, "||", self.order_only)
        out.write("\n")
        for name, value in self.variables.items():
            out.write(f"  {name} = {value}\n")
        return out.getvalue()


def _part(out, mark, paths):
    if paths:
        out.write(f" {mark}" if mark else "")
        out.write("".join(f" {escape(path)}" for path in paths))


def render(template: str, values: dict, edges) -> str:
    """The template with its @names@ filled in and the edges in place of @edges@. What is filled in is not looked at
    again: a command of the user's may have such names in it."""
    filled = {**values, "edges": "\n".join(edge.text() for edge in edges)}
    return re.sub(r"@(\w+)@", lambda found: filled.get(found[1], found[0]), template)
