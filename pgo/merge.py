# SPDX-License-Identifier: MIT
"""Merge the workloads' profiles, each scaled to its weight: a long run counts no more than a short one."""

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path

from common import files, provenance
from common.arguments import Parser
from common.errors import Failure, UserError, guard
from common.scratch import Scratch
from pgo import kinds

EXAMPLE = "example: python3 -m pgo.merge --toolchain clang -o merged.profdata 2:python.profdata 1:sqlite.profdata"
SCALE = 16      # the profile that needs the least scaling is multiplied by this: rounding costs at most 1/32


@dataclass(frozen=True)
class Part:
    """One workload's profile."""
    path: Path
    weight: int
    total: int


def scale_factors(parts) -> list:
    """An integer for each part, so that total * factor is in the proportion of the weights."""
    longest = max(part.total / part.weight for part in parts)
    return [max(1, round(SCALE * longest * part.weight / part.total)) for part in parts]


def parse_part(word: str):
    """`2:path` -> (2, path)"""
    weight, found, path = word.partition(":")
    if not found or not weight.isdecimal() or int(weight) < 1:
        raise UserError(f"'{word}' is not WEIGHT:PROFILE with a weight of 1 or more")
    return int(weight), Path(path)


def merged_record(records, factors) -> dict:
    """The record of a merge; all parts must be of one instrumented library."""
    origins = [provenance.from_dict(record["provenance"]) for record in records]
    names = [origin.workload for origin in origins]
    for name, record in zip(names, records):
        if record["instrumented"] != records[0]["instrumented"]:
            raise Failure(f"the profiles of {names[0]} and {name} are of different libraries: "
                          "train again with `ninja pgo`")
    made = dataclasses.replace(origins[0], workload=",".join(names))
    return {"schema": 1, "provenance": provenance.as_dict(made), "instrumented": records[0]["instrumented"],
            "factors": dict(zip(names, factors))}


def parse(argv):
    """Command line."""
    parser = Parser(prog="pgo.merge", usage=f"{EXAMPLE}\n\n       %(prog)s [options] W:IN...",
                    description=__doc__)
    parser.add_argument("--toolchain", required=True, help="clang or gcc")
    parser.add_argument("-o", dest="out", required=True, type=Path, help="the merged profile")
    parser.add_argument("parts", nargs="+", metavar="W:IN", help="weight and profile of one workload")
    return parser.parse_args(argv)


def main(argv) -> int:
    """Merge."""
    arguments = parse(argv)
    kind = kinds.kind_of(arguments.toolchain)
    pairs = [parse_part(word) for word in arguments.parts]
    parts = [Part(path, weight, kind.total(path)) for weight, path in pairs]
    for part in parts:
        if part.total == 0:
            raise Failure(f"{part.path} has no counts: train again with `ninja pgo`")
    factors = scale_factors(parts)
    records = [kinds.read_record(part.path) for part in parts]
    record = merged_record(records, factors)
    with Scratch() as scratch:
        merged = kind.merge([(part.path.resolve(), factor) for part, factor in zip(parts, factors)], scratch)
    files.write_atomic(arguments.out, merged)
    files.write_json(kinds.record_path(arguments.out), record)
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
