# SPDX-License-Identifier: MIT
"""bench/: statistics with known answers, gates, golden figures, rounds, A/B exit statuses, report and results."""

import dataclasses
import json
import random
from pathlib import Path

import pytest
from hypothesis import given, strategies

from common import files, records, tree, workloads
from common.errors import Failure, UserError
from common.paths import ROOT
from common.proc import Result
from common.tree import Tree
from common.workloads import Workload
from plan import policy
from measure import callgrind, counting, golden, stats, wall
from gate import ab, gate, select
from report import report, results


# statistics

def test_geometric_mean():
    assert stats.geometric_mean([1, 4]) == pytest.approx(2)
    assert stats.geometric_mean([1, 16], [3, 1]) == pytest.approx(2)


@pytest.mark.parametrize("values, weights", [([], None), ([0.0], None), ([1, -1], None), ([1], [0]), ([1], [1, 2])])
def test_geometric_mean_of_what_has_none(values, weights):
    with pytest.raises(ValueError):
        stats.geometric_mean(values, weights)


def test_the_interval_is_what_lies_between_the_tails():
    """Of 40 parts the outermost two are left out, interpolated: of 0 to 1999 that is 2.5 % at each end."""
    draws = iter(range(stats.RESAMPLES))
    assert stats.bootstrap([[1.0]], lambda _drawn: next(draws)) == pytest.approx((49.975, 1949.025))


def test_a_clear_difference_is_decided():
    found = stats.paired([0.90, 0.91, 0.89, 0.90, 0.90, 0.91, 0.90, 0.89], [1.0] * 8)
    assert found.ratio == pytest.approx(0.90) and found.high < 0.92 and found.decided
    assert found.show() == f"0.900 [{found.low:.3f}, {found.high:.3f}]" and found.warnings == ()


def test_noise_is_undecided_and_prints_a_tilde():
    found = stats.paired([1.0, 1.1, 0.9, 1.05, 0.95, 1.0], [1.0] * 6)
    assert not found.decided and found.show().startswith("~1.000 [")


def test_a_difference_inside_the_noise_floor_is_undecided():
    rows = [0.98] * 8
    assert stats.of_ratios(rows).decided and not stats.of_ratios(rows, floor=0.03).decided


def test_few_rounds_and_wide_intervals_warn():
    found = stats.of_ratios([0.7, 1.0, 1.4])
    assert any("only 3 rounds" in warning for warning in found.warnings)
    assert any("wider than 10 %" in warning for warning in found.warnings)


def test_bootstrap_is_deterministic_and_brackets_the_median():
    values = [random.Random(1).gauss(1, 0.05) for _ in range(40)]
    found = stats.of_ratios(values)
    assert found == stats.of_ratios(values)
    assert found.low <= found.ratio <= found.high


def test_stratified_weighs_workloads():
    found = stats.stratified([[0.5] * 6, [2.0] * 6], [1, 1])
    assert found.ratio == pytest.approx(1) and found.n == 12
    assert stats.stratified([[0.5] * 6, [2.0] * 6], [3, 1]).ratio == pytest.approx(2 ** -0.5)


def test_noise_floor_is_the_farther_end():
    assert stats.noise_floor(stats.Estimate(1, 0.98, 1.01, 8)) == pytest.approx(1 / 0.98 - 1)


@pytest.mark.parametrize("after, before", [([], []), ([1.0], [1.0, 2.0])])
def test_unpaired_rounds_are_an_error(after, before):
    with pytest.raises(ValueError):
        stats.paired(after, before)


@given(strategies.lists(strategies.floats(0.5, 2), min_size=1, max_size=20), strategies.floats(0.5, 2))
def test_an_estimate_scales_with_its_ratios(rows, factor):
    one, other = stats.of_ratios(rows), stats.of_ratios([row * factor for row in rows])
    assert other.ratio == pytest.approx(one.ratio * factor)
    assert one.low <= one.high


# measuring

