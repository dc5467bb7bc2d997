# SPDX-License-Identifier: MIT
"""The runner's closing line, what .ci/run makes of it, and that no library is left out."""

import collections
import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from tests import building, check, parallel, run, support
from tests.run import Counter
from tests.support import ROOT

CI = (ROOT / ".ci" / "run").read_text()


class Report:
    """What pytest tells of an item."""

    def __init__(self, outcome, cases=None):
        self.nodeid, self.when, self.duration, self.longrepr = "tests/test_x.py::test_y", "call", 0.0, "Skipped: no"
        self.outcome, self.user_properties = outcome, [("cases", cases)] if cases else []


@pytest.mark.parametrize("reports, line", [
    ([Report("passed")], "1 passed, 0 failed"),
    ([Report("passed"), Report("skipped"), Report("failed")], "1 passed, 1 failed, 1 skipped"),
    ([Report("passed", (3, 0, 2))], "3 passed, 0 failed, 2 skipped"),
    ([Report("skipped", (0, 0, 4))], "0 passed, 0 failed, 1 skipped"),
    ([Report("failed", (1, 2, 1))], "1 passed, 2 failed, 1 skipped"),
])
def test_skips_are_counted(reports, line, capsys):
    counter = Counter()
    for report in reports:
        counter.pytest_runtest_logreport(report)
    assert counter.closing() == line


def test_threads_do_not_copy_what_pytest_takes_out(monkeypatch):
    """The name of the test, which another thread may find and lose while it copies the environment."""
    monkeypatch.setenv("PYTEST_CURRENT_TEST", "this one")
    assert support.environment() == {name: value for name, value in os.environ.items() if value != "this one"}


def shell(script) -> str:
    """Functions of .ci/run, and then a script."""
    functions = CI[CI.index("say() {"):CI.index("nothing_left_to_do() {")]
    head = "set -euo pipefail; passed=0; failed=0; skipped=0; log=$(mktemp)\n"
    done = subprocess.run(["bash", "-c", f"{head}{functions}\n{script}\necho \"= $passed $failed $skipped\"; rm $log"],
                          capture_output=True, text=True, timeout=60)
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize("command, sums", [
    ("counted echo '5 passed, 0 failed'", "= 5 0 0"),
    ("counted echo '5 passed, 1 failed, 7 skipped'", "= 5 1 7"),
    ("counted echo 'nothing of the kind'", "= 0 1 0"),
    ("counted sh -c 'echo 5 passed, 0 failed; exit 1'", "= 5 1 0"),
    ("single true; single false", "= 1 1 0"),
])
def test_ci_adds_up(command, sums):
    assert shell(command) == sums


def test_ci_runs_both_pipelines_their_bytes_and_mutants():
    body = CI[CI.index("pipeline() {"):]
    steps = ("pipeline clang", "pipeline gcc", "make verify-repro", "tests.mutants.drive --seconds", "measure.golden")
    assert all(step in body for step in steps)
    assert re.search(r'closing="\$passed passed, \$failed failed"', body)


def test_a_library_of_an_earlier_source_is_built(monkeypatch, tmp_path):
    built = []
    so = ROOT / "build" / "x" / "libhakmem.so"
    monkeypatch.setattr(support, "is_current", lambda path: bool(built))
    monkeypatch.setattr(support, "run", lambda words, **more: built.append(words))
    support.brought_up_to_date.cache_clear()
    try:
        assert support.brought_up_to_date(so)
    finally:
        support.brought_up_to_date.cache_clear()
    assert built == [["ninja", "--quiet", "build/x/libhakmem.so"]]


# Side by side


class Item:
    """What the scheduler looks at of a pytest item."""

    def __init__(self, nodeid, mark=""):
        self.nodeid, self.mark, self.path = nodeid, mark, Path(nodeid.split("::")[0])

    def get_closest_marker(self, name):
        return name if name == self.mark else None


def test_jobs_are_files_but_for_marked_tests():
    """The longest first; and two files that share a fixture are one."""
    items = [Item("test_a.py::x"), Item("test_end_to_end.py::e"), Item("test_c.py::p"), Item("test_faults.py::f"),
             Item("test_a.py::z"), Item("test_a.py::t", "alone")]
    beside, after = parallel.jobs_of(items)
    assert [[item.nodeid for item in job.items] for job in beside] == [
        ["test_c.py::p"], ["test_end_to_end.py::e", "test_faults.py::f"], ["test_a.py::x", "test_a.py::z"]]
    assert [job.file for job in beside] == ["test_c.py", "test_faults.py", "test_a.py"]
    assert [item.nodeid for item in after.items] == ["test_a.py::t"]
    assert parallel.jobs_of(items[:1])[1] is None


def test_one_more_than_processors():
    """The C programs, which run side by side in their job, count as two."""
    def begun(processes, *names):
        jobs, running = [parallel.Job([Item(f"{name}::x")]) for name in names], []
        room = type("", (), {"get_map": lambda self: {n: type("", (), {"data": job}) for n, job in enumerate(running)}})
        while jobs and parallel.SideBySide(processes).has_room(room()):
            running.append(jobs.pop(0))
        return len(running)
    assert begun(2, "test_c.py", "test_a.py", "test_b.py") == 2
    assert begun(2, "test_a.py", "test_b.py", "test_d.py", "test_e.py") == 3
    assert begun(4, "test_c.py", *(f"test_{n}.py" for n in range(9))) == 4


TINY = """
import os, time, pytest
from pathlib import Path
HERE = Path(__file__).parent

def meet(mine, other):
    (HERE / mine).touch()
    for _ in range(500):
        if (HERE / other).exists():
            return
        time.sleep(0.02)
    raise AssertionError("the other one never ran beside this one")
"""


