"""Misuse: what each variant makes of it. The checking variant names all of it in one line; no variant follows a
pointer that is not its own."""

import re
import signal
import subprocess

import pytest

from tests.support import PROGRAMS, Preloaded, label, libraries

# What the debug variant says.
NAMED = {
    "double-free": "double free",
    "double-free-later": "double free",
    "double-free-by-thread": "double free",
    "double-free-by-realloc": "double free",
    "double-free-large": "freed before",
    "double-free-big": "freed before",
    "interior": "not the start",
    "interior-large": "not the start",
    "interior-big": "not a block",  # only the first slice of a big block is in the map
    "stack": "not a block",
    "static": "not a block",
    "libc": "not a block",
    "foreign": "not a block",
    "unmapped": "not a block",
    "small-number": "not a block",
    "overrun-by-one": "overrun",
    "overrun-by-many": "overrun",
}
# Where every variant can tell by one look at its map that the pointer is none of its blocks.
SEEN_BY_ALL = ("double-free-big", "interior-large", "interior-big", "stack", "static", "libc", "foreign", "unmapped",
               "small-number")


def misuse(so, kind):
    """(status, what was said) of one misuse under one library."""
    program = PROGRAMS / "misuse"
    if not program.exists():
        pytest.fail(f"{program} is not built: run `make tests`", pytrace=False)
    with Preloaded(so) as preloaded:
        result = subprocess.run(["/usr/bin/env", f"LD_PRELOAD={preloaded.directory}/libhakmem.so", program, kind],
                                stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    return result.returncode, result.stderr.decode(errors="replace")


def by_variant(checking: bool):
    """The libraries of the checking variant, or all others."""
    return [so for so in libraries() if ("debug" in label(so)) == checking]


@pytest.mark.parametrize("kind", NAMED)
@pytest.mark.parametrize("so", by_variant(True), ids=[label(so) for so in by_variant(True)])
def test_checking_variant_names_it(so, kind):
    """One line with the misuse and the pointer, then SIGABRT."""
    status, said = misuse(so, kind)
    lines = [line for line in said.splitlines() if line.startswith("hakmem: ")]
    assert status == -signal.SIGABRT, f"status {status}: {said}"
    assert len(lines) == 1
    assert re.search(r"0x[0-9a-f]+", lines[0]) and NAMED[kind] in lines[0]


@pytest.mark.parametrize("kind", SEEN_BY_ALL)
@pytest.mark.parametrize("so", by_variant(False), ids=[label(so) for so in by_variant(False)])
def test_no_variant_follows_a_foreign_pointer(so, kind):
    """Ignored, or one line and SIGABRT; never a fault, never damage."""
    status, said = misuse(so, kind)
    assert status in (0, -signal.SIGABRT), f"status {status}: {said}"
    assert status == 0 or re.match("hakmem: fatal: [^\n]*\n$", said)
