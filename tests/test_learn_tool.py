# SPDX-License-Identifier: MIT
"""`make learn` as a tool: what it says about bad input, what it leaves behind, that a kill costs nothing; with a replay
that is a formula (tests/own/replay.sh) and programs that write their traces themselves."""

import fcntl
import os
import re
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from common import files, idle
from common.errors import UserError
from common.launch import launch
from common.paths import BENCH_PROGRAMS, FORGET, IDLE
from common.tree import Tree
from learn import attribute, learn, objective, record, replay, show, table
from learn.runs import Runs
from plan import own, policy
from tests.programs import wait_until
from tests.support import ROOT

NEEDS = ("bench",)
PYTHON = "/usr/bin/python3"
LIBRARY = BENCH_PROGRAMS / FORGET
FAKE = ROOT / "tests" / "own" / "replay.sh"
WRITES = "import os; open(os.environ.get('HAKMEM_TRACE', os.devnull), 'w').write('{}')"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A directory for a policy, and the tool's own below it."""
    monkeypatch.setattr(learn, "PLACE", tmp_path / "learn")
    monkeypatch.setattr(learn, "Runs", counted)
    return tmp_path


def counted(*arguments, each=0.05):
    """Runs that take a twentieth of a second each, however busy the machine is."""
    made = Runs(*arguments, clock=lambda: len(made.known) * each)
    return made


def arguments(place, *more) -> list:
    """A command line; the library is one that does nothing."""
    if not LIBRARY.exists():
        pytest.skip(f"no {LIBRARY.name} yet: run `ninja bench`")
    return ["--name", "app", "--so", str(LIBRARY), "--replay", str(FAKE), "--budget", "10",
            "-o", str(place / "app.toml"), "--here", str(place), *more]


def program(place, content: str, name="prog.py") -> str:
    """A command that runs these lines."""
    (place / name).write_text(content)
    return f"{PYTHON} {name}"


def trace(place, content: str, name="trace") -> list:
    """The option that gives a trace."""
    (place / name).write_text(content)
    return ["--trace", name]


def learned(place) -> policy.Policy:
    """What was written."""
    return policy.read(place / "app.toml", policy.load_rows(ROOT))


def test_a_command_is_recorded_searched_and_written(place, capsys, monkeypatch):
    """The whole way: two commands, what the policy says of itself, the table, and a second run that replays nothing.
    Both parameters that pay are found: that takes more replays than other tests have."""
    monkeypatch.setattr(learn, "Runs", lambda *words: counted(*words, each=0.02))
    words = arguments(place, "--train", program(place, WRITES.format("one 1000")),
                      "--train", program(place, WRITES.format("two 3000"), "other.py"), "--budget", "15")
    assert learn.main(words) == 0
    made, shown = learned(place), capsys.readouterr().out
    assert 4096 <= made.values["thp_block_kb"] <= 65536 and made.values["retain_mb"] > 100 and len(made.values) == 2
    assert made.provenance["program"] == f"{PYTHON} prog.py; {PYTHON} other.py" and made.provenance["events"] == 4000
    assert len(made.provenance["trace"]) == 2 and made.provenance["goal"] == "balanced"
    assert made.figures["user1.1.faults_small"] == [70000, 48000]
    assert [row["name"] for row in made.parameters] == ["thp_block_kb", "retain_mb"]
    assert made.parameters[0]["time_us"] == pytest.approx(48 / 68 - 1, rel=0.01)
    assert re.search(r"faults_small +140,000 +96,000 +-31.43 %", shown)
    assert re.search(r"thp_block_kb +0 KiB +[\d,]+ KiB +-29.\d\d % +0 +0 +0\n", shown)
    assert re.search(r"retain_mb +4 MiB +[\d,]+ MiB +-4.0\d % +\+(0.9\d|1.00) % +0 +0\n", shown)
    assert "\nnext: `make pgo TRAIN='/usr/bin/python3 prog.py' HOLDOUT=" in shown
    before = (place / "app.toml").read_bytes()
    replays = re.search(r"(\d+) replays", shown)[1]
    assert learn.main(words) == 0
    again = capsys.readouterr()
    assert (place / "app.toml").read_bytes() == before and f" {replays} replays" in again.out
    assert "recording" not in again.err and "going on with" in again.err


