"""The runner's closing line, what .ci/run makes of it, and that no library is left out."""

import re
import subprocess

import pytest

from tests import support
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
