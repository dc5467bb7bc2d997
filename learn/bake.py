# SPDX-License-Identifier: MIT
"""A policy as constants: the table of core/ with its values as the defaults. A compile that is given the directory
above it by -iquote finds it before that of core/."""

import sys
from pathlib import Path

from common import files
from common.arguments import Parser
from common.errors import UserError, guard
from common.paths import ROOT
from plan import policy

EXAMPLE = ("example: python3 -m learn.bake --policy policy/learned.toml "
           "-o build/clang-bench_minimal/policy/tuned/base/policy.def")


def values_of(text: str, rows) -> dict:
    """NAME=NUMBER,NAME=NUMBER"""
    def complain(_key, sentence):
        raise UserError(f"--values: {sentence}")

    pairs = [word.partition("=") for word in text.split(",")]
    values = {name: int(number) if number.isdecimal() else number for name, _sign, number in pairs}
    policy.check_values(values, rows, complain)
    return values


def main(argv) -> int:
    """Write the table."""
    parser = Parser(prog="learn.bake", usage=f"{EXAMPLE}\n\n       %(prog)s [options]",
                    description=__doc__)
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("--policy", type=Path, help="a policy file")
    given.add_argument("--values", metavar="NAME=N,NAME=N", help="values in place of one")
    parser.add_argument("-o", dest="out", type=Path, required=True, help="the table")
    arguments = parser.parse_args(argv)
    text = (ROOT / policy.TABLE).read_text()
    rows = policy.parse_rows(text, policy.TABLE)
    values = policy.read(arguments.policy, rows).values if arguments.policy else values_of(arguments.values, rows)
    files.write_atomic(arguments.out, policy.bake(text, values))
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
