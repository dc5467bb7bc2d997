# SPDX-License-Identifier: MIT
"""Everything that is said with a number is so: README from results/, results/ only grow, tables and pages that are
printed, history, ranking, the heat map."""

import json
import os
import re

import pytest

from common import files, records, workloads
from common.errors import Failure, UserError, guard
from common.proc import run
from common.tree import Tree
from common.workloads import Workload
from plan import model
from measure import callgrind, golden, wall
from bench import bench, own, ranking
from learn import show
from report import charts, heatmap, readme, report, results
from tests.support import ROOT, recipe_of

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
    assert "report.results $(TREES)" in recipe_of("pgo")


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


# the heat map

def executed(counts):
    """A run of executions alone."""
    empty = dict.fromkeys(("events", "program", "totals", "conditional", "branches", "jumps", "calls",
                           "entries", "outgoing", "functions"), ())
    return callgrind.Run(**{**empty, "counts": counts})


def test_heat_map_adds_executions_up():
    """A program that executes a thousandth counts a thousandth."""
    shares = heatmap.line_shares([executed({0: 999_000}), executed({64: 1000})])
    assert shares == pytest.approx({0: 0.999, 1: 0.001})


def test_help_opens_with_an_example():
    shown = run([PYTHON, "-m", "report.readme", "--help"], cwd=ROOT, env={**os.environ}).stdout
    assert "\n\nexample: python3 -m report.readme" in shown
