# SPDX-License-Identifier: MIT
"""Unpack a merged gcc profile: each source's .gcda to where its compile looks for it, unchanged files untouched."""

import hashlib
import sys
from pathlib import Path

from common import files
from common.arguments import Parser
from common.errors import guard
from pgo import gcc_profile

EXAMPLE = ("example: python3 -m pgo.unpack --into build/gcc-bench_minimal/gcov "
           "-o build/gcc-bench_minimal/gcov/unpacked.json build/gcc-bench_minimal/pgo/merged.gcda.tar")


def parse(argv):
    """Command line."""
    parser = Parser(prog="pgo.unpack", usage=f"{EXAMPLE}\n\n       %(prog)s [options] TAR",
                    description=__doc__)
    parser.add_argument("--into", required=True, type=Path)
    parser.add_argument("-o", dest="out", required=True, type=Path, help="JSON: the digest of each file")
    parser.add_argument("archive", type=Path)
    return parser.parse_args(argv)


def main(argv) -> int:
    """Unpack. A source without functions has no .gcda, and must not find that of an earlier version of itself."""
    arguments = parse(argv)
    held = gcc_profile.members(arguments.archive)
    for path in arguments.into.rglob("*.gcda"):
        if str(path.relative_to(arguments.into)) not in held:
            path.unlink()
    for name, content in held.items():
        files.write_atomic(arguments.into / name, content)
    files.write_json(arguments.out, {name: hashlib.sha256(content).hexdigest() for name, content in held.items()})
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
