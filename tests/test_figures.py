# SPDX-License-Identifier: MIT
"""Everything that is said with a number is so: README from results/, results/ only grow, tables that are printed, A/B
by stage and by function, ablation, history, the knob."""

import dataclasses
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from common import doctor, files, records, workloads
from common.errors import Failure, UserError, guard
from common.proc import run
from common.tree import Tree
from common.workloads import Workload
from plan import model, policy
from measure import callgrind, golden, wall
from gate import ab, ablation, effects
from bench import bench, own, ranking, study as bench_study
from learn import show
from report import charts, heatmap, readme, report, results
from tests.support import ROOT

README = (ROOT / "README.md").read_text()
PYTHON = "/usr/bin/python3"


# README

def test_readme_says_what_results_say():
    assert [wrong for page in readme.PAGES for wrong in readme.check(page.read_text())] == []
    assert {block.kind for block in readme.blocks(README)} >= {"run", "claims", "ranking", "memory", "variants"}


def test_readme_has_no_measured_figure_outside_of_derived_blocks():
    rest = readme.BLOCK.sub("", README)
    assert re.findall(r"[-+~]?\d+(?:\.\d+)? ?%(?! of (?:executed|execution))", rest) == []
    assert re.findall(r"\*\*\d\.\d\d\*\*|~?\d\.\d{2,3} \[", rest) == []


def test_readme_says_what_kind_of_cache_it_counts():
    assert "simulated, fully associative" in README


def test_a_changed_figure_is_seen():
    block = next(block for block in readme.blocks(README) if block.kind == "variants")
    changed = README.replace(block.text, re.sub(r"\d+\.\d", "11.1", block.text, count=1))
    assert changed != README
    (wrong,) = readme.check(changed)
    assert wrong.startswith(f"the block 'variants {block.source}' is not what results/ says")


def test_update_writes_the_blocks(tmp_path, capsys):
    block = next(block for block in readme.blocks(README) if block.kind == "ranking")
    page = tmp_path / "page.md"
    page.write_text(f"a\n<!-- derived: ranking {block.source} -->\nold\n<!-- end -->\nb\n")
    assert guard(readme.main, ["--check", "--page", str(page)]) == 1
    assert "--update" in capsys.readouterr().err
    assert readme.main(["--update", "--keep", "--page", str(page)]) == 0
    assert page.read_text() == f"a\n<!-- derived: ranking {block.source} -->\n{block.text}<!-- end -->\nb\n"
    assert readme.main(["--check", "--page", str(page)]) == 0


@pytest.mark.parametrize("text, message", [
    ("<!-- derived: run x -->\n", "has no `<!-- end -->`"),
    ("<!-- derived: nonsense x -->\n<!-- end -->\n", "unknown kind of block 'nonsense'"),
    ("<!-- derived: run 1999 -->\n<!-- end -->\n", "holds no run of 1999"),
    ("<!-- derived: ranking 1999 -->\n<!-- end -->\n", "no study that began at 1999"),
])
def test_a_wrong_block_is_a_sentence(text, message):
    with pytest.raises((Failure, UserError), match=message):
        readme.check(text)


def test_every_variant_is_for_somebody():
    assert set(model.load_variants(ROOT)) <= set(readme.FOR_WHOM)


@pytest.mark.parametrize("ratio, text", [(0.84, "16 % less"), (1.04, "4 % more"), (1.001, "as much")])
def test_percent_less(ratio, text):
    assert readme.percent_less(ratio) == text


def test_claims_take_loops_and_programs_apart():
    """A loop that is twice as fast says nothing of programs, and the other way round."""
    record = {"wall": {"floor": 0.01, "seconds": {"loop": {"x": [1.0] * 8, "glibc": [2.0] * 8},
                                                  "real": {"x": [0.96] * 8, "glibc": [1.0] * 8}}},
              "roles": {name: {"weight": 1} for name in ("loop", "real")}}
    assert readme.decided(readme.time_against(record, ["real"], "x", "glibc"), "glibc").startswith("4 % less time")
    assert readme.decided(readme.time_against(record, ["loop"], "x", "glibc"), "glibc").startswith("50 % less time")
    record["wall"]["floor"] = 0.1
    assert "within the noise" in readme.decided(readme.time_against(record, ["real"], "x", "glibc"), "glibc")


# results/

