"""Unpack a merged gcc profile: each source's .gcda to where its compile looks for it, unchanged files untouched."""

import argparse
import sys
import tarfile
from pathlib import Path

from common import files
from common.errors import Failure, guard

EXAMPLE = "example: python3 -m pgo.unpack --into build/gcc-bench_minimal/gcov merged.gcda.tar core/base/message.gcda"


def parse(argv):
    """Command line."""
    parser = argparse.ArgumentParser(prog="pgo.unpack", usage=f"{EXAMPLE}\n\n       %(prog)s [options] TAR NAME...",
                                     description=__doc__)
    parser.add_argument("--into", required=True, type=Path)
    parser.add_argument("archive", type=Path)
    parser.add_argument("names", nargs="+", help="what must be in it")
    return parser.parse_args(argv)


def main(argv) -> int:
    """Unpack."""
    arguments = parse(argv)
    with tarfile.open(arguments.archive) as archive:
        held = {member.name: archive.extractfile(member).read() for member in archive.getmembers()}
    missing = [name for name in arguments.names if name not in held]
    if missing:
        raise Failure(f"{arguments.archive} lacks {', '.join(missing)}: train again with `ninja pgo`")
    for name in arguments.names:
        files.write_atomic(arguments.into / name, held[name])
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