def test_covering_lines():
    counts = {0: 980, 4: 10, 64: 5, 128: 4, 192: 1}
    assert counting.covering(counts, 64) == 1
    assert counting.covering(counts, 64, 1.0) == 4
    assert counting.covering({}, 64) == 0


def test_strace_summary():
    text = ("% time     seconds  usecs/call     calls    errors syscall\n"
            "------ ----------- ----------- --------- --------- ----------------\n"
            " 60.00    0.000120           4        30           mmap\n"
            " 40.00    0.000080           2        40         3 openat\n"
            "------ ----------- ----------- --------- --------- ----------------\n"
            "100.00    0.000200           2        70         3 total\n")
    assert counting.parse_strace(text) == {"mmap": 30, "openat": 40}
    assert counting.parse_strace("") == {}


# gates

def record(name, role="holdout", weight=1, digest="d", gate=True, **metrics):
    """A measurement."""
    return {"workload": name, "role": role, "weight": weight, "gate": gate, "digest": digest,
            "provenance": {"source": "s"}, "metrics": {"ir_alloc": 1_000_000, "text_bytes": 100, "calls": {"malloc": 1},
                                                       **metrics}}


def evidence(*records, golden_figures=None, time=None):
    """Evidence of records."""
    return gate.Evidence({row["workload"]: row for row in records}, golden_figures or {}, time)


GATES = gate.Gates(
    {"s": gate.Stage("s", "any", ""), "every": gate.Stage("every", "all", "")},
    (gate.Row("s", "ir_alloc", "holdout", "primary", "why", -0.01, 0.005),
     gate.Row("s", "lines99", "holdout", "primary", "why", -0.05, 0.05),
     gate.Row("s", "together", "micro", "guard", "why", None, 0.02),
     gate.Row("every", "ir_alloc", "holdout", "primary", "why", -0.15, -0.05),
     gate.Row("every", "time", "wall", "primary", "why", -0.0476, 0.0204)),
    gate.Material(100_000, "why"))


@pytest.mark.parametrize("instructions, verdict", [
    (1_000_000, gate.NEUTRAL), (990_000, gate.GO), (990_001, gate.NEUTRAL), (1_005_000, gate.NEUTRAL),
    (1_005_001, gate.NO_GO), (1_400_000, gate.NO_GO)])
def test_verdict_by_instructions(instructions, verdict):
    found = gate.judge("s", evidence(record("git")), evidence(record("git", ir_alloc=instructions)), GATES)
    assert found.verdict == verdict and found.accepted == (verdict != gate.NO_GO)


def test_a_against_a_is_exactly_nothing():
    side = evidence(record("git", lines99=40), golden_figures={"pair64": {"together": 28.0}})
    found = gate.judge("s", side, side, GATES)
    assert found.verdict == gate.NEUTRAL and {f.change for f in found.findings} == {0}
    assert gate.percent(0) == "0"


def test_one_instruction_more_in_malloc_is_seen():
    gates = gate.load_gates()
    before = evidence(record("git"), golden_figures={"pair64": {"together": 28.0}})
    after = evidence(record("git"), golden_figures={"pair64": {"together": 29.0}})
    assert gate.judge("regression", before, after, gates).verdict == gate.NO_GO
    assert gate.judge("regression", after, before, gates).verdict == gate.GO


def test_a_failed_guard_beats_a_gain():
    before = evidence(record("git"), golden_figures={"pair64": {"together": 28.0}})
    after = evidence(record("git", ir_alloc=900_000), golden_figures={"pair64": {"together": 30.0}})
    assert gate.judge("s", before, after, GATES).verdict == gate.NO_GO


def test_training_and_tiny_workloads_are_not_read():
    before = evidence(record("git"), record("python", "train"), record("xz", ir_alloc=1000))
    after = evidence(record("git", ir_alloc=900_000), record("python", "train", ir_alloc=5_000_000),
                     record("xz", ir_alloc=9000))
    assert gate.judge("s", before, after, GATES).verdict == gate.GO


