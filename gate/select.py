# SPDX-License-Identifier: MIT
"""Carry a gate's verdict into the build: which objects, which order and which library go on.

Every file is written only when its content changes, so that an unchanged verdict prunes what follows.
"""

import sys

from common import files
from common.arguments import Parser
from common.errors import UserError, guard
from common.paths import ROOT
from common.tree import GIVEN, Tree, build_tree
from plan.policy import TABLE


def accepted(tree: Tree, stage: str) -> bool:
    """Whether the stage's gate let it pass."""
    path = tree.gate(stage)
    try:
        return bool(files.read_fields(path, "accepted")["accepted"])
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run `python3 -m gate.gate --stage {stage} --build {tree.root}`") from None


def write_stage(tree: Tree, name: str, stage: str):
    """select/<name>.json."""
    files.write_json(tree.select(f"{name}.json"), {"stage": stage, "so": str(tree.library(stage))})


def select_policy(tree: Tree, _objects):
    """The table of what can be tuned, with the policy's values where it paid: select/tuned/ and select/policy.json."""
    keep = accepted(tree, GIVEN)
    table = tree.tuned_table(GIVEN) if keep else ROOT / TABLE
    files.write_atomic(tree.tuned_table("select"), table.read_text())
    write_stage(tree, GIVEN, GIVEN if keep else "base")


def select_compile(tree: Tree, objects):
    """Objects of the compile stage that goes on: select/objects.rsp and select/compile.json."""
    if not objects:
        raise UserError("give the object files' names with --objects")
    stage = "pgo" if accepted(tree, "pgo") else tree.before("pgo")
    files.write_atomic(tree.select("objects.rsp"), "".join(f"{tree.object(stage, name)}\n" for name in objects))
    write_stage(tree, "compile", stage)


def select_order(tree: Tree, _objects):
    """The symbol order that goes on, empty when it did not pay: select/order.txt and select/layout.json."""
    keep = accepted(tree, "layout")
    text = tree.order.read_text() if keep else ""
    files.write_atomic(tree.select("order.txt"), text)
    write_stage(tree, "layout", "layout" if keep else tree.chosen("compile"))


def select_ship(tree: Tree, _objects):
    """The library that ships: select/ship.json."""
    write_stage(tree, "ship", "bolt" if accepted(tree, "bolt") else tree.chosen("layout"))


STEPS = {GIVEN: select_policy, "compile": select_compile, "order": select_order, "ship": select_ship}


def main(argv) -> int:
    parser = Parser(
        prog="gate.select",
        description="example: python3 -m gate.select ship --build build/clang-bench_minimal\n\n"
                    "Write select/* of a build tree by the gates' verdicts.")
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("--build", type=build_tree, required=True, metavar="B")
    parser.add_argument("--objects", nargs="+", default=[], help="object files, relative to a stage's directory")
    arguments = parser.parse_args(argv)
    STEPS[arguments.step](Tree(arguments.build), arguments.objects)
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
