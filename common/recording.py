# SPDX-License-Identifier: MIT
"""Record what a program asks of malloc: a trace, as a file of build/inputs. The variant that records is preloaded."""

import sys
from pathlib import Path

from common import files, launch, paths, workloads
from common.arguments import Parser
from common.errors import Failure, UserError, guard

NAME = "hakmem.trace"
ENDED = 1       # byte 20 of a trace: with the program (docs/trace.md)
LARGEST_MB = 1024


def record(workload, so, out: Path):
    """Runs the workload, and keeps the trace of the process that it began with."""
    found = {}

    def keep(scratch):
        path = scratch / NAME
        found["trace"] = path.read_bytes() if path.exists() else b""

    launch.launch(workload, so, keep=keep,
                  extra_env={"HAKMEM_TRACE": f"{{scratch}}/{NAME}", "HAKMEM_TRACE_MB": str(LARGEST_MB)})
    if not found["trace"].startswith(b"HAKTRACE"):
        raise Failure(f"{so} recorded nothing of '{workload.name}': it must be a variant with the feature record")
    if found["trace"][20] != ENDED:
        raise Failure(f"the trace of '{workload.name}' is not whole: its program must end by exit, "
                      f"within {LARGEST_MB} MiB")
    files.write_atomic(out, found["trace"])


def main(argv) -> int:
    """Command line."""
    parser = Parser(
        prog="common.recording",
        description="example: python3 -m common.recording --recording lua.trace "
                    "--so build/clang-learning/base/libhakmem.so -o build/inputs/lua.trace\n\n"
                    "Records one [[recording]] of bench/workloads.toml.")
    parser.add_argument("--recording", required=True)
    parser.add_argument("--so", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args(argv)
    rows = {row.name: row for row in workloads.load_recordings(paths.ROOT)}
    if arguments.recording not in rows:
        raise UserError(f"unknown recording '{arguments.recording}'; valid recordings: {', '.join(rows)}")
    record(rows[arguments.recording].workload(), arguments.so, arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