def test_the_default_may_be_best(place, capsys):
    """Then the policy is empty, and the table says so."""
    assert learn.main(arguments(place, "--goal", "memory", *trace(place, "x 10"))) == 0
    assert learned(place).values.get("retain_mb") is None
    nothing = type("", (), {"policy": {}})
    asked = learn.parse(["--trace", "x"])
    assert learn.next_step(asked, nothing, place, 25, 25).startswith("next: nothing")
    assert learn.next_step(asked, nothing, place, 24, 25).startswith("next: the same with more BUDGET; 24 policies")
    assert table.none_found(1200).startswith("the defaults are as good for this as any of 1,200 policies")


def test_a_size_that_the_trace_is_full_of(place, capsys):
    """It gets a class of its own, if that pays."""
    assert learn.main(arguments(place, *trace(place, "peaked 10"))) == 0
    assert learned(place).values["mid_dyn1"] == 5312 and "mid_dyn2" not in learned(place).values
    assert re.search(r"mid_dyn1 +0 bytes +5,312 bytes ", capsys.readouterr().out)


def test_no_time_for_any_policy(place, capsys, monkeypatch):
    """It does not say that the defaults are best: nothing was tried, as three looks take all the time."""
    monkeypatch.setattr(learn, "Runs", lambda *words: counted(*words, each=0.5))
    assert learn.main(arguments(place, *trace(place, "x 10"), "--budget", "1")) == 0
    shown = capsys.readouterr().out
    assert learned(place).values == {} and "nothing is known; give more BUDGET" in shown
    assert "\nnext: the same with more BUDGET; 0 policies" in shown and "as good" not in shown


@pytest.mark.parametrize("words, sentence", [
    ([], "there is nothing to learn from: give a command"),
    (["--train", "no_such_program"], "no such program"),
    (["--train", "/bin/false"], r"failed with exit 1 \(it runs without a terminal, with no input, .*; nothing was"),
    (["--train", "/bin/sh -c 'echo why >&2; exit 3'"], r"failed with exit 3 \(.*; nothing was learned, .*\n    why$"),
    (["--train", "/bin/sh -c 'kill -SEGV $$'"], "failed with signal SIGSEGV"),
    (["--train", "/bin/sleep 60", "--timeout", "1"], "did not end within 1 s"),
    (["--train", "/bin/true"], "'/bin/true' left no trace: it makes no malloc call"),
    (["--trace", "gone"], "--trace gone: no such file"),
    (["--trace", "."], "--trace .: it is a directory: give a file"),
    (["--trace", "/dev/zero"], "/dev/zero is a pipe or a device: give a file"),
    (["--trace", "foreign"], "foreign cannot be replayed: bench_replay: .*foreign is no trace of hakmem"),
    (["--trace", "crash"], "under the default policy: bench_replay failed with signal SIGABRT"),
    (["--trace", "empty"], "'empty' makes no malloc call: there is nothing to learn from"),
    (["--trace", "x", "--goal", "speed"], "unknown goal 'speed'; valid goals: time, memory, balanced"),
    (["--trace", "x", "--budget", "0"], "--budget: must be a number of at least 1 and at most 2000000, not '0'"),
    (["--trace", "x", "--name", "../x"], "--name '../x': a name has letters"),
    (["--trace", "x", "--name", "x" * 101], "at most 100 characters"),
    (["--trace", "x", "--so", "gone.so"], "gone.so is missing: build it first"),
    (["--trace", "x", "--weights", "3,1"], "--weights 3,1: 2 for 1 command; give one for each, in their order"),
    (["--trace", "x", "--weights", "0"], "--weights: must be a whole number of at least 1 and at most 1000000, not"),
    (["--train", "HAKMEM_THP=on /bin/ls"], "HAKMEM_THP decides in the library what is to be learned"),
])
def test_bad_input(place, words, sentence):
    """One sentence, exit 2, and what was learned before is as it was."""
    for name, content in (("foreign", "foreign 1"), ("crash", "crash 1"), ("empty", "empty 0"), ("x", "x 10")):
        trace(place, content, name)
    (place / "app.toml").write_text("as it was")
    with pytest.raises(UserError) as error:
        learn.main(arguments(place, *words))
    assert re.search(sentence, str(error.value)), error.value
    assert (place / "app.toml").read_text() == "as it was"