def test_weights_count():
    before = evidence(record("a", weight=3), record("b"))
    after = evidence(record("a", weight=3, ir_alloc=2_000_000), record("b", ir_alloc=500_000))
    assert gate.compare(before, after, "ir_alloc", "holdout", GATES.material)[2] == pytest.approx(2 ** 0.5)


def test_misses_are_summed():
    before = evidence(record("a", i1_miss_alloc=10_000), record("b", i1_miss_alloc=1))
    after = evidence(record("a", i1_miss_alloc=9_000), record("b", i1_miss_alloc=5))
    assert gate.compare(before, after, "i1_miss_alloc", "holdout", GATES.material)[2] == pytest.approx(9005 / 10_001)


def test_over_fit_is_gain_on_trained_minus_gain_on_held_out():
    before = evidence(record("git"), record("python", "train"))
    after = evidence(record("git", ir_alloc=980_000), record("python", "train", ir_alloc=900_000))
    found = gate.judge("s", before, after, GATES)
    assert found.overfit == pytest.approx(0.08)
    assert gate.sentence(found) == "GO: ir_alloc (holdout) -2.00 %; over-fit +8.00 points"


def test_what_no_gate_reads_is_no_part_of_over_fit():
    """As little as one miss of a workload whose counts do not repeat would change the bytes of gate/layout.json."""
    before = evidence(record("git"), record("python", "train"), record("pc", "train", gate=False))
    after = evidence(record("git"), record("python", "train"), record("pc", "train", gate=False, ir_alloc=900_001))
    assert gate.judge("s", before, after, GATES).overfit == 0


def test_workloads_whose_threads_valgrind_may_reorder_are_in_no_gate():
    """Of two threads the one that runs under valgrind is the clock's choice, where the other ends as well."""
    rows = {row.name: row.gate for row in workloads.load_table(ROOT) if "thread" in row.sentence and
            "one thread" not in row.sentence.rpartition(",")[2]}
    assert rows == {"larson": False, "producer_consumer": False}


def test_every_primary_row_must_gain_when_all_are_needed():
    before = evidence(record("git"))
    faster, same = stats.Estimate(0.9, 0.88, 0.92, 9), stats.Estimate(0.99, 0.95, 1.02, 9)
    slower = stats.Estimate(1.05, 1.03, 1.06, 9)

    def verdict(instructions, time):
        return gate.judge("every", before, evidence(record("git", ir_alloc=instructions), time=time), GATES).verdict

    assert verdict(800_000, faster) == gate.GO
    assert verdict(800_000, same) == gate.NEUTRAL
    assert verdict(900_000, faster) == gate.NEUTRAL
    assert verdict(960_000, faster) == gate.NO_GO
    assert verdict(800_000, slower) == gate.NO_GO


def test_a_changed_workload_is_not_compared():
    with pytest.raises(Failure, match="workload 'git' changed"):
        gate.judge("s", evidence(record("git")), evidence(record("git", digest="other")), GATES)


def test_nothing_measured_is_a_failure():
    with pytest.raises(Failure, match="nothing that the gate"):
        gate.judge("s", evidence(), evidence(), GATES)
    with pytest.raises(UserError, match="unknown stage 'x'; stages with gates: s, every"):
        gate.judge("x", evidence(), evidence(), GATES)


@given(strategies.integers(100_000, 10 ** 9), strategies.integers(100_000, 10 ** 9))
def test_gain_one_way_is_loss_the_other(one, other):
    ahead = gate.compare(evidence(record("a", ir_alloc=one)), evidence(record("a", ir_alloc=other)), "ir_alloc",
                         "holdout", GATES.material)[2]
    back = gate.compare(evidence(record("a", ir_alloc=other)), evidence(record("a", ir_alloc=one)), "ir_alloc",
                        "holdout", GATES.material)[2]
    assert ahead * back == pytest.approx(1)


def test_the_committed_gates_are_sound():
    gates = gate.load_gates()
    assert {"policy", "pgo", "layout", "bolt", "regression", "removal"} == set(gates.stages)
    assert all(any(row.stage == name and row.role == "primary" for row in gates.rows) for name in gates.stages)
    assert all(row.reason for row in gates.rows)


