# SPDX-License-Identifier: MIT
"""One real run of the user's own command or server under a policy: what a replay leaves out (the program's own memory,
its start and end, what the library does before the first event) is in it. Figures by the kind of run that shows them.
"""

from pathlib import Path

from common import backing, idle, proc, usage
from common.errors import Failure
from common.launch import launch
from common.paths import IDLE
from measure import counting
from plan import policy

# What a run is made under, and how many times as long as the recorded one it is thought to take. A server is asked for
# less where it is counted: redis takes twice as long, python's http.server 12 times, postgres 50 times.
PLAIN, CALLS, INSTRUCTIONS = "plain", "calls", "instructions"
KINDS = {PLAIN: 2.0, CALLS: 5.0, INSTRUCTIONS: 30.0}
SERVER_KINDS = {PLAIN: 1.5, INSTRUCTIONS: 10.0}
SHOWS = {PLAIN: "time, memory and page faults", CALLS: "system calls", INSTRUCTIONS: "instructions of the library"}
LEAST_SECONDS = 0.4         # of a run: its directory, its process, memory that is made ready for it
BEHIND = 0.2                # seconds between a server's load and the look at its memory
NAMES = {"cpu": "CPU time", "peak": "peak memory", "after": "memory behind the work", "faults": "page faults",
         "calls": "system calls", "instructions": "instructions of the library"}


class Real:
    """run(values, "NAME:KIND") -> figures, or None when the program failed under these values. Only without values is a
    failure the user's to hear."""

    def __init__(self, so: Path, workloads, scratch: Path, timeout: float):
        self.so, self.scratch, self.timeout = so, scratch, timeout
        self.workloads = {row.name: row for row in workloads}
        self.failures: list = []
        self.peaks: dict = {}       # workload -> KiB of its last plain run

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
        """Time (of a request, where a server is loaded), memory and faults."""
        backing.back(self.peaks.get(workload.name, 0))
        found = self.server(workload, environment) if workload.server else self.command(workload, environment)
        self.peaks[workload.name] = found["peak"]
        return found

    def server(self, workload, environment) -> dict:
        """One that is started, loaded and looked at."""
        served = launch(workload, self.so, extra_env=environment, idle=BEHIND, timeout=self.timeout).server
        return {"cpu": served.cpu_us, "peak": served.peak_kib, "faults": served.faults, "after": served.idle_kib}

    def command(self, workload, environment) -> dict:
        """One that runs to its end."""
        kept, shown = {}, []

        def keep(scratch):
            kept.update(usage.read(scratch))
            shown.extend(idle.read(scratch))

        launch(workload, self.so, keep=keep, companion=IDLE, extra_env=idle.environment(0), timeout=self.timeout,
               wrapper=usage.wrapper("{preload}", *(f"{key}={value}" for key, value in environment.items())))
        found = {"cpu": usage.cpu_seconds(kept), "peak": int(kept["peak_rss_kib"]), "faults": int(kept["faults"])}
        return {**found, "after": max(shown).now_kib} if shown else found

    def calls(self, workload, environment) -> dict:
        """Calls of the system, of all processes."""
        return {"calls": sum(counting.system_calls(workload, self.so, self.timeout, environment).values())}

    def instructions(self, workload, environment) -> dict:
        """Of the library."""
        return {"instructions": counting.instructions(workload, self.so, self.timeout, environment)}


def why_not(name: str, *words: str) -> str:
    """"" where a program does its work; else a sentence."""
    allowed = words[0] and proc.run([*words, "/bin/true"], check=False).returncode == 0
    return "" if allowed else f"{name} does not run here"


def kinds() -> dict:
    """Kind -> "" where the machine can do it, else why not."""
    return {PLAIN: "", CALLS: why_not("strace", counting.strace(), "-c", "-o", "/dev/null"),
            INSTRUCTIONS: why_not("valgrind", counting.valgrind(), *counting.QUIET, "--tool=none")}
