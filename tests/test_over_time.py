# SPDX-License-Identifier: MIT
"""Resident memory over time: what is read of a program, means, who is ahead, tables, the record, README, the page."""

import json
import threading

import pytest

from common import records
from common.errors import Failure
from bench import bench, over_time
from bench.over_time import AREA, LAST, MIB, METRICS
from report import readme, report
from tests.support import ROOT

LINE = "peak=2048 after_500=1024 after_2000=512 after_10000=256 area=3072 faults=5000 cpu=0.250 curve=100,1024,2048\n"


def found(after=(4, 2, 1), area=10, peak=130, **more) -> dict:
    """Figures of one run; MiB."""
    return {**dict(zip((key for key, _seconds in over_time.AFTER), (MIB * value for value in after))),
            "area": MIB * area, "peak": MIB * peak, "faults": 33000, "cpu": 0.5, "curve": [0, 4, 1], **more}


def figures_of(**contenders) -> dict:
    """The same figures on every row."""
    return {row: dict(contenders) for row in over_time.row_names()}


def record_of(figures: dict, **more) -> dict:
    """A record as `make bench` writes it."""
    return {"schema": records.SCHEMA, "kind": over_time.KIND, "time": "2030-01-01T00:00:00Z", "scale": 1.0,
            "figures": figures, **more}


def test_figures_are_read_and_the_curve_is_in_mib():
    assert over_time.parse(f"something\n{LINE}bench_over_time ops=5 seconds=1\n") == {
        "peak": 2048, "after_500": 1024, "after_2000": 512, "after_10000": 256, "area": 3072, "faults": 5000,
        "cpu": 0.25, "curve": [0, 1, 2]}
    with pytest.raises(Failure, match="printed no figures"):
        over_time.parse("bench_over_time ops=5 seconds=1\n")


def test_every_shape_meets_every_size_under_everyone(monkeypatch):
    asked = []

    def output_of(row, contender):
        asked.append((contender.name, *row.command[2:]))
        if contender.name == "hakmem" and "tiny" in row.command:
            raise Failure("workload 'x': bench_over_time failed with signal SIGSEGV\n  its tail")
        return LINE, ""

    monkeypatch.setattr(over_time, "output_of", output_of)
    everyone = (bench.Contender("glibc"), bench.Contender("hakmem"))
    figures = over_time.run_all(everyone, 0.05, lambda text: None)
    assert list(figures) == over_time.row_names() and len(figures) == 16
    assert set(asked) == {(one.name, *row.split(), "128", "5") for one in everyone for row in figures}
    assert figures["once tiny"] == {"glibc": over_time.parse(LINE), "hakmem": {"failure": "signal SIGSEGV"}}
    assert figures["once big"]["hakmem"]["peak"] == 2048
    assert "failed: hakmem on once tiny: signal SIGSEGV" in over_time.summary(figures)


def test_the_contenders_of_a_row_run_at_the_same_time(monkeypatch):
    """Else the waiting alone would take a quarter of an hour."""
    together = threading.Barrier(3, timeout=20)

    def run_once(name, contender, scale):
        together.wait()
        return {}

    monkeypatch.setattr(over_time, "run_once", run_once)
    over_time.run_all([bench.Contender(name) for name in "abc"], 1.0, lambda text: None)


def test_means_are_arithmetic_and_a_failure_has_none():
    figures = figures_of(hakmem=found(), glibc=found())
    rows = over_time.rows_of(figures, "once")
    assert rows == ["once tiny", "once mid", "once large", "once big"]
    assert over_time.rows_of(dict(sorted(figures.items()))) == over_time.row_names()    # as a record has them
    figures["once big"] = {"hakmem": found(after=(0, 0, 9)), "glibc": {"failure": "exit 1"}}
    assert over_time.mean(figures, rows, "hakmem", LAST.key) == (1 + 1 + 1 + 9) * MIB / 4
    assert over_time.mean(figures, rows, "glibc", LAST.key) is None
    assert over_time.metric_rows(figures, AREA)[-1] == ("mean", "10", "-")
    assert over_time.after_rows(figures)[8] == ("once big", "0.0, 0.0, 9.0", "fail")


