# SPDX-License-Identifier: MIT
"""What compares one thing with another: A/B of revisions by stage and by function, ablation of features, variants and
the knob that chooses them, studies."""

import dataclasses
import os
import re
import subprocess
from pathlib import Path

import pytest

from common import records
from common.errors import UserError, guard
from common.proc import run
from common.tree import Tree
from plan import model, policy
from gate import ab, ablation, effects
from bench import bench, ranking, study as bench_study
from report import readme
from tests.support import ROOT, recipe_of

PYTHON = "/usr/bin/python3"


# A/B

def test_functions_that_gained_are_named():
    before = {("git", "malloc"): 100, ("git", "free"): 50, ("jq", "malloc"): 10, ("git", "same"): 5}
    after = {("git", "malloc"): 400, ("git", "fresh"): 20, ("jq", "malloc"): 11, ("git", "same"): 5}
    lines = ab.by_function(before, after).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["malloc", "free", "fresh"]
    assert lines[1].split() == ["malloc", "+301", "git", "(+300)"] and "-50" in lines[2]
    assert ab.by_function(before, before) == ""
    assert ab.by_function(before, after, most=1).splitlines()[-1].split() == ["2", "more", "functions", "-30"]


@pytest.mark.parametrize("name, short", [("malloc", "malloc"), ("malloc.cold.0", "malloc"), ("f/1", "f"),
                                         ("grow.part.0.cold", "grow"), ("f.llvm.123", "f")])
def test_parts_of_a_function_are_one(name, short):
    assert ab.short(name) == short


def test_sides_may_be_stages(tmp_path, monkeypatch):
    monkeypatch.setattr(ab, "BUILD", tmp_path)
    tree = Tree(tmp_path / "clang-x")
    for stage in ("base", "pgo"):
        tree.library(stage).parent.mkdir(parents=True)
        tree.library(stage).write_text(stage)
    (tree.root / "select").mkdir()
    tree.select("ship.json").write_text('{"stage": "pgo"}')
    assert ab.resolve("base", "clang", "x").library == tree.library("base")
    side = ab.resolve("shipped", "clang", "x")
    assert side.library == tree.library("pgo") and side.label == "pgo of this build"
    with pytest.raises(UserError, match="run `make pgo` first"):
        ab.resolve("bolt", "clang", "x")
    with pytest.raises(UserError, match="'attic' is no stage; valid stages: base, policy, pgo, layout, bolt, shipped"):
        ab.resolve("HEAD:attic", "clang", "x")


