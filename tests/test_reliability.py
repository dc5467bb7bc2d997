# SPDX-License-Identifier: MIT
"""docs/reliability.md names only tests that exist."""

import re

from tests.misuse import table
from tests.support import ROOT, ctests

PROMISES = table.PAGE.read_text().split("## Promises")[1].split("\n## ")[0]


def missing(text) -> list:
    """The names in backticks that are no row of tests.toml, no file of tests and no function in one."""
    rows = {row.name for row in ctests()}
    return [name for name in re.findall("`([^`]+)`", text) if name not in rows and not is_python_test(name)]


def is_python_test(name) -> bool:
    """tests/test_x.py or tests/test_x.py::test_y"""
    path, _, function = name.partition("::")
    file = ROOT / path
    return name.startswith("tests/test_") and file.is_file() and \
        (not function or re.search(rf"^def {function}\(", file.read_text(), re.MULTILINE) is not None)


def test_every_test_exists():
    assert missing(PROMISES) == []


def test_every_promise_has_a_test():
    rows = [line for line in PROMISES.splitlines() if line.startswith("| ") and not line.startswith("| **")]
    assert len(rows) > 20 and all("`" in line for line in rows[2:])


def test_a_test_that_is_gone_is_seen():
    assert missing("`api_malloc` `api_gone` `tests/test_gone.py` `tests/test_reliability.py::test_gone`") == \
        ["api_gone", "tests/test_gone.py", "tests/test_reliability.py::test_gone"]
