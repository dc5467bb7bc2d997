# SPDX-License-Identifier: MIT
"""A policy as constants: the table of core/ with its values as the defaults. A compile that is given the directory
above it by -iquote finds it before that of core/."""

import sys
from pathlib import Path

from common import files
from common.arguments import Parser
from common.errors import guard
from common.paths import ROOT
from plan import policy

EXAMPLE = ("example: python3 -m learn.bake --policy policy/learned.toml "
           "-o build/clang-bench_minimal/policy/tuned/base/policy.def")


def main(argv) -> int:
    """Write the table."""
    parser = Parser(prog="learn.bake", usage=f"{EXAMPLE}\n\n       %(prog)s [options]",
                    description=__doc__)
    parser.add_argument("--policy", type=Path, required=True, help="a policy file")
    parser.add_argument("-o", dest="out", type=Path, required=True, help="the table")
    arguments = parser.parse_args(argv)
    text = (ROOT / policy.TABLE).read_text()
    found = policy.read(arguments.policy, policy.parse_rows(text, policy.TABLE))
    files.write_atomic(arguments.out, policy.bake(text, found.values))
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