def test_results_are_as_they_were_appended():
    assert records.verify(records.RESULTS) == []


def git(*words):
    return run(["git", "-c", "safe.directory=*", *words], cwd=ROOT, check=False)


def test_history_of_results_only_adds_lines():
    """Since results are sealed, no commit took a line out of them, and the working tree does not either."""
    born = git("log", "--diff-filter=A", "--format=%H", "--", "results/seals.jsonl")
    if born.returncode != 0 or not born.stdout.strip():
        pytest.skip("no git history here")
    since = born.stdout.split()[-1]
    changes = git("log", "--format=", "--numstat", f"{since}..HEAD", "--", "results").stdout
    changes += git("diff", "--numstat", "HEAD", "--", "results").stdout
    removed = [line for line in changes.splitlines() if line.strip() and line.split()[1] != "0"]
    assert removed == []


@pytest.mark.parametrize("change", [
    lambda lines: [lines[1], lines[0], *lines[2:]],
    lambda lines: lines[1:],
    lambda lines: [lines[0].replace("x", "y"), *lines[1:]],
    lambda lines: [],
])
def test_a_rewritten_result_is_seen(tmp_path, change):
    path = tmp_path / "2030.jsonl"
    for tree in ("x", "z", "q"):
        records.append(path, {"schema": 2, "kind": "run", "tree": tree})
    assert records.verify(tmp_path) == []
    path.write_text("".join(f"{line}\n" for line in change(path.read_text().splitlines())))
    assert any("are not those that were sealed" in wrong for wrong in records.verify(tmp_path))


def test_the_changed_line_is_named_once(tmp_path):
    """Not with every seal behind it; and how to have it back."""
    path = tmp_path / "2030.jsonl"
    for tree in "abcd":
        records.append(path, {"schema": 2, "kind": "x", "tree": tree})
    path.write_text(path.read_text().replace('"b"', '"B"'))
    assert records.verify(tmp_path) == [f"{path}: lines 2 to 2 are not those that were sealed; {records.MEND}"]


@pytest.mark.parametrize("record, lacks", [({"kind": "run"}, "a run without its time"), (
    {"kind": "run", "time": "x", "tree": "x"}, "a run without its stages"),
    ({"kind": "study-memory", "time": "x"}, "a study-memory without its scale")])
def test_a_record_that_lacks_something_is_named(tmp_path, record, lacks):
    """By its line: who reads it would say which key is missing, and not where."""
    records.append(tmp_path / "2030.jsonl", {"schema": 2, **record})
    with pytest.raises(Failure, match=rf"2030.jsonl line 1 is not a result \({lacks}\); restore it"):
        records.everything(tmp_path)
    assert records.everything()


def test_a_line_without_a_seal_is_seen(tmp_path):
    path = tmp_path / "2030.jsonl"
    records.append(path, {"schema": 2})
    with open(path, "a") as stream:
        stream.write('{"schema": 2}\n')
    assert records.verify(tmp_path) == [f"{path}: 2 lines, of which 1 are sealed: append by common.records"]
    records.seal(path)
    assert records.verify(tmp_path) == []


def run_of(tree, instructions, commit="abc", shipped="pgo", page_faults=None):
    """A small run on record."""
    def metrics(value):
        return {"ir_alloc": value, "i1_miss_alloc": value // 100, "lines99": 100, "text_bytes": 5,
                "taken_branches_alloc": 9, "d1_miss_alloc": 70, "branch_miss_alloc": 7, "page_faults": page_faults,
                "syscalls": 12, "memory_syscalls": 3, "peak_rss_kib": 1000}
    stages = {stage: {"library": stage, "golden": {"pair64": {"malloc": 10.0, "free": 14.0, "together": 28.0 + extra}},
                      "metrics": {"git": metrics(instructions + extra), "py": metrics(instructions)}, "gate": None}
              for stage, extra in (("base", 0), ("pgo", -1000))}
    roles = {"git": {"role": "holdout", "gate": True, "weight": 1, "loop": False},
             "py": {"role": "train", "gate": True, "weight": 1, "loop": False}}
    return {"schema": 2, "kind": "run", "time": "2030-01-01T00:00:00Z", "commit": commit, "tree": tree,
            "stages": stages, "roles": roles, "shipped": shipped, "wall": None, "machine": {}}


