# SPDX-License-Identifier: MIT
"""The compiler refuses what touches a guarded thing without its lock, and every lock has a rank; every access to an
atomic names its memory order, and every atomic says what its order is for."""

import re

import pytest

from common.proc import run
from tests.support import ROOT, needs

NEEDS = ("build.ninja",)
OBJECT = "build/clang-debug/base/core/mem/heap.o"
VIOLATIONS = {1: "writing variable 'guarded' requires holding lock 'lock'",
              2: "calling function 'change' requires holding lock 'lock'",
              3: "writing variable 'empty_count' requires holding lock '&hak_heap::lock'",
              4: "calling function 'hak_slab_has_free' requires holding lock 'heap->lock'",
              5: "lock 'lock' is still held at the end of function",
              7: "implicit use of sequentially-consistent atomic",
              6: "cannot call function 'hak_remote_flush_unattended' while lock 'heap->lock' is held"}


RANKS = re.findall(r'^RANK\((\w+), "([^"]+)",\s+"([^"]+)"\)$',
                   (ROOT / "core/os/ranks.def").read_text(), re.MULTILINE)


def compile_as_heap_c(tmp_path, *more):
    """tests/locks/guarded.c, by the command with which the build compiles heap.c."""
    ninja = needs("ninja", "ninja-build")
    needs("clang-22", "clang-22")
    command = run([ninja, "-t", "commands", "-s", OBJECT], cwd=ROOT).stdout.strip()
    words = re.sub(r"-MMD -MF \S+ -c \S+ -o \S+", "", command)
    assert words != command
    more += ("-c", "tests/locks/guarded.c", "-o", str(tmp_path / "out.o"))
    return run(["sh", "-c", f'{words} "$@"', "sh", *more], cwd=ROOT, check=False)


@pytest.mark.parametrize("wrong", VIOLATIONS)
def test_a_violation_is_an_error(tmp_path, wrong):
    result = compile_as_heap_c(tmp_path, f"-DWRONG={wrong}")
    assert result.returncode != 0
    assert any("error:" in line and VIOLATIONS[wrong] in line for line in result.stderr.splitlines()), result.stderr


def test_what_holds_its_locks_compiles(tmp_path):
    result = compile_as_heap_c(tmp_path, "-DWRONG=0")
    assert result.returncode == 0, result.stderr


def test_every_lock_has_a_rank():
    """One of core/os/ranks.def each; the heaps' own are the first, which all-zero memory is."""
    used = []
    for path in sorted((ROOT / "core").rglob("*.[ch]")):
        for line in re.findall(r"^(?!extern|typedef|#).*\bhak_os_lock_t \w+.*;$", path.read_text(), re.MULTILINE):
            name = re.search(r"HAK_OS_LOCK\((\w+)\)", line)
            assert name or path.name == "heap.h", f"{path}: {line} has no rank"
            used.append(name[1] if name else "HEAP")
    assert sorted(used) == sorted(row[0] for row in RANKS)


def test_the_order_is_documented():
    """docs/design.md has the same rows in the same order."""
    section = (ROOT / "docs/design.md").read_text().split("\n## Locks\n")[1].split("\n## ")[0]
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in section.splitlines()
            if line.startswith("| ")]
    assert rows[2:] == RANKS != []


def test_names_leave_locks_to_the_compiler():
    """No name ends in _locked: HAK_REQUIRES says so, and is checked."""
    names = {name for path in (ROOT / "core").rglob("*.[ch]")
             for name in re.findall(r"\b\w+_locked\b", path.read_text())}
    assert names == {"hak_os_is_locked"}


SOURCES = sorted((*(ROOT / "core").rglob("*.[ch]"), *(ROOT / "pgo").glob("*.[ch]")))
IMPLICIT = re.compile(r"\batomic_(?:load|store|exchange|compare_exchange_(?:strong|weak)|fetch_(?:add|sub|or|and))\(")
ATOMIC = re.compile(r"^(?!.*\(|.* = &).*\b_Atomic\b.*;|^.*\b_Atomic\([^()]*\)[^()]*;", re.MULTILINE)
ORDER = re.compile(r"\b(?:relaxed|acquire|release|acq_rel|seq_cst)\b")


def unexplained(text) -> list[str]:
    """Declarations of atomics without an order in the comment beside them or in the one above them."""
    lines, found = text.splitlines(), []
    for at, line in enumerate(lines):
        if not ATOMIC.match(line) or ORDER.search(line):
            continue
        above = at
        while above > 0 and ATOMIC.match(lines[above - 1]):  # one comment may be for several
            above -= 1
        comment = []
        while above > 0 and re.match(r"\s*(/\*| \*)", lines[above - 1]):
            above -= 1
            comment.append(lines[above])
        if not ORDER.search(" ".join(comment)):
            found.append(line.strip())
    return found


def test_every_access_names_its_order():
    """Plain reads and writes are for the compiler to see; these are for the reader."""
    implicit = [f"{path.name}: {name}" for path in SOURCES for name in IMPLICIT.findall(path.read_text())]
    assert implicit == []
    assert IMPLICIT.search("x = atomic_load(&y);") and not IMPLICIT.search("atomic_load_explicit(&y, z)")


def test_every_atomic_says_what_its_order_is_for():
    found = {path.name: unexplained(path.read_text()) for path in SOURCES}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_an_unexplained_atomic_is_seen():
    """The check itself."""
    text = ("/* A count; relaxed. */\nstatic _Atomic int n;\nstatic _Atomic int m;\n\nstatic _Atomic(void *) p;\n"
            "static _Atomic int k; /* set once */\n    _Atomic int o; /* acquire in f */\n")
    assert unexplained(text) == ["static _Atomic(void *) p;", "static _Atomic int k; /* set once */"]
