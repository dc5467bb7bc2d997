# SPDX-License-Identifier: MIT
"""Recording and replay: traces say what programs did, by the page that describes them, however these end; bench_replay
executes them, and refuses what is none."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies

from common import launch, recording, workloads
from common.errors import Failure, UserError
from common.paths import BUILD
from common.proc import run
from plan import programs
from plan.project import Project
from tests import trace_reader
from tests.support import ROOT, brought_up_to_date, needs
from tests.test_faults import mounted

LIBRARY = BUILD / "clang-learning" / "base" / "libhakmem.so"
OTHER = BUILD / "clang-bench_minimal" / "base" / "libhakmem.so"
REPLAY = BUILD / "bench" / "bench_replay"
RUNS = ("api_errno", "api_malloc", "api_realloc", "api_aligned", "api_calloc", "life_fork_threaded",
        "life_fork_handlers", "life_raw_fork", "life_signals_threads", "life_thread_ends", "life_key_destructors",
        "life_closed_descriptors", "life_small_stacks", "life_early_and_late", "life_cancelled", "life_no_proc",
        "stress_fork_storm", "stress_remote_free")
LIBRARIES = tuple(f"build/clang-{variant}/base/libhakmem.so" for variant in ("learning", "bench_minimal", "balanced"))
NEEDS = (*LIBRARIES, "build/bench/bench_replay", *(f"build/tests/{name}" for name in RUNS))
KINDS = ("malloc", "calloc", "aligned", "realloc")


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The program whose calls are known."""
    for so in (LIBRARY, OTHER):
        if not so.exists():
            pytest.skip(f"{so} is not built: ninja matrix")
        brought_up_to_date(so)
    out = tmp_path_factory.mktemp("traced") / "traced"
    run([needs("gcc", "gcc"), "-O1", "-fno-builtin", "-pthread", "-Wall", "-Wextra", "-Werror",
         ROOT / "tests/trace/traced.c", "-o", out])
    return out


def environment(so, trace, **more) -> dict:
    """Of a recorded program."""
    return {"PATH": "/usr/bin:/bin", "LD_PRELOAD": str(so), "HAKMEM_TRACE": str(trace), **more}


def finished(argv, place, env):
    """A program's run."""
    return subprocess.run(argv, env=env, cwd=place, capture_output=True, text=True, timeout=100, check=False)


def waiting(program, path):
    """A program that has taken blocks, and waits for a word."""
    begun = subprocess.Popen([program, "wait"], env=environment(LIBRARY, path), stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, text=True)
    assert begun.stdout.readline() == "ready\n"
    return begun


def traced(program, way, place, expect=0, **more):
    """Runs a way; returns (finished process, path of the trace)."""
    path = place / "t.trace"
    done = finished([program, way], place, environment(LIBRARY, path, **more))
    assert done.returncode == expect, done.stderr
    return done, path