def test_weights_of_commands(place):
    """Processes of a command share its weight, and what stands for larger inputs counts less."""
    trace(place, "x 10")
    before = {name: {"events": 100} for name in ("user1.1", "user1.2", "user1.1*2", "user2.1", "trace1")}
    asked = learn.parse(["--train", "a", "--train", "b", "--trace", "trace", "--weights", "6, 2 1", "--here",
                         str(place)])
    assert learn.weights_of(before, learn.given_weights(asked)) == {
        "user1.1": 3, "user1.2": 3, "user1.1*2": 1.5, "user2.1": 2, "trace1": 1}
    assert learn.weights_of(before)["user1.1"] == 0.5 and learn.weights_of(before)["user2.1"] == 1


@pytest.mark.parametrize("name, said", [("limited", True), ("x", False)])
def test_a_recording_that_ends_before_its_program(place, capsys, name, said):
    """The rest is not looked at, and that is said."""
    assert learn.main(arguments(place, *trace(place, f"{name} 10"))) == 0
    assert ("the trace of 'trace' ends at its largest size (HAKMEM_TRACE_MB" in capsys.readouterr().err) == said


def test_other_weights_begin_anew(place, capsys):
    """They decide what is tried; the policy says which they were."""
    words = arguments(place, *trace(place, "x 10"), *trace(place, "x 30", "other"))
    for weights, known in (("1,4", False), ("1 4", True), ("4,1", False)):
        assert learn.main([*words, "--weights", weights]) == 0
        assert ("going on with" in capsys.readouterr().err) == known, weights
    assert learned(place).provenance["weights"] == [4, 1]


def test_what_to_run_next_can_be_run(capsys):
    """Whatever quotes and signs the command has."""
    found = type("", (), {"policy": {"thp": 2}})
    asked = learn.parse(["--train", "sh -c 'echo \"$1\"'"])
    asked.so = ROOT / "a.so"
    line, tried = learn.next_step(asked, found, Path("/a b/it's.toml"), 25, 25).splitlines()
    words = shlex.split(line.partition("`")[2].rpartition("` judges")[0])
    assert words == ["make", "pgo", "TRAIN=sh -c 'echo \"$1\"'", "HOLDOUT=the same on another input",
                     "POLICY=/a b/it's.toml"]
    assert shlex.split(tried)[1:] == ["HAKMEM_POLICY=/a b/it's.toml", "LD_PRELOAD=$PWD/a.so", "sh", "-c", 'echo "$1"']


def test_a_program_that_limits_its_files(place):
    """What is written of its memory as it ends does not end it."""
    row = own.workload("user1", "bash -c 'ulimit -f 0'", 1, own.Source("--train", "train", str(place), 60))
    kept = []
    launch(row, LIBRARY, companion=IDLE, extra_env=idle.environment(0), wrapper=["/usr/bin/env", "{preload}"],
           keep=lambda scratch: kept.extend(idle.read(scratch)))
    assert kept == []       # it cannot be written


def test_settings_of_a_script_are_told(place, capsys):
    """What it sets for its programs decides in place of a policy."""
    row = own.workload("user1", "/bin/true", 1, own.Source("--train", "train", str(place), 60))
    for settings, told in ((2, False), (3, True)):
        record.tell_settings(row, [idle.Resident(1, 1, 1, 1, 0), idle.Resident(1, 1, 1, 1, settings)])
        assert ("workload 'user1' sets HAKMEM_... for its programs" in capsys.readouterr().err) == told


