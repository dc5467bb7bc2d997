# SPDX-License-Identifier: MIT
"""What the founders wanted of the whole, a rung each, beside what is measured: `make study STUDY=ladder`.

Throughput against the C library and mimalloc is that of the last `make bench` in results/. Three of the founders'
scenarios run here, in interleaved rounds of CPU time: without caches (as near as one comes to the founders' `minimal`),
under the variants minimal and balanced, and under learning without a learner, with one, and with one that leaves
capacities alone. What learning and call sites add is counted in instructions, page faults are the kernel's.
"""

import itertools
import statistics
from dataclasses import dataclass

from common import paths, usage, workloads
from common.launch import launch
from common.tree import variant_library
from learn.objective import INSTRUCTIONS_A_NS
from measure import callgrind, counting, stats, wall
from gate import effects
from bench import bench
from bench.ranking import GROUPS
from bench.runs import output_of, program

PEERS = ((bench.REFERENCE, (1.0, 1.2, 1.5)), ("mimalloc", (0.9, 1.0)))
SCENARIOS = {"fragmentation": 2.6, "large_ws": 1.4, "realloc": 1.3}    # times as fast as without caches
# As few blocks as the policy allows stay with a thread, and free memory goes back at once.
BARE = {"HAKMEM_MODE": "minimal", "HAKMEM_BIN_TINY_KB": "1", "HAKMEM_BIN_MID_KB": "1", "HAKMEM_BIN_RUN_KB": "1",
        "HAKMEM_BIN_FIRST_KB": "1", "HAKMEM_BIN_BLOCKS": "3", "HAKMEM_BIN_GROWTH": "1", "HAKMEM_EMPTY_SLABS": "0",
        "HAKMEM_HEAP_CACHE_KB": "0", "HAKMEM_CARVE_BYTES": "2048", "HAKMEM_PURGE_DELAY_MS": "0",
        "HAKMEM_RETAIN_MB": "0"}
LEARN = {"HAKMEM_LEARN": "1", "HAKMEM_LEARN_WINDOW_MS": "10"}
# As many variables each, since reading them costs instructions, too.
OFF, LOOKING, FROZEN = ({"HAKMEM_LEARN": learn, "HAKMEM_LEARN_WINDOW_MS": "10", "HAKMEM_EVO_POLICY": policy}
                        for learn, policy in (("0", "learn"), ("1", "learn"), ("1", "frozen")))
SITE_CALLS, SITE_NS = 4000, 50      # pairs of calls; the goal
FROZEN_GOAL = 10                                # times less than learning
LEARNED_IN = "perl"                             # the program in which that is counted
VM_RUNS = 50


@dataclass(frozen=True)
class Rung:
    """One goal: what it is, what was wanted and measured, and whether that is enough; None: no limit was set."""
    title: str
    goal: str
    measured: str
    holds: bool | None

    @property
    def cells(self) -> tuple:
        return self.title, self.goal, self.measured, {True: "yes", False: "no", None: "-"}[self.holds]


def times(value: float) -> str:
    """A ratio."""
    return f"{value:.2f} x"


def throughput(study) -> list:
    """Of the benchmark set, with one thread and with several: the inverse of the time."""
    rungs = []
    for (title, threaded), (peer, goals) in itertools.product(GROUPS, PEERS):
        rows = [row for row in study.benchmarks if (row.threads > 1) == threaded]
        own, other = (study.mean(rows, name, "seconds") for name in (study.ours, peer))
        speed = other / own if own and other else None
        measured = times(speed) if speed else "not measured"
        rungs += [Rung(f"throughput, {title}, of {peer}'s", f">= {times(goal)}", measured,
                       bool(speed and speed >= goal)) for goal in goals]
    return rungs


def cpu_seconds(row, one) -> float:
    """User and system time of a run, all threads."""
    kept = {}
    launch(row.workload, one.library, wrapper=usage.wrapper(), extra_env=dict(one.env), timeout=bench.TIMEOUT,
           keep=lambda scratch: kept.update(usage.read(scratch)))
    return usage.cpu_seconds(kept)


def sides() -> tuple:
    """The contenders of the scenarios."""
    minimal, balanced, learning = map(variant_library, ("minimal", "balanced", "learning"))
    return (bench.Contender("bare", balanced, BARE), bench.Contender("minimal", minimal),
            bench.Contender("balanced", balanced), bench.Contender("learning", learning),
            bench.Contender("learner", learning, LEARN),
            bench.Contender("no ace", learning, {**LEARN, "HAKMEM_ACE_ENABLED": "0"}))