def replayed(time, peak, noise=0.0, over=1.0) -> gate.Evidence:
    """What a policy changes for two workloads, the first of which counts twice."""
    def row(time, weight):
        return {"before": {"time_us": 100.0, "peak_bytes": 1000, "byte_operations": 50, "end_bytes": 9},
                "weight": weight,
                "after": {"time_us": 100 * time, "peak_bytes": 1000 * peak, "byte_operations": 50 * over,
                          "end_bytes": 9},
                "noise": {"time_us": noise, "peak_bytes": 0.0, "byte_operations": 0.0}}

    return gate.Evidence({}, {}, replays={"note": "by replay of 'x'", "workloads": {"a": row(time, 2), "b": row(1, 1)}})


@pytest.mark.parametrize("figures, verdict, accepted", [
    ((0.9, 1.0), "GO", True), ((0.9, 1.015), "GO", True), ((0.9, 1.03), "NO-GO", False), ((1.05, 0.9), "NO-GO", False),
    ((1.0, 0.95), "GO", True), ((0.99, 1.0), "NEUTRAL", False), ((1.0, 1.0), "NEUTRAL", False),
    ((0.9, 1.0, 0.2), "NEUTRAL", False), ((1.0, 1.0, 0.0, 0.9), "GO", True), ((1.0, 1.0, 0.0, 1.05), "NO-GO", False)])
def test_a_policy_must_gain(figures, verdict, accepted):
    """By replay, each figure a guard of the others, what is within the noise no gain; and neutral is left out."""
    found = gate.judge("policy", gate.Evidence({}, {}), replayed(*figures), gate.load_gates())
    assert (found.verdict, found.accepted) == (verdict, accepted)
    assert "by replay of 'x'" in gate.sentence(found) and "by replay of 'x'" in gate.table(found)
    assert ("left out as it gains nothing" in gate.sentence(found)) == (verdict == "NEUTRAL")
    time = next(row for row in gate.as_dict(found, "base")["rows"] if row["metric"] == "time_us")
    assert time["change"] == pytest.approx(figures[0] ** (2 / 3) - 1) and time["reason"]


def test_what_is_let_through_is_what_is_compiled(tmp_path):
    """The table with the policy's values, or the one of core/; and what a stage is judged against."""
    here = Tree(tmp_path)
    here.tuned_table("policy").parent.mkdir(parents=True)
    here.tuned_table("policy").write_text("tuned")
    for accepted, text, stage in ((True, "tuned", "policy"), (False, (ROOT / policy.TABLE).read_text(), "base")):
        files.write_json(here.gate("policy"), {"accepted": accepted})
        assert select.main(["policy", "--build", str(tmp_path)]) == 0
        assert here.tuned_table("select").read_text() == text and here.chosen("policy") == stage
        files.write_json(here.gate("pgo"), {"accepted": False})
        assert select.main(["compile", "--build", str(tmp_path), "--objects", "a.o"]) == 0
        assert here.before("pgo") == here.chosen("compile") == stage
        assert here.select("objects.rsp").read_text() == f"{here.object(stage, 'a.o')}\n"


ROW = '[[gate]]\nstage = "s"\nmetric = "m"\nscope = "holdout"\nrole = "guard"\nreason = "r"\nnogo = 0.1\n'
TABLE = '[[material]]\ninstructions = 1\nreason = "r"\n[[stage]]\nname = "s"\nneeds = "any"\nsentence = "x"\n'


