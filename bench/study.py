# SPDX-License-Identifier: MIT
"""One question about the library and its peers, one command: `make study STUDY=scaling`.

    operation       instructions of each pattern of bench_fastpath, and cycles where the machine counts them
    hits            how many calls of malloc end in the fast path
    overhead        resident memory beyond what was asked for, full and with one block in eight left (fragmentation)
    variance        spread of the time over runs of the same benchmark
    scaling         throughput with 1, 2, ... threads
    sweep           throughput over sizes and threads, against the C library
    syscalls        system calls about memory, and page faults
    larson          Larson's presets burst and loop, 1 and 4 threads, under the variants with checks too
    memory          resident memory over time, after bursts of blocks (bench/over_time.py); --scale is of the waiting
    canary          how the learner notices that a workload changes (bench/canary.py); --scale is of the waiting
    ladder          the founders' goals, each beside what is measured (bench/ladder.py), after `make bench`

Each prints a table with its goal and appends one record to results/. Times are provisional on a machine that does
anything else.
"""

import os
import re
import shutil
import statistics
import sys
import time
from dataclasses import dataclass

from common import paths, records, workloads
from common.arguments import Parser, at_least, result_file
from common.errors import Failure, UserError, guard
from common.pool import Pool
from common.tree import library_path, variant_library
from measure import counting, golden
from gate import effects
from bench import bench, canary as learner, ladder as rungs, over_time
from bench.ranking import render
from bench.runs import output_of, program

HIT_GOAL, OVERHEAD_GOAL, VARIANCE_GOAL, SCALING_GOAL = 0.85, 0.02, 0.05, 0.9
FEW, MANY = 200_000, 2_200_000      # iterations, for cycles
SIZES = ("16", "64", "256", "1024", "4096", "16384", "65536", "262144")
OVERHEADS = (("16 to 1039", ("100000", "16", "1039")), ("64", ("400000", "64", "64")),
             ("8 to 32 KiB", ("4000", "8192", "32768")), ("64 KiB", ("1000", "65536", "65536")),
             ("1 MiB", ("64", "1048576", "1048576")))
HIT_ROWS = ("random_mixed", "larson", "producer_consumer", "git", "perl", "jq")
CALL_ROWS = ("random_mixed", "larson", "git", "perl", "jq", "sqlite")
SLOW = ("refills", "previous_refills", "large_blocks", "big_taken")    # counters of mallocs that the bins did not serve
_REPORT = re.compile(r" ops_per_sec=(\d+) ")
_RATIOS = re.compile(r"filled=([\d.]+) left=([\d.]+)")
LARSON = {"burst": (10000, 1), "loop": (100, 100)}      # chunks, rounds
CHECKED = ("hardened", "debug")
NOT_MEASURED = "-"


@dataclass(frozen=True)
class Options:
    """The command line."""
    study: str
    everyone: tuple         # Contenders
    threads: int
    rounds: int
    scale: float            # of the amount of work


def throughput(row, contender) -> float:
    """Operations a second, as the program reports them."""
    text, _errors = output_of(row, contender)
    return float(_REPORT.search(text)[1])


def best_of(row, contender, rounds: int) -> float:
    """The best throughput of some runs: what disturbs a run only makes it slower."""
    return max(throughput(row, contender) for _ in range(rounds))


def work(options: Options, amount: int, least=1000) -> str:
    """An amount of work, scaled."""
    return str(max(int(amount * options.scale), least))


# the studies: each gives (rows of cells, what is kept)

def cycle_counter() -> str:
    """The program that reads hardware counters, "" where there is none or the machine gives it none."""
    perf = shutil.which("perf", path="/usr/bin:/usr/local/bin")
    if not perf:
        return ""
    scratch = program("bench_fastpath", "pair64", "1000")
    return perf if count_cycles(perf, scratch, bench.Contender("probe")) is not None else ""


