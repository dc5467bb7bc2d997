# SPDX-License-Identifier: MIT
"""docs/options.md says what core/base/options.def says."""

import re

import pytest

from common.errors import UserError
from plan import model
from report import options_doc
from tests.support import ROOT


def test_page_is_up_to_date():
    assert options_doc.main(["--check"]) == 0


def test_every_mode_is_read():
    """And a variant begins with any that does not learn (tests/test_configure.py has one that is none)."""
    text = (ROOT / "core" / "base" / "modes.def").read_text()
    modes = dict(model.load_modes(ROOT))
    assert list(modes) == re.findall(r'^MODE\("(\w+)"', text, re.MULTILINE)
    assert [name for name, learning in modes.items() if learning] == ["evolving"]
    assert {variant.mode for variant in model.load_variants(ROOT).values()} <= {*modes} - {"evolving"}


def test_rows():
    rows = options_doc.parse('OPTION(a, "A", 0, 7, 5, "ms", ANY, "one")\n'
                             'CHOICE(b, "B", "off|on", 1, LEARNER, "two")\nTEXT(c, "C", RECORD, "three")\n')
    assert [(r.name, r.values, r.default, r.needs, r.sentence) for r in rows] == \
        [("A", "0 to 7 ms", "5", "ANY", "one"), ("B", "off, on", "on", "LEARNER", "two"),
         ("C", "a text", "-", "RECORD", "three")]


def test_a_row_that_cannot_be_read_is_an_error():
    with pytest.raises(UserError):
        options_doc.parse('OPTION(a, "A", 0, 7)\n')


def test_an_old_page_is_named(tmp_path, capsys):
    page = tmp_path / "options.md"
    page.write_text("old")
    assert options_doc.guard(options_doc.main, ["--check", "-o", str(page)]) == 1
    assert "out of date" in capsys.readouterr().err
