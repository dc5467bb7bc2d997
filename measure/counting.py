# SPDX-License-Identifier: MIT
"""Measure one workload under one library: exact counts by callgrind, then a plain run and a traced run.

Writes OUT.json (metrics) and OUT.cg.gz (callgrind's output, from which order, BOLT profile and heatmap are made).
The callgrind output is rid of what differs from run to run (process id, scratch directory), so that an unchanged
library measures to an unchanged file and ninja prunes what follows.
"""

import contextlib
import gzip
import hashlib
import os
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from common import files, proc, provenance, tools, workloads
from common.arguments import Parser, result_file, shared_library
from common.errors import Failure, UserError, guard, tell
from common.launch import launch
from common.machine import machine
from common.paths import BENCH_PROGRAMS, FORGET, INPUTS, ROOT
from common.scratch import longer_names
from common.tree import LIBRARY
from measure import callgrind, elf, flow

SCHEMA = 1
LINE_BYTES, PAGE_BYTES = 64, 4096
HOT_SHARE = 0.99
OUTPUT = "callgrind.out"
NOT_WRITTEN = "can not open cache simulation output file"     # valgrind, of what it made itself as another user
# Of valgrind. No .valgrindrc of the user's, which may lie where a command runs. Without the pipe for a debugger, which
# is named by the process's number: one that a killed run left is in the way.
QUIET = ("-q", "--command-line-only=yes", "--vgdb=no")
USAGE, TRACE = "usage", "syscalls"
MEMORY_CALLS = frozenset(("mmap", "munmap", "mremap", "madvise", "mprotect", "brk"))
_STRACE = re.compile(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)\s*$")


@dataclass(frozen=True)
class Subject:
    """What is measured."""
    library: Path
    stage: str
    toolchain: str
    variant: str


def valgrind() -> str:
    """The valgrind program itself: Debian's `valgrind` is a shell script, which must not be preloaded."""
    for name in ("valgrind.bin", "valgrind"):
        found = shutil.which(name, path="/usr/bin:/usr/local/bin")
        if found:
            return found
    raise UserError("valgrind is missing; it counts instructions: apt-get install valgrind")


@contextlib.contextmanager
def readable_copy(library):
    """Path of a copy that valgrind reads right: without DWARF (3.19 stops at what clang 22 writes), and with one
    .text (elf.with_one_text). What is loaded and executed is the same."""
    if library is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="hakmem-so.") as directory:
        copy = Path(directory) / LIBRARY
        proc.run([tools.require("llvm-strip"), "--strip-debug", str(library), "-o", str(copy)])
        copy.write_bytes(elf.with_one_text(copy.read_bytes(), library))
        yield copy


def _cleaned(path: Path, scratch: Path) -> str:
    """Callgrind's output without what differs from run to run."""
    text = path.read_text(errors="replace").replace(f"{scratch}/", "./")
    return re.sub(r"^pid: \d+$", "pid: 0", text, count=1, flags=re.MULTILINE)


def whole(text: str) -> bool:
    """Whether an output of callgrind is one. A disk that was full, or a process that was killed while it wrote, leaves
    the beginning of one, which would be too small counts."""
    if callgrind.is_whole(text):
        return True
    if proc.full():
        raise Failure(f"callgrind could not write all of its counts{proc.full()}")
    tell("a process was killed, or came to a limit of its own for files, as it wrote its counts: it is not counted")
    return False


def outputs(scratch: Path, subject) -> list:
    """Callgrind's outputs of the run's processes, those with the library alone, in an order that repeats."""
    texts = sorted(filter(whole, (_cleaned(path, scratch) for path in scratch.glob(f"{OUTPUT}.*"))))
    if subject is None:
        return texts
    return [text for text in texts if re.search(rf"^c?ob=\(\d+\) .*/?{re.escape(LIBRARY)}$", text, re.M)]


def under_callgrind(workload, library, keep, timeout=None, flags=callgrind.FLAGS, extra_env=None):
    """One run; `keep(scratch, subject)` takes callgrind's outputs, OUTPUT.<pid>, of the library that was run."""
    wrapper = [valgrind(), *QUIET, *flags, f"--callgrind-out-file={{scratch}}/{OUTPUT}.%p"]
    with readable_copy(library) as subject:
        launch(workload, subject, wrapper=wrapper, keep=lambda scratch: keep(scratch, subject), timeout=timeout,
               steady=library is not None, companion=FORGET if workload.own else "", extra_env=extra_env)


def instructions(workload, library, timeout=None, extra_env=None) -> int:
    """Of the library's own code, in all processes of one run; without the caches it takes half the time."""
    return callgrind.parse(callgrind_output(workload, library, timeout, callgrind.INSTRUCTIONS, extra_env)).event("Ir")


