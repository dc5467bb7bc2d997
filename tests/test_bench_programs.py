# SPDX-License-Identifier: MIT
"""The benchmark programs, their tables and inputs, and the ranking that `make bench` prints."""

import io
import re

import pytest

from common import paths, workloads
from common.errors import UserError
from common.proc import run
from common.usage import parse
from bench import bench, inputs, ladder, over_time, ranking
from bench.ranking import Sample, Study
from tests.support import ROOT, Preloaded, label, libraries, main_library, needs

NEEDS = ("matrix", "bench")
FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror", "-pthread", "-fno-builtin")
REPORT = re.compile(r"^(\w+) ops=\d+ seconds=[\d.]+ ops_per_sec=\d+ peak_rss_kib=\d+\n$")

# Every program with little work; the set of names is compared with the directory.
SMALL = {
    "bench_allocators": ["mixed", "1"],
    "bench_big": ["20"],
    "bench_cache_scratch": ["2", "10", "8", "10"],
    "bench_cache_thrash": ["2", "10", "8", "10"],
    "bench_fastpath": ["random1024", "1000"],
    "bench_fragmentation": ["4", "1000"],
    "bench_large_ws": ["20000", "10000"],
    "bench_larson": ["-n", "2", "8", "1024", "500", "2", "1", "2"],
    "bench_mid_mt": ["2000"],
    "bench_over_time": ["threads", "tiny", "32", "1"],
    "bench_overhead": ["1000"],
    "bench_producer_consumer": ["20", "2", "2"],
    "bench_random_mixed": ["10000", "100", "1"],
    "bench_realloc": ["5000"],
    "bench_sh6": ["5", "2"],
    "bench_sh8": ["50"],
    "bench_sweep": ["1000", "2", "100"],
    "bench_thread_churn": ["50"],
    "bench_tiny_hot": ["10000"],
    "bench_xmalloc": ["20", "2"],
}
LAUNCHER = "bench_run"
REPLAY = "bench_replay"     # tests/test_trace.py
SITES = "bench_sites"       # tests/test_sites.py: it needs hakmem
TEXTS = sorted(name for name, generator in inputs.GENERATORS.items() if not generator.directory)


@pytest.fixture(scope="module")
def programs():
    """The path of a program, as the build has made it: with every warning an error."""
    def built(name):
        assert (paths.BENCH_PROGRAMS / name).exists(), f"{name} is not built: run `ninja bench`"
        return paths.BENCH_PROGRAMS / name
    return built


def test_every_program_is_tested_and_in_the_table():
    names = {path.stem for path in (ROOT / "bench" / "programs").glob("bench_*.c")}
    assert names == {*SMALL, LAUNCHER, REPLAY, SITES}
    used = {row.program.removeprefix("{bench}/") for row in bench.load_benchmarks()
            if row.program.startswith("{bench}/")}
    used.add("bench_over_time")     # of the shapes and sizes
    assert used == set(SMALL) - {"bench_fastpath", "bench_overhead", "bench_sweep"}   # those are of bench/study.py


@pytest.mark.parametrize("name", sorted(SMALL))
def test_program_runs(programs, name):
    result = run([programs(name), *SMALL[name], "-v"])
    assert REPORT.match(result.stdout).group(1) == name
    assert run([programs(name), *SMALL[name]]).stdout == ""


def library_with_options():
    """That of balanced, which tells what it did."""
    found = next((so for so in libraries() if label(so) == "clang-balanced/base"), None)
    if found is None:
        pytest.skip("no build of balanced: run `make all`")
    return found


def test_a_loop_makes_few_calls(programs):
    """mmap, munmap and madvise: memory that was freed a moment ago is taken again, not asked for."""
    with Preloaded(library_with_options()) as preloaded:
        page = run([programs("bench_random_mixed"), "200000", "4096", "42"],
                   env=preloaded.environment(HAKMEM_STATS_DUMP="1")).stderr
    assert 0 < int(re.search(r"^system_calls = (\d+)", page, re.MULTILINE)[1]) <= 200


@pytest.mark.parametrize("name", ["bench_fragmentation", "bench_mid_mt", "bench_realloc", "bench_sh6"])
def test_memcheck_has_nothing_to_say(programs, name):
    """With our malloc in the program, not valgrind's in its place: what the library itself reads and jumps by."""
    tool, so = needs("valgrind", "valgrind"), library_with_options()
    with Preloaded(so) as preloaded:
        page = run([tool, "-q", "--vgdb=no", "--soname-synonyms=somalloc=nouserintercepts", "--error-exitcode=9",
                    programs(name), *SMALL[name]], env=preloaded.environment(HAKMEM_STATS_DUMP="1")).stderr
    assert "== " not in page and int(re.search(r"^refills = (\d+)", page, re.MULTILINE)[1]) > 10


