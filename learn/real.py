# SPDX-License-Identifier: MIT
"""One real run of the user's own command under a policy: what a replay leaves out (the program's own memory, its start
and end, what the library does before the first event) is in it. Figures by the kind of run that shows them."""

import re
import shutil
from pathlib import Path

from common import idle, proc, tools
from common.errors import Failure, UserError
from common.launch import launch
from common.paths import BENCH_PROGRAMS, IDLE
from common.tree import LIBRARY
from plan import policy

# What a run is made under, and how many times as long as the recorded one it is thought to take.
PLAIN, CALLS, INSTRUCTIONS = "plain", "calls", "instructions"
KINDS = {PLAIN: 2.0, CALLS: 5.0, INSTRUCTIONS: 30.0}
SHOWS = {PLAIN: "time, memory and page faults", CALLS: "system calls", INSTRUCTIONS: "instructions of the library"}
LEAST_SECONDS = 0.2         # of a run: its directory, its process
USAGE, TRACE, OUTPUT = "usage", "syscalls", "callgrind.out"
NAMES = {"cpu": "CPU time", "peak": "peak memory", "after": "memory behind the work", "faults": "page faults",
         "calls": "system calls", "instructions": "instructions of the library"}
_TOTAL = re.compile(r"^\s*[\d.]+\s+[\d.]+\s+(?:\d+\s+)?(\d+)\s+(?:\d+\s+)?total\s*$", re.MULTILINE)
_OBJECT = re.compile(r"(c?)ob=(\(\d+\))(?: (.*))?")


def parse_calls(text: str) -> int:
    """How many system calls `strace -c` counted."""
    match = _TOTAL.search(text)
    if not match:
        raise Failure("strace -c wrote no total")
    return int(match[1])


def parse_instructions(text: str, library: str = LIBRARY) -> int:
    """Instructions of one object's own code in callgrind's output, of one process or of several."""
    found, names, inside, skip = 0, {}, False, False
    for line in text.splitlines():
        if line.startswith("# callgrind format"):
            names = {}
        elif match := _OBJECT.match(line):
            callee, number, path = match.groups()
            names.setdefault(number, path or "")
            inside = inside if callee else names[number].rpartition("/")[2] == library
        elif line.startswith("calls="):
            skip = True         # the line behind it is of what was called
        elif line[:1] in "0123456789+-*" and line:
            found += int(line.split()[1]) if inside and not skip else 0
            skip = False
    return found


class Real:
    """run(values, "NAME:KIND") -> figures, or None when the program failed under these values. Only without values is a
    failure the user's to hear."""

    def __init__(self, so: Path, workloads, scratch: Path, timeout: float):
        self.so, self.scratch, self.timeout = so, scratch, timeout
        self.workloads = {row.name: row for row in workloads}
        self.failures: list = []

    def __call__(self, values: dict, job: str):
        name, _colon, kind = job.partition(":")
        environment = {}
        if values:
            path = self.scratch / "real.toml"
            policy.write(path, policy.Policy(values))
            environment["HAKMEM_POLICY"] = str(path)
        try:
            return {PLAIN: self.plain, CALLS: self.calls, INSTRUCTIONS: self.instructions}[kind](
                self.workloads[name], environment)
        except Failure as error:
            if not values:
                raise
            self.failures.append(str(error).splitlines()[0])
            return None

    def plain(self, workload, environment) -> dict:
        """Time, memory and faults."""
        kept, shown = {}, []

        def keep(scratch):
            kept.update(word.split("=", 1) for word in (scratch / USAGE).read_text().split())
            shown.extend(idle.read(scratch))

        launch(workload, self.so, keep=keep, companion=IDLE, extra_env=idle.environment(0), timeout=self.timeout,
               wrapper=[str(BENCH_PROGRAMS / "bench_run"), f"{{scratch}}/{USAGE}", "{preload}",
                        *(f"{key}={value}" for key, value in environment.items())])
        found = {"cpu": float(kept["user"]) + float(kept["system"]), "peak": int(kept["peak_rss_kib"]),
                 "faults": int(kept["faults"])}
        return {**found, "after": max(shown).now_kib} if shown else found

    def calls(self, workload, environment) -> dict:
        """Calls of the system, of all processes."""
        kept = {}
        words = [word for key, value in environment.items() for word in ("-E", f"{key}={value}")]
        launch(workload, self.so, timeout=self.timeout,
               wrapper=["strace", "-f", "-c", "-o", f"{{scratch}}/{TRACE}", "-E", "{preload}", *words],
               keep=lambda scratch: kept.update(text=(scratch / TRACE).read_text()))
        return {"calls": parse_calls(kept["text"])}

    def instructions(self, workload, environment) -> dict:
        """Of the library, by callgrind without its caches."""
        kept = []
        launch(workload, self.stripped(), extra_env=environment, timeout=self.timeout, steady=True,
               wrapper=[valgrind(), "-q", "--vgdb=no", "--tool=callgrind", "--trace-children=yes",
                        f"--callgrind-out-file={{scratch}}/{OUTPUT}.%p"],
               keep=lambda scratch: kept.extend(path.read_text(errors="replace")
                                                for path in sorted(scratch.glob(f"{OUTPUT}.*"))))
        return {"instructions": sum(map(parse_instructions, kept))}

    def stripped(self) -> Path:
        """The library without DWARF, at which valgrind stops."""
        path = self.scratch / "stripped" / LIBRARY
        if not path.exists():
            path.parent.mkdir()
            proc.run([tools.require("llvm-strip"), "--strip-debug", str(self.so), "-o", str(path)])
        return path


def valgrind() -> str:
    """The program itself: Debian's `valgrind` is a shell script, which would be preloaded."""
    return next(filter(None, map(shutil.which, ("valgrind.bin", "valgrind"))), "valgrind")


def kinds() -> dict:
    """Kind -> "" where the machine can do it, else why not."""
    found = {PLAIN: ""}
    for kind, words in ((CALLS, ["strace", "-c", "-o", "/dev/null"]),
                        (INSTRUCTIONS, [valgrind(), "-q", "--tool=none"])):
        try:
            allowed = proc.run([*words, "/bin/true"], check=False).returncode == 0
        except UserError:
            allowed = False
        found[kind] = "" if allowed else f"{Path(words[0]).name} does not run here"
    return found
