# SPDX-License-Identifier: MIT
"""Misuse: what the variants make of it is what docs/reliability.md says; what is detected is said in one line."""

import re

import pytest

from common.paths import ROOT
from plan import model
from tests import pairs
from tests.misuse import table
from tests.support import Preloaded, label, libraries

NEEDS = ("matrix", "build/tests/misuse")
# What the line says, by how the misuse's name begins.
PHRASES = {
    "double-free": "double free|freed before",
    "interior": "not the start of a block|not a block|write after free",
    "unaligned": "not the start of a block|not a block",
    # The order of blocks is random: once in a hundred runs the damaged one is handed out before it is looked at.
    "write-after-free": "write after free|underrun",
    "forged-link": "write after free",
    "overrun-into-free": "overrun",
    "underrun": "underrun|overrun",
    "overrun": "overrun",
    "run-": "overrun|write after free",
    "wrong-size": "wrong size",
    "wrong-align": "wrong alignment: 4194304",
    "wrong-kind": "which is of (new|malloc)",
    "": "not a block of this allocator",
}


def variant_of(so) -> str:
    """The variant that a library's directory names, or "" for one from elsewhere."""
    return next((name for name in model.load_variants(ROOT) if f"-{name}/" in f"{label(so)}/"), "")


LUCK_ATTEMPTS = 4
MATTERS_OF_LUCK = {table.HARMLESS, table.STOPPED, table.UNDETECTED}
# The program of all misuses is one program: as tests/pairs.py has it.
CHOSEN = pairs.chosen(0, [label(so) for so in libraries()])
KNOWN = [so for so in libraries() if variant_of(so) and label(so) in CHOSEN]
SAFE = [so for so in KNOWN if variant_of(so) == "balanced"]


def test_page_has_every_misuse_and_variant():
    page = table.read(table.PAGE.read_text())
    assert list(page) == [(kind.name, kind.sentence) for kind in table.misuses()]
    variants = {*model.load_variants(ROOT), table.SAFE_HEAD}
    assert all(set(outcomes) == variants for outcomes in page.values())


@pytest.mark.parametrize("so", KNOWN, ids=[label(so) for so in KNOWN])
def test_page_says_what_happens(so):
    """Every misuse comes to what the page says of the variant. What is detected is said in one line."""
    compare(so, (), variant_of(so))


@pytest.mark.parametrize("so", SAFE, ids=[label(so) for so in SAFE])
def test_safe_free_is_safer(so):
    """The option's column is what it does, and nowhere worse than the column without it."""
    compare(so, tuple(table.SAFE.items()), table.SAFE_HEAD)
    for (name, _), outcomes in table.read(table.PAGE.read_text()).items():
        plain, safe = (table.outcomes_of(outcomes[head], len(table.SIZES)) for head in ("balanced", table.SAFE_HEAD))
        for before, after in zip(plain, safe):
            assert after == before or after == table.DETECTED, f"{name}: {before} becomes {after}"


def by_luck(have, want) -> bool:
    """Whether another run may end otherwise: nothing noticed, and what lies at the address by then decides."""
    return have != want and {have, want} <= MATTERS_OF_LUCK


def measured(so, environment, kinds, wanted) -> dict:
    """Kind's name -> how it ended at each size. What differs by luck is tried again, as often as one run in a hundred
    needs to be sure of it."""
    ends = {}
    with Preloaded(so) as preloaded:
        target = table.Target(preloaded.directory / "libhakmem.so", environment)
        for _attempt in range(LUCK_ATTEMPTS):
            fresh = table.measure([target], kinds)
            ends |= {kind.name: [fresh[target, kind.name, size] for size in kind.sizes] for kind in kinds}
            kinds = [kind for kind in kinds
                     if any(by_luck(end.outcome(), want) for end, want in zip(ends[kind.name], wanted[kind.name]))]
    return ends


def compare(so, environment, column):
    """Every misuse comes to what the page's column says; what is detected is said in one line."""
    page = table.read(table.PAGE.read_text())
    kinds = table.misuses()
    expected = {kind.name: page[kind.name, kind.sentence][column] for kind in kinds}
    wanted = {kind.name: table.outcomes_of(expected[kind.name], len(kind.sizes)) for kind in kinds}
    ends = measured(so, environment, kinds, wanted)
    for kind in kinds:
        found = ends[kind.name]
        outcomes = [end.outcome() for end in found]
        if column == "minimal":
            # It checks nothing and gives memory back at once: what lies at an address next is luck.
            outcomes = [want if by_luck(have, want) else have for have, want in zip(outcomes, wanted[kind.name])]
        assert outcomes == wanted[kind.name], f"{kind.name}: not {expected[kind.name]}: {found}"
        phrase = next(text for start, text in PHRASES.items() if kind.name.startswith(start))
        for end in found:
            if end.outcome() == table.DETECTED:
                assert re.search(phrase, end.said) and re.search(r"0x[0-9a-f]+", end.said), f"{kind.name}: {end.said}"


def test_outcomes():
    line = "hakmem: fatal: double free of 0x10 (class 1)\n"
    assert table.End(-6, line).outcome() == table.DETECTED
    assert table.End(-6, line + line).outcome() == table.UNDETECTED
    assert table.End(-6, f"{line}hakmem: trace: huge taken 0x10 1\n").outcome() == table.DETECTED
    assert table.End(-6, f"hakmem: trace: huge taken 0x10 1\n{line}").outcome() == table.UNDETECTED
    assert table.End(-6, "").outcome() == table.UNDETECTED
    assert table.End(0, "").outcome() == table.HARMLESS
    assert table.End(4, "").outcome() == table.STOPPED
    assert table.End(3, "harm: ...\n").outcome() == table.End(-11, "").outcome() == table.UNDETECTED


def test_an_old_table_is_named(tmp_path, monkeypatch, capsys):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{table.BEGIN}old\n{table.END}after\n")
    monkeypatch.setattr(table, "PAGE", page)
    monkeypatch.setattr(table, "ROOT", tmp_path)
    monkeypatch.setattr(table, "measured_table", lambda toolchain: "| new |\n")
    assert table.guard(table.main, ["--check"]) == 1
    assert "does not say what was measured" in capsys.readouterr().err
    assert table.main([]) == 0
    assert page.read_text() == f"before\n{table.BEGIN}\n| new |\n\n{table.END}after\n"
    assert table.main(["--check"]) == 0