def test_history_compares_equal_programs():
    """A run that was judged by another program has no change; the one behind it is compared with the one before."""
    other = run_of("a", 5_000)
    for stage in other["stages"].values():
        stage["metrics"]["mine"] = stage["metrics"].pop("git")
    other["roles"] = {"mine": {**other["roles"]["git"], "title": "lua"}, "py": other["roles"]["py"]}
    lines = results.history([run_of("a", 1_000_000), other, run_of("a", 1_100_000)], "i1_miss_alloc", "base", "git")
    assert len(lines.splitlines()) == 3 and lines.split()[-2:] == ["+10.00", "%"]
    record = [run_of("a", 1_000_000), other, run_of("a", 1_100_000)]
    for row in other["stages"].values():
        row["metrics"]["mine"]["ir_alloc"] = 500_000
    lines = results.history(record, "ir_alloc", "base", "").splitlines()[1:]
    assert [line.split("  ")[-1].strip() for line in lines] == ["-", "-", "+10.00 %"]


def test_history_shows_a_metric_over_commits():
    records = [run_of("a", 1_000_000, "one"), run_of("b", 500_000, "two"), run_of("a", 1_100_000, "three"),
               {"kind": "ablation"}]
    lines = results.history(records, "ir_alloc", "shipped", "").splitlines()
    assert [line.split()[1:3] for line in lines[1:]] == [["one", "a"], ["two", "b"], ["three", "a"]]
    assert lines[1].split()[3:] == ["999,000.00", "-"] and lines[3].split()[3:] == ["1,099,000.00", "+10.01", "%"]
    assert results.history(records, "together", "base", "pair64").splitlines()[1].split()[3] == "28.00"
    assert len(results.history(records, "ir_alloc", "base", "py", "b").splitlines()) == 2
    with pytest.raises(UserError, match="no run on record has ir_alloc of base under py of c"):
        results.history(records, "ir_alloc", "base", "py", "c")


@pytest.mark.parametrize("asked, words", [
    (("nonsense", "base", "", ""), "unknown metric 'nonsense'; valid metrics: .*ir_alloc"),
    (("", "base", "", ""), "unknown metric ''"),
    (("ir_alloc", "nonsense", "", ""), "unknown stage 'nonsense'; valid stages: base, .*shipped"),
    (("ir_alloc", "base", "nonsense", ""), "unknown workload 'nonsense'; valid workloads: .*pair64"),
    (("ir_alloc", "base", "", "nonsense"), "unknown tree 'nonsense'; valid trees: a, b"),
])
def test_history_names_what_it_does_not_know(asked, words):
    runs = [run_of("a", 10), run_of("b", 20), {"kind": "study-hits"}]
    with pytest.raises(UserError, match=words):
        results.check_names(runs, *asked)
    results.check_names(runs, "ir_alloc", "shipped", "pair64", "a")


def test_a_run_that_measured_nothing_new_adds_no_line():
    first, second = run_of("a", 10), run_of("a", 11)
    assert results.is_new(first, []) and results.is_new(second, [first]) and not results.is_new(second, [first, second])
    assert results.is_new(first, [first, second]) and results.is_new(run_of("b", 10), [first])


def test_old_runs_ship_the_last_stage_that_passed():
    record = run_of("a", 10, shipped="")
    record["stages"]["pgo"]["gate"] = {"accepted": True}
    assert results.shipped_of(record) == "pgo"
    record["stages"]["pgo"]["gate"] = {"accepted": False}
    assert results.shipped_of(record) == "base"


def test_a_tree_is_recorded_once(tmp_path, capsys):
    """What `make pgo` does at its end: one line, and none the second time."""
    tree, out = Tree(tmp_path / "clang-x"), tmp_path / "results" / "2030.jsonl"
    tree.library("base").parent.mkdir(parents=True)
    tree.library("base").write_bytes(b"library")
    measures = run_of("x", 1_000_000)["stages"]["base"]["metrics"]["git"]
    record = {"workload": "git", "role": "holdout", "weight": 1, "digest": "", "metrics": measures,
              "provenance": {"source": results.files.sha256(tree.library("base"))}}
    tree.measure("base", "git").parent.mkdir(parents=True)
    tree.measure("base", "git").write_text(json.dumps(record))
    for _ in range(2):
        assert results.main(["--build", str(tree.root), "-o", str(out)]) == 0
    assert capsys.readouterr().out == "results: clang-x: appended\nresults: clang-x: nothing new\n"
    (line,) = records.read(out)
    assert line["tree"] == "clang-x" and line["roles"]["git"]["role"] == "holdout" and line["commit"]
    assert records.verify(out.parent) == []


