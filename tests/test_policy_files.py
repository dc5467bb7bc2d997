# SPDX-License-Identifier: MIT
"""Policy files: what is written is read, what is damaged or impossible is one sentence, a table has other defaults, and
several files are merged into one."""

import dataclasses
import os
import re

import pytest
from hypothesis import given, settings, strategies as st

from common.errors import UserError
from learn import merge
from plan import policy
from tests.support import ROOT
from tests.test_properties import torn

steady = settings(max_examples=60)
TABLE = policy.load_rows(ROOT)
POWERS = [1 << bits for bits in range(32)]


def values_of(row):
    """Of one parameter, such as a file may have."""
    if "power" in row.unit:
        return st.sampled_from([power for power in POWERS if row.lowest <= power <= row.highest])
    if row.scope == "start":
        return st.just(0) | st.integers(2048 // 16 + 1, 8192 // 16 - 1).map(lambda number: number * 16)
    step = 16 if "multiple" in row.unit else 1
    return st.integers(row.lowest // step, row.highest // step).map(lambda number: number * step)


def is_possible(values) -> bool:
    """Together, too."""
    more = [values[name] for name in ("mid_dyn1", "mid_dyn2") if values.get(name)]
    return values.get("large_max_kb", 512) >= values.get("class_max_kb", 256) and len(more) == len(set(more))


VALUES = st.fixed_dictionaries({}, optional={each.name: values_of(each) for each in TABLE}).filter(is_possible)
PLAIN = st.text(st.characters(blacklist_categories=("Cs",)), max_size=8)
FIELDS = st.dictionaries(PLAIN.filter(bool), st.integers(-9, 9) | st.floats(allow_nan=False) | PLAIN | st.booleans()
                         | st.lists(st.integers(), max_size=3), max_size=4)


@steady
@given(values=VALUES, provenance=FIELDS, figures=FIELDS, parameters=st.lists(FIELDS, max_size=2))
def test_what_is_written_is_read(tmp_path_factory, values, provenance, figures, parameters):
    made = policy.Policy(values, provenance, figures, tuple(parameters))
    assert policy.parse(policy.render(made), "x", TABLE) == made


@pytest.mark.parametrize("text, sentence", [
    ("", "p.toml:1: no format: it is not a policy file; `make learn` writes one"),
    ("format = 2\n", "p.toml:1: format 2 is not known here, only 1"),
    ("format = 1\n[values]\n\nthp = 9\n", "p.toml:4: thp = 9 is not within 0 to 2"),
    ("format = 1\n[values]\nthq = 1\n", "p.toml:3: unknown parameter 'thq'; valid parameters: "),
    ("format = 1\n[values]\ntiny_step = 48\n", "p.toml:3: tiny_step = 48 is not a power of 2"),
    ("format = 1\n[values]\nlarge_max_kb = 500\n", "p.toml:3: large_max_kb = 500 is not a multiple of 16"),
    ("format = 1\n[values]\nclass_max_kb = 512\nlarge_max_kb = 256\n", "p.toml:4: large_max_kb = 256 is below class_m"),
    ("format = 1\n[values]\nthp = 0\nmid_dyn1 = 512\n", "p.toml:4: mid_dyn1 = 512 is no multiple of 16 above tiny_max"),
    ("format = 1\n[values]\nthp = true\n", "p.toml:3: thp must be a whole number, not true"),
    ("format = 1\n[values]\nthp = 1.0\n", "p.toml:3: thp must be a whole number, not 1.0"),
    ("format = 1\n[values]\nthp =\n", "p.toml:3: not valid TOML"),
    ("format = 1\n[values\n", "p.toml:2: not valid TOML"),
    ("format = 1\n[vlaues]\nthp = 1\n", "p.toml:1: no section holds values, which is written [values]"),
    ("format = 1\nvalues = 3\n", "p.toml:2: 'values' must be a section, written [values]"),
    (f"format = 1\n[values]\nthp = {'9' * 5000}\n", "p.toml:1: not valid TOML: it has a number of too many digits"),
    (f"format = 1\n[values]\n[x]\na = {'[' * 9000}\n", "p.toml:1: not valid TOML: it has a number of too many"),
])
def test_bad_policy_files(text, sentence):
    """One sentence, with the line."""
    with pytest.raises(UserError) as error:
        policy.parse(text, "p.toml", TABLE)
    assert str(error.value).startswith(sentence) and "\n" not in str(error.value)


DOCUMENT = policy.render(policy.Policy({"thp": 2, "retain_mb": 7}, {"program": "x", "seed": 0}, {"time_us": [2.0, 1.0]},
                                       ({"name": "thp", "value": 2, "worth": 0.5},)))


@steady
@given(text=torn(DOCUMENT) | st.text(max_size=40))
def test_damaged_policy_files(text):
    """A policy as a whole, or one sentence with a line."""
    try:
        found = policy.parse(text, "p.toml", TABLE)
    except UserError as error:
        assert re.match(r"p\.toml:\d+: ", str(error))
    else:
        policy.check_values(found.values, TABLE, lambda key, sentence: pytest.fail(sentence))


def test_files_that_are_none(tmp_path):
    (tmp_path / "x").write_bytes(b"\xff\xfe")
    os.mkfifo(tmp_path / "pipe")
    wrong = ((tmp_path / "gone", "No such file"), (tmp_path, "Is a directory"), (tmp_path / "x", "no text"),
             (tmp_path / "pipe", "is a pipe or a device: give a file"), ("/dev/zero", "is a pipe or a device"))
    for path, sentence in wrong:
        with pytest.raises(UserError, match=sentence):
            policy.read(path, TABLE)


@pytest.mark.parametrize("text", [
    "", 'POLICY(a, "", 0, 1, 2, x, run, ANY, "s")', 'POLICY(a, "", 0, x, 0, x, run, ANY, "s")',
    'POLICY(a, "", 0, 1, 0, x, run, ANY, "s")\nPOLICY(b)'])
def test_bad_tables(text):
    with pytest.raises(UserError, match="^t: "):
        policy.parse_rows(text, "t")


def test_baked():
    """The table with other defaults, and nothing else of it changed."""
    text = (ROOT / policy.TABLE).read_text()
    baked = policy.bake(text, {"thp": 2, "retain_mb": 7})
    rows = policy.parse_rows(baked, "x")
    assert [row.default for row in rows] == [{"thp": 2, "retain_mb": 7}.get(row.name, row.default) for row in TABLE]
    rest, before = ([dataclasses.replace(row, default=0) for row in table] for table in (rows, TABLE))
    assert rest == before
    assert policy.bake(text, {}) == text and len(baked.splitlines()) == len(text.splitlines())


# merging

WEIGHTED = st.lists(st.tuples(VALUES, st.integers(1, 9)), min_size=1, max_size=4)


@steady
@given(parts=WEIGHTED, data=st.data())
def test_a_merged_policy_is_a_policy(parts, data):
    """Within the ranges and between its parts, in whatever order, and of equal ones the same."""
    made = merge.merge_values(parts, TABLE)
    policy.check_values(made, TABLE, lambda key, sentence: pytest.fail(sentence))
    assert merge.merge_values(data.draw(st.permutations(parts)), TABLE) == made
    for each in TABLE:
        had = [values.get(each.name, each.default) for values, _weight in parts]
        assert min(had) <= made.get(each.name, each.default) <= max(had)
    first = {each.name: parts[0][0][each.name] for each in TABLE
             if parts[0][0].get(each.name, each.default) != each.default}
    assert merge.merge_values([parts[0]] * 3, TABLE) == merge.merge_values([parts[0]], TABLE) == first


def test_what_is_compiled_in_fits_together():
    """No mean of steps that are powers of 2, no limit of one part with the step of another."""
    parts = [({"tiny_step": 64, "tiny_max": 2048, "mid_dyn1": 2064}, 2), ({"tiny_step": 32, "retain_mb": 64}, 3)]
    assert merge.merge_values(parts, TABLE) == {"tiny_step": 32, "retain_mb": 21}
    assert merge.merge_values([*parts, parts[0]], TABLE) == {**parts[0][0], "retain_mb": 13}


def test_weights_decide(tmp_path, capsys):
    small, large = tmp_path / "small.toml", tmp_path / "large.toml"
    policy.write(small, policy.Policy({"thp": 0, "purge_delay_ms": 100}, {"program": "a"}))
    policy.write(large, policy.Policy({"thp": 2, "purge_delay_ms": 1600, "thp_block_kb": 8192}))
    out = tmp_path / "both.toml"
    assert merge.main(["-o", str(out), f"3:{small}", str(large)]) == 0
    made = policy.read(out, TABLE)
    assert made.values == {"thp": 0, "purge_delay_ms": 200}
    assert made.provenance["merged_from"] == ["3:small.toml", "1:large.toml"]
    assert merge.main(["-o", str(out), str(small), f"3:{large}"]) == 0
    assert policy.read(out, TABLE).values == {"thp": 2, "purge_delay_ms": 800, "thp_block_kb": 8192}
    for weight in ("0", "-1", "1.5", "x", "", "1000001", "9" * 5000):
        with pytest.raises(UserError, match="a weight must be a whole number from 1 to 1000000, as in 3:FILE"):
            merge.main(["-o", str(out), "--", f"{weight}:{small}", str(large)])
    named = tmp_path / "1:small.toml"
    small.rename(named)
    assert merge.main(["-o", str(out), str(named)]) == 0
