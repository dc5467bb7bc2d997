# SPDX-License-Identifier: MIT
"""The proof of learned policies: what its figures mean, that an interrupted one goes on, bad input; and the canary."""

import dataclasses
from pathlib import Path

import pytest

from common import backing, files, idle, paths, proc, records
from common.errors import Failure, UserError, guard
from common.paths import BENCH_PROGRAMS, FORGET
from common.steps import Steps
from bench import canary, proof, proof_table
from learn import objective
from report import readme
from tests.support import ROOT

NEEDS = ("bench",)
PLAIN = {"cpu": [100.0, 101.0, 100.0], "peak": [50000] * 3, "idle": [40000] * 3, "faults": [9000] * 3,
         "syscalls": [700], "instructions": [5_000_000]}
PART = {"name": "thp", "value": 2, "worth": 0.1, "time_us": -0.1, "peak_bytes": 0.01, "byte_operations": 0.0,
        "end_bytes": 0.0}


def program(policy=None, first=1.1, **changed):
    """Figures of one program; `changed` are those of the tailored library, as factors, `first` the time under the
    first defaults."""
    tailored = {key: [value * changed.get(key, 1) for value in values] for key, values in PLAIN.items()}
    figures = {"generic": PLAIN, "again": PLAIN, "first_defaults": {**PLAIN, "cpu": [first * 100] * 3}}
    values = {"thp": 2} if policy is None else policy
    return {"policy": values, "parameters": [{"name": "thp", "default": 1}], "replay": {"parts": [PART] * bool(values)},
            "figures": {**figures, "tailored": tailored} if values else figures, "train": "a", "held": "b",
            "sentence": "s"}


def record(**programs):
    """A record of these."""
    return {"kind": "proof", "time": "2030-01-01T00:00:00Z", "idle": 2.0, "budget": 40.0, "goal": "balanced",
            "machine": {"cpu": "C", "cpus": 2, "libc": "glibc 2"}, "programs": programs}


RECORD = record(quick=program(cpu=0.9), lean=program(peak=0.85), even=program(policy={}), dear=program(faults=1.1),
                slow=program(cpu=1.1, idle=0.5), broken={"failure": "it fell"})


def test_verdicts():
    found = {name: proof_table.verdict(one) for name, one in proof_table.measured(RECORD).items()}
    assert found == {"quick": "faster", "lean": "leaner", "even": "the default is best", "dear": "worse: page faults",
                     "slow": "worse: CPU time"}
    assert proof_table.verdict(program(cpu=0.99)) == "about the same"
    assert proof_table.verdict(program(cpu=0.9, idle=1.03)) == "worse: idle MiB"


def test_a_few_system_calls_are_none():
    assert proof_table.worse(program(syscalls=1.014)) == [] and proof_table.worse(program(syscalls=1.03)) != []
    few = program()
    few["figures"]["generic"] = {**PLAIN, "syscalls": [30]}
    few["figures"]["tailored"]["syscalls"] = [40]
    assert proof_table.worse(few) == []


def test_calls_that_save_page_faults_are_none():
    """The learner takes them, as a huge page is asked for by one call: so no proof holds them against it, and the other
    way round."""
    def changed(faults, calls):
        found = program()
        found["figures"]["tailored"] |= {"faults": [9000 - faults] * 3, "syscalls": [700 + calls]}
        return found

    for faults, calls in ((0, 15), (15 * 256 - 1, 15), (15 * 256, 15), (15 * 256, 16), (-11, 0), (-400, 0)):
        judge = objective.Objective("balanced", {"w": {"faults": 9000, "program_calls": 700}}, {"w": 1.0}, {})
        learner = judge.exceeded({"w": {"faults": 9000 - faults, "program_calls": 700 + calls}})
        same = [{"faults": "page faults", "program_calls": "system calls"}[figure] for _workload, figure in learner]
        assert proof_table.worse(changed(faults, calls)) == same
    assert proof_table.worse(changed(15 * 256, 15)) == [] and proof_table.worse(changed(0, 15)) == ["system calls"]


def test_system_calls_that_vary_decide_nothing(monkeypatch):
    """They are counted several times: a program whose equal runs make 335 to 389 is not worse for one of 391."""
    shown = iter((337, 341, 389, 335, 344, 391, 350, 345, 388, 391))
    monkeypatch.setattr(proof.counting, "instructions", lambda *_words: 5)
    monkeypatch.setattr(proof.counting, "syscall_metrics", lambda *_words: {"syscalls": next(shown)})
    found = program()
    found["figures"] |= {name: {**PLAIN, **proof.counted(None, None)} for name in ("generic", "tailored")}
    assert proof_table.middle(found, "tailored", "syscalls") == 388 > 1.02 * 341
    assert proof_table.worse(found) == []


