# SPDX-License-Identifier: MIT
"""What became of the policy that a build was given: its verdict, what it changes in held-out runs, and what each of its
parameters brought where it was learned."""

import sys

from common import files, workloads
from common.arguments import Parser
from common.errors import guard
from common.paths import ROOT
from common.tree import GIVEN, Tree, build_tree
from learn import table
from learn.attribute import Part
from learn.objective import WEIGHED
from plan import policy

EXAMPLE = "example: python3 -m learn.show --build build/clang-bench_minimal"


def parts_of(parameters, rows) -> list:
    """The rows of a policy file as the table takes them; what another version of the library wrote, or a person, may
    lack something."""
    known = {row.name for row in rows}
    found = []
    for row in parameters:
        changes = {name: row.get(name, 0.0 if name == "end_bytes" else None) for name in WEIGHED}
        whole = all(isinstance(value, int | float) for value in changes.values())
        if row.get("name") in known and isinstance(row.get("value"), int):
            found.append(Part(row["name"], row["value"], 0.0, changes if whole else {}))
    return found


def title_of(recorded: str, titles: dict) -> str:
    """What people call a process of a workload: the program, and which one of its processes."""
    name, dot, process = recorded.partition(".")
    return f"{titles.get(name, name)}{dot and f', process {process}'}"


def shown(tree: Tree, rows) -> str:
    """The text; "" where no policy was given."""
    if not tree.has_policy:
        return ""
    verdict = files.read_fields(tree.gate(GIVEN), "sentence", "accepted")
    replays = files.read_fields(tree.replay, "workloads", "parameters", "parts")
    head = "compiled in" if verdict["accepted"] else "left out"
    lines = [f"{tree.label}: the policy is {head}", f"  {verdict['sentence']}"]
    if replays["workloads"]:
        titles = workloads.titles(workloads.load_workloads(ROOT))
        lines += table.figure_lines([(title_of(name, titles), table.weighed_rows(row["before"], row["after"]))
                                     for name, row in replays["workloads"].items()])
    for title, listed in (("what each parameter brings there", "parts"), ("and where it was learned", "parameters")):
        if parts := parts_of(replays[listed], rows):
            lines += ["", title, *table.parameter_lines(parts, rows)]
    return "\n".join(lines)


def main(argv) -> int:
    """Show it for each tree."""
    parser = Parser(prog="learn.show", usage=f"{EXAMPLE}\n\n       %(prog)s [options]",
                    description=__doc__)
    parser.add_argument("--build", type=build_tree, action="append", required=True, metavar="B", help="a build tree")
    rows = policy.load_rows(ROOT)
    for path in parser.parse_args(argv).build:
        text = shown(Tree(path), rows)
        print(f"{text}\n" if text else "", end="")
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