def replayed(path, *words, so=None, expect=0):
    """bench_replay on a trace."""
    env = {"PATH": "/usr/bin:/bin", **({"LD_PRELOAD": str(so)} if so else {})}
    done = subprocess.run([REPLAY, path, *words], env=env, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == expect, done.stderr
    return done


def figures(path, *words, so=None) -> dict:
    """Of a replay, as JSON."""
    return json.loads(replayed(path, "--json", *words, so=so).stdout)


def agree(path, so=None):
    """The page's reader and bench_replay count the same; returns what the reader has."""
    trace, found = trace_reader.read(path), figures(path, so=so)
    assert found["events"] == len(trace.events) and found["allocations"] == len(trace.of(*KINDS))
    assert found["frees"] == len(trace.of("free")) and found["remote_frees"] == trace.remote
    assert found["threads"] == len(trace.of("begin")) and found["peak_live_bytes"] == trace.peak
    assert found["cut"] == (trace.end == 0) and found["refused"] == 0
    return trace


# --- what is recorded -------------------------------------------------------------------------------------------------

def test_each_kind_of_call(program, tmp_path):
    done, path = traced(program, "kinds", tmp_path)
    trace = agree(path)
    assert done.stderr == "" and trace.end == 1 and trace.lost == 0 and trace.events_said == len(trace.events)
    assert trace.sizes("malloc") == [7001, 7004] and trace.sizes("calloc") == [7007]
    assert [(row["size"], row["align"]) for row in trace.of("aligned") if 7000 <= row["size"] < 8000] == \
        [(7168, 12), (7003, 6), (7005, 8)]
    assert trace.sizes("realloc") == [7500, 7501]
    freed = [row["of"] for row in trace.of("free") if 7000 <= row["of"] < 8000]
    assert freed == [7004, 7500, 7501, 7168, 7003]
    assert [size for size, _thread in trace.live.values() if 7000 <= size < 8000] == [7005]


def test_the_header(program, tmp_path):
    _done, path = traced(program, "kinds", tmp_path)
    trace = trace_reader.read(path)
    assert trace.program == str(program) and re.fullmatch(r"\d+\.\d+\.\d+ learning", trace.version)
    said = [run(["readelf", "-n", file]).stdout for file in (program, LIBRARY)]
    assert [id_.hex() for id_ in trace.build_ids] == [re.search(r"Build ID: (\w+)", text).group(1) for text in said]


def test_sites_lie_in_the_program(program, tmp_path):
    """Each call's place is in a function of the program that makes such calls."""
    _done, path = traced(program, "threads", tmp_path)
    trace = trace_reader.read(path)
    ours = {row["site"] for row in trace.of("malloc") if 7000 <= row["size"] < 8000}
    assert len(ours) == 1
    site = trace.sites[ours.pop() - 1]
    assert trace.objects[site["object"] - 1]["path"] == str(program)
    symbols = [line.split() for line in run(["nm", program]).stdout.splitlines() if len(line.split()) == 3]
    functions = sorted((int(address, 16), name) for address, kind, name in symbols if kind in "tT")
    assert [name for address, name in functions if address <= site["offset"]][-1] in ("take", "fill_row")


def test_threads(program, tmp_path):
    _done, path = traced(program, "threads", tmp_path)
    for so in (None, LIBRARY, OTHER):
        trace = agree(path, so)
    by = {}
    for kind, thread, row in trace.events:
        if kind == "malloc" and 7000 <= row["size"] < 8000:
            by.setdefault(thread, []).append(row["size"])
    assert sorted(by) == [2, 3, 4, 5] and all(sizes == list(range(7000, 7300)) for sizes in by.values())
    assert trace.remote >= 4 * 300 and len(trace.of("end")) == 4


def test_a_forked_child_has_its_own(program, tmp_path):
    done, path = traced(program, "fork", tmp_path)
    parent, child = agree(path), agree(tmp_path / f"t.trace.{done.stdout.strip()}")
    assert parent.sizes("malloc") == list(range(7000, 7300)) and parent.flags == 0
    assert child.flags == 1 and sorted(child.sizes("born")) == list(range(7000, 7300))
    assert child.sizes("malloc") == list(range(7000, 7050)) and child.end == 1
    assert sorted(row["of"] for row in child.of("free") if 7000 <= row["of"] < 8000) == list(range(7000, 7100))


def test_children_of_a_busy_process(program, tmp_path):
    """Whatever the other threads were doing: every child's trace can be replayed."""
    done, path = traced(program, "fork_busy", tmp_path)
    children = sorted(tmp_path.glob("t.trace.*"))
    assert done.stderr == "" and len(children) == 40
    for child in children:
        trace = agree(child)
        assert trace.end == 1 and trace.flags in (1, 3)
        assert trace.sizes("malloc")[-50:] == list(range(7000, 7050))
    agree(path)


def test_exec(program, tmp_path):
    """What was before stays; the next program of the process has another file."""
    _done, path = traced(program, "exec", tmp_path)
    first = agree(path)
    second = agree(tmp_path / f"t.trace.{first.process}")
    assert first.end == 0 and len(first.sizes("malloc")) >= 200
    assert second.end == 1 and second.sizes("realloc") == [7500, 7501]


@pytest.mark.parametrize("way, code", [("kill", -signal.SIGKILL), ("quick", 0)])
def test_ended_in_the_middle(program, tmp_path, way, code):
    _done, path = traced(program, way, tmp_path, code)
    trace = agree(path)
    assert trace.end == 0 and 200 <= len(trace.sizes("malloc")) <= 300
    assert "is cut" in replayed(path).stderr


def test_the_limit(program, tmp_path):
    done, path = traced(program, "long", tmp_path, HAKMEM_TRACE_MB="1")
    trace = agree(path)
    assert done.stderr == "" and trace.end == 2 and trace.bytes == path.stat().st_size
    assert (1 << 20) - 2048 < trace.bytes <= 1 << 20


def test_a_file_that_may_not_grow(program, tmp_path):
    """SIGXFSZ would have ended the program."""
    done, path = traced(program, "small_file", tmp_path)
    trace = agree(path)
    assert done.stderr == "" and trace.end == 3 and trace.bytes <= 100000


def test_a_full_disk(program, tmp_path):
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=256k", "tmpfs") as disk:
        _done, path = traced(program, "long", disk)
        trace = agree(path)
        assert trace.end == 3 and 100000 < trace.bytes <= 256 << 10


def test_closed_descriptors(program, tmp_path):
    """What the program writes goes where it wants it, and the trace is whole."""
    done, path = traced(program, "closed", tmp_path)
    assert done.stdout == "" and agree(path).end == 1


def test_handlers_that_allocate(program, tmp_path):
    done, path = traced(program, "signals", tmp_path)
    trace = agree(path)
    assert done.stderr == "" and trace.end == 1
    assert trace.sizes("malloc").count(7999) > 0


# --- which file -------------------------------------------------------------------------------------------------------

def test_two_processes_at_one_file(program, tmp_path):
    path = tmp_path / "t.trace"
    with waiting(program, path) as first:
        done, _path = traced(program, "kinds", tmp_path)
        first.communicate("x", timeout=30)
    others = sorted(tmp_path.glob("t.trace.*"))
    assert len(others) == 1
    assert done.stderr == (f"hakmem: warning: HAKMEM_TRACE={path}: process {first.pid} writes this file; this one "
                           f"writes {others[0]}\n")
    assert agree(path).sizes("malloc") == list(range(7000, 7300)) and agree(others[0]).sizes("calloc") == [7007]


def test_an_old_trace_is_written_over(program, tmp_path):
    traced(program, "long", tmp_path)
    _done, path = traced(program, "kinds", tmp_path)
    assert list(tmp_path.iterdir()) == [path] and agree(path).sizes("calloc") == [7007]


@pytest.mark.parametrize("what", ["text", "directory", "nowhere", "fifo", "short"])
def test_no_file_of_ours(program, tmp_path, what):
    """Nothing is written over, the program runs, and one sentence says why nothing is recorded."""
    path = tmp_path / "t.trace"
    if what == "text":
        path.write_text("precious" * 100)
    elif what == "short":
        path.write_text("HAK")
    elif what == "directory":
        path.mkdir()
    elif what == "fifo":
        os.mkfifo(path)
    else:
        path = tmp_path / "no" / "t.trace"
    done = finished([program, "kinds"], tmp_path, environment(LIBRARY, path))
    assert done.returncode == 0
    assert done.stderr.startswith(f"hakmem: warning: HAKMEM_TRACE={path}: it is no ")
    assert done.stderr.endswith(": nothing is recorded\n") and done.stderr.count("\n") == 1
    assert what != "text" or path.read_text() == "precious" * 100


def test_the_file_is_moved_away(program, tmp_path):
    """Nobody else's file is written to: the recording ends."""
    path = tmp_path / "t.trace"
    with waiting(program, path) as first:
        path.rename(tmp_path / "kept")
        path.write_text("precious")
        first.communicate("x", timeout=30)
    assert first.returncode == 0 and path.read_text() == "precious" and agree(tmp_path / "kept").end == 0


def test_a_relative_name(program, tmp_path):
    done = finished([program, "kinds"], tmp_path, environment(LIBRARY, "t.trace"))
    assert done.returncode == 0 and agree(tmp_path / "t.trace").end == 1


# --- programs ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", RUNS)
def test_recorded_programs_keep_their_promises(program, tmp_path, name):
    """errno, forks, signals, ends of threads: the tests of these pass while they are recorded."""
    del program
    path = tmp_path / "t.trace"
    done = finished([BUILD / "tests" / name], tmp_path, environment(LIBRARY, path))
    assert done.returncode in (0, 77), done.stderr + done.stdout
    for trace in sorted(tmp_path.glob("t.trace*"))[:20]:
        replayed(trace, "--check")


REAL = {
    "python3": (["/usr/bin/python3", "-S", "-c",
                 "import json; print(json.dumps({i: 'x' * i for i in range(300)})[-40:])"], {"PYTHONMALLOC": "malloc"}),
    "git": (["/usr/bin/git", "-c", "safe.directory=*", "-C", str(ROOT), "log", "-3", "--stat"],
            {"HOME": "/nonexistent"}),
    "sh": (["/bin/sh", "-c", "for i in 1 2 3; do echo $i | tr 1 2; done; (exec ls /)"], {}),
}


@pytest.mark.parametrize("name", sorted(REAL))
def test_real_programs(program, tmp_path, name):
    """The output is as without, nothing is said, and each process's trace can be replayed."""
    del program
    argv, env = REAL[name]
    needs(Path(argv[0]).name, Path(argv[0]).name)
    plain = finished(argv, tmp_path, {"PATH": "/usr/bin:/bin", **env})
    done = finished(argv, tmp_path, environment(LIBRARY, tmp_path / "t.trace", **env))
    assert plain.returncode == 0 and (done.stdout, done.stderr) == (plain.stdout, plain.stderr)
    found = sorted(tmp_path.glob("t.trace*"))
    assert found
    for path in found:
        agree(path)


def test_other_variants_say_who_can(program, tmp_path):
    path = tmp_path / "t.trace"
    balanced = BUILD / "clang-balanced" / "base" / "libhakmem.so"
    done = finished([program, "kinds"], tmp_path, environment(balanced, path))
    assert done.stderr == (f"hakmem: warning: HAKMEM_TRACE={path} changes nothing: this library is the variant "
                           "balanced; the variants that can do it: learning and research\n")
    assert done.returncode == 0 and not path.exists()


# --- replay -----------------------------------------------------------------------------------------------------------

def test_figures(program, tmp_path):
    """The keys that others read; hakmem's own statistics only where it is loaded; the same figures each time."""
    _done, path = traced(program, "threads", tmp_path)
    plain, ours = figures(path), figures(path, so=LIBRARY)
    for key in ("wall_s", "user_s", "system_s", "faults_minor", "faults_major", "peak_resident_bytes",
                "end_resident_bytes",
                "resident_byte_operations", "live_byte_operations", "pages_touched", "tlb1_misses", "tlb2_misses",
                "internal_waste_bytes", "external_waste_bytes"):
        assert plain[key] >= 0 and ours[key] >= 0
    assert all(max(one["peak_live_bytes"] + one["internal_waste_bytes"], one["peak_resident_bytes"]) ==
               one["peak_live_bytes"] + one["internal_waste_bytes"] + one["external_waste_bytes"]
               for one in (plain, ours))
    assert plain["library"] is None and ours["library"]["heaps"] >= 2
    again = figures(path, so=LIBRARY)
    assert [again[key] for key in ("live_byte_operations", "internal_waste_bytes", "refused")] == \
        [ours[key] for key in ("live_byte_operations", "internal_waste_bytes", "refused")]
    assert plain["peak_live_bytes"] <= ours["pages_touched"] * 4096 + ours["peak_live_bytes"] // 2


def test_touching(program, tmp_path):
    _done, path = traced(program, "threads", tmp_path)
    pages = {how: figures(path, f"--touch={how}")["pages_touched"] for how in ("none", "first", "all")}
    assert pages["none"] == 0 and pages["first"] == pages["all"] > 100
    misses = {how: figures(path, f"--touch={how}")["tlb1_misses"] for how in ("first", "all")}
    assert misses["all"] >= misses["first"]


def test_more_of_the_same(program, tmp_path):
    """Each block three times: three times the calls and the bytes, with the contents checked."""
    _done, path = traced(program, "threads", tmp_path)
    once, thrice = figures(path, so=LIBRARY), figures(path, "--copies=3", so=LIBRARY)
    for key in ("events", "allocations", "frees", "remote_frees", "peak_live_bytes"):
        assert thrice[key] == 3 * once[key] > 0
    assert thrice["peak_resident_bytes"] > 2 * once["peak_resident_bytes"] and thrice["refused"] == 0
    for word in ("0", "17", "two", "2x", "-1", ""):
        assert "--copies must be 1 to 16" in replayed(path, f"--copies={word}", expect=2).stderr


def test_csv_and_stat(program, tmp_path):
    _done, path = traced(program, "threads", tmp_path)
    head, row = replayed(path, "--csv").stdout.splitlines()
    assert dict(zip(head.split(","), row.split(",")))["threads"] == "5"
    text = replayed(path, "--stat").stdout
    assert str(program) in text and "lifetimes in calls" in text and re.search(r"below +8192 +\d{4}", text)


def test_sizes_at_the_peak(program, tmp_path):
    """Rounded up to 16 bytes; all of them together are what is in use at the peak."""
    _done, path = traced(program, "kinds", tmp_path)
    rows = [tuple(map(int, line.split())) for line in replayed(path, "--sizes").stdout.splitlines()]
    peak = json.loads(replayed(path, "--json").stdout)["peak_live_bytes"]
    assert rows == sorted(set(rows)) and all(size % 16 == 0 and number > 0 for size, number in rows)
    small = sum((size - 15) * number for size, number in rows)
    assert 0 < small <= peak


@pytest.mark.parametrize("words", [(), ("--json",), ("--csv",), ("--stat",), ("--sizes",)])
def test_figures_that_cannot_be_printed(program, tmp_path, words):
    """A full disk behind stdout is no success."""
    _done, path = traced(program, "kinds", tmp_path)
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([REPLAY, path, *words], env={}, stdout=full, stderr=subprocess.PIPE, text=True,
                              timeout=100, check=False)
    assert (done.returncode, done.stderr) == (1, "bench_replay: the figures cannot be written to standard output: "
                                              "No space left on device\n")


def test_lost_contents_are_seen(program, tmp_path):
    """A malloc that hands a block out twice."""
    source = tmp_path / "twice.c"
    source.write_text("#include <stddef.h>\nstatic char pool[1 << 24]; static size_t at;\n"
                      "void *malloc(size_t n) { static char one[8192]; if (n >= 7000 && n < 8000) return one;\n"
                      "  void *p = pool + at; at += (n + 31) & ~(size_t)15; return p; }\n"
                      "void free(void *p) { (void)p; }\nvoid *calloc(size_t a, size_t b) { return malloc(a * b); }\n")
    run([needs("gcc", "gcc"), "-O1", "-fno-builtin", "-shared", "-fPIC", source, "-o", tmp_path / "twice.so"])
    _done, path = traced(program, "threads", tmp_path)
    done = replayed(path, so=tmp_path / "twice.so", expect=1)
    assert "lost its contents" in done.stderr


@pytest.mark.parametrize("make, sentence", [
    (lambda data: b"", "it is empty"), (lambda data: b"ELF" * 100, "it does not begin as one"),
    (lambda data: data[:70], "is cut within its header"), (lambda data: data[:8] + b"\2" + data[9:], "has version 2"),
    (lambda data: data[:-1], "bytes are left, copy it whole"), (lambda data: data[:-1] + b"\xff", "is no event"),
    (lambda data: data[:20] + b"\x63" + data[21:], "its header contradicts itself")])
def test_what_is_no_trace(program, tmp_path, make, sentence):
    _done, path = traced(program, "kinds", tmp_path)
    path.write_bytes(make(path.read_bytes()))
    done = replayed(path, expect=2)
    assert sentence in done.stderr and done.stderr.count("\n") == 1 and done.stdout == ""


def test_no_file_to_replay(tmp_path):
    for words in ((tmp_path / "none",), (tmp_path,), ("--wrong",)):
        assert replayed(*words, expect=2).stderr.count("\n") == 1


@pytest.fixture(scope="module")
def sample(program, tmp_path_factory):
    """The bytes of a trace with every kind of event."""
    place = tmp_path_factory.mktemp("sample")
    done, path = traced(program, "fork", place)
    child = (place / f"t.trace.{done.stdout.strip()}").read_bytes()
    _done, path = traced(program, "threads", place)
    return path.read_bytes()[:4000], child[:4000]


@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(which=strategies.integers(0, 1), changes=strategies.lists(
    strategies.tuples(strategies.integers(0, 3999), strategies.integers(0, 255)), max_size=8),
    length=strategies.integers(0, 4000), cut=strategies.booleans())
def test_mutated_traces_never_crash(sample, tmp_path_factory, which, changes, length, cut):
    """Whatever stands in the file: read, or refused with a sentence. What can be read is executed."""
    data = bytearray(sample[which])
    for at, value in changes:
        if at < len(data):
            data[at] = value
    if cut:
        data = data[:length]
    data[20:24] = bytes(4) if len(data) > 24 and not changes else data[20:24]
    path = tmp_path_factory.getbasetemp() / "mutated"
    path.write_bytes(data)
    for words in (("--check",), ("--stat",), ("--sizes",), ("--touch=none", "--json")):
        done = finished(["prlimit", "--as=4000000000", "--", REPLAY, path, *words], path.parent, {})
        assert done.returncode in (0, 2), done.stderr
        assert done.returncode == 0 or done.stderr.count("\n") == 1


# --- as workloads -----------------------------------------------------------------------------------------------------

TABLE = """
[[workload]]
name = "service"
role = "{role}"
{what}
sentence = "what a service asked of malloc"

[[recording]]
name = "true.trace"
command = ["/bin/true"]
sentence = "a program that does nothing"
"""


def rows_of(tmp_path, what, role="train") -> tuple:
    """The workloads of a table."""
    (tmp_path / "bench").mkdir(exist_ok=True)
    (tmp_path / "bench" / "workloads.toml").write_text(TABLE.format(role=role, what=what))
    return workloads.load_table(tmp_path)


@pytest.mark.parametrize("role", workloads.ROLES)
def test_a_trace_is_a_workload(program, tmp_path, role):
    """Its command is bench_replay, under whatever library is judged."""
    _done, path = traced(program, "threads", tmp_path)
    (row,) = rows_of(tmp_path, f'trace = "{path}"', role)
    assert row.command == ("{bench}/bench_replay", str(path)) and row.programs() == ("bench_replay",)
    assert launch.launch(row, OTHER).returncode == 0
    (row,) = rows_of(tmp_path, 'trace = "true.trace"', role)
    assert row.command == ("{bench}/bench_replay", "{inputs}/true.trace") and row.inputs == ("true.trace",)


def test_the_edge_of_a_recording(tmp_path):
    """It needs the library that records, and what the program reads."""
    rows_of(tmp_path, 'trace = "true.trace"')
    project = Project({}, (), (), (), (), (), recordings=workloads.load_recordings(ROOT))
    (edge,) = programs.record_edges(project)
    assert edge.outputs == ("build/inputs/lua.trace",) and edge.variables["recording"] == "lua.trace"
    assert {"build/inputs/lua_mix.lua", "build/clang-learning/base/libhakmem.so"} <= set(edge.implicit)


@pytest.mark.parametrize("what, sentence", [
    ('trace = "gone.trace"', "no \\[\\[recording\\]\\] makes 'gone.trace'; valid recordings: true.trace"),
    ('trace = "true.trace"\ncommand = ["x"]', "has a command and a trace"), ("", "command is empty")])
def test_a_row_that_is_wrong(tmp_path, what, sentence):
    with pytest.raises(UserError, match=sentence):
        rows_of(tmp_path, what)


def test_a_recording_is_made(program, tmp_path):
    """By its program, whose trace must be whole."""
    out = tmp_path / "made.trace"
    row = workloads.Recording("made.trace", (str(program), "kinds"), "s").workload()
    recording.record(row, LIBRARY, out)
    assert agree(out).sizes("calloc") == [7007]
    with pytest.raises(Failure, match="recorded nothing of 'made.trace'"):
        recording.record(row, OTHER, out)
    with pytest.raises(Failure, match="is not whole: its program must end by exit"):
        recording.record(workloads.Recording("made.trace", (str(program), "quick"), "s").workload(), LIBRARY, out)
