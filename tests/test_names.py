# SPDX-License-Identifier: MIT
"""Each HAKMEM_ name that sets nothing says so: once, with its sentence, whatever the program does; so do those that are
compiled in."""

import functools
import sys

import pytest

from common.proc import run
from plan import policy
from report import options_doc
from tests.support import ROOT, Preloaded, label, libraries

NEEDS = ("matrix",)
ROWS = options_doc.parse_names(options_doc.NAMES.read_text())
# As the founders spelled those that stand for several.
SPELLED = ("WRAP_TINY WRAP_L2 WRAP_L25 TINY_CAP TINY_MAG_CAP TINY_TLS_SLL SS_CACHE SS_ADOPT FC_CAP FC_ENABLE SLL_CAP "
           "SLL_MULTIPLIER WMAX_MID WMAX_LARGE PROF PROF_SAMPLE").split()
# Threads and forked children that allocate; nothing of its own on stderr.
PROGRAM = """
import os, threading
def work():
    return [bytes(n) for n in range(2000)]
threads = [threading.Thread(target=work) for _ in range(3)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
for _ in range(2):
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    os.waitpid(child, 0)
"""


def names_of(pattern) -> list:
    """What the environment may hold for a row: the name; for one that ends in '*', those that are known, and one that
    nobody ever read."""
    if not pattern.endswith("*"):
        return [pattern]
    known = [name for name in (f"HAKMEM_{word}" for word in SPELLED) if name.startswith(pattern[:-1])]
    return [*known, pattern[:-1] + "NEVER_READ"]


@functools.cache
def said(variant, *settings) -> list:
    """The lines that a program with threads and children writes to stderr, under a variant that reads options; once for
    all tests that set the same."""
    found = [so for so in libraries() if label(so) == f"clang-{variant}/base"]
    if not found:
        pytest.skip(f"no build of {variant}: run `make all`")
    with Preloaded(found[0]) as preloaded:
        return run([sys.executable, "-S", "-c", PROGRAM],
                   env=preloaded.environment(**dict(settings))).stderr.splitlines()


IDLE = [(name, sentence) for pattern, sentence in ROWS for name in names_of(pattern)]
FEW = 4        # each has a line; of more at once, the rest share one
COMPILED_IN = [(f"HAKMEM_{row.name.upper()}", row.default) for row in policy.load_rows(ROOT) if row.scope == "build"]
ALL_COMPILED_IN = tuple((name, "7") for name, _default in COMPILED_IN)


@pytest.mark.parametrize("name, sentence", IDLE)
def test_a_name_that_sets_nothing(name, sentence):
    """Among a few others; nothing more is said."""
    at = IDLE.index((name, sentence))
    few = [other for other, _sentence in IDLE[at - at % FEW:][:FEW]]
    lines = said("balanced", *((other, "1") for other in few))
    assert lines.count(f"hakmem: warning: {name} changes nothing: {sentence}") == 1 and len(lines) == len(few)


def test_nothing_more_is_said():
    """Of one by itself, and of all that are compiled in."""
    name, sentence = IDLE[0]
    assert said("balanced", (name, "1")) == [f"hakmem: warning: {name} changes nothing: {sentence}"]
    assert len(said("balanced", *ALL_COMPILED_IN)) == len(COMPILED_IN)


@pytest.mark.parametrize("variant", ["learning", "research", "hardened", "debug"])
def test_every_variant_with_options_answers(variant):
    names = ["HAKMEM_CAP_MID", "HAKMEM_TINY_CAP", "HAKMEM_DISABLE_BATCH"]
    lines = said(variant, *((name, "1") for name in names))
    assert [sum(f"{name} changes nothing: " in line for line in lines) for name in names] == [1, 1, 1]


def test_every_spelling_has_a_row():
    """None of the founders' names falls through to the sentence for names that nobody knows."""
    tried = {name for pattern, _sentence in ROWS for name in names_of(pattern)}
    options = {row.name for row in options_doc.parse(options_doc.TABLE.read_text())}
    assert {f"HAKMEM_{word}" for word in SPELLED} <= tried | options


@pytest.mark.parametrize("name, default", COMPILED_IN)
def test_what_is_compiled_in_says_so(name, default):
    assert said("balanced", *ALL_COMPILED_IN).count(
        f"hakmem: warning: {name}=7: compiled in, configure.py --policy=FILE sets it; using {default}") == 1