def test_noise_decides_nothing():
    """A against A differs by 12 %: 10 % less is no gain."""
    found = program(cpu=0.9)
    found["figures"]["again"] = {**PLAIN, "cpu": [112.0, 90.0, 100.0]}
    assert not proof_table.is_faster(found) and proof_table.percent(proof_table.ratio(found, "cpu")) == "~-10.0 %"


def test_the_goals_in_words():
    assert proof_table.statements(RECORD) == [
        "at least 5 % less time at no more than 2 % more memory: quick (1 of 3 wanted)",
        f"{proof_table.FOR_ALL}: quick, lean, even and dear (4 of 3 wanted)",
        "at least 10 % less peak or idle memory at no loss of time: lean (1 of 4 wanted)",
        f"{proof_table.FOR_ALL}: lean and slow (2 of 4 wanted)",
        "worse by more than 2 % in a figure: dear (page faults) and slow (CPU time)",
        "the default is best for: even", "failed: broken: it fell"]


def test_the_tables():
    """For a terminal and for a page; what was not measured is a dash."""
    shown = proof_table.render(RECORD)
    assert "\n  quick     -10.0 %" in shown and "broken" in shown.splitlines()[-1]
    assert [len(rows) for _title, rows in proof_table.tables(RECORD)] == [6, 6, 5, 6]
    rows = dict(proof_table.tables(RECORD))[proof_table.PART_TITLE]
    assert rows[1] == ("quick", "thp", "1", "2", "-10.0 %", "+1.0 %", "+0.0 %", "+0.0 %")
    untold = {**program(), "parameters": [], "defaults": {"thp": 3}}    # the time was up before it was attributed
    assert proof_table.part_rows(record(x=untold))[1][:4] == ("x", "thp", "3", "2")
    noisy = program()
    noisy["figures"]["again"] = {**PLAIN, "cpu": [120.0, 90.0, 100.0]}
    assert [proof_table.gain_rows(record(x=one))[1][-2] for one in (program(), noisy)] == ["0.0 %", "20.0 %"]
    bare = record(x=program(policy={}))
    del bare["programs"]["x"]["figures"]["generic"], bare["programs"]["x"]["figures"]["first_defaults"]
    assert "-" in proof_table.gain_rows(bare)[1]


def test_what_is_left():
    """9,000 faults at 1.5 us and 5 million instructions, of 100 ms; 2 of 10 MiB that are neither live nor files."""
    left = {"peak": 10 << 20, "live": 6 << 20, "files": 2 << 20}
    shown = record(x=program() | {"room": left | {"server": False}}, y=program() | {"room": left | {"server": True}},
                   z=program(policy={}))
    shown["programs"]["x"]["figures"]["generic"] = {**PLAIN, "cpu": [100_000.0] * 3}
    assert proof_table.room_rows(shown)[1:] == [("x", "13.5 %", "1.7 %", "20.0 %"), ("y", "-", "-", "20.0 %")]
    assert proof_table.ROOM_TITLE in dict(proof_table.tables(shown))
    assert proof_table.ROOM_TITLE not in dict(proof_table.tables(RECORD))


def test_the_page_has_the_newest(monkeypatch):
    """What is derived is made from the record alone."""
    monkeypatch.setattr(readme, "on_record", lambda: (RECORD,))
    assert readme.newest("proof", "none") == RECORD["time"] and records.newest([], proof_table.KIND) is None
    block = readme.render(readme.Block("proof", RECORD["time"], ""))
    assert "| quick | -10.0 % |" in block and "- failed: broken: it fell\n" in block
    assert readme.render(readme.Block("proof", "none", "")) == "No proof is on record yet.\n"


# the command

@pytest.fixture(name="place")
def _place(tmp_path, monkeypatch):
    monkeypatch.setattr(proof, "PLACE", tmp_path / "proof")
    monkeypatch.setattr(proof, "fixed_libraries", lambda say: {})
    return tmp_path


def options(place, *words):
    """A command line."""
    return proof.parse(["--results", str(place / "2030.jsonl"), "--only", "git,perl", *words])


def test_an_interrupted_proof_goes_on(place, monkeypatch):
    """What is done is kept until all is; then a record is appended, and the next proof begins anew."""
    asked, given = [], options(place)

    def prove(row, fixed, options, say):
        asked.append(row.name)
        if row.name == "perl" and len(asked) == 2:
            raise KeyboardInterrupt
        return program()

    monkeypatch.setattr(proof, "prove", prove)
    say = Steps("proof", 2, open(place / "log", "w"))
    with pytest.raises(KeyboardInterrupt):
        proof.prove_all(given, say)
    made = proof.record(proof.prove_all(given, say), given)
    assert asked == ["git", "perl", "perl"] and list(made["programs"]) == ["git", "perl"]
    (kept,) = records.read(place / "2030.jsonl")
    assert kept["kind"] == "proof" and records.verify(place) == []
    other = dataclasses.replace(given, budget=7)
    proof.prove_all(given, say)
    proof.prove_all(other, say)
    assert asked[3:] == ["git", "perl"] * 2


