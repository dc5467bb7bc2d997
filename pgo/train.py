# SPDX-License-Identifier: MIT
"""Run one workload under the instrumented library and keep its profile."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from common import files, proc, workloads
from common.arguments import Parser, result_file, seconds
from common.errors import Failure, UserError, guard
from common.launch import launch
from common.paths import BENCH_PROGRAMS, ROOT, WITNESS
from common.scratch import Scratch
from common.tree import SUFFIX, Tree
from pgo import counters, kinds

EXAMPLE = ("example: python3 -m pgo.train --workload python --toolchain clang --variant bench_minimal "
           "--so build/clang-bench_minimal/train/libhakmem.so "
           "-o build/clang-bench_minimal/train/python.profdata")

FIXED_ADDRESSES = ["/usr/bin/setarch", "-R"]
# What the C library's callers may call for memory, as both sides count it.
REQUESTS = ("malloc", "calloc", "realloc", "memalign", "aligned_alloc", "posix_memalign", "_Znwm", "_Znam",
            "_ZnwmRKSt9nothrow_t", "_ZnamRKSt9nothrow_t", "_ZnwmSt11align_val_t", "_ZnamSt11align_val_t")
REQUESTED, LOST, STARTED, TOLD = range(4)       # what pgo/witness.c counts
LEAST_SHARE, SLACK = 0.8, 1000      # of the requests that were to be seen: programs with threads vary a little, and one
LEAST_PROCESSES = 0.5               # that is ended in the background may have come farther, or less far


@dataclass(frozen=True)
class Seen:
    """How many processes and requests for memory a run had, the programs behind them, and what a server answered."""
    processes: int
    mallocs: int
    programs: tuple = ()
    answers: int = 0

    def __str__(self):
        more = " or more" if self.processes >= counters.SLOTS else ""      # the last of the records is of all others
        return f"{self.processes:,}{more} {'process' if self.processes == 1 else 'processes'}, {self.mallocs:,} mallocs"


def wrapper(workload) -> list:
    """Run at fixed addresses, since a few of the allocator's paths depend on them and equal runs shall give equal
    profiles; the project's own workloads also on one processor, where threads meet each other alike each time. Where
    the machine forbids it, the profile is as good but differs a little each time."""
    words = list(FIXED_ADDRESSES)
    if workload.server:
        return []
    if not workload.own:
        allowed = sorted(os.sched_getaffinity(0))
        words = ["/usr/bin/taskset", "-c", str(allowed[os.getpid() % len(allowed)]), *words]
    try:
        permitted = proc.run([*words, "/bin/true"], check=False).returncode == 0
    except UserError:
        permitted = False
    return [*words, "/usr/bin/env", "{preload}"] if permitted else []


def run(workload, so, timeout=None) -> tuple:
    """(the processes of one run under a library that counts, what a server answered meanwhile)"""
    kept = []
    done = launch(workload, so, wrapper=wrapper(workload), timeout=timeout, steady=True, beside=(counters.make,),
                  keep=lambda scratch: kept.extend(counters.read(scratch)))
    return tuple(kept), done.server.requests if done.server else 0


def programs_of(processes) -> tuple:
    """The names of the programs, each once."""
    return tuple(dict.fromkeys(os.path.basename(process.program) for process in processes))


def expected(workload, timeout=None) -> Seen:
    """What there is to be seen: the same run on the C library, with its requests counted."""
    processes, answers = run(workload, BENCH_PROGRAMS / WITNESS, timeout)
    requests = sum(process.counts[REQUESTED] for process in processes)
    return Seen(len(processes), requests, programs_of(processes), answers)


def check_seen(workload, seen: Seen, wanted: Seen):
    """Failure when the training run missed much of what the program does. A load that lasts a while asks a slower
    server less often."""
    share = LEAST_SHARE * (min(1.0, seen.answers / wanted.answers) if wanted.answers else 1.0)
    if seen.processes < LEAST_PROCESSES * wanted.processes or seen.mallocs + SLACK < share * wanted.mallocs:
        raise Failure(f"training on '{workload.name}' saw {seen} of {wanted} ({', '.join(wanted.programs)}): a profile "
                      "of so small a part would tailor the library to something else; does it drop LD_PRELOAD, or end "
                      "its processes before their work is done?")


def train(workload, arguments, kind) -> tuple:
    """(profile, what was seen, what was to be seen)"""
    wanted = expected(workload, arguments.timeout)
    processes, answers = run(workload, arguments.so, arguments.timeout)
    if not processes or not any(map(any, (process.counts for process in processes))):
        raise Failure(f"the run of '{workload.name}' left no counts: {workload.command[0]} does not load "
                      f"{arguments.so.name}; is it a static or 32-bit program, or one that runs with another user's "
                      "rights?")
    with Scratch() as scratch:
        made = kind.make(arguments.so, counters.total(processes), scratch)
        profile = scratch / f"profile.{SUFFIX[arguments.toolchain]}"
        profile.write_bytes(made)
        called = kind.calls(profile, Tree(arguments.so.parent.parent).notes)
    seen = Seen(len(processes), sum(called.get(name, 0) for name in REQUESTS), programs_of(processes),
                answers)
    return made, seen, wanted


def parse(argv):
    """Command line."""
    parser = Parser(prog="pgo.train", usage=f"{EXAMPLE}\n\n       %(prog)s [options]",
                    description=__doc__)
    parser.add_argument("--workload", required=True, help="a row of bench/workloads.toml, or one of your own (user1)")
    parser.add_argument("--so", required=True, type=Path, help="the instrumented library")
    parser.add_argument("--toolchain", required=True, help="clang or gcc")
    parser.add_argument("--variant", default="", help="for the record beside the profile")
    parser.add_argument("--timeout", type=seconds(0), help="seconds (default: the workload's own)")
    parser.add_argument("-o", dest="out", required=True, type=result_file,
                        help="the profile; OUT.json stands beside it")
    return parser.parse_args(argv)


def main(argv) -> int:
    """Train on one workload."""
    arguments = parse(argv)
    kind = kinds.kind_of(arguments.toolchain)
    workload = workloads.select(workloads.load_workloads(ROOT), [arguments.workload])[0]
    made, seen, wanted = train(workload, arguments, kind)
    print(f"trained on '{workload.name}': {seen} (expected {wanted})")
    check_seen(workload, seen, wanted)
    record = kinds.make_record(arguments.toolchain, arguments.variant, workload.name, arguments.so)
    files.write_atomic(arguments.out, made)
    files.write_json(kinds.record_path(arguments.out), record)
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
