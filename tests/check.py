# SPDX-License-Identifier: MIT
"""`make check`: of all tests the cheapest of each kind, as tests/check.toml has them. A plug-in of tests/run.py."""

import os
import re
from dataclasses import dataclass

import pytest

from common.errors import UserError
from common.paths import ROOT
from common.tables import load

TABLE = ROOT / "tests" / "check.toml"
TREES = ("clang-bench_minimal", "clang-debug", "clang-hardened")     # what ships, and what sees most
SHORT = "HAK_CHECK"     # set for tests that have a shorter form of their own


@dataclass(frozen=True)
class Check:
    """One row: what is run of a file of tests, or why nothing is."""
    file: str
    only: tuple[str, ...] = ()
    reason: str = ""


def rows() -> dict:
    """File name -> row."""
    return {row.file: row for row in load(TABLE, "check", Check)}


def is_chosen(row, name: str) -> bool:
    """Whether a test of the row's file is run."""
    if row is None:
        raise UserError(f"{TABLE.relative_to(ROOT)} has no row for the file of {name}; add one, also for none of it")
    return not row.reason and (not row.only or any(re.search(pattern, name) for pattern in row.only))


def check_patterns(table, names):
    """An expression that no test's name has any longer would leave a kind out without a word."""
    for row in table.values():
        for pattern in row.only:
            if not any(re.search(pattern, name) for name in names[row.file]):
                raise pytest.UsageError(f"{TABLE.relative_to(ROOT)}: no test of {row.file} has '{pattern}' in its name")


class Cheapest:
    """The plug-in."""

    def __init__(self):
        self.table = rows()
        os.environ[SHORT] = "1"

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items):
        """Keep what the table says."""
        names = {}
        for item in items:
            names.setdefault(item.path.name, []).append(item.name)
        if len(names) == len(self.table):   # all of it: not when somebody asks for a few
            check_patterns(self.table, names)
        items[:] = [item for item in items if is_chosen(self.table.get(item.path.name), item.name)]

    def left_out(self) -> list:
        """A line for each file of which nothing is run."""
        return [f"left to make test: {row.file}, {row.reason}" for row in self.table.values() if row.reason]