def callgrind_output(workload, library, timeout=None, flags=callgrind.FLAGS, extra_env=None) -> str:
    """Callgrind's outputs of all processes of one run, without their ids and with the scratch directory as '.'."""
    kept = []
    try:
        under_callgrind(workload, library, lambda scratch, subject: kept.extend(outputs(scratch, subject)), timeout,
                        flags, extra_env)
    except Failure as error:
        if NOT_WRITTEN in str(error):
            raise Failure(f"workload '{workload.name}': {workload.command[0]} became another user, and valgrind could "
                          "no longer write its counts: let it run as that user from the start") from None
        if proc.EXPIRED in str(error) and workload.own and not workload.server:
            sentence, _line, more = str(error).partition("\n")
            raise Failure(f"{sentence}; it runs some fifty times longer under valgrind: ./configure.py --timeout, or "
                          f"make TIMEOUT={workload.timeout * 10}{_line}{more}") from None
        raise
    if not kept:
        raise Failure(f"workload '{workload.name}': no process of {workload.command[0]} loaded the library under "
                      "valgrind and wrote its counts: is it a static program, one that runs with another user's rights "
                      "or one that sets a limit for its files?")
    return "".join(kept)


def covering(counts, unit: int, share: float = HOT_SHARE) -> int:
    """How many aligned units of so many bytes hold that share of all executions, hottest first."""
    by_unit = {}
    for address, times in counts.items():
        by_unit[address // unit] = by_unit.get(address // unit, 0) + times
    needed, held = share * sum(by_unit.values()), 0
    for used, times in enumerate(sorted(by_unit.values(), reverse=True)):
        if held >= needed:
            return used
        held += times
    return len(by_unit)


def branch_misses(run) -> int:
    """Mispredictions of a predictor that always expects what a branch does most often. Callgrind's own one has a table
    that the program's branches share: equal runs differed by a factor of three."""
    taken, indirect = {}, {}
    for table in (run.branches, run.calls):     # a conditional tail call is reported as a call
        for (source, _target), times in table.items():
            if source in run.conditional:
                taken[source] = taken.get(source, 0) + times
    for (source, _target), times in run.jumps.items():
        indirect.setdefault(source, []).append(times)
    return sum(min(times, max(run.counts.get(source, 0) - times, 0)) for source, times in taken.items()) + \
        sum(sum(targets) - max(targets) for targets in indirect.values())


def text_bytes(library) -> int:
    """Bytes of executable sections, but for the old text that BOLT leaves in the file and never runs."""
    return sum(section.size for section in library.sections
               if section.executable and not section.name.startswith(".bolt.org"))


def count_metrics(run, library, instructions) -> dict:
    """The metrics that come from callgrind; see docs/pipeline.md for each."""
    exported = {symbol.address for symbol in library.exported}
    calls = {}
    for name, entry in run.entries.items():
        if entry.address in exported:
            calls[name] = entry.count
    if not calls:
        raise Failure(f"the program never called {library.path}: is it preloaded, and are its exports unversioned?")
    instructions_here = run.event("Ir")
    taken = sum(run.branches.values()) + sum(run.jumps.values()) + sum(run.calls.values()) + \
        flow.returns(instructions, run.counts)
    return {
        "ir_total": run.program_event("Ir"),
        "ir_alloc": instructions_here,
        "calls": calls,
        "ir_per_op": instructions_here / sum(calls.values()),
        "i1_miss_alloc": run.event("I1mr"),
        "d1_miss_alloc": run.event("D1mr") + run.event("D1mw"),
        "branch_miss_alloc": branch_misses(run),
        "taken_branches_alloc": taken,
        "lines99": covering(run.counts, LINE_BYTES),
        "pages99": covering(run.counts, PAGE_BYTES),
        "text_bytes": text_bytes(library),
    }


def usage_metrics(workload, library) -> dict:
    """Page faults and peak resident memory of a plain run; None without /usr/bin/time."""
    nothing = {"page_faults": None, "peak_rss_kib": None}
    program = shutil.which("time", path="/usr/bin:/bin")
    if not program:
        return nothing
    kept = {}
    launch(workload, library,
           wrapper=[program, "-q", "-f", "%R %F %M", "-o", f"{{scratch}}/{USAGE}", "/usr/bin/env", "{preload}"],
           keep=lambda scratch: kept.update(text=(scratch / USAGE).read_text()))
    words = kept["text"].split()
    if len(words) != 3:
        raise Failure(f"workload '{workload.name}': {program} left no figures of its run{proc.full()}")
    minor, major, peak = words
    return {"page_faults": int(minor) + int(major), "peak_rss_kib": int(peak)}


def parse_strace(text: str) -> dict:
    """System call name -> times, from `strace -c` output."""
    return {match[2]: int(match[1]) for match in map(_STRACE.match, text.splitlines())
            if match and match[2] != "total"}


def strace() -> str:
    """The program, or "" where there is none."""
    return shutil.which("strace", path="/usr/bin:/bin") or ""


def system_calls(workload, library, timeout=None, environment=None) -> dict:
    """Name -> times, of the whole program in one run, with these variables for the program alone."""
    kept, tracer = {}, strace()
    words = [word for name, value in (environment or {}).items() for word in ("-E", f"{name}={value}")]

    def keep(scratch):
        kept["text"] = (scratch / TRACE).read_text() if (scratch / TRACE).exists() else ""

    # -D: what ends is the program, whatever it leaves running, and a signal reaches it and not the tracer
    launch(workload, library, keep=keep, timeout=timeout, tracer=os.path.basename(tracer),
           wrapper=[tracer, "-D", "-f", "-c", "-o", f"{{scratch}}/{TRACE}", "-E", "{preload}", *words])
    if not kept["text"]:
        raise Failure(f"workload '{workload.name}': what it leaves running does not end, and so the tracer was ended")
    return parse_strace(kept["text"])


def syscall_metrics(workload, library) -> dict:
    """System calls of the whole program, and those about memory; None where strace is missing or not permitted."""
    nothing = {"syscalls": None, "memory_syscalls": None}
    if not strace():
        return nothing
    try:
        calls = system_calls(workload, library)
    except Failure:
        return nothing      # ptrace is often forbidden in containers; the plain run has shown that the program works
    return {"syscalls": sum(calls.values()),
            "memory_syscalls": sum(times for name, times in calls.items() if name in MEMORY_CALLS)}


def programs_of(workload) -> list:
    """The programs of an own command or server: who builds them again while the pipeline runs compares two programs."""
    return sorted({name for name in (workload.command[0], *workload.watch) if os.path.isfile(name)
                   and os.access(name, os.X_OK)} if workload.own else ())


def workload_digest(workload) -> str:
    """What is run: command, environment, inputs and program, and how long the names of its files are. Measurements
    compare only when it is the same."""
    digest = hashlib.sha256(repr((workload.command, sorted(workload.env.items()))).encode(errors="surrogateescape"))
    if more := longer_names():
        digest.update(f"names longer by {more}\n".encode())
    for name in programs_of(workload):
        digest.update(f"{files.sha256(name)}\n".encode())
    for top in [INPUTS / name for name in workload.inputs] + [BENCH_PROGRAMS / name for name in workload.programs()]:
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file():
                digest.update(f"{path.relative_to(top.parent)}\0{files.sha256(path)}\n".encode())
    return digest.hexdigest()


def record(subject, workload, metrics) -> dict:
    """The measurement as it is written."""
    origin = provenance.Provenance(
        source=files.sha256(subject.library), toolchain=subject.toolchain, compiler=subject.toolchain,
        variant=subject.variant, stage=subject.stage, workload=workload.name, flags=" ".join(callgrind.FLAGS),
        machine=machine().platform)
    return {"schema": SCHEMA, "kind": "measure", "provenance": provenance.as_dict(origin), "workload": workload.name,
            "digest": workload_digest(workload),
            "role": workload.role, "weight": workload.weight, "gate": workload.gate, "stage": subject.stage,
            "metrics": metrics}


def measure(subject, workload, *, counts_only=False) -> tuple:
    """(record, callgrind output) of one workload."""
    library = elf.read(subject.library)
    text = callgrind_output(workload, subject.library)
    metrics = count_metrics(callgrind.parse(text), library, flow.disassemble(subject.library))
    if not counts_only and not workload.server:
        metrics.update(usage_metrics(workload, subject.library))
        metrics.update(syscall_metrics(workload, subject.library))
    return record(subject, workload, metrics), text


def main(argv) -> int:
    parser = Parser(
        prog="measure.counting",
        description="example: python3 -m measure.counting --workload python --so B/base/libhakmem.so --stage base "
                    "-o B/measure/base/python.json\n\nMeasure one workload under one library.")
    parser.add_argument("--workload", required=True)
    parser.add_argument("--so", type=shared_library, required=True)
    parser.add_argument("--stage", default="base")
    parser.add_argument("--toolchain", default="")
    parser.add_argument("--variant", default="")
    parser.add_argument("-o", "--output", type=result_file, required=True, help="the .cg.gz is written beside it")
    arguments = parser.parse_args(argv)
    (workload,) = workloads.select(workloads.load_workloads(ROOT), [arguments.workload])
    subject = Subject(arguments.so, arguments.stage, arguments.toolchain, arguments.variant)
    result, text = measure(subject, workload)
    files.write_atomic(arguments.output.with_suffix(".cg.gz"), gzip.compress(text.encode(), 6, mtime=0))
    files.write_json(arguments.output, result)
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
