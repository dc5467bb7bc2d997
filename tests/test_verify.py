# SPDX-License-Identifier: MIT
"""What real runs decide about a learned policy: who costs too much goes, noise decides nothing, time is kept; with runs
that are a formula, and one with the real library."""

import shutil

import pytest

from common.errors import Failure
from common.scratch import Scratch
from learn import attribute, learn, objective, real, verify
from learn.runs import Runs
from plan import own, policy
from tests.support import ROOT

NEEDS = ("matrix", "bench")
PYTHON = "/usr/bin/python3"


def verifier(dear, budget=1000.0, unable=None, took=1.0):
    """Runs in which each parameter multiplies figures by `dear` says: name -> figure -> factor."""
    now = [0.0]

    def run(values, job):
        now[0] += took
        kind = job.partition(":")[2]
        figures = {real.PLAIN: {"cpu": 1.0, "peak": 50000, "faults": 9000, "after": 40000}, real.CALLS: {"calls": 1000},
                   real.INSTRUCTIONS: {"instructions": 1e6}}[kind]
        for name in values:
            figures = {figure: value * dear.get(name, {}).get(figure, 1) for figure, value in figures.items()}
        return figures

    known = Runs(run, clock=lambda: now[0])
    return verify.Verifier(known, {"user1": 0.5}, budget, unable or {})


def test_what_is_dear_is_dropped():
    """Each figure by itself; what costs 2 % stays; the policy is looked at again until nothing is worse."""
    for figure in real.NAMES:
        made = verifier({"bad": {figure: 1.03}, "good": {figure: 1.02}}).verify({"bad": 1, "good": 2})
        assert made.policy == {"good": 2} and list(made.dropped) == ["bad"], figure
        assert made.dropped["bad"] == f"{real.NAMES[figure]} of user1 +3.0 %"
        assert len(made.seen) == 3 and made.unseen == []


def test_what_was_seen_is_shown():
    """The changes of real runs, of the policy that is left; by the name that people know."""
    one = verifier({"good": {"after": 0.8, "calls": 1.01}, "bad": {"after": 0.5, "cpu": 2}})
    one.names = {"user1": "app"}
    made = one.verify({"good": 1, "bad": 1})
    assert made.seen == [
        "time, memory and page faults of app, by 5 real runs with the policy and without: CPU time 0, peak memory 0, "
        "memory behind the work -20.0 %, page faults 0",
        "system calls of app, by 3 real runs with the policy and without: system calls +1.0 %",
        "instructions of the library of app, by 1 real run with the policy and without: instructions of the library 0"]
    assert verify.change([10, 11, 12], [11, 12, 13]) == "~+9.1 %" and verify.change([0], [3]) == "0 > 3"


def test_what_is_dear_together():
    """None alone is: the one without which least is lost goes, and what is left is allowed."""
    dear = {"one": {"peak": 1.008}, "three": {"peak": 1.008}, "two": {"peak": 1.016}}
    made = verifier(dear).verify({"one": 1, "three": 1, "two": 1, "free": 1})
    assert made.policy == {"one": 1, "three": 1, "free": 1}
    assert made.dropped == {"two": "with the others: peak memory of user1 +3.2 %"}


def test_what_varies_decides_nothing():
    """Medians that lie 10 % apart, where each side has such runs as the other; ten calls more are none."""
    assert verify.ratio("calls", [335, 389, 340], [391, 388, 372]) == 1.0
    assert verify.ratio("calls", [335, 340, 341], [372, 391, 388]) == pytest.approx(388 / 340)
    assert verify.ratio("calls", [100], [110]) == 1.0 and verify.ratio("calls", [100], [111]) == 1.11


def test_calls_that_save_faults_are_none():
    """Thirty huge pages save 9,000 faults, and are asked for by thirty calls; forty calls for that are too many."""
    for calls, left in ((1.03, {"huge": 1}), (1.04, {})):
        made = verifier({"huge": {"calls": calls, "faults": 0.1}}).verify({"huge": 1})
        assert made.policy == left, calls
    assert verifier({"calls": {"calls": 1.03}}).verify({"calls": 1}).policy == {}


def test_the_time_is_kept():
    """What there is no time for is not looked at, and named; a policy that loses and cannot be looked into goes."""
    made = verifier({"bad": {"peak": 1.1}}, budget=12.5).verify({"bad": 1, "good": 1})
    assert made.policy == {} and set(made.dropped) == {"bad", "good"} and "give more BUDGET" in made.dropped["good"]
    late = verifier({"bad": {"instructions": 1.1}}, budget=30.0)
    made = late.verify({"bad": 1})
    assert made.policy == {"bad": 1} and late.runs.spent <= 30.0
    assert [sentence.partition(":")[0] for sentence in made.unseen] == ["instructions of the library of user1"]


def test_what_is_worth_most_comes_first():
    """A second for each run: ten for the policy as a whole, five for each parameter that is added. What there is no
    time for is left out, not all three."""
    dear = {"two": {"peak": 1.1}}
    none = dict.fromkeys((real.CALLS, real.INSTRUCTIONS), "not here")
    for budget, left in ((12, []), (17, ["one"]), (22, ["one"]), (27, ["one", "three"])):
        one = verifier(dear, budget, none)
        made = one.verify({"one": 1, "two": 1, "three": 1})
        assert list(made.policy) == left and one.runs.spent <= budget, budget
        assert [name for name, why in made.dropped.items() if "time was up" not in why] == ["two"] * (budget > 17)