def count_cycles(perf: str, row, contender):
    """Cycles of a run in user mode; None where the machine does not count them."""
    wrapper = [perf, "stat", "-x", ",", "-e", "cycles:u", "/usr/bin/env", "{preload}"]
    try:
        _text, errors = output_of(row, contender, wrapper=wrapper)
    except Failure:
        return None
    found = re.search(r"^(\d+),,cycles", errors, re.MULTILINE)
    return int(found[1]) if found else None


def cycles(perf: str, pattern: str, contender):
    """Cycles of one operation: what more iterations cost, by their number."""
    counts = [count_cycles(perf, program("bench_fastpath", pattern, str(n)), contender) for n in (FEW, MANY)]
    return None if None in counts else (counts[1] - counts[0]) / (MANY - FEW)


def operation(options: Options):
    """Instructions, and cycles, of an operation of each pattern."""
    perf = cycle_counter()
    with Pool(2) as pool:     # counts do not depend on the load of the machine; cycles do
        counted = list(pool.map(lambda one: golden.count(one.library), options.everyone))
    kept = {one.name: {"instructions": {name: row["together"] for name, row in found.items()},
                       "cycles": {name: cycles(perf, name, one) for name in golden.PATTERNS} if perf else {}}
            for one, found in zip(options.everyone, counted)}
    rows = [("instructions (cycles)", "goal", *kept)]
    for name in golden.PATTERNS:
        cells = []
        for found in kept.values():
            spent = found["cycles"].get(name)
            cells.append(f"{found['instructions'][name]:.1f}" + (f" ({spent:.1f})" if spent is not None else ""))
        rows.append((name, str(golden.GOALS[name]), *cells))
    note = "" if perf else "\nthis machine gives no cycle counter (perf): instructions alone"
    return rows, kept, note


def page_of(errors: str) -> dict:
    """The numbers of a statistics page."""
    return {name: int(value) for name, value in re.findall(r"^(\w+) = (\d+)", errors, re.MULTILINE)}


def hits(options: Options):
    """Calls that the bins of the thread served, of all that allocate: by the counters of `balanced`."""
    library = variant_library("balanced")
    counted = bench.Contender("balanced", library)
    rows, kept = [("workload", "calls", "slow", "hits", "goal")], {}
    for row in workloads.select(workloads.load_table(paths.ROOT), HIT_ROWS):
        _text, errors = output_of(row, counted, {"HAKMEM_STATS_DUMP": "1"})
        page = page_of(errors)
        slow = sum(page[name] for name in SLOW)
        made = counting.measure(counting.Subject(library, "base", "clang", "balanced"), row, counts_only=True)[0]
        calls = sum(n for name, n in made["metrics"]["calls"].items()
                    if re.search(r"alloc|memalign|_Zn", name) and "usable" not in name)
        kept[row.name] = {"calls": calls, "slow": slow, "hits": 1 - slow / calls}
        rows.append((row.name, f"{calls:,d}", f"{slow:,d}", f"{1 - slow / calls:.2%}", f"{HIT_GOAL:.0%}"))
    return rows, kept, ""


def overhead(options: Options):
    """Resident memory beyond what was asked for."""
    kept = {}
    for title, words in OVERHEADS:
        for one in options.everyone:
            text, _errors = output_of(program("bench_overhead", *words, "--ratios"), one)
            filled, left = (float(value) for value in _RATIOS.search(text).groups())
            kept.setdefault(title, {})[one.name] = {"overhead": filled - 1, "fragmentation": 1 - 1 / max(left, 1e-9)}
    names = [one.name for one in options.everyone]
    rows = [("size", *(f"{name}" for name in names))]
    for key, title in (("overhead", "overhead"), ("fragmentation", "fragmentation")):
        rows += [(f"{title}, {size}", *(f"{found[name][key]:.2%}" for name in names)) for size, found in kept.items()]
    note = f"\noverhead: goal {OVERHEAD_GOAL:.0%}; fragmentation: share of resident memory that is not in use when " \
           "seven blocks of eight, at random, have been freed"
    return rows, kept, note


