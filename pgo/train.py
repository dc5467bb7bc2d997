"""Run one workload under the instrumented library and keep its profile."""

import argparse
import sys
from pathlib import Path

from common import files, proc, workloads
from common.errors import Failure, UserError, guard
from common.launch import launch
from common.paths import ROOT
from common.scratch import Scratch
from pgo import kinds

EXAMPLE = ("example: python3 -m pgo.train --workload python --toolchain clang --variant bench_minimal "
           "--so build/clang-bench_minimal/train/libhakmem.so "
           "-o build/clang-bench_minimal/train/python.profdata")


FIXED_ADDRESSES = ["/usr/bin/setarch", "-R"]


def wrapper() -> list:
    """Run at fixed addresses, since a few of the allocator's paths depend on them and equal runs shall give equal
    profiles. Where the machine forbids it, the profile is as good but differs a little each time."""
    try:
        permitted = proc.run([*FIXED_ADDRESSES, "/bin/true"], check=False).returncode == 0
    except UserError:
        permitted = False
    return [*FIXED_ADDRESSES, "/usr/bin/env", "{preload}"] if permitted else []


def parse(argv):
    """Command line."""
    parser = argparse.ArgumentParser(prog="pgo.train", usage=f"{EXAMPLE}\n\n       %(prog)s [options]",
                                     description=__doc__)
    parser.add_argument("--workload", required=True, help="a row of bench/workloads.toml, or one of your own (user1)")
    parser.add_argument("--so", required=True, type=Path, help="the instrumented library")
    parser.add_argument("--toolchain", required=True, help="clang or gcc")
    parser.add_argument("--variant", default="", help="for the record beside the profile")
    parser.add_argument("--timeout", type=float, help="seconds (default: the workload's own)")
    parser.add_argument("-o", dest="out", required=True, type=Path, help="the profile; OUT.json stands beside it")
    return parser.parse_args(argv)


def main(argv) -> int:
    """Train on one workload."""
    arguments = parse(argv)
    kind = kinds.kind_of(arguments.toolchain)
    workload = workloads.select(workloads.load_workloads(ROOT), [arguments.workload])[0]
    kept = []
    launch(workload, arguments.so, wrapper=wrapper(), extra_env=kind.ENVIRONMENT, timeout=arguments.timeout, steady=True,
           keep=lambda scratch: kept.append(kind.collect(scratch, arguments.so)))
    with Scratch() as scratch:
        profile = scratch / f"profile.{kind.SUFFIX}"
        profile.write_bytes(kept[0])
        if kind.total(profile) == 0:
            raise Failure(f"the profile of '{workload.name}' is empty: the run called nothing of {arguments.so}")
    record = kinds.make_record(arguments.toolchain, arguments.variant, workload.name, arguments.so)
    files.write_atomic(arguments.out, kept[0])
    files.write_json(kinds.record_path(arguments.out), record)
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