def test_a_replay_may_fail_under_a_policy(place, capsys):
    """That one is not taken, and the table says it."""
    assert learn.main(arguments(place, *trace(place, "touchy 10"))) == 0
    assert learned(place).values.get("thp") is None
    assert "replays failed, and their policies were not taken: bench_replay failed with signal SIGABRT, with " in \
        capsys.readouterr().out


def test_two_learners_on_one_name(place):
    """The second says it at once."""
    (place / "learn" / "app").mkdir(parents=True)
    with open(place / "learn" / "app" / "lock", "w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another learner is at work on 'app': wait for it, or give another NAME"):
            learn.main(arguments(place, *trace(place, "x 10")))


@pytest.mark.parametrize("number", (signal.SIGKILL, signal.SIGINT))
def test_an_interrupted_run_goes_on(place, number):
    """In a process of its own: ended while it searches, it goes on with what was replayed; with less time to spend, so
    that it soon ends."""
    name = f"test-{os.getpid()}-{number}"
    words = [PYTHON, "-m", "learn.learn", *arguments(place, *trace(place, "slow 10")), "--name", name]
    state = ROOT / "build" / "learn" / name / "state-balanced.json"
    try:
        process = subprocess.Popen([*words, "--budget", "60"], cwd=ROOT, stderr=subprocess.PIPE, text=True,
                                   start_new_session=True)
        wait_until(lambda: state.exists() and state.stat().st_size > 5000, "the first replays")
        process.send_signal(number)
        said = process.communicate()[1]
        assert process.returncode == (-9 if number == signal.SIGKILL else 130), said
        assert number == signal.SIGKILL or "interrupted; the same command goes on from here" in said
        assert not (place / "app.toml").exists()
        done = subprocess.run([*words, "--budget", "3"], cwd=ROOT, capture_output=True, text=True, check=True)
        assert re.search(r"going on with \d+ replays of an earlier run", done.stderr) and learned(place)
    finally:
        shutil.rmtree(state.parent, ignore_errors=True)


def test_another_library_or_trace_begins_anew(place, capsys):
    """What is of something else is not used."""
    words = arguments(place, *trace(place, "x 10"), "--budget", "2")
    assert learn.main(words) == 0
    trace(place, "x 20")
    assert learn.main(words) == 0
    assert "going on" not in capsys.readouterr().err and learned(place).provenance["events"] == 20


def test_a_library_that_reads_no_policy(place):
    """Every replay would be of the default, and nothing would ever pay: it is said instead."""
    with pytest.raises(Exception, match="the library does not take a policy of this search: hakmem: HAKMEM_POLICY"):
        learn.main(arguments(place, *trace(place, "deaf 10")))


def test_too_little_time_is_said(capsys):
    """When not even each parameter can be looked at alone."""
    slow = type("", (), {"each": 2.0})
    learn.warn_of_few(slow, 600, 20)
    assert capsys.readouterr().err == ""
    learn.warn_of_few(slow, 60, 20)
    said = "a replay takes 2.0 s, so that 60 s are too few for 20 parameters: give more BUDGET"
    assert said in capsys.readouterr().err


def test_which_traces_are_kept(tmp_path):
    """The largest, as many as four, none of a tenth of its size, none that is empty."""
    for name, size in (("a", 100), ("b", 9), ("c", 50), ("d", 10), ("e", 0), ("f", 100), ("g", 20)):
        (tmp_path / name).write_bytes(b"x" * size)
    assert [path.name for path in record.largest(tmp_path.iterdir())] == ["a", "f", "c", "g"]
    assert record.largest([]) == record.largest([tmp_path / "e"]) == []


