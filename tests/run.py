# SPDX-License-Identifier: MIT
"""Run all tests and end with one line: `N passed, N failed`, and `, N skipped` where some could not be shown here.

    /usr/bin/python3 -m tests.run                          all tests
    /usr/bin/python3 -m tests.run tests/test_c.py -k fork  what pytest would select
    /usr/bin/python3 -m tests.run -k "fork and not stdio"  of all files
    /usr/bin/python3 -m tests.run --check --build          the cheapest of each kind, and what they need is built
    HAK_SO=dist/libhakmem.so /usr/bin/python3 -m tests.run tests/test_c.py

Every case of a C program counts as one. Exit 0: all passed; 1: some failed; 2: nothing to test, or wrong usage.
"""

import os
import sys

import pytest

from common.arguments import Parser, at_least
from common.errors import UserError, guard
from common.paths import ROOT
from tests.building import Builder
from tests.check import TREES, Cheapest
from tests.parallel import SideBySide
from tests.support import ctests, libraries, program_of


class Counter:
    """A pytest plug-in: counts the cases inside an item where it tells them, else the item; prints progress."""

    def __init__(self):
        self.passed = 0
        self.failed = 0
        self.skipped = []       # (name, reason) of whole items
        self.skipped_cases = 0  # cases inside of items that passed
        self.notes = []         # what a file says of the tests that it chose

    def pytest_collection_finish(self, session):
        """What the chosen tests' files have to say."""
        found = {item.module.__name__: getattr(item.module, "NOTE", "") for item in session.items}
        self.notes = [note for note in found.values() if note]

    def pytest_runtest_logreport(self, report):
        """Called for each phase of each item."""
        cases = dict(report.user_properties).get("cases")
        name = report.nodeid.removeprefix("tests/")
        if report.when == "call" or report.outcome != "passed":
            if report.when == "call" and cases:
                self.passed, self.failed = self.passed + cases[0], self.failed + cases[1]
                self.skipped_cases += cases[2] if report.outcome != "skipped" else 0
            elif report.outcome == "passed":
                self.passed += 1
            elif report.outcome == "failed":
                self.failed += 1
            if report.outcome == "skipped":
                self.skipped.append((name, _reason(report)))
            inside = f" ({sum(cases)} cases)" if cases and sum(cases) > 1 else ""
            print(f"{report.outcome:8}{name}{inside} {report.duration:.1f} s", flush=True)

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report):
        """No dots between our lines."""
        return report.outcome if report.when == "call" or report.outcome != "passed" else "", "", ""

    def pytest_collectreport(self, report):
        """A file that cannot be imported is a failure, not an absence."""
        if report.failed:
            self.failed += 1
            print(f"failed  {report.nodeid}: cannot be collected", flush=True)

    def closing(self) -> str:
        """The last line."""
        skipped = len(self.skipped) + self.skipped_cases
        return f"{self.passed} passed, {self.failed} failed" + (f", {skipped} skipped" if skipped else "")


def _reason(report) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


def most_expensive(cpu) -> list:
    """A line: the processor time of all tests, and of the files that took most. Nothing of a run that took little."""
    named = ", ".join(f"{file} {seconds:.0f}" for file, seconds in cpu.most_common(8))
    return [f"processor time: {sum(cpu.values()):.0f} s ({named})"] if sum(cpu.values()) >= 10 else []


def check_built():
    """Say what to build when there is nothing to test yet."""
    if not libraries():
        raise UserError("there is no libhakmem.so to test: run `make all`, or name one in HAK_SO")
    missing = [row.name for row in ctests() if not program_of(row).exists() and row.kind != "plugin"]
    if missing:
        raise UserError(f"{len(missing)} test programs are not built ({missing[0]}, ...): run `make tests`")


def parse(argv):
    """(our options, what pytest is to select)"""
    parser = Parser(usage="example: python3 -m tests.run tests/test_c.py -k fork", description=__doc__)
    parser.add_argument("--jobs", type=at_least(1), default=os.cpu_count() or 1, metavar="N",
                        help="how many run side by side, beside one that waits (default: one a processor)")
    parser.add_argument("--build", action="store_true", help="build what the selected tests need, and no more")
    parser.add_argument("--check", action="store_true", help="the cheapest tests of each kind (tests/check.toml)")
    arguments, chosen = parser.parse_known_args(argv)
    if not any((ROOT / word.split("::")[0]).exists() for word in chosen):
        chosen = ["tests", *chosen]
    return arguments, chosen


def main(argv) -> int:
    """Parse, run pytest with the plug-ins, print the closing line."""
    arguments, chosen = parse(argv)
    counter = Counter()
    side_by_side = SideBySide(arguments.jobs)
    plugins = [counter, side_by_side]
    cheapest = Cheapest() if arguments.check else None
    if arguments.build:
        plugins.append(Builder(TREES if arguments.check else ()))
    elif chosen == ["tests"]:
        check_built()
    options = ["--rootdir", str(ROOT), "--tb=short", "--continue-on-collection-errors",
               "-qq", "-rN", "--no-header", "-p", "no:cacheprovider",
               "-o", "console_output_style=none"]
    status = pytest.main([*options, *chosen], plugins=[*plugins, *filter(None, [cheapest])])
    for line in [*counter.notes, *(f"skipped {name}: {reason}" for name, reason in counter.skipped),
                 *(cheapest.left_out() if cheapest else []), *most_expensive(side_by_side.cpu)]:
        print(line)
    if status == pytest.ExitCode.NO_TESTS_COLLECTED:
        print(f"no test matches {' '.join(chosen)}", file=sys.stderr)
    print(counter.closing(), flush=True)
    if counter.failed:
        return 1
    return 0 if status == pytest.ExitCode.OK else 2


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