@pytest.mark.parametrize("name, text", [
    ("select/ship.json", "{}"), ("wall.json", '{"rounds": 3}'), ("gate/pgo.json", '{"accepted": true}'),
    ("wall.json", '{"reference": "base", "rounds": 3, "control": {}, "floor": 0, "against": {}, "seconds": {}}')])
def test_what_another_version_left_is_a_sentence(tmp_path, name, text):
    """JSON, but not what a step writes: which file, and what to do."""
    tree = Tree(tmp_path / "clang-x")
    for stage in ("base", "pgo"):
        tree.library(stage).parent.mkdir(parents=True)
        tree.library(stage).write_bytes(b"library")
        metrics = run_of("x", 1_000_000)["stages"]["base"]["metrics"]["git"]
        files.write_json(tree.measure(stage, "git"), {
            "workload": "git", "role": "holdout", "weight": 1, "digest": "", "metrics": metrics,
            "provenance": {"source": files.sha256(tree.library(stage))}})
    files.write_atomic(tree.root / name, text)
    with pytest.raises(Failure, match=f"{name} does not say .*delete it and build again"):
        results.run_record(tree, 0)
    files.write_atomic(tree.wall, "null")
    assert results.wall_of(tree) is None


@pytest.mark.parametrize("commands", [[1], [{"role": "train"}], [{
    "role": "train", "command": "x", "rounds": 3, "floor": 0, "seconds": 1, "lines": [{"subject": "glibc"}]}]])
def test_a_table_of_another_version_is_a_sentence(tmp_path, monkeypatch, commands):
    """Of the user's own commands."""
    files.write_json(Tree(tmp_path / "clang-x").own, {"label": "clang-x", "stage": "pgo", "commands": commands})
    monkeypatch.setattr(own.workloads, "load_workloads", lambda _root: [Workload("u", "train", ("/x",), own=True)])
    with pytest.raises(Failure, match="own.json does not say commands as it should"):
        own.main(["--build", str(tmp_path / "clang-x")])