def test_noise_is_measured():
    """Equal runs that differ by 5 % are repeated, and by so much nothing is a gain."""
    shown = iter((100, 103, 98))

    class Known:
        def figures(self, requests):
            return [{"time_us": next(shown), "peak_bytes": 5, "byte_operations": 7} for _request in requests]

    before, noise, repetitions = replay.look(Known(), ["w"])
    assert before["w"]["time_us"] == 100 and noise["w"]["time_us"] == pytest.approx(0.05) and repetitions["w"] == 3
    assert replay.spread([1000, 1000, 1000.5]) == 0.0 and replay.spread([0, 0, 0]) == 0.0


def test_what_became_of_a_policy(tmp_path, capsys):
    """Its verdict, held-out figures and parameters; nothing where none was given."""
    here = Tree(tmp_path / "clang-x")
    here.root.mkdir()
    assert show.main(["--build", str(here.root)]) == 0 and capsys.readouterr().out == ""
    files.write_json(here.select("policy.json"), {"stage": "base", "so": "x"})
    files.write_json(here.gate("policy"), {"accepted": True, "sentence": "GO: time_us (replay) -40 %; by replay of x"})
    figures = {"time_us": 2000, "peak_bytes": 1 << 20, "byte_operations": 1 << 30, "events": 10}
    parameters = [{"name": "thp", "value": 2, "time_us": -0.4, "peak_bytes": 0.01, "byte_operations": 0},
                  {"name": "thp", "value": 1}, {"name": "gone"}]
    files.write_json(here.replay, {"parameters": parameters, "parts": parameters[:1], "workloads": {
        "held1": {"before": figures, "after": {**figures, "time_us": 1000}}}})
    assert show.main(["--build", str(here.root)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("clang-x: the policy is compiled in\n  GO: time_us (replay) -40 %; by replay of x\n")
    assert re.search(r"modelled time, ms +2.00 +1.00 +-50.00 %\n", shown)
    assert re.search(r"thp +auto +on +-40.00 % +\+1.00 % +0 +0\n", shown) and shown.count("fails") == 4
    assert "what each parameter brings there" in shown and "and where it was learned" in shown


def test_a_policy_has_a_noise_of_its_own():
    """The default repeats exactly, the policy does not: what it gains by less than that goes back to the default."""
    shown = iter((90, 95, 92))

    def varying(values, _workload):
        time = 100 if not values else next(shown) if "thp" in values and "retain_mb" in values else 92
        return {"time_us": time, "peak_bytes": 5, "byte_operations": 7}

    aim = objective.Objective("time", {"w": varying({}, "w")}, {"w": 1}, {"w": dict.fromkeys(objective.WEIGHED, 0.0)})
    judge = learn.judge_of({"thp": 2, "retain_mb": 8}, aim, Runs(varying), {"w": 1})
    assert judge.jobs == (("w", 0), ("w", 1), ("w", 2))
    assert judge.objective.noise["w"]["time_us"] == pytest.approx(5 / 92)
    assert len(attribute.attribute(judge, {"thp": 2, "retain_mb": 8}).policy) == 1


class Stream:
    """A terminal, or none."""

    def __init__(self, live):
        self.live, self.text = live, ""

    def isatty(self):
        return self.live

    def write(self, text):
        self.text += text

    def flush(self):
        pass


def test_progress(place, monkeypatch):
    """One line that is written over, or one each ten seconds."""
    from tests.test_learn import searched
    for live, expected in ((True, r"\r\x1b\[Klearn: \d+ of 60 s, \d+ replays, "), (False, r"^learn: \d+ of 60 s")):
        stream, now = Stream(live), iter(range(0, 10000, 4))
        progress = learn.Progress(60, lambda now=now: next(now), stream)
        searched(report=progress)
        progress.end()
        assert re.search(expected, stream.text) and "time -" in stream.text
        assert live or stream.text.count("\n") == stream.text.count("learn: ")
    monkeypatch.setenv("COLUMNS", "20")
    stream = Stream(True)
    searched(report=learn.Progress(60, stream=stream))
    assert {len(line) for line in stream.text.split("\r\x1b[K")} == {0, 19}