def variance(options: Options):
    """Standard deviation of the time by its mean, over runs."""
    table = bench.load_benchmarks()
    rows, kept = [("benchmark", "mean s", *(one.name for one in options.everyone), "goal")], {}
    for row in (row for row in table if row.program.startswith("{bench}/") and not row.points):
        spread, means = {}, {}
        for one in options.everyone:
            seconds = [bench.run_once(row, one, turn) for turn in range(options.rounds)]
            if any(sample.failure for sample in seconds):
                raise Failure(f"{row.name} failed under {one.name}")
            seconds = [sample.seconds for sample in seconds]
            means[one.name] = statistics.mean(seconds)
            spread[one.name] = statistics.stdev(seconds) / means[one.name] if len(seconds) > 1 else 0.0
        kept[row.name] = spread
        rows.append((row.name, f"{means[options.everyone[0].name]:.3f}", *(f"{value:.1%}" for value in spread.values()),
                     f"{VARIANCE_GOAL:.0%}"))
    return rows, kept, ""


def thread_counts(most: int) -> list:
    """1, 2, 4, ... and the most."""
    return sorted({*(2 ** power for power in range(most.bit_length()) if 2 ** power <= most), most})


def scaling(options: Options):
    """Throughput of so many threads by that of one and their number: 100 % is linear."""
    programs = {
        "tiny": lambda n: program("bench_tiny_hot", work(options, 8_000_000), "32", str(n), "-v"),
        "mid": lambda n: program("bench_mid_mt", work(options, 500_000), str(n), "-v"),
        "large": lambda n: program("bench_sweep", work(options, 200_000), str(n), "262144", "-v"),
    }
    counts = thread_counts(options.threads)
    rows, kept = [("share of linear", *(f"{one.name} x{n}" for one in options.everyone for n in counts[1:]))], {}
    for name, make in programs.items():
        cells = []
        for one in options.everyone:
            speed = {n: best_of(make(n), one, options.rounds) for n in counts}
            kept.setdefault(name, {})[one.name] = speed
            cells += [f"{speed[n] / speed[1] / n:.0%}" for n in counts[1:]]
        rows.append((name, *cells))
    return rows, kept, f"\ngoal: {SCALING_GOAL:.0%}; the machine has {os.cpu_count()} processors"


