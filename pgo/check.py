# SPDX-License-Identifier: MIT
"""Check a merged profile before anything is compiled with it: non-empty, of this build, and of the whole API."""

import sys
from pathlib import Path

from common import files, provenance
from common.arguments import Parser
from common.errors import Failure, guard
from common.paths import ROOT
from pgo import kinds

EXAMPLE = ("example: python3 -m pgo.check --toolchain clang --variant bench_minimal "
           "--so build/clang-bench_minimal/train/libhakmem.so "
           "-o checked.json build/clang-bench_minimal/pgo/merged.profdata")
MUST_COUNT = ("malloc", "free", "calloc", "realloc")


def api_counts(counts: dict) -> dict:
    """The counts of the four functions without which a profile is not of a malloc."""
    missing = [name for name in MUST_COUNT if counts.get(name, 0) == 0]
    if missing:
        raise Failure(f"the profile has no counts for {', '.join(missing)}: the instrumented library was not used, or "
                      "no training workload calls it; see the rows with role \"train\" in bench/workloads.toml")
    return {name: counts[name] for name in MUST_COUNT}


def check_record(record: dict, toolchain: str, variant: str, so):
    """Of this toolchain, variant and instrumented library; without one (a given profile), of these sources."""
    have = provenance.from_dict(record["provenance"])
    want = provenance.Provenance(source=files.source_hash(ROOT) if so is None else have.source, toolchain=toolchain,
                                 compiler=kinds.compiler_version(toolchain), variant=variant, stage="train",
                                 workload=have.workload, flags="", machine=have.machine)
    provenance.require_same(have, want, ("toolchain", "compiler", "variant", "source"))
    if so is not None and record["instrumented"] != files.sha256(so):
        raise Failure(f"stale profile: it is not of the present {so}: rebuild with `ninja pgo`")


def parse(argv):
    """Command line."""
    parser = Parser(prog="pgo.check", usage=f"{EXAMPLE}\n\n       %(prog)s [options] PROFILE",
                    description=__doc__)
    parser.add_argument("--toolchain", required=True, help="clang or gcc")
    parser.add_argument("--variant", required=True)
    parser.add_argument("--so", type=Path, help="the instrumented library; left out for a profile that was given")
    parser.add_argument("--notes", type=Path, help="gcc: the directory of the .gcno files")
    parser.add_argument("-o", dest="out", required=True, type=Path, help="JSON: the counts of the API functions")
    parser.add_argument("profile", type=Path)
    return parser.parse_args(argv)


def main(argv) -> int:
    """Check, and write what was found."""
    arguments = parse(argv)
    kind = kinds.kind_of(arguments.toolchain)
    check_record(kinds.read_record(arguments.profile), arguments.toolchain, arguments.variant, arguments.so)
    counts = kind.functions(arguments.profile, arguments.notes)
    if not any(counts.values()):
        raise Failure(f"{arguments.profile} is empty: it counts nothing; train again with `ninja pgo`")
    checked = api_counts(counts) if arguments.notes or arguments.toolchain == "clang" else {}
    files.write_json(arguments.out, {"schema": 1, "functions": sum(1 for value in counts.values() if value),
                                     "counts": checked})
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