def test_a_program_may_fail(place, monkeypatch):
    """The others go on, and the table says it."""
    def prove(row, fixed, options, say):
        if row.name == "git":
            raise Failure("git failed with exit 1\nmore")
        return program()

    monkeypatch.setattr(proof, "prove", prove)
    found = proof.prove_all(options(place), Steps("proof", 2, open(place / "log", "w")))
    assert found["git"] == {"failure": "git failed with exit 1"} and proof_table.verdict(found["perl"])


@pytest.mark.parametrize("words, sentence", [
    (["--only", "emacs"], "unknown program 'emacs'; valid programs: python_small, "),
    (["--budget", "0"], "--budget: must be a number of at least 1"),
    (["--idle", "61"], "--idle: must be a number of at least 0 and at most 60, not '61'"),
    (["--goal", "speed"], "unknown goal 'speed'"),
    (["--show", "--results", "gone.jsonl"], "gone.jsonl is missing"),
])
def test_bad_input(words, sentence, capsys):
    assert guard(proof.main, words) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1


def test_ten_programs_learn_from_other_input_than_they_are_judged_by():
    rows = proof.tables.load(proof.TABLE, "program", proof.Program)
    assert len(rows) >= 10 and len({row.name for row in rows}) == len(rows)
    for row in rows:
        server = row.train.endswith(".toml")
        assert row.held != row.train and bool(row.held) != server
        path = proof.HERE / row.train.split()[-1]
        assert not server or 'held = ["' in path.read_text()


def test_a_run_of_an_own_command_is_measured():
    """The command runs in a directory apart from the tools' files; each figure is found all the same."""
    row = proof.Program("own", "/usr/bin/touch made", "a small program", held="/usr/bin/touch others")
    library, held = BENCH_PROGRAMS / FORGET, row.workload("holdout")
    found = proof.taken(held, library)
    assert found["cpu"] >= 0 and found["peak"] > 500 and found["faults"] > 50
    assert proof.idle_memory(held, library, 0.1) > 500


def test_rounds_are_interleaved():
    asked = []

    def run(_workload, library):
        asked.append(library)
        return {"cpu": 1.0, "peak": 7}

    found = proof.rounds(None, {"generic": "g", "tailored": "t"}, 0, clock=lambda: 0, run=run, back=asked.append)
    assert asked == ["g", *[7, "g", 7, "t", 7, "t", 7, "g"] * (proof.LEAST_ROUNDS // 2)]
    assert found["tailored"]["cpu"] == [1.0] * proof.LEAST_ROUNDS


def test_memory_is_made_ready(monkeypatch):
    """As much as a run had at its peak is touched and given back, of what is free an eighth at most."""
    script = ("import re; from common import backing; size = backing.back(100 << 10);"
              "status = open('/proc/self/status').read();"
              "print(size, *(re.search(name + r':\\s+(\\d+)', status)[1] for name in ('VmHWM', 'VmRSS')))")
    size, most, now = map(int, proc.run([*paths.PYTHON, "-c", script], cwd=ROOT).stdout.split())
    assert size == (100 << 20) + backing.MARGIN and now < 60 << 10 and backing.back(0) == 0
    assert most > size >> 10 or "[never]" in Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text()
    monkeypatch.setattr(backing, "free_bytes", lambda: 80 << 20)
    assert backing.back(100 << 10) == 10 << 20


def test_what_a_killed_process_left_is_no_figure(tmp_path):
    for number, text in enumerate(("100 80 30 7 1\n", "", "10 2", "9 8 x 1 0\n")):
        files.write_atomic(tmp_path / f"{idle.NAME}.{number}", text)
    assert idle.read(tmp_path) == [idle.Resident(100, 80, 30, 7, 1)]


# the canary

def state(seconds, phase, state, drifts):
    return {"seconds": seconds, "phase": phase, "state": state, "drifts": drifts}


def test_what_a_canary_showed():
    rows = [state(0.0, 0, 1, 0), state(1.0, 0, 2, 0), state(6.0, 1, 2, 0), state(6.5, 1, 3, 0), state(6.6, 1, 1, 1),
            state(8.0, 1, 2, 1), state(12.0, 2, 2, 1), state(17.0, 2, 3, 1)]
    assert canary.phases(rows) == [(0.0, 0.0, 1.0), (6.0, pytest.approx(0.6), 2.0), (12.0, None, None)]
    assert canary.cells({"rows": rows})[3] == ("3", "12.0 s", "not", "not")
    assert records.newest([{"kind": "run"}], canary.KIND) is None


def test_the_canary_needs_its_variant(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "BUILD", tmp_path)
    with pytest.raises(UserError, match="is missing: run `make all`"):
        canary.run(0.0)
    assert (ROOT / canary.SCRIPT).exists()