def test_make_pgo_appends():
    recipe = re.search(r"^pgo:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
    assert "report.results $(TREES)" in recipe


# the report

def test_report_shows_every_effect_by_workload_and_role():
    text = report.render_table(report.of_record(run_of("x", 1_000_000, page_faults=400)))
    assert "pgo, what ships, against base; held out" in text and "pgo, what ships, against base; trained on" in text
    line = next(line for line in text.splitlines() if line.split()[:1] == ["git"])
    assert "999,000 (-0.1 %)" in line and " 70 " in line and " 400 " in line and " 12 " in line
    head = next(line for line in text.splitlines() if line.split()[:1] == ["workload"])
    for title in ("D1 misses", "branch misses", "page faults", "syscalls"):
        assert title in head
    assert "fully associative" in text


def test_own_commands_go_by_their_programs():
    """In every table, old records apart; with the row where two of a role have the same."""
    rows = [Workload("git", "holdout", ("git", "log")), Workload("user1", "train", ("/opt/lua5.4", "a"), own=True),
            Workload("held1", "holdout", ("/x/jq",), own=True), Workload("held2", "holdout", ("/bin/git",), own=True),
            Workload("user2", "train", ("/bin/git",), own=True)]
    titles = workloads.titles(rows)
    assert titles == {"git": "git", "user1": "lua5.4", "held1": "jq", "held2": "git (held2)", "user2": "git"}
    record = run_of("x", 1_000_000)
    record["roles"]["py"]["title"] = "lua5.4"
    text = report.render_table(report.of_record(record))
    assert re.search(r"^ +lua5.4 +1,000,000", text, re.M) and not re.search("^ +py ", text, re.M)
    assert show.title_of("held1.2", titles) == "jq, process 2" and show.title_of("gone", titles) == "gone"


def test_labels_of_charts_do_not_meet():
    """Long names stand aslant; a name is neither a formula nor bytes that are no text."""
    assert report.turned(["git", "jq", "perl"]) == {} == report.turned([])
    assert report.turned(["a-program-of-mine"] * 3)["rotation"]
    assert charts.label("a$b$\udce9") == r"a\$b\$?"


def test_page_shows_every_stage_by_workload():
    pytest.importorskip("jinja2")
    page = report.render_page([report.of_record(run_of("x", 1_000_000))], {"x": ("bars.svg", "heat.svg")})
    assert page.count("<td>git</td>") == 2 and page.count("<td>py</td>") == 2
    assert "<h3>pgo (ships), held out" in page and "<th>D1 misses</th>" in page
    assert "<td>999,000<small>-0.1 %</small></td>" in page      # below the figure: a table of eleven columns fits


def test_page_begins_with_own_commands():
    """What the terminal shows first; the command is text, whatever it holds."""
    pytest.importorskip("jinja2")
    line = {"subject": "glibc", "time": "1.000", "peak_kib": 1024, "faults": 5, "share": 0.5}
    entry = {"role": "train", "command": "lua '<b>'", "seconds": 0.5, "rounds": 9, "floor": 0.01, "lines": [line]}
    page = report.render_page([report.of_record(run_of("x", 1_000_000))], {"x": ("bars.svg", "heat.svg")},
                              commands={"x": [entry]})
    assert page.index("TRAIN    lua &#39;&lt;b&gt;&#39;") < page.index("<td>50.0 %</td>") < page.index("<td>base</td>")
    assert "Judged on what it was trained on" in page
    assert "Your program" not in report.render_page([report.of_record(run_of("x", 1_000_000))], {"x": ("b", "h")})


def test_a_page_is_no_wider_than_a_window():
    """The verdicts of a proof are sentences: they are wrapped, and a table that is still too wide scrolls by itself."""
    pytest.importorskip("jinja2")
    proof = records.newest(records.everything(), report.proof_table.KIND)
    page = report.render_page([report.of_record(run_of("x", 1_000_000))], {"x": ("bars.svg", "heat.svg")}, proof=proof)
    learned = page[page.index("What learned policies bring"):]
    assert learned.count("<table") == learned.count('<div class="wide"><table') > 2
    (head,) = re.findall(r'<table class="prose">\n<tr>(.*)</tr>', learned)
    assert head.endswith("<th>verdict</th>")
    assert ".prose td:last-child { text-align: left; white-space: normal }" in page


@pytest.mark.parametrize("value, before, text", [
    (None, 5, "-"), (5, None, "5"), (5, 5, "5"), (1100, 1000, "1,100 (+10.0 %)"), (5, 0, "5")])
def test_effect(value, before, text):
    assert report.effect(value, before) == text


# the ranking

def test_peers_that_are_ahead_within_the_noise_are_named():
    rows = (bench.Benchmark("clear", "p", "s"), bench.Benchmark("noisy", "p", "s"), bench.Benchmark("won", "p", "s"))
    seconds = {"clear": [1.2] * 7, "noisy": [1.3, 0.9, 1.2, 0.95, 1.25, 1.1, 0.97], "won": [0.5] * 7}
    samples = [ranking.Sample(name, who, turn, times[turn] if who == "hakmem" else 1.0, 1)
               for name, times in seconds.items() for who in ("glibc", "hakmem") for turn in range(7)]
    study = ranking.Study(rows, ("glibc", "hakmem"), "hakmem", "glibc", tuple(samples))
    assert ranking.behind(study) == ("A peer is ahead of hakmem by more than 5 % on: clear (glibc, 1.20). "
                                     "Ahead by more than 5 %, but undecided: noisy (glibc, 1.10).")


def test_studies_are_read_by_their_start(tmp_path):
    own = [row.name for row in bench.load_benchmarks() if not row.package]
    path = tmp_path / "bench.jsonl"
    rows = [{"benchmark": name, "contender": "glibc", "failure": "", "peak_rss_kib": 1, "round": 0, "seconds": 1.0,
             "started": started} for started, names in (("1", own), ("2", own[:3])) for name in names]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert bench.last_full_study(path) == "1"
    assert len(bench.read_last(path)) == 3 and len(bench.read_study(path, "1")) == len(own)


# make golden, make wall

def recipe_of(goal) -> str:
    """The commands of a goal."""
    return re.search(rf"^{goal}:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]


def test_make_golden_and_make_wall_print_their_tables():
    assert "measure.golden $(TREES)" in recipe_of("golden")
    assert "measure.wall --show $(TREES)" in recipe_of("wall")


def test_golden_prints_what_a_tree_holds(tmp_path, capsys):
    tree = Tree(tmp_path / "clang-x")
    with pytest.raises(UserError, match="run `make golden` first"):
        golden.stages_table(tree)
    for stage, cost in (("base", 11.0), ("pgo", 10.0)):
        tree.golden(stage).parent.mkdir(parents=True, exist_ok=True)
        tree.golden(stage).write_text(json.dumps(
            {"patterns": {"pair64": {"malloc": cost, "free": 14.0, "together": cost + 18}}}))
    assert golden.main(["--build", str(tree.root)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("clang-x: ") and lines[1].split() == ["pattern", "goal", "base", "pgo"]
    assert lines[2].split() == "pair64 28 11.0 + 14.0 = 29.00 10.0 + 14.0 = 28.00".split()


def test_wall_prints_the_last_rounds(tmp_path, capsys):
    tree = tmp_path / "clang-x"
    tree.mkdir()
    assert guard(wall.main, ["--build", str(tree), "--show"]) == 2
    assert "run `make wall` first" in capsys.readouterr().err
    (tree / "wall.json").write_text(json.dumps(
        {"rounds": 7, "workloads": ["a"], "control": {"text": "~1.0"}, "floor": 0.01,
         "against": {"base": {"pgo": {"text": "0.9 [0.8, 0.95]", "warnings": []}}}}))
    assert wall.main(["--build", str(tree), "--show"]) == 0
    assert "pgo        / base     0.9 [0.8, 0.95]" in capsys.readouterr().out


# doctor and heat map

@pytest.mark.parametrize("status, text, line", [
    (0, "git version 2.39.5\n", "git version 2.39.5"),
    (1, "tmux: unknown option -- -\nusage: tmux [-2]\n", ""),
    (0, "bad: unrecognized option '--version' 1.2\n", ""),
    (2, "something 1.2.3\n", ""),
    (0, "time (GNU Time) UNKNOWN\nCopyright (C) 2018 x\nLicense GPLv3\n", "time (GNU Time) UNKNOWN"),
    (0, "\nname\nversion 7\n", "version 7"),
    (0, "", ""),
])
def test_an_error_is_no_version(status, text, line):
    assert doctor.version_line(status, text) == line


def test_doctor_asks_as_the_tool_understands(tmp_path):
    tool = tmp_path / "tool"
    tool.write_text('#!/bin/sh\n[ "$1" = -V ] && echo "tool 3.3a" && exit 0\necho "tool: unknown option 64"; exit 1\n')
    tool.chmod(0o755)
    assert doctor.version_of(doctor.Need("tool", str(tool), "", "")) == "tool 3.3a"


def test_a_tool_that_is_asked_leaves_nothing(tmp_path, monkeypatch):
    """gcc's cc1 compiles what it reads as well, into <stdin>.s where it is called."""
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\necho > made\necho tool 1.2\n")
    tool.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    assert doctor.version_of(doctor.Need("tool", str(tool), "", "")) == "tool 1.2"
    assert [path.name for path in tmp_path.iterdir()] == ["tool"]


def test_perf_is_called_by_what_doctor_says():
    """doctor names no tool that nothing calls."""
    need = doctor.discovery.load_tools()["perf"].need
    assert "make study STUDY=operation" in need and 'which("perf"' in (ROOT / "bench" / "study.py").read_text()


def executed(counts):
    """A run of executions alone."""
    empty = dict.fromkeys(("events", "program", "totals", "conditional", "branches", "jumps", "calls",
                           "entries", "outgoing", "functions"), ())
    return callgrind.Run(**{**empty, "counts": counts})


def test_heat_map_adds_executions_up():
    """A program that executes a thousandth counts a thousandth."""
    shares = heatmap.line_shares([executed({0: 999_000}), executed({64: 1000})])
    assert shares == pytest.approx({0: 0.999, 1: 0.001})


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


@pytest.mark.parametrize("module", ["report.readme", "gate.ablation", "bench.study"])
def test_help_opens_with_an_example(module):
    shown = run([PYTHON, "-m", module, "--help"], cwd=ROOT, env={**os.environ}).stdout
    assert f"\n\nexample: python3 -m {module}" in shown
