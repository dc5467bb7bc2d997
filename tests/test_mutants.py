# SPDX-License-Identifier: MIT
"""The table of deliberate bugs fits the sources, and its driver tells caught from survived. Trying them all is
`make mutants`."""

import dataclasses
import io

import pytest

from common.errors import Failure, UserError
from tests.mutants import drive
from tests.support import ROOT

ROWS = drive.load_mutants()
ROW = drive.Mutant(name="a", file="core/a.c", text="x + 1", replacement="x", sentence="s", notice=("unit_os",))


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_text_is_in_the_source_once(row):
    """A mutant that fits no longer is to be repaired, not to be forgotten."""
    text = (ROOT / row.file).read_text()
    assert drive.mutate(row, text) != text


def test_a_text_that_is_gone_is_an_error():
    """None, or several: one sentence."""
    assert drive.mutate(ROW, "return x + 1;") == "return x;"
    for text in ("return x;", "x + 1 + x + 1"):
        with pytest.raises(UserError, match="mutant 'a': its text occurs [02] times in core/a.c, not once"):
            drive.mutate(ROW, text)


def test_needs_name_programs_and_libraries():
    """unit and fuzz programs carry the allocator in themselves; others need a library."""
    assert drive.needs("unit_os", "minimal") == drive.Needs(
        ("build/tests/unit_os",), ("tests/test_c.py::test_program[unit_os]",))
    assert drive.needs("stress_churn_4", "debug") == drive.Needs(
        ("build/clang-debug/base/libhakmem.so", "build/tests/stress_churn_2"),
        ("tests/test_c.py::test_program[stress_churn_4-clang-debug/base]",))
    assert drive.needs("fuzz_options", "minimal").nodes == ("tests/test_fuzz.py::test_bounded_run[fuzz_options]",)


def test_survivors_are_told(monkeypatch, tmp_path):
    """The file is changed while its tests run, and is as it was afterwards."""
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "a.c").write_text("return x + 1;")
    seen = []

    def first_failed(tree, rows):
        seen.append((tree / rows[0].file).read_text())
        return ("unit_os", "") if rows[0].name == "a" else ("", "")

    monkeypatch.setattr(drive, "build", lambda tree, targets: None)
    monkeypatch.setattr(drive, "first_failed", first_failed)
    stream = io.StringIO()
    assert drive.judge(tmp_path, [ROW, dataclasses.replace(ROW, name="b")], stream) == (2, ["b"])
    assert seen == ["return x;"] * 2
    assert (tmp_path / "core" / "a.c").read_text() == "return x + 1;"
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("caught   a ") and lines[0].endswith("by unit_os")
    assert lines[1].startswith("SURVIVED b ") and lines[1].endswith("s; none of unit_os noticed")


def test_the_compiler_may_notice(monkeypatch, tmp_path):
    """A lock that is not held; any other mistake in a mutant is an error of the table."""
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "a.c").write_text("return x + 1;")

    def build(tree, targets):
        raise Failure(f"a.c:1: {said}")

    monkeypatch.setattr(drive, "build", build)
    said = "requires holding lock 'x' [-Werror,-Wthread-safety-analysis]"
    assert drive.try_mutant(tmp_path, ROW) == "clang -Wthread-safety"
    said = "expected ';'"
    with pytest.raises(Failure, match="mutant 'a': a.c:1: expected ';'"):
        drive.try_mutant(tmp_path, ROW)
    assert (tmp_path / "core" / "a.c").read_text() == "return x + 1;"


def test_a_bounded_run_stops_and_each_seed_has_its_order(monkeypatch, tmp_path):
    """What does not fit is not tried; another commit tries others first."""
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "a.c").write_text("return x + 1;")
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(drive, "build", lambda tree, targets: None)
    monkeypatch.setattr(drive, "first_failed", lambda tree, rows: ("unit_os", ""))
    monkeypatch.setattr(drive.time, "monotonic", lambda: next(clock))
    rows = [dataclasses.replace(ROW, name=str(number)) for number in range(9)]
    assert drive.judge(tmp_path, rows, io.StringIO(), 45) == (2, [])
    assert drive.order_of(rows, "one") == drive.order_of(rows, "one") != drive.order_of(rows, "two")
    assert sorted(row.name for row in drive.order_of(rows, "one")) == [row.name for row in rows]


def test_unknown_names_are_errors(tmp_path):
    """A test that does not exist, a mutant that does not exist, a row without tests."""
    row = '[[mutant]]\nname = "m"\nfile = "f"\ntext = "t"\nreplacement = ""\nsentence = "s"\nnotice = %s\n'
    for notice, sentence in (('["gone"]', "no test 'gone'"), ("[]", "names no test")):
        (tmp_path / "m.toml").write_text(row % notice)
        with pytest.raises(UserError, match=sentence):
            drive.load_mutants(tmp_path / "m.toml")
    with pytest.raises(UserError, match="no mutant is named so"):
        drive.choose(ROWS, ["nonsense"])