@pytest.mark.parametrize("text, message", [
    (TABLE + ROW.replace('"holdout"', '"hold-out"'), "scope must be one of holdout, train, micro, wall, replay"),
    (TABLE + ROW.replace('stage = "s"', 'stage = "t"'), "stage must be one of s"),
    (TABLE + ROW.replace("nogo = 0.1\n", ""), "a guard row only nogo"),
    (TABLE + ROW.replace('"guard"', '"primary"'), "a primary row needs go and nogo"),
    (TABLE + ROW.replace('"guard"', '"primary"') + "go = 0.2\n", "must not be above nogo"),
    (TABLE + ROW + "limit = 3\n", "unknown key 'limit'"),
    (TABLE.replace('"any"', '"some"') + ROW, "needs must be one of any, all"),
    (ROW, "must be one of"),
    (TABLE.partition("[[stage]]")[1] + TABLE.partition("[[stage]]")[2] + ROW, "one \\[\\[material\\]\\] row, not 0"),
])
def test_a_wrong_gate_table_is_a_sentence(tmp_path, text, message):
    path = tmp_path / "gates.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        gate.load_gates(path)


def test_strict_gate_exits_by_verdict(tmp_path, capsys):
    for name, instructions in (("a", 1_000_000), ("b", 2_000_000), ("c", 500_000)):
        (tmp_path / f"{name}.json").write_text(json.dumps(record("git", ir_alloc=instructions)))
    path = {name: str(tmp_path / f"{name}.json") for name in "abc"}

    def run(after, *more):
        return gate.main(["--stage", "regression", "--before", path["a"], "--after", path[after], *more])

    assert (run("a", "--strict"), run("b", "--strict"), run("c", "--strict")) == (1, 2, 0)
    assert run("b") == 0 and "NO-GO" in capsys.readouterr().out


# selection

def build_tree(tmp_path, **accepted):
    """A build tree with verdicts."""
    place = tree.Tree(tmp_path / "clang-x")
    for stage, value in accepted.items():
        place.gate(stage).parent.mkdir(parents=True, exist_ok=True)
        place.gate(stage).write_text(json.dumps({"accepted": value}))
    (place.root / "layout").mkdir(parents=True)
    (place.root / "layout" / "order.txt").write_text("malloc\nfree\n")
    return place


@pytest.mark.parametrize("pgo, layout, bolt, shipped, objects, order", [
    (True, True, True, "bolt", "pgo", "malloc\nfree\n"),
    (False, True, False, "layout", "base", "malloc\nfree\n"),
    (True, False, False, "pgo", "pgo", ""),
    (False, False, False, "base", "base", ""),
])
def test_a_failed_stage_is_left_out(tmp_path, pgo, layout, bolt, shipped, objects, order):
    place = build_tree(tmp_path, pgo=pgo, layout=layout, bolt=bolt)
    for step in (["compile", "--objects", "core/a.o"], ["order"], ["ship"]):
        assert select.main([*step, "--build", str(place.root)]) == 0
    assert place.select("objects.rsp").read_text() == f"{place.root}/{objects}/core/a.o\n"
    assert place.select("order.txt").read_text() == order
    assert json.loads(place.select("ship.json").read_text())["stage"] == shipped
    assert place.before("bolt") == ("layout" if layout else objects)


def test_selection_without_a_verdict_says_what_to_run(tmp_path):
    with pytest.raises(UserError, match="gate.gate --stage pgo"):
        select.main(["compile", "--build", str(tmp_path), "--objects", "a.o"])


# golden figures

def run_of(calls, per_malloc, per_free):
    """A bench_fastpath run: so many calls of each."""
    events = ("Ir", "Dr", "Dw", "Bc", "Bi")
    start_up = 500
    return callgrind.Run(
        events, (0,) * 5, (0,) * 5, {}, frozenset(), {}, {}, {}, {},
        {"malloc": callgrind.Entries(1, calls, (start_up + per_malloc * calls, 4 * calls, 2 * calls, calls, 0)),
         "free": callgrind.Entries(2, calls, (per_free * calls, 3 * calls, calls, calls, 0)),
         "setlocale": callgrind.Entries(3, 1, (9000, 0, 0, 0, 0))}, {})


def test_start_up_cancels_and_calls_are_added():
    found = golden.difference(run_of(1000, 41, 88), run_of(11_000, 41, 88), 10_000)
    assert found == {"malloc": 41, "free": 88, "together": 133, "loads": 9, "stores": 5, "branches": 4}