@pytest.mark.parametrize("ours, theirs, told", [
    (20, 3, "a peer has less than hakmem, by more than 5 %, on once tiny (glibc, 3.0 against 20.0)."),
    (100, 96, ""), (1.5, 0.6, ""), (3, 20, "")])
def test_who_holds_less_is_named(ours, theirs, told):
    """By more than 5 % and by more than a MiB."""
    figures = figures_of(glibc=found(), hakmem=found(), jemalloc=found())
    figures["once tiny"] = {"glibc": found(after=(0, 0, theirs)), "hakmem": found(after=(0, 0, ours)),
                            "jemalloc": found(after=(0, 0, theirs + 1))}
    nobody = "on no row a peer has less than hakmem by more than 5 %."
    assert over_time.behind(figures, LAST) == f"MiB 10 s after: {told or nobody}"


def test_a_failure_of_a_peer_is_not_ahead():
    figures = figures_of(glibc={"failure": "exit 1"}, hakmem=found())
    assert over_time.behind_rows(figures, LAST) == [] and over_time.best_peer(figures, "once tiny", "peak") is None


def test_short_table_has_a_row_a_shape_and_marks_the_least():
    figures = figures_of(glibc=found(after=(8, 1, 3), area=5), hakmem=found(after=(4, 2, 1), area=10))
    lines = over_time.short_table(figures, ["hakmem", "glibc"])
    assert lines[0] == "| MiB beyond what lives | hakmem | glibc |"
    labels = [f"| {row.name}: {row.sentence}" for row in over_time.words_of("shape")]
    assert [line.split(" | ")[0] for line in lines[2:]] == labels + [f"| {metric.title}" for metric in METRICS]
    assert lines[3] == "| once: a burst, then sleep | **4.0**, 2.0, **1.0** | 8.0, **1.0**, 3.0 |"
    assert "| MiB s over the whole run | 10 | **5** |" in lines
    assert "| MiB at the peak | **130.0** | **130.0** |" in lines and over_time.joined(["1", "1", "1"]) == "1"


def test_summary_shows_every_metric():
    text = over_time.summary(figures_of(glibc=found(), hakmem=found()))
    heads = [line for line in text.splitlines() if line.endswith("  hakmem")]
    assert len(heads) == 1 + len(METRICS) and text.count("once tiny") == 1 + len(METRICS)
    assert text.endswith("on no row a peer has less than hakmem by more than 5 %.\n")


# the record

def test_newest_is_of_all_rows_at_full_length_and_against_peers():
    three = {"glibc": found(), "hakmem": found(), "jemalloc": found()}
    whole = record_of(figures_of(**three))
    others = [record_of(figures_of(**three), scale=0.1), record_of({"once tiny": three}), {"kind": "run"},
              record_of(figures_of(glibc=found(), hakmem=found()))]
    assert over_time.newest([whole, *others]) is whole and over_time.newest(others) is None
    assert over_time.newest([whole, dict(whole, time="later")])["time"] == "later"


@pytest.mark.parametrize("words, measured", [([], True), (["--skip-memory"], False), (["--only", "larson"], False)])
def test_make_bench_measures_and_keeps_it(tmp_path, monkeypatch, capsys, words, measured):
    def run_all(everyone, scale, show):
        assert [one.name for one in everyone] == ["glibc", "hakmem"] and scale == 1.0
        return figures_of(glibc=found(), hakmem=found())

    monkeypatch.setattr(over_time, "run_all", run_all)
    monkeypatch.setattr(bench, "contenders", lambda *rest: (
        bench.Contender("glibc"), bench.Contender("hakmem"), bench.Contender("hakmem-x", points_only=True)))
    monkeypatch.setattr(bench, "run_once", lambda row, one, turn: bench.Sample(row.name, one.name, turn, 1.0, 1))
    assert bench.main(["--rounds", "1", "--results", str(tmp_path / "bench.jsonl"), *words]) == 0
    assert ("MiB beyond what lives" in capsys.readouterr().out) == measured
    kept = records.everything(tmp_path)
    assert [record["kind"] for record in kept] == ([over_time.KIND] if measured else [])
    if measured:
        assert kept[0]["figures"] == figures_of(glibc=found(), hakmem=found()) and kept[0]["scale"] == 1.0