def test_a_stage_of_a_revision_is_built(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(ab, "resolve_revision", lambda word: "c0ffee" * 7)
    monkeypatch.setattr(ab, "unpack_revision", lambda commit, target: None)
    monkeypatch.setattr(ab, "build_stage", lambda tree, stage, *rest: asked.append(stage) or tmp_path)
    assert ab.resolve("HEAD~1:pgo", "clang", "x").label == "c0ffeec0ffee, pgo"
    assert ab.resolve("HEAD~1", "clang", "x").label == "c0ffeec0ffee"
    assert asked == ["pgo", "base"]


def test_make_ab_takes_rules():
    makefile = (ROOT / "Makefile").read_text()
    assert "--rules=$(call shown,RULES)" in re.search(r"^AB = .*$", makefile, re.MULTILINE)[0]
    assert recipe_of("ab").rstrip().endswith("$(AB)")
    assert re.search(r"^RULES = regression$", makefile, re.MULTILINE)


# ablation and variants

def forbidden(features: dict) -> list:
    """The conditions of core/base/build.h under which these features do not compile."""
    macros = {feature.macro: feature.name for feature in model.load_features(ROOT)}
    conditions = re.findall(r"^#if (HAK_\w+ && .*)$", (ROOT / "core" / "base" / "build.h").read_text(), re.MULTILINE)
    assert len(conditions) > 5

    def holds(condition):
        words = re.sub(r"HAK_\w+", lambda macro: str(features[macros[macro[0]]]), condition)
        return eval(words.replace("&&", " and ").replace("||", " or ").replace("!", " not "), {"__builtins__": {}})
    return [condition for condition in conditions if holds(condition)]


@pytest.mark.parametrize("variant", ["balanced", "learning", "hardened", "debug", "minimal"])
def test_every_feature_is_turned_alone(variant):
    base = model.load_variants(ROOT)[variant]
    names = [feature.name for feature in model.load_features(ROOT)]
    for pair in ablation.pairs(base, names):
        differ = [name for name in pair.having if pair.having[name] != pair.lacking[name]]
        assert differ == [pair.feature]
        assert forbidden(pair.having) == forbidden(pair.lacking) == [], pair.feature


def test_what_does_not_compile_is_known():
    features = dict(model.load_variants(ROOT)["balanced"].features)
    assert forbidden({**features, "learner": 1}) and forbidden({**features, "record": 1, "histogram": 1, "harden": 1})


def test_switches_are_options():
    options = (ROOT / "core" / "base" / "options.def").read_text()
    tuned = {f"HAKMEM_{row.name.upper()}" for row in policy.load_rows(ROOT)}
    assert {feature.name for feature in model.load_features(ROOT)} - set(ablation.OFF) == {
        "remote_batch", "options", "link_checks", "harden", "tls_bins", "checks"}     # parts of every call
    for settings in ablation.OFF.values():
        assert all(name in tuned or f'"{name}"' in options for name in settings)


def test_a_made_variant_is_a_variant(tmp_path):
    base = model.load_variants(ROOT)["hardened"]
    for name in ("variants/features.toml", "core/base/modes.def"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text((ROOT / name).read_text())
    (tmp_path / "variants" / "again.toml").write_text(ablation.variant_text(base, base.features))
    again = model.load_variants(tmp_path)["again"]
    assert again.features == base.features and again.flags == base.flags and again.mode == base.mode


def measured(pair, instructions, memory=None):
    return {"pair": pair, "metrics": {"git": {"ir_alloc": instructions, "ir_total": 50 * instructions,
                                              "page_faults": 10, "peak_rss_kib": memory}}}


def test_ablation_table():
    record = {"base": "balanced", "toolchain": "clang", "workloads": ["git"], "features": [
        {"feature": "stats", "compiled_in": True, "time": {"text": "~1.001 [0.99, 1.01]"},
         "figures": {"with": measured(42.0, 1100, 200), "without": measured(40.0, 1000, 100),
                     "off": measured(0, 1010)}},
        {"feature": "harden", "compiled_in": False, "time": None,
         "figures": {"with": measured(99.0, 2000), "without": measured(40.0, 1000)}}]}
    lines = ablation.ablation_table(record).splitlines()
    assert lines[1].split() == "stats yes +2.00 +10.00 % 0 +100.00 % ~1.001 [0.99, 1.01] +1.00 % +1.00 % !".split()
    assert lines[2].split() == "harden no +59.00 +100.00 % 0 - - no switch -".split()
    assert ablation.overhead(record["features"][0]) == pytest.approx(1.01)


def test_each_step_is_said(monkeypatch, capsys):
    """Half an hour of nothing looks like a tool that hangs: a line a step, on a terminal and elsewhere."""
    monkeypatch.setattr(ablation, "build", lambda names, _toolchain: dict.fromkeys(names))
    monkeypatch.setattr(effects, "times", lambda *_words: {})
    monkeypatch.setattr(effects, "figures", lambda *_words: {})
    asked = ablation.parse(["--feature", "stats", "--feature", "purge", "--seconds", "7"])
    ablation.run_ablation(asked, effects.held_out(["git", "jq"]))
    ablation.run_variants(ablation.parse(["--variants", "--seconds", "0"]), [])
    counted = "instructions, memory and page faults of 2 programs under 3 libraries"
    assert capsys.readouterr().err.splitlines()[:7] == [f"ablation:  0.0 min, {line}" for line in (
        "building 4 libraries", "1/2 stats: time, 7 s", f"1/2 stats: {counted}", "2/2 purge: time, 7 s",
        f"2/2 purge: {counted}")] + [f"variants:  0.0 min, {line}" for line in (
            "building 8 libraries", "instructions, memory and page faults of 0 programs under 8 libraries")]


def test_an_ablation_is_shown_by_the_docs(monkeypatch):
    """The newest one of all features with their time; without one, how to make it."""
    features = [{"feature": feature.name, "compiled_in": True, "time": {"text": "1.020 [1.01, 1.03]"},
                 "figures": {"with": measured(42.0, 1100), "without": measured(40.0, 1000)}}
                for feature in model.load_features(ROOT)]
    whole = {"kind": "ablation", "time": "2030-01-01T00:00:00Z", "base": "balanced", "toolchain": "clang",
             "workloads": ["git"], "features": features}
    few = {**whole, "time": "2030-01-02", "features": features[:1]}
    untimed = {**whole, "time": "2030-01-03", "features": [{**row, "time": None} for row in features]}
    assert readme.last_ablation([few, untimed]) is None and readme.last_ablation([whole, few, untimed]) is whole
    monkeypatch.setattr(readme, "on_record", lambda: (whole, few, untimed))
    source = readme.newest("ablation", "none")
    text = readme.ablation_block(source)
    assert source == whole["time"] and "| 1.020 [1.01, 1.03] |" in text
    assert f"| {features[0]['feature']} | yes | +2.00 | +10.00 % |" in text
    assert "With the feature against without, of balanced" in text and "recorded 2030-01-01." in text
    assert "make ablation" in readme.ablation_block("none")


def test_settings_reach_the_program():
    row = effects.under(effects.held_out()[0], effects.Subject("x", None, {"HAKMEM_STATS": "off"}))
    assert row.env["HAKMEM_STATS"] == "off"


@pytest.mark.parametrize("words, message", [(["--feature", "nonsense"], "unknown feature 'nonsense'"),
                                            (["--base", "nonsense"], "unknown variant 'nonsense'")])
def test_a_wrong_ablation_is_a_sentence(words, message, monkeypatch, capsys):
    monkeypatch.setattr(ab, "prepare", lambda *rest: None)
    assert guard(ablation.main, words) == 2
    assert message in capsys.readouterr().err


# the knob

def test_one_default_variant():
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"^VARIANT \?= \$\(if \$\(filter 0,\$\(BENCH_MINIMAL\)\),balanced,(\w+)\)$", makefile,
                     re.MULTILINE)[1] == model.DEFAULT_VARIANT == model.KNOB["1"]
    assert model.KNOB["0"] == "balanced"


@pytest.mark.parametrize("value, variant", [("", model.DEFAULT_VARIANT), ("1", "bench_minimal"), ("0", "balanced")])
def test_bench_minimal_chooses(value, variant):
    assert model.variant_of_knob({"BENCH_MINIMAL": value}) == variant


def test_a_wrong_knob_is_a_sentence():
    with pytest.raises(UserError, match="BENCH_MINIMAL=yes: must be 1"):
        model.variant_of_knob({"BENCH_MINIMAL": "yes"})
    done = subprocess.run(["make", "help", "BENCH_MINIMAL=yes"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "BENCH_MINIMAL must be 1" in done.stderr


def test_removal_removes():
    """What the knob promises: statistics, environment checks and messages about them are not in the library."""
    minimal = model.load_variants(ROOT)[model.KNOB["1"]]
    assert not any(minimal.features[name] for name in ("options", "stats", "histogram", "trace", "checks"))


# studies

def contenders(*names):
    return tuple(bench.Contender(name, None if name == "glibc" else ROOT / name) for name in names)


def options(study, *names, threads=2):
    return bench_study.Options(study, contenders(*names), threads, 1, 0.001)


def test_thread_counts():
    assert bench_study.thread_counts(1) == [1] and bench_study.thread_counts(6) == [1, 2, 4, 6]


def test_scaling_is_a_share_of_linear(monkeypatch):
    def speed(row, one):
        threads = int(row.command[{"bench_tiny_hot": 3, "bench_mid_mt": 2, "bench_sweep": 2}[row.command[0][8:]]])
        return 100.0 * (threads if one.name == "glibc" else 1)
    monkeypatch.setattr(bench_study, "throughput", speed)
    rows, kept, _note = bench_study.scaling(options("scaling", "glibc", "x", threads=4))
    assert rows[0] == ("share of linear", "glibc x2", "glibc x4", "x x2", "x x4")
    assert rows[1] == ("tiny", "100%", "100%", "50%", "25%") and kept["mid"]["x"] == {1: 100.0, 2: 100.0, 4: 100.0}


def test_sweep_is_relative_to_the_c_library(monkeypatch):
    monkeypatch.setattr(bench_study, "throughput", lambda row, one: 300.0 if one.name == "x" else 100.0)
    rows, _kept, _note = bench_study.sweep(options("sweep", "glibc", "x"))
    assert rows[0] == ("size", "x x1", "x x2") and len(rows) == 1 + len(bench_study.SIZES)
    assert all(row[1:] == ("3.00", "3.00") for row in rows[1:])


def test_larson_shows_the_variants_with_checks_that_are_built(monkeypatch, tmp_path):
    monkeypatch.setattr("common.paths.BUILD", tmp_path)
    monkeypatch.setattr(bench_study, "best_of", lambda row, one, rounds: 2e6)
    monkeypatch.setattr(bench_study.counting, "usage_metrics", lambda row, library: {"page_faults": 7})
    for built in ((), ("hardened",)):
        for name in built:
            library = bench_study.library_path(name)
            library.parent.mkdir(parents=True)
            library.write_text("")
        rows, _kept, _note = bench_study.larson(options("larson", "glibc"))
        assert rows[0] == ("preset", "glibc", *built) and set(rows[1][1:]) == {"2.0, 7"}


def test_variance_is_the_spread_of_runs(monkeypatch):
    times = {0: 1.0, 1: 1.2}
    monkeypatch.setattr(bench, "run_once",
                        lambda row, one, turn: ranking.Sample(row.name, one.name, turn, times[turn]))
    found = dataclasses.replace(options("variance", "glibc"), rounds=2)
    rows, kept, _note = bench_study.variance(found)
    assert rows[1][1:] == ("1.100", "12.9%", "5%") and kept["larson"]["glibc"] == pytest.approx(0.1286, abs=1e-4)


def test_hits_are_what_the_slow_paths_did_not_count(monkeypatch):
    page = "hakmem x\nrefills = 5  (x)\nprevious_refills = 3  (x)\nlarge_blocks = 1\nbig_taken = 1\n"
    monkeypatch.setattr(bench_study, "output_of", lambda *rest: ("", page))
    monkeypatch.setattr(Path, "exists", lambda self: True)
    monkeypatch.setattr(bench_study.counting, "measure", lambda *rest, **more: (
        {"metrics": {"calls": {"malloc": 60, "calloc": 40, "free": 100, "malloc_usable_size": 9}}}, ""))
    rows, kept, _note = bench_study.hits(options("hits", "glibc"))
    assert rows[1] == ("random_mixed", "100", "10", "90.00%", "85%") and kept["git"]["hits"] == pytest.approx(0.9)


def test_cycles_are_the_price_of_more_iterations(monkeypatch):
    monkeypatch.setattr(bench_study, "count_cycles", lambda perf, row, one: 1000 + 7 * int(row.command[2]))
    assert bench_study.cycles("perf", "pair64", contenders("x")[0]) == pytest.approx(7)
    monkeypatch.setattr(bench_study, "count_cycles", lambda perf, row, one: None)
    assert bench_study.cycles("perf", "pair64", contenders("x")[0]) is None


@pytest.mark.parametrize("errors, cycles", [("1234,,cycles:u,99,100.00,,\n", 1234),
                                            ("<not supported>,,cycles:u,0,100.00,,\n", None)])
def test_what_perf_says(monkeypatch, errors, cycles):
    monkeypatch.setattr(bench_study, "output_of", lambda *rest, **more: ("", errors))
    assert bench_study.count_cycles("perf", bench_study.program("bench_fastpath"), contenders("x")[0]) == cycles


@pytest.mark.parametrize("words, message", [
    (["overhead", "--only", "nobody"], "no contender is named 'nobody'"),
    (["scaling", "--threads", "0"], "at least 1")])
def test_a_wrong_study_is_a_sentence(words, message, capsys, monkeypatch):
    monkeypatch.setattr(bench, "own_library", lambda: ROOT / "Makefile")
    assert guard(bench_study.main, words) == 2
    assert message in capsys.readouterr().err


def test_a_study_is_kept(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, "own_library", lambda: ROOT / "Makefile")
    monkeypatch.setitem(bench_study.STUDIES, "overhead",
                        lambda options: ([("size", "x"), ("64", "1 %")], {"64": 1}, ""))
    path = tmp_path / "2030.jsonl"
    assert bench_study.main(["overhead", "--results", str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == ["64", "1", "%"]
    (record,) = records.read(path)
    assert record["kind"] == "study-overhead" and record["figures"] == {"64": 1} and records.verify(tmp_path) == []


def test_modes_are_rows_of_the_points_ranking_alone(monkeypatch):
    rows = (bench.Benchmark("one", "p", "s", points=True), bench.Benchmark("two", "p", "s"))
    everyone = (*contenders("glibc", "hakmem"), bench.Contender("hakmem-baseline", ROOT, {}, points_only=True))
    speed = {"glibc": 1.0, "hakmem": 0.5, "hakmem-baseline": 0.7}
    monkeypatch.setattr(bench, "run_once",
                        lambda row, one, turn: ranking.Sample(row.name, one.name, turn, speed[one.name], 1))
    ready = []
    samples = bench.run_all(rows, everyone, 7, lambda text: None, lambda sample: None, back=ready.append)
    assert ready[:3] == [0, 1, 1] and len(ready) == len(samples)    # KiB that a run finds touched
    assert {sample.benchmark for sample in samples if sample.contender == "hakmem-baseline"} == {"one"}
    study = bench.study_of(rows, samples)
    assert study.contenders == ("glibc", "hakmem") and study.extras == ("hakmem-baseline",)
    assert [line.split() for line in ranking.points_table(study).splitlines()[1:]] == [
        ["hakmem", "3"], ["hakmem-baseline", "2"], ["glibc", "1"]]
    assert "hakmem-baseline" not in ranking.ranking_table(study)


@pytest.mark.parametrize("module", ["gate.ablation", "bench.study"])
def test_help_opens_with_an_example(module):
    shown = run([PYTHON, "-m", module, "--help"], cwd=ROOT, env={**os.environ}).stdout
    assert f"\n\nexample: python3 -m {module}" in shown