def test_a_pattern_without_calls_is_a_failure():
    with pytest.raises(Failure, match="-fno-builtin"):
        golden.difference(run_of(1000, 41, 88), run_of(1000, 41, 88), 10_000)


FIGURES = {"pair64": {"malloc": 11.0, "free": 13.0, "together": 28.0}}


def test_golden_table_round_trip(tmp_path):
    path = tmp_path / "golden.toml"
    rows = golden.update((), "clang", "balanced", "base", FIGURES)
    path.write_text(golden.render(rows))
    assert golden.load_rows(path) == rows
    assert golden.update(rows, "clang", "balanced", "base", FIGURES) == rows
    assert golden.load_rows(tmp_path / "absent.toml") == ()


def test_a_rise_is_one_sentence_and_a_fall_is_none():
    rows = golden.update((), "clang", "balanced", "base", FIGURES)
    risen = {"pair64": {"malloc": 12.0, "free": 13.0, "together": 28.004}}
    assert golden.check(rows, "clang", "balanced", "base", risen) == [
        "pair64: malloc takes 12.00 instructions, 1.00 more than the committed 11.00"]
    assert golden.check(rows, "clang", "balanced", "base", {"pair64": dict.fromkeys(golden.FIGURES, 1.0)}) == []
    assert golden.check(rows, "gcc", "balanced", "base", risen) == [
        "pair64: no committed figure for gcc balanced base; write it with --update"]


# wall clock

ROWS = (Workload("w", "train", ("x",), "s", weight=1), Workload("v", "holdout", ("x",), "s", weight=1))


class FakeMachine:
    """Runs that take a constant time for each library, and a clock that follows them."""

    def __init__(self, seconds):
        self.seconds, self.now, self.order = seconds, 0.0, []

    def clock(self):
        return self.now

    def run(self, row, library):
        self.order.append((row.name, library))
        self.now += self.seconds[library]
        return Result((), 0, "", "", self.seconds[library])


def test_rounds_are_interleaved_rotated_and_bounded():
    machine = FakeMachine({"A": 1.0, "B": 0.5})
    seconds = wall.run_rounds({"a": "A", "b": "B"}, ROWS, budget=20, clock=machine.clock, run=machine.run)
    assert len(seconds["w"]["a"]) == len(seconds["v"]["b"]) == 6 and machine.now <= 20
    timed = [library for name, library in machine.order[2:] if name == "w"]
    assert timed[:6] == ["A", "B", "B", "A", "A", "B"]


def test_a_small_budget_still_makes_the_least_rounds():
    machine = FakeMachine({"A": 1.0})
    seconds = wall.run_rounds({"a": "A"}, ROWS, budget=0.1, clock=machine.clock, run=machine.run)
    assert len(seconds["w"]["a"]) == wall.LEAST_ROUNDS


def test_comparison_of_constant_times():
    machine = FakeMachine({"A": 1.0, "B": 0.5, None: 2.0})
    result = wall.compare({"base": "A", "pgo": "B", "glibc": None}, ROWS, "base", budget=0.0, run=machine.run)
    assert result["floor"] == 0 and result["control"]["ratio"] == 1
    assert result["against"]["base"]["pgo"]["ratio"] == pytest.approx(0.5)
    assert result["against"]["glibc"]["pgo"]["ratio"] == pytest.approx(0.25)
    assert wall.from_dict(result["against"]["base"]["pgo"]).decided
    assert "pgo        / base     0.500" in wall.table(result)


def test_wrong_peers_are_sentences(tmp_path):
    library = tmp_path / "lib.so"
    library.write_text("")
    assert wall.parse_peers([f"x={library}"]) == {"x": library}
    for word in ("x", f"={library}", "x=/nowhere.so"):
        with pytest.raises(UserError, match="NAME=LIB.so"):
            wall.parse_peers([word])


# A/B

@pytest.mark.parametrize("words", [["--a", "x"], ["--a", "no-such-revision", "--b", "."], ["--a", "/no.so", "--b", "."],
                                   ["--a", ".", "--b", ".", "--rules", "mine"]])