def test_the_last_record_is_printed_again(tmp_path, capsys):
    path = tmp_path / "bench.jsonl"
    bench.Recorder(path, (bench.Contender("glibc"),))(bench.Sample("larson", "glibc", 0, 1.5, 900))
    records.append(tmp_path / "2030.jsonl", record_of(figures_of(glibc=found(), hakmem=found(), jemalloc=found())))
    for words, shown in (([], True), (["--only", "larson"], False)):
        assert bench.main(["--from", str(path), *words]) == 0
        assert ("MiB beyond what lives" in capsys.readouterr().out) == shown


def test_our_own_failure_fails_make_bench(tmp_path, monkeypatch):
    monkeypatch.setattr(over_time, "run_all", lambda *rest: figures_of(glibc=found(), hakmem={"failure": "exit 1"}))
    monkeypatch.setattr(bench, "contenders", lambda *rest: (bench.Contender("glibc"), bench.Contender("hakmem")))
    monkeypatch.setattr(bench, "run_once", lambda row, one, turn: bench.Sample(row.name, one.name, turn, 1.0, 1))
    assert bench.main(["--rounds", "1", "--results", str(tmp_path / "bench.jsonl")]) == 1


def test_make_study_prints_all_of_it(monkeypatch):
    from bench import study
    monkeypatch.setattr(over_time, "run_all", lambda everyone, scale, show: figures_of(glibc=found(), hakmem=found()))
    everyone = (bench.Contender("glibc"), bench.Contender("hakmem"))
    rows, kept, note = study.STUDIES["memory"](study.Options("memory", everyone, 1, 1, 3.0))
    assert f"{study.render(rows)}{note}\n" == over_time.summary(kept)


# what is made of it

def test_readme_block_is_of_the_record(monkeypatch):
    figures = figures_of(glibc=found(after=(8, 1, 0)), hakmem=found(after=(9, 9, 9)), jemalloc=found(), own=found(),
                         mimalloc=found())
    monkeypatch.setattr(readme, "on_record", lambda: (record_of(figures),))
    assert readme.newest("memory", "") == "2030-01-01T00:00:00Z"
    text = readme.render(readme.Block("memory", "2030-01-01T00:00:00Z", ""))
    assert text.splitlines()[:len(METRICS) + 6] == over_time.short_table(
        figures, ["hakmem", "mimalloc", "jemalloc", "own", "glibc"])
    assert "150 to 250 KB (large) and 3 to 5 MiB (big). MiB 10 s after" in text.replace("\n", " ")
    assert "once tiny (glibc, 0.0 against 9.0)" in text.replace("\n", " ")


def test_page_has_the_table_and_a_picture():
    pytest.importorskip("jinja2")
    page = report.render_page([], {}, record_of(figures_of(glibc=found(), hakmem=found())))
    assert '<img src="memory.svg"' in page and page.count("<td>4.0, 2.0, 1.0</td>") == 32
    assert "memory.svg" not in report.render_page([], {})


def test_equal_figures_are_one():
    assert over_time.after_cell(found(after=(3, 3, 3))) == "3.0" and over_time.after_cell(found()) == "4.0, 2.0, 1.0"


def test_report_takes_the_newest_record(tmp_path):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    report.write_page([], [], tmp_path / "index.html")
    assert over_time.newest(records.everything())["time"] in (tmp_path / "index.html").read_text()
    assert (tmp_path / "memory.svg").read_text().startswith("<?xml")


def test_the_picture_has_a_chart_for_each_row(tmp_path):
    pytest.importorskip("matplotlib")
    record = record_of(figures_of(glibc=found(), hakmem=found()))
    record["figures"]["once tiny"]["glibc"] = {"failure": "exit 1"}
    for name in ("a.svg", "b.svg"):
        report.plot_memory(record, tmp_path / name)
    text = (tmp_path / "a.svg").read_text()
    assert text == (tmp_path / "b.svg").read_text()
    assert all(f"<!-- {row} -->" in text for row in over_time.row_names())


def test_the_report_is_made_again_when_results_grow():
    assert '"results/seals.jsonl"' in (ROOT / "plan" / "plan.py").read_text()
    assert json.loads((ROOT / records.RESULTS / records.SEALS).read_text().splitlines()[-1])["file"]
