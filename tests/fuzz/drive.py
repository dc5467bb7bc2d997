# SPDX-License-Identifier: MIT
"""Run all fuzz targets side by side for a while. What they learn stays in build/fuzz: the next run starts there."""

import sys

from common import proc
from common.arguments import Parser, seconds
from common.errors import Failure, UserError, guard
from common.paths import BUILD
from common.pool import Pool
from tests.fuzz.seeds import write_seeds
from tests.support import FUZZING, ctests, program_of

EXAMPLE = """example: python3 -m tests.fuzz.drive --seconds 3600
         python3 -m tests.fuzz.drive --seconds 60 fuzz_options"""


def fuzz(row, seconds):
    """One target; a sentence about a finding, or "" when there is none."""
    room = BUILD / "fuzz" / row.name
    corpus = write_seeds(row.name, room / "corpus")
    before = set(room.glob("*-*"))
    words = [program_of(row), f"-max_total_time={seconds}", f"-artifact_prefix={room}/", "-print_final_stats=1",
             *(word for word in row.args if not word.startswith(("-runs=", "-seed="))), corpus]
    try:
        result = proc.run(words, env=FUZZING, timeout=seconds + 300, log=room / "log")
    except Failure as failure:
        found = sorted(set(room.glob("*-*")) - before)
        return f"{row.name}: {failure}\n    again with: {program_of(row)} {found[0] if found else corpus}"
    runs = [line for line in result.stderr.splitlines() if line.startswith("Done ")]
    print(f"{row.name}: {runs[-1] if runs else 'done'}", flush=True)
    return ""


def main(argv) -> int:
    """0 when nothing was found."""
    parser = Parser(prog="tests.fuzz.drive", usage=f"{EXAMPLE}\n\n       %(prog)s [options]",
                    description=__doc__)
    parser.add_argument("--seconds", type=seconds(kind=int), default=3600, help="for each target (3600)")
    parser.add_argument("targets", nargs="*", help="rows of tests/tests.toml (all of kind fuzz)")
    arguments = parser.parse_args(argv)
    rows = {row.name: row for row in ctests() if row.kind == "fuzz"}
    for name in arguments.targets:
        if name not in rows:
            raise UserError(f"unknown target '{name}'; valid targets: {', '.join(rows)}")
    chosen = [rows[name] for name in arguments.targets or rows]
    for row in chosen:
        if not program_of(row).exists():
            raise UserError(f"{program_of(row)} is not built: run `make tests`")
    with Pool(len(chosen)) as pool:
        findings = [said for said in pool.map(lambda row: fuzz(row, arguments.seconds), chosen) if said]
    if findings:
        raise Failure("\n".join(findings))
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