def test_a_wrong_request_is_no_verdict(words, capsys):
    assert ab.guarded(words) == ab.EXIT_USAGE
    assert capsys.readouterr().err.startswith("gate.ab: ")


def test_a_failure_is_no_verdict(monkeypatch, tmp_path):
    library = tmp_path / "a.so"
    library.write_text("")

    def broken(*_arguments):
        raise Failure("the machine burns")

    monkeypatch.setattr(ab, "compare", broken)
    assert ab.guarded(["--a", str(library), "--b", str(library)]) == ab.EXIT_FAILURE


def test_details_count_what_is_equal():
    figures = {"pair64": {"malloc": 11.0, "free": 14.0}}
    before = evidence(record("git"), golden_figures=figures)
    after = evidence(record("git"), golden_figures={"pair64": {"malloc": 12.0, "free": 14.0}})
    assert ab.details(before, before) == "  3 figures are equal to the last instruction"
    assert "pair64: malloc" in ab.details(before, after) and "2 figures are equal" in ab.details(before, after)


# report and results

def result():
    """What a small build brought."""
    base = report.StageRow("base", 29.3, 1.0, 48_593, 148, 24_540, "", "0.853 [0.831, 0.879]", "", "", False)
    bolt = report.StageRow("bolt", 29.3, 0.997, 28_454, 116, 12_131, "~0.990 [0.980, 1.001]", "0.845 [0.822, 0.864]",
                           "GO", "GO: i1_miss_alloc (holdout) -33.43 %", True)
    return report.Result("clang-x", (base, bolt), "~1.000 [0.990, 1.010], noise floor 1.0 %", 9, ("only a test",))


def test_table():
    lines = report.render_table(result()).splitlines()
    assert lines[0] == "clang-x"
    assert lines[1].split() == ["stage", "instr/op", "allocator", "instr", "I1", "misses", "lines99", "text", "bytes",
                                "time", "vs", "base", "time", "vs", "glibc", "verdict"]
    assert lines[2].split()[:6] == ["base", "29.3", "0", "48,593", "148", "24,540"]
    assert lines[3].startswith("  bolt *") and "-0.30 %" in lines[3] and lines[3].endswith("GO")
    assert "  9 interleaved rounds; A against A ~1.000 [0.990, 1.010], noise floor 1.0 %" in lines
    assert lines[-1] == "  bolt: GO: i1_miss_alloc (holdout) -33.43 %"


def test_page():
    pytest.importorskip("jinja2")
    page = report.render_page([result()], {"clang-x": ("bars.svg", "heat.svg")})
    assert "<td>48,593</td>" in page and 'class="GO"' in page and 'src="heat.svg"' in page
    assert "~0.990 [0.980, 1.001]" in page


def test_report_of_nothing_says_what_to_run(tmp_path):
    with pytest.raises(UserError, match="run `make pgo` first"):
        report.load(tree.Tree(tmp_path))


def test_results_only_grow(tmp_path):
    path = tmp_path / "results" / "2030.jsonl"
    records.append(path, {"schema": 1, "tree": "x"})
    first = path.read_bytes()
    records.append(path, {"schema": 1, "tree": "y"})
    assert path.read_bytes().startswith(first)
    assert [row["tree"] for row in records.read(path)] == ["x", "y"]


@pytest.mark.parametrize("line", ["{", "[]", "{}", '{"schema": 99}'])
def test_a_damaged_results_line_is_named(tmp_path, line):
    path = tmp_path / "r.jsonl"
    path.write_text('{"schema": 1}\n' + line + "\n")
    with pytest.raises(Failure, match="line 2 is not a result"):
        records.read(path)
    with pytest.raises(UserError, match="nothing was recorded"):
        records.read(Path(tmp_path / "absent"))


@pytest.mark.parametrize("module", [ab, counting, gate, golden, report, results, select, wall])
def test_help_opens_with_an_example(module, capsys):
    with pytest.raises(SystemExit) as stopped:
        module.main(["--help"])
    assert stopped.value.code == 0
    assert f"\n\nexample: python3 -m {module.__name__}" in capsys.readouterr().out