def sweep(options: Options):
    """Throughput over sizes and threads, as a multiple of the C library's."""
    counts = thread_counts(options.threads)
    others = options.everyone[1:]
    rows, kept = [("size", *(f"{one.name} x{n}" for n in counts for one in others))], {}
    for size in SIZES:
        amount = work(options, min(4_000_000, 4_000_000_000 // int(size)))
        cells = []
        for n in counts:
            row = program("bench_sweep", amount, str(n), size, "-v")
            speed = {one.name: best_of(row, one, options.rounds) for one in options.everyone}
            kept.setdefault(size, {})[str(n)] = speed
            cells += [f"{speed[one.name] / speed[options.everyone[0].name]:.2f}" for one in others]
        rows.append((size, *cells))
    return rows, kept, f"\nthroughput, {options.everyone[0].name} = 1.00; higher is better"


def syscalls(options: Options):
    """System calls about memory (of all), and page faults."""
    rows, kept = [("workload", *(one.name for one in options.everyone))], {}
    for row in workloads.select(workloads.load_table(paths.ROOT), CALL_ROWS):
        cells = []
        for one in options.everyone:
            subject = effects.Subject(one.name, one.library, one.env)
            found = {**counting.syscall_metrics(effects.under(row, subject), one.library),
                     **counting.usage_metrics(effects.under(row, subject), one.library)}
            kept.setdefault(row.name, {})[one.name] = found
            cells.append(NOT_MEASURED if found["syscalls"] is None else
                         f"{found['memory_syscalls']} of {found['syscalls']}, {found['page_faults']} faults")
        rows.append((row.name, *cells))
    return rows, kept, "\nmmap, munmap, mremap, madvise, mprotect and brk, of all system calls; page faults"


def larson(options: Options):
    """Larson's server in the presets: millions of operations a second and page faults; with checks as well."""
    checked = [bench.Contender(name, library_path(name)) for name in CHECKED]
    everyone = [*options.everyone, *(one for one in checked if one.library.exists())]
    rows, kept = [("preset", *(one.name for one in everyone))], {}
    for preset, (chunks, turns) in LARSON.items():
        for n in (1, 4):
            # generations, not seconds: every allocator does the same work, and a failure repeats
            words = ["-n", work(options, 20_000_000 // (chunks * turns) + 1, least=2), "8", "1024", chunks, turns,
                     4141, n]
            row = program("bench_larson", *map(str, words), "-v")
            cells = []
            for one in everyone:
                speed = best_of(row, one, options.rounds)
                faults = counting.usage_metrics(row, one.library)["page_faults"]
                kept.setdefault(f"{preset} x{n}", {})[one.name] = {"ops_per_sec": speed, "page_faults": faults}
                cells.append(f"{speed / 1e6:.1f}, {faults}")
            rows.append((f"{preset} x{n}", *cells))
    return rows, kept, "\nmillions of operations a second, page faults"


def memory(options: Options):
    """Resident memory while bursts of blocks come and go, and after them."""
    kept = over_time.run_all(options.everyone, min(options.scale, 1.0), lambda text: None)
    return over_time.after_rows(kept), kept, f"\n\n{over_time.rest(kept)}"


def canary(options: Options):
    """When the learner sees that sizes changed, and when it is done with it."""
    kept = learner.run(options.scale)
    return learner.cells(kept), kept, "\nseconds since the phase began; the curve is in the report (make report)"


def ladder(options: Options):
    """The founders' goals."""
    found = rungs.climb(options.everyone, options.rounds)
    kept = {f"{rung.title} {rung.goal}": {"measured": rung.measured, "holds": rung.holds} for rung in found}
    return [("what", "goal", "measured", "holds"), *(rung.cells for rung in found)], kept, ""


STUDIES = {function.__name__: function for function in
           (operation, hits, overhead, variance, scaling, sweep, syscalls, larson, memory, canary, ladder)}


def parse(argv) -> tuple:
    """(Options, results file)"""
    parser = Parser(
        prog="bench.study",
        description=f"example: python3 -m bench.study scaling --threads 4\n\n{__doc__}")
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("--library", metavar="PATH", help="the hakmem library (default: the one that ships)")
    parser.add_argument("--peer", metavar="NAME=LIB.so", action="append", default=[], help="one more contender")
    parser.add_argument("--only", metavar="NAMES", default="", help="contenders, separated by commas; glibc is in")
    parser.add_argument("--threads", type=at_least(1), default=os.cpu_count() or 1,
                        help="the most (default %(default)s)")
    parser.add_argument("--rounds", type=at_least(1), help="runs of each (default 3; of variance 10)")
    parser.add_argument("--scale", type=at_least(1e-6, float), default=1.0,
                        help="of the amount of work (default %(default)s)")
    parser.add_argument("--results", type=result_file, help="file to append to (default: results/<year>.jsonl)")
    arguments = parser.parse_args(argv)
    found = bench.contenders(arguments, lambda text: print(f"study: {text}", file=sys.stderr))
    found = tuple(one for one in found if not one.points_only)
    names = [name for name in arguments.only.split(",") if name]
    for name in names:
        if name not in [one.name for one in found]:
            raise UserError(f"no contender is named '{name}'; there are: {', '.join(one.name for one in found)}")
    found = tuple(one for one in found if not names or one.name in (bench.REFERENCE, *names))
    rounds = arguments.rounds or (10 if arguments.study == "variance" else 3)
    return Options(arguments.study, found, arguments.threads, rounds, arguments.scale), arguments.results


def main(argv) -> int:
    options, path = parse(argv)
    rows, kept, note = STUDIES[options.study](options)
    now = time.time()
    print(render(rows) + note, flush=True)
    records.append(path or records.year_file(now), {
        **records.common_fields(f"study-{options.study}", now), "threads": options.threads, "rounds": options.rounds,
        "scale": options.scale, "figures": kept})
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