@pytest.mark.parametrize("name", sorted(SMALL))
@pytest.mark.parametrize("bad", ["nonsense", "--unknown", "-1"])
def test_bad_arguments_exit_2(programs, name, bad):
    result = run([programs(name), bad], check=False)
    assert result.returncode == 2
    assert result.stderr.startswith(f"{name}: ") and result.stderr.count("\n") == 1


def test_programs_compile_with_clang():
    compiler = needs("clang-22", "clang-22")
    sources = sorted((ROOT / "bench" / "programs").glob("*.c"))
    assert run([compiler, *FLAGS, "-fsyntax-only", *sources]).stderr == ""


def test_fastpath_has_a_twin_for_each_pattern(programs):
    text = run([programs("bench_fastpath"), "-h"]).stdout
    words = re.search(r"PATTERN \(default \w+\): (.*)", text).group(1).split()
    patterns = [word for word in words if not word.startswith("empty:")]
    assert patterns == ["pair64", "lifo64", "fifo64", "random1024", "mid32k", "pair64k", "pair256k", "pair2m",
                        "random2m", "calloc64", "realloc16", "each"]
    assert words == patterns[:-1] + [f"empty:{word}" for word in patterns[:-1]] + ["each", "empty:each"]
    for each in ("each", "empty:each"):
        lines = run([programs("bench_fastpath"), each, "1000"]).stdout.splitlines()
        assert [line.split()[1] for line in lines] == patterns[:-1]
        assert len({line.split()[0] for line in lines}) == len(lines)
    assert run([programs("bench_fastpath"), "lifo64", "150"], check=False).stderr == (
        "bench_fastpath: ITERATIONS of lifo64 must be a multiple of 100\n")


def test_allocators_prints_a_csv_row(programs):
    words = ("--allocator", "system", "--scenario", "vm", "3", "--csv", "--header")
    header, row = run([programs("bench_allocators"), *words]).stdout.splitlines()
    assert header.startswith("allocator,scenario,runs,") and row.startswith("system,vm,3,10,")
    assert len(header.split(",")) == len(row.split(","))


def test_allocators_refuses_a_library_that_does_not_load(programs):
    words = ("--allocator", "hakmem-baseline", "--library", "./nowhere.so", "vm", "1")
    result = run([programs("bench_allocators"), *words], check=False)
    assert result.returncode == 2 and "./nowhere.so could not be loaded" in result.stderr


def test_a_benchmark_runs_under_its_launcher(programs):
    """One sample for the ranking, and the reason where there is none."""
    assert programs(LAUNCHER) and programs("bench_tiny_hot")
    row = bench.Benchmark("tiny", "{bench}/bench_tiny_hot", "s", args=("10000",))
    sample = bench.run_once(row, bench.Contender("glibc"), 3)
    assert (sample.benchmark, sample.contender, sample.round, sample.failure) == ("tiny", "glibc", 3, "")
    assert 0 < sample.seconds < 60 and 200 < sample.peak_rss_kib < 100_000
    failed = bench.run_once(bench.Benchmark("bad", "/bin/false", "s"), bench.Contender("glibc"), 0)
    assert (failed.failure, failed.seconds) == ("exit 1", 0.0)


def test_launcher_reports_and_passes_the_status_on(programs, tmp_path):
    out = tmp_path / "usage"
    result = run([programs(LAUNCHER), out, "GREETING=hello", "/bin/sh", "-c", "echo $GREETING; exit 7"], check=False)
    assert (result.returncode, result.stdout) == (7, "hello\n")
    usage = parse(out.read_text())
    assert sorted(usage) == ["faults", "peak_rss_kib", "seconds", "system", "user"]
    assert 200 < int(usage["peak_rss_kib"]) < 10000


def test_launcher_leaves_no_page_out(programs, tmp_path):
    """What a program reads of its own peak while it is there is not more than what is told of it when it has ended."""
    out = tmp_path / "usage"
    script = 'while read -r line; do echo "$line"; done < /proc/$$/status'
    for _attempt in range(5):
        status = run([programs(LAUNCHER), out, "/bin/sh", "-c", script]).stdout
        own = int(re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)[1])
        assert own <= int(parse(out.read_text())["peak_rss_kib"]) < own + 1000