def test_what_cannot_be_run(monkeypatch):
    """Without strace its figure is left out; a program that fails under the policy loses it, one that fails without
    is said to."""
    made = verifier({}, unable={real.CALLS: "strace does not run here"}).verify({"good": 1})
    assert made.policy == {"good": 1} and made.unseen == ["system calls of user1: strace does not run here"]

    def failing(values, _job):
        return None if "bad" in values else {"peak": 1}

    made = verify.Verifier(Runs(failing), {"user1": 0.1}, 1000, {}).verify({"bad": 1, "good": 1})
    assert made.policy == {"good": 1} and made.dropped == {"bad": "user1 fails under it"}

    def broken(_values, _job):
        raise Failure("workload 'user1': failed with exit 1\n  more")

    made = verify.Verifier(Runs(broken), {"user1": 0.1}, 1000, {}).verify({"good": 1})
    assert made.policy == {"good": 1} and made.seen == []
    assert made.unseen == ["a run fails that was recorded: workload 'user1': failed with exit 1"]
    monkeypatch.setattr(real.proc, "run", lambda *_words, **_more: type("", (), {"returncode": 1}))
    assert real.kinds() == {"plain": "", "calls": "strace does not run here", "instructions":
                            "valgrind does not run here"}


def test_servers_are_run_again():
    """In fewer rounds, and not for their system calls. What there is no time for is judged by what such a run takes."""
    def served(policy, job):
        return {"instructions": 100 + 9 * ("bad" in policy)} if job == "user1:instructions" else {"cpu": 1, "peak": 1}

    asked = []
    one = verify.Verifier(Runs(lambda policy, job: asked.append(job) or served(policy, job)), {"user1": 5.0}, 1000, {},
                          {"user1": "web.toml"}, frozenset({"user1"}))
    made = one.verify({"bad": 1, "good": 1})
    assert made.policy == {"good": 1} and made.dropped == {"bad": "instructions of the library of web.toml +9.0 %"}
    assert set(asked) == {"user1:plain", "user1:instructions"}
    assert len(made.seen) == 2 and "by 3 real runs" in made.seen[0]
    assert made.unseen == [f"system calls of web.toml: {one.why_not('user1', real.CALLS)}"]
    assert one.why_not("user1", real.PLAIN) == "" and one.longer("user1", real.INSTRUCTIONS) == 10.0
    new = verify.Verifier(Runs(served), {"user1": 5.0}, 10.0, {}, servers=one.servers)     # of 0.2 + 1.5 * 5 s a run
    assert new.can([{}], "user1", real.PLAIN) and not new.can([{}, {"bad": 1}], "user1", real.PLAIN)


def test_replay_and_real_runs_decide_together():
    """What real runs drop is not in the attribution, and its file says so."""
    def replayed(values, _workload):
        time = 100 - 20 * ("bad" in values) - 10 * ("good" in values)
        return {"time_us": time, "peak_bytes": 5, "byte_operations": 7}

    aim = objective.Objective("time", {"w": replayed({}, "w")}, {"w": 1}, {})
    judge = attribute.Judge(aim, Runs(replayed), (("w", 0),))
    found, made, dropped = attribute.proven(judge, {"bad": 1, "good": 1},
                                            verifier({"bad": {"instructions": 1.28}}).verify)
    assert found.policy == made.policy == {"good": 1} and [part.name for part in found.parts] == ["good"]
    rows = [own.workload("user1", f"{PYTHON} -c 1", 1, own.Source("--train", "train", str(ROOT), 60))]
    notes = learn.notes_of(rows, made, dropped)
    assert notes[-1] == "dropped: bad: instructions of the library of user1 +28.0 %"
    assert notes[0].startswith("verified: time, memory and page faults of user1, by 5 real runs")
    text = policy.render(policy.Policy({"thp": 2}, notes=notes))
    assert f"\n# {notes[-1]}\n" in text and policy.parse(text, "x", policy.load_rows(ROOT)).values == {"thp": 2}
    assert learn.notes_of([], verify.Verified({}), {}) == (
        "not verified: only a trace was given, so that no program could be run",)


def test_a_real_program():
    """Bins of 1 KiB take a third more of the library's instructions, which no replay figure is asked about here; the
    program is run with the policy in force, by each kind of run."""
    if not learn.LIBRARY.exists() or not shutil.which("strace") or not shutil.which("valgrind"):
        pytest.skip("needs the library of variant learning, strace and valgrind: run `make all-tools all`")
    code = "x = [bytearray(700) for i in range(20000)]; del x; y = [bytearray(700) for i in range(20000)]"
    row = own.workload("user1", f"{PYTHON} -c '{code}'", 1, own.Source("--train", "train", str(ROOT), 60))
    with Scratch() as scratch:
        one = real.Real(learn.LIBRARY, [row], scratch, 300)
        shown = {values: {name: value for kind in real.KINDS
                          for name, value in one(dict(values), f"user1:{kind}").items()}
                 for values in ((), (("bin_tiny_kb", 1), ("retain_mb", 0)))}
    before, after = shown.values()
    assert set(before) == set(real.NAMES) and min(before.values()) > 0
    assert after["instructions"] > 1.02 * before["instructions"] and after["calls"] > before["calls"]
    assert one.failures == []