def test_files_run_at_the_same_time_and_a_dead_one_fails(tmp_path):
    """Two files meet; a third ends its process: that test and those behind it failed, those before it passed."""
    (tmp_path / "test_one.py").write_text(TINY + "def test_it(): meet('a', 'b')\n")
    (tmp_path / "test_two.py").write_text(TINY + "def test_it(): meet('b', 'a')\n")
    (tmp_path / "test_three.py").write_text(
        TINY + "def test_good(): print('heard')\ndef test_dies(): os._exit(3)\ndef test_late(): pass\n"
        "@pytest.mark.skip(reason='no')\ndef test_no(): pass\n")
    (tmp_path / "test_four.py").write_text(TINY + "def test_wrong():\n    print('seen')\n    assert 1 == 2\n")
    done = subprocess.run(["/usr/bin/python3", "-m", "tests.run", "--jobs", "2", tmp_path], cwd=ROOT, timeout=60,
                          capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "3 passed, 4 failed" and done.returncode == 1, done.stdout
    assert done.stdout.count("the process of this job ended before its test did: exit 3") == 3
    assert "seen" in done.stdout and "heard" not in done.stdout


def test_what_took_most_is_named():
    """Of all files the first; nothing of a short run. Each job's process tells what it and its children took."""
    assert run.most_expensive(collections.Counter({"test_a.py": 3.0, "test_b.py": 9.4})) == [
        "processor time: 12 s (test_b.py 9, test_a.py 3)"]
    assert run.most_expensive(collections.Counter({"test_a.py": 3.0})) == []
    job = parallel.Job([Item("test_a.py::x")], left=[], pid=os.fork())
    if job.pid == 0:
        while time.process_time() < 0.2:
            pass
        os._exit(0)
    assert 0.1 < parallel.finish(None, job) < 10
    assert job.file == "test_a.py" and parallel.Job([Item("test_a.py::x"), Item("test_b.py::x")]).file == "alone"


# make check, make test K=name


def test_check_has_a_row_for_each_file():
    files = {path.name for path in (ROOT / "tests").glob("test_*.py")}
    assert set(check.rows()) == files
    assert all(row.only == () or row.reason == "" for row in check.rows().values())


def test_check_chooses_by_name():
    row = check.Check("test_c.py", only=(r"\[api_", "^test_other"))
    names = ["test_program[api_malloc]", "test_program[life_api_]", "test_other"]
    assert [check.is_chosen(row, name) for name in names] == [True, False, True]
    assert check.is_chosen(check.Check("a"), "x") and not check.is_chosen(check.Check("a", reason="long"), "x")
    with pytest.raises(pytest.UsageError, match="no test of test_c.py has 'gone'"):
        check.check_patterns({"test_c.py": check.Check("test_c.py", only=("gone",))}, {"test_c.py": names})


def test_a_check_builds_the_libraries_of_its_own():
    """A file names what all of its tests need, also those that a check leaves out."""
    builder = object.__new__(building.Builder)
    builder.only = [ROOT / "build" / "clang-debug" / "base" / "libhakmem.so"]
    wanted = ("matrix", "build/gcc-plugin/base/libhakmem.so", "build/clang-debug/base/libhakmem.so", "build/tests/x")
    assert [builder.left_out(name) for name in wanted] == [True, True, False, False]
    builder.only = []
    assert not any(map(builder.left_out, wanted))


def test_what_a_test_needs_is_built():
    class Chosen:
        module = support
    row = next(row for row in support.ctests() if row.name == "life_data_limit_midway")
    Chosen.callspec = type("Spec", (), {"params": {"run": (row, ROOT / "build" / "x" / "libhakmem.so")}})
    assert building.targets_of(Chosen) >= {"build/tests/life_limit_midway", "build/x/libhakmem.so"}
    Chosen.callspec = type("Spec", (), {"params": {"number": 5}})
    assert building.targets_of(Chosen) == set()
    Chosen.module = type("Module", (), {"NEEDS": ("matrix",)})
    assert building.targets_of(Chosen) == {"matrix"}


@pytest.mark.parametrize("current", [True, False])
def test_a_dist_of_an_earlier_source_is_left_alone(monkeypatch, tmp_path, capsys, current):
    """`make test K=` says so, and neither builds nor tests it: that would be the whole pipeline."""
    shipped = tmp_path / "libhakmem.so"
    shipped.touch()
    for name in ("HAK_SO", support.AS_BUILT, support.LEFT_ALONE):
        monkeypatch.setenv(name, "")        # restored afterwards
    monkeypatch.setattr(support, "SHIPPED", shipped)
    monkeypatch.setattr(support, "is_current", lambda so: current or so != shipped)
    monkeypatch.setattr(building, "planned_libraries", lambda: [])
    building.Builder()
    assert (shipped in support.libraries()) == current
    assert ("dist/ is of an earlier source" in capsys.readouterr().out) != current


@pytest.mark.parametrize("path", sorted((ROOT / "tests").glob("test_*.py")), ids=lambda path: path.name)
def test_files_that_use_the_build_say_what_they_need(path):
    """Otherwise `make test K=` would run them on what happens to be there."""
    text = path.read_text()
    names = "BUILD|libraries|main_library|subjects"
    uses = re.search(rf"^from tests\.(support|programs) import .*\b({names})\b", text, re.M)
    if uses:
        assert re.search(r"^NEEDS = \(", text, re.M), f"{path.name} uses {uses[2]}: give it NEEDS, a tuple of targets"