def test_launcher_passes_signals_on(programs, tmp_path):
    """Also one that stops the program, which somebody else lets go on."""
    goes_on = "(while kill -CONT $$ 2>/dev/null; do sleep 0.01; done) &"
    script = f"trap 'echo caught' USR1; kill -USR1 $$; {goes_on} kill -STOP $$; kill -KILL $$"
    result = run([programs(LAUNCHER), tmp_path / "usage", "/bin/sh", "-c", script], check=False)
    assert (result.returncode, result.stdout) == (-9, "caught\n")


def figures_of(program, *words, env=None) -> dict:
    """The figures of bursts of 64 MiB with a fiftieth of the waiting."""
    return over_time.parse(run([program, "--figures", *words, "64", "2"], env=env).stdout)


def test_over_time_takes_the_words_of_the_table(programs):
    text = run([programs("bench_over_time"), "-h"]).stdout
    for key in ("shape", "size"):
        listed = re.search(rf"{key.upper()} \(default \w+\): (.*)", text)[1].split()
        assert listed == [word.name for word in over_time.words_of(key)]


@pytest.mark.alone
@pytest.mark.parametrize("shape", ["once", "trickle", "threads"])
def test_over_time_sees_what_the_c_library_keeps_and_gives_back(programs, shape):
    """Large blocks are mappings of their own, which go at once; tiny ones stay for ever. What lives does not count."""
    freed, kept = (figures_of(programs("bench_over_time"), shape, size, env={}) for size in ("large", "tiny"))
    for found in (freed, kept):
        assert 64 <= found["peak"] / over_time.MIB < 100 and found["faults"] > 64 * 256 and found["cpu"] > 0
    assert freed["after_500"] < 4 * over_time.MIB and max(freed["curve"]) < 16
    assert {kept[key] // over_time.MIB for key, _seconds in over_time.AFTER} <= set(range(64, 100))
    # the integral: what is held all through the waiting of 200 ms, less a start that varies
    assert kept["area"] > 64 * over_time.MIB * 0.19 > 4 * freed["area"]


@pytest.mark.alone
def test_over_time_repeats_bursts(programs):
    one, ten = (figures_of(programs("bench_over_time"), shape, "big", env={"MALLOC_MMAP_THRESHOLD_": "1000000"})
                for shape in ("once", "repeat"))
    assert 8 < ten["faults"] / one["faults"] < 12 and ten["peak"] < 1.2 * one["peak"]


@pytest.mark.alone
def test_over_time_goes_on_with_small_operations(programs):
    """In the shapes that say so, until the end."""
    def operations(shape):
        text = run([programs("bench_over_time"), shape, "big", "64", "1", "-v"]).stdout
        return int(re.search(r" ops=(\d+)", text)[1])

    assert operations("once") < 64 <= min(operations("trickle"), operations("threads")) - 32 * 10


@pytest.mark.alone
def test_over_time_under_the_library(programs):
    """After a burst no more stays than the retained amount; hardened holds freed blocks back for a while."""
    library = main_library()
    if "-minimal" in label(library):
        pytest.skip("minimal gives nothing back by itself")
    with Preloaded(library) as preloaded:
        found = figures_of(programs("bench_over_time"), "once", "tiny", env=preloaded.environment())
    assert 64 <= found["peak"] / over_time.MIB < 150
    assert found["after_500"] == found["after_10000"] < found["peak"] / 2


@pytest.mark.parametrize("name", TEXTS)
def test_inputs_are_deterministic(name, tmp_path):
    for out in ("a", "b"):
        inputs.write(inputs.GENERATORS[name], tmp_path / out)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() != b""


def test_git_repository_is_deterministic(tmp_path):
    git = needs("git", "git")
    for out in ("a.git", "b.git"):
        inputs.write(inputs.GENERATORS["git_repository"], tmp_path / out)
    trees = [{path.relative_to(tmp_path / out): path.read_bytes() for path in (tmp_path / out).rglob("*")
              if path.is_file()} for out in ("a.git", "b.git")]
    assert trees[0] == trees[1]
    assert run([git, f"--git-dir={tmp_path / 'a.git'}", "rev-list", "--count", "main"]).stdout == "120\n"


def test_unknown_generator_lists_the_valid_ones(tmp_path):
    with pytest.raises(UserError, match="unknown generator 'x'; valid generators: c_unit, "):
        inputs.main(["x", str(tmp_path / "out")])


def test_train_and_holdout_are_disjoint():
    rows = workloads.load_table(ROOT)
    by_role = {role: [row for row in rows if row.role == role] for role in workloads.ROLES}
    assert len(by_role["train"]) >= 6 and len([row for row in by_role["holdout"] if row.gate]) >= 3
    assert not {row.command[0] for row in by_role["train"]} & {row.command[0] for row in by_role["holdout"]}
    assert not {name for row in by_role["train"] for name in row.inputs} & {
        name for row in by_role["holdout"] for name in row.inputs}


def test_every_input_exists_and_is_used():
    made = {row.name: row.generator for row in workloads.load_inputs(ROOT)}
    used = {name for row in (*workloads.load_table(ROOT), *bench.load_benchmarks()) for name in row.inputs}
    assert set(made) == used
    assert set(made.values()) == set(inputs.GENERATORS)


def test_unknown_benchmark_lists_the_valid_ones():
    with pytest.raises(UserError, match="unknown benchmark 'x'; valid benchmarks: tiny_hot, "):
        bench.select(bench.load_benchmarks(), ["x"])


def test_missing_peers_are_named_with_their_package(monkeypatch):
    monkeypatch.setattr(bench.tools, "find", lambda name, table: "")
    lines = []
    assert bench.installed_peers(lines.append) == ()
    assert lines[0] == "mimalloc is left out: not installed (apt-get install libmimalloc2.0)"
    assert len(lines) == 3 == len(bench.peers())


@pytest.mark.parametrize("text, message", [("x", "'x' is not NAME=LIB.so"), ("x=/no.so", "/no.so is missing")])
def test_bad_peer(text, message):
    with pytest.raises(UserError, match=message):
        bench.named_library(text)


def test_progress_is_silent_where_there_is_no_terminal():
    stream = io.StringIO()
    bench.progress(stream)("anything")
    assert stream.getvalue() == ""


def samples(benchmark, contender, *runs):
    """One sample a round: (seconds, KiB)."""
    return [Sample(benchmark, contender, turn, seconds, kib) for turn, (seconds, kib) in enumerate(runs)]


def small_study(*extra) -> Study:
    """Two benchmarks, three contenders, two rounds."""
    rows = (bench.Benchmark("one", "p", "s", points=True), bench.Benchmark("two", "p", "s", threads=2))
    return Study(rows, ("glibc", "hakmem", "other"), "hakmem", "glibc", (
        *samples("one", "glibc", (1.0, 100), (2.0, 100)), *samples("one", "hakmem", (0.5, 110), (1.0, 110)),
        *samples("one", "other", (0.4, 200), (0.8, 200)), *samples("two", "glibc", (1.0, 100), (1.0, 100)),
        *samples("two", "hakmem", (0.25, 100), (0.25, 100)), *extra))


def test_summary():
    text = ranking.summary(small_study(*samples("two", "other", (0.5, 100), (0.5, 100))))
    assert text == """\
Time and memory relative to glibc; median of 2 interleaved rounds; `~`: the interval includes 1.

Warning: with 2 rounds the intervals are too narrow; 6 or more decide.

time, one thread  glibc  hakmem  other          hakmem / best peer
one                1.00    0.50   0.40  1.250 [1.250, 1.250] other
geometric mean     1.00    0.50   0.40

time, threads   glibc  hakmem  other          hakmem / best peer
two              1.00    0.25   0.50  0.500 [0.500, 0.500] other
geometric mean   1.00    0.25   0.50

peak memory     glibc  hakmem  other           hakmem / best peer
one              1.00    1.10   2.00   1.100 [1.100, 1.100] glibc
two              1.00    1.00   1.00  ~1.000 [1.000, 1.000] glibc
geometric mean   1.00    1.05   1.41

points  one
other     3
hakmem    2
glibc     1

rank  allocator  one thread  threads  peak memory
1         other        0.40     0.50         1.41
2        hakmem        0.50     0.25         1.05
3         glibc        1.00     1.00         1.00

A peer is ahead of hakmem by more than 5 % on: one (other, 1.25).
"""


def test_those_that_cannot_be_told_apart_share_a_place():
    """Three rounds, won in turns: by medians alone one of them would be last."""
    rows = (bench.Benchmark("one", "p", "s", points=True),)
    study = Study(rows, ("glibc", "hakmem", "other"), "hakmem", "glibc", (
        *samples("one", "glibc", (1.0, 1), (1.1, 1), (0.9, 1)), *samples("one", "hakmem", (1.1, 1), (1.0, 1), (1.0, 1)),
        *samples("one", "other", (1.3, 1), (1.3, 1), (1.3, 1))))
    assert [line.split() for line in ranking.points_table(study).splitlines()[1:]] == [
        ["glibc", "3"], ["hakmem", "3"], ["other", "1"]]


def test_a_failure_leaves_no_mean():
    text = ranking.summary(small_study(Sample("two", "other", 0, failure="signal SIGSEGV")))
    assert "two              1.00    0.25   fail  0.250 [0.250, 0.250] glibc" in text
    assert "3         other        0.40        -            -" in text.replace("1         other", "3         other")
    assert text.endswith("failed: other on two: signal SIGSEGV\n")


def test_results_are_read_back(tmp_path):
    path = tmp_path / "bench.jsonl"
    bench.Recorder(path, (bench.Contender("glibc"),))(Sample("one", "glibc", 0, 1.5, 900))
    assert bench.read_last(path) == (Sample("one", "glibc", 0, 1.5, 900),)


# the ladder

def test_throughput_is_the_inverse_of_time(monkeypatch):
    monkeypatch.setattr(ladder, "PEERS", (("glibc", (1.5, 2.5)), ("other", (0.9,)), ("gone", (1.0,))))
    rungs = ladder.throughput(small_study(*samples("two", "other", (0.5, 100), (0.5, 100))))
    assert [rung.cells for rung in rungs] == [
        ("throughput, one thread, of glibc's", ">= 1.50 x", "2.00 x", "yes"),
        ("throughput, one thread, of glibc's", ">= 2.50 x", "2.00 x", "no"),
        ("throughput, one thread, of other's", ">= 0.90 x", "0.80 x", "no"),
        ("throughput, one thread, of gone's", ">= 1.00 x", "not measured", "no"),
        ("throughput, threads, of glibc's", ">= 1.50 x", "4.00 x", "yes"),
        ("throughput, threads, of glibc's", ">= 2.50 x", "4.00 x", "yes"),
        ("throughput, threads, of other's", ">= 0.90 x", "2.00 x", "yes"),
        ("throughput, threads, of gone's", ">= 1.00 x", "not measured", "no")]


def test_gains_are_paired_by_round():
    seconds = dict.fromkeys(("minimal", "learning", "no ace"), [1.0, 2.0, 4.0])
    seconds |= {"bare": [2.7, 5.4, 40.0], "balanced": [1.25, 2.5, 4.0], "learner": [1.0, 2.0, 4.0]}
    rungs = {rung.title: rung for rung in ladder.scenarios(dict.fromkeys(ladder.SCENARIOS, seconds))}
    assert rungs["fragmentation: a learner against no caches"].cells[1:] == (">= 2.60 x", "2.70 x", "yes")
    assert rungs["realloc: the same against the variant minimal"].cells[1:] == ("-", "1.00 x", "-")
    assert rungs["the three together: balanced against minimal"].cells[1:] == ("> 1", "0.80 x", "no")
    assert len(rungs) == 10


@pytest.mark.parametrize("counts, measured, holds", [
    ((1000, 1100, 1000), "+10.00%; +0.00%", True), ((1000, 1100, 1011), "+10.00%; +1.10%", False),
    ((1000, 1000, 1000), "+0.00%; +0.00%", True), ((1000, 990, 1001), "-1.00%; +0.10%", False)])
def test_frozen_is_compared_with_learn(monkeypatch, counts, measured, holds):
    found = iter(counts)
    monkeypatch.setattr(ladder, "allocator_instructions", lambda row, settings: next(found))
    rung = ladder.learning()
    assert (rung.measured, rung.holds) == (measured, holds)


def test_what_is_counted_has_its_rung(monkeypatch):
    spent = {"tiny": 500, "tiny-malloc": 300}
    monkeypatch.setattr(ladder, "site_instructions", lambda work, rounds: spent[work] * rounds)
    assert ladder.call_sites().cells[1:] == ("<= 50 ns", "100 instructions, 33 ns at 3 a ns", "yes")
    monkeypatch.setattr(ladder, "output_of", lambda row, one: (
        f"vm,vm,50,10,1.0,2.0,{0.5 if one.name == 'hakmem' else 20.0},9000\n", ""))
    assert ladder.faults((bench.Contender("glibc"), bench.Contender("hakmem"))).cells[1:] == ("<= 20.0", "0.5", "yes")