def test_noise_is_what_a_library_shows_against_itself():
    """A change must leave its limit by more than two measurements of one library differ."""
    twice = ({"git": record("git")}, {"git": record("git", ir_alloc=1_002_000)})

    def verdict(instructions, measured):
        after = dataclasses.replace(evidence(record("git", ir_alloc=instructions)), twice=measured)
        return gate.judge("s", evidence(record("git")), after, GATES)

    assert verdict(1_006_000, ({}, {})).verdict == gate.NO_GO
    assert verdict(1_006_000, twice).verdict == gate.NEUTRAL
    assert verdict(1_007_100, twice).verdict == gate.NO_GO
    assert verdict(989_000, ({}, {})).verdict == gate.GO
    assert verdict(989_000, twice).verdict == gate.NEUTRAL
    assert verdict(987_900, twice).verdict == gate.GO
    noise = {(f.row.metric, f.row.scope): f.noise for f in verdict(1, twice).findings}
    assert noise["ir_alloc", "holdout"] == pytest.approx(0.002) and noise["lines99", "holdout"] == 0
    assert gate.as_dict(verdict(1, twice), "base")["rows"][0]["noise"] == pytest.approx(0.002)


def test_no_gate_states_a_noise_of_its_own():
    """It is measured."""
    assert "noise" not in {field.name for field in dataclasses.fields(gate.Row)}
    assert "noise =" not in gate.GATES.read_text()


def test_over_fit_is_of_what_the_stage_is_judged_by():
    """An order changes no instruction: its over-fit is that of misses."""
    gates = gate.load_gates()
    before = evidence(record("git", i1_miss_alloc=1000), record("python", "train", i1_miss_alloc=1000))
    after = evidence(record("git", i1_miss_alloc=950), record("python", "train", i1_miss_alloc=800))
    for stage in ("layout", "bolt"):
        found = gate.judge(stage, before, after, gates)
        assert found.overfit == pytest.approx(0.15) and found.overfit_metric == "i1_miss_alloc"
        assert "over-fit of i1_miss_alloc +15.00 points" in gate.sentence(found)
    assert gate.judge("pgo", before, after, gates).overfit == 0
    metrics = {gate.primary_metric([row for row in gates.rows if row.stage == stage]) for stage in ("pgo", "layout")}
    assert metrics == {"ir_alloc", "i1_miss_alloc"}


def test_branch_misses_are_those_against_the_usual_way():
    """Per branch, what it does less often; per indirect jump, all but its usual target; tail calls are branches."""
    def run_of(**more):
        empty = {name: {} for name in ("counts", "branches", "jumps", "calls", "entries", "outgoing",
                                       "functions")}
        return callgrind.Run((), (), (), conditional=frozenset((1, 2, 3)), **{**empty, **more})

    found = run_of(counts={1: 100, 2: 100, 3: 100, 4: 9}, branches={(1, 50): 30, (2, 60): 90},
                   calls={(3, "f"): 2, (4, 70): 9}, jumps={(5, 80): 7, (5, 90): 2, (6, 10): 4})
    assert counting.branch_misses(found) == 30 + 10 + 2 + 2


def test_processes_of_a_run_are_added():
    """Two outputs, one behind the other, count as one; a third without the library is left out before."""
    one = ("# callgrind format\nversion: 1\npositions: instr line\nevents: Ir Dw Bc Bcm Bi Bim\n\n"
           "ob=(1) ./libhakmem.so\nfn=(1) malloc\n0x10 0 {0} 0 {0}\njcnd={0}/{0} 0x20 0\n"
           "0x10 0\n0x20 0 5\n\ntotals: {0}\n")
    both = callgrind.parse(one.format(3) + one.format(4))
    assert both.counts == {0x10: 7, 0x20: 10} and both.program_event("Ir") == 7
    assert both.branches == {(0x10, 0x20): 7} and both.functions["malloc"][0] == 17
    assert callgrind.parse(one.format(3)).counts == {0x10: 3, 0x20: 5}
