# SPDX-License-Identifier: MIT
"""One replay: bench_replay under the library that reads a policy, at fixed addresses and with the steady clock, so that
equal policies give equal figures (common/launch.py says why), and what it printed as figures.

A trace is one input. Replayed with each block two and three times it stands for larger ones: what fits no other than
the recorded one (a heap that ends just below the size from which huge pages are asked for, ten system calls that are
twenty) shows it there.
"""

import json
import re
import statistics
from pathlib import Path

from common import proc
from common.errors import Failure, UserError
from common.paths import BENCH_PROGRAMS, STEADY
from common.scratch import PINNED_ENV
from learn import objective
from learn.builds import Builds
from plan import policy
from pgo.train import FIXED_ADDRESSES

PROGRAM = "bench_replay"
SAME_LENGTH = "libhakme{:x}.so"     # of all libraries: the length of a name moves what a program asks for
TRACE_IS_BAD = 2            # its exit status
# How a recording ended before its program (docs/trace.md).
EARLY = {2: "at its largest size (HAKMEM_TRACE_MB, --trace-mb)", 3: "where its file could not be written",
         4: "where there was no memory for the table of blocks"}
FIRST_TIMEOUT = 120.0       # seconds, until it is known how long a replay takes
SLOWEST, PATIENCE = 8.0, 5.0    # a policy that takes so many times as long, and more than so many seconds, is none
LOOKS = 3                   # replays of the default: how much they differ is the noise
EXACT = 0.001               # figures that differ by less need no repetition
_WARNING = re.compile(r"^hakmem: .*", re.MULTILINE)


def fixed_addresses() -> list:
    """The words that switch random addresses off, where the machine lets them."""
    try:
        permitted = proc.run([*FIXED_ADDRESSES, "/bin/true"], check=False).returncode == 0
    except UserError:
        permitted = False
    return FIXED_ADDRESSES if permitted else []


class Replayer:
    """replay(values, workload) -> figures, or None when the program failed under these values. `scratch` has a name
    that LD_PRELOAD can have; `traces` are name -> path, `beside` name -> what the trace does not say
    (learn/record.py), `builds` the libraries of values that `so` does not take (learn/builds.py)."""

    def __init__(self, so: Path, traces: dict, scratch: Path, program: Path = BENCH_PROGRAMS / PROGRAM, beside=None,
                 builds=None):
        if not program.exists():
            raise UserError(f"{program} is missing: build it first (`ninja bench`)")
        self.traces, self.scratch, self.program = traces, scratch, program
        self.beside = {name: {"files": 0, "calls": 0, "seconds": 0, **(beside or {}).get(name, {})} for name in traces}
        self.timeout = FIRST_TIMEOUT
        self.failures: list = []        # what went wrong under a policy, in words
        self.cut: set = set()           # names of traces that nobody ended
        self.short: dict = {}           # and of those that end before their program -> where
        self.builds = builds or Builds(so)
        steady = self.copy(BENCH_PROGRAMS / STEADY, STEADY)
        words = [*fixed_addresses(), "/usr/bin/env"]
        self.fronts = {path: [*words, f"LD_PRELOAD={steady}:{self.copy(path, SAME_LENGTH.format(number))}"]
                       for number, path in enumerate(self.builds.libraries.values())}

    def copy(self, path: Path, name: str) -> Path:
        """Below `scratch`."""
        target = self.scratch / name
        target.write_bytes(path.read_bytes())
        return target

    def file_of(self, values: dict) -> Path:
        """The candidate as a policy file. Equal ones are one file."""
        name = "_".join(f"{key}-{value}" for key, value in sorted(values.items()))
        path = self.scratch / f"{hash(name) & 0xffffffffffffffff:016x}.toml"
        policy.write(path, policy.Policy(values))
        return path

    def command(self, values: dict, workload: str) -> list:
        """What is run."""
        name, _star, copies = workload.partition(objective.TIMES)
        given = [f"HAKMEM_POLICY={self.file_of(values)}"] if values else []
        return [*self.fronts[self.builds.library(values)], *given, self.program, self.traces[name], "--json",
                f"--seconds={self.beside[name]['seconds']:g}", *([f"--copies={copies}"] if copies else [])]

    def __call__(self, values: dict, workload: str):
        if self.builds.library(values) is None:
            return self.failed(values, workload, "no build has such values together")
        words = self.command(values, workload)
        name = objective.recorded(workload)
        try:
            done = proc.run(words, env=PINNED_ENV, name=PROGRAM, timeout=self.timeout, check=False, cwd=self.scratch)
        except Failure as error:
            return self.failed(values, workload, str(error))
        said = proc.tail(done.stderr, 1).strip()
        if done.returncode == TRACE_IS_BAD:
            raise UserError(f"the trace {self.traces[name]} cannot be replayed: {said}")
        if done.returncode != 0:
            return self.failed(values, workload, f"{PROGRAM} failed with {proc.describe_status(done.returncode)}")
        if values and (warned := _WARNING.search(done.stderr)):
            raise Failure(f"the library does not take a policy of this search: {warned[0]}")
        try:
            shown = json.loads(done.stdout)
            self.cut |= {name} if shown.get("cut") else set()
            self.short |= {name: EARLY[shown["end"]]} if shown.get("end") in EARLY else {}
            return objective.figures(shown, beside=self.beside[name]["files"],
                                     calls=self.beside[name]["calls"])
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Failure(f"{self.program} --json printed no JSON: it is not the one of this clone; run `ninja bench`"
                          ) from None

    def failed(self, values: dict, workload: str, what: str):
        """Under the default that ends the search; under a policy it ends the policy."""
        what = what.splitlines()[0]
        if not values:
            path = self.traces[objective.recorded(workload)]
            raise UserError(f"the replay of {path} under the default policy: {what}")
        self.failures.append(f"{what}, with {', '.join(f'{name} = {value}' for name, value in values.items())}")
        return None

    def allow(self, seconds: float):
        """What a replay of the default takes tells how long one may take."""
        self.timeout = min(FIRST_TIMEOUT, max(PATIENCE, SLOWEST * seconds))


def look(runs, workloads, values=None) -> tuple:
    """(figures of the default, or of a policy that does not fail, noise, repetitions), each workload -> ...; of LOOKS
    replays each."""
    jobs = [(name, number) for number in range(LOOKS) for name in workloads]
    shown = dict(zip(jobs, runs.figures([(values or {}, job) for job in jobs])))
    before, noise, repetitions = {}, {}, {}
    for name in workloads:
        each = [shown[name, number] for number in range(LOOKS)]
        before[name] = objective.median_figures(each)
        noise[name] = {figure: spread([run[figure] for run in each]) for figure in objective.WATCHED
                       if figure in each[0]}
        repetitions[name] = 1 if max(noise[name].values()) <= EXACT else LOOKS
    return before, noise, repetitions


def spread(values) -> float:
    """How far equal runs lie apart, as a share; what is below EXACT is none."""
    middle = statistics.median(values)
    share = (max(values) - min(values)) / middle if middle > 0 else 0.0
    return share if share > EXACT else 0.0