def run_scenarios(rounds: int) -> dict:
    """scenario -> contender -> CPU seconds of each round."""
    table = {row.name: row for row in bench.load_benchmarks()}
    kept, everyone = {}, sides()
    for turn, name in itertools.product(range(rounds), SCENARIOS):
        for one in wall.order_of(everyone, turn):
            kept.setdefault(name, {}).setdefault(one.name, []).append(cpu_seconds(table[name], one))
    return kept


def gain(seconds: dict, slow: str, fast: str) -> float:
    """How many times as fast one is: the median over the rounds."""
    return statistics.median(a / b for a, b in zip(seconds[slow], seconds[fast]))


def scenarios(kept: dict) -> list:
    """What caches, the variants' features, a learner and its controller bring."""
    rungs = []
    for name, goal in SCENARIOS.items():
        whole = gain(kept[name], "bare", "learner")
        rungs.append(Rung(f"{name}: a learner against no caches", f">= {times(goal)}", times(whole), whole >= goal))
        rungs.append(Rung(f"{name}: the same against the variant minimal", "-",
                          times(gain(kept[name], "minimal", "learner")), None))
    for title, slow, fast in (("balanced against no caches", "bare", "balanced"),
                              ("balanced against minimal", "minimal", "balanced"),
                              ("a learner against none", "learning", "learner"),
                              ("its controller (ACE) on against off", "no ace", "learner")):
        mean = stats.geometric_mean(gain(seconds, slow, fast) for seconds in kept.values())
        wanted = title.startswith("balanced")
        rungs.append(Rung(f"the three together: {title}", "> 1" if wanted else "-", times(mean),
                          mean > 1 if wanted else None))
    return rungs


def allocator_instructions(row, settings) -> int:
    """What the library executes in a program."""
    subject = effects.Subject("learning", variant_library("learning"), settings)
    return counting.instructions(effects.under(row, subject), subject.library)


def learning() -> Rung:
    """What a learner adds to a program, and what a frozen one does."""
    (row,) = workloads.select(workloads.load_table(paths.ROOT), (LEARNED_IN,))
    off, learn, frozen = (allocator_instructions(row, settings) for settings in (OFF, LOOKING, FROZEN))
    added = [value / off - 1 for value in (learn, frozen)]
    return Rung(f"instructions that are added in {LEARNED_IN}: LEARN; FROZEN", f"FROZEN <= LEARN / {FROZEN_GOAL}",
                f"{added[0]:+.2%}; {added[1]:+.2%}", added[1] * FROZEN_GOAL <= max(added[0], 0))


def site_instructions(work: str, rounds: int) -> int:
    """Of the whole process."""
    text = counting.callgrind_output(program("bench_sites", work, str(rounds)), variant_library("learning"))
    return callgrind.parse(text).program_event("Ir")


def call_sites() -> Rung:
    """What a call costs more that is watched."""
    plain, watched = (site_instructions(work, SITE_CALLS) for work in ("tiny-malloc", "tiny"))
    spent = (watched - plain) / SITE_CALLS / 2
    ns = spent / INSTRUCTIONS_A_NS
    return Rung("a watched call against malloc or free", f"<= {SITE_NS} ns",
                f"{spent:.0f} instructions, {ns:.0f} ns at {INSTRUCTIONS_A_NS} a ns", ns <= SITE_NS)


def vm_faults(one) -> float:
    """Page faults of a run of the scenario vm, after the first."""
    text, _errors = output_of(program("bench_allocators", "vm", str(VM_RUNS), "--csv"), one)
    return float(text.splitlines()[-1].split(",")[6])


def faults(everyone) -> Rung:
    """Blocks of 2 MiB: what the system is asked for again."""
    named = {one.name: one for one in everyone}
    ours, system = vm_faults(named["hakmem"]), vm_faults(named[bench.REFERENCE])
    return Rung("page faults of a run of vm, of the system's malloc", f"<= {system:.1f}", f"{ours:.1f}", ours <= system)


def last_ranking():
    """The last `make bench` of the whole set."""
    path = paths.ROOT / bench.RESULTS
    samples = bench.read_study(path, bench.last_full_study(path))
    return bench.study_of(bench.load_benchmarks(), samples)


def climb(everyone, rounds: int) -> list:
    """All rungs."""
    return [*throughput(last_ranking()), *scenarios(run_scenarios(rounds)), call_sites(), learning(), faults(everyone)]
