# SPDX-License-Identifier: MIT
"""What the Python tests share: where things are, the libraries under test, running a program under one of them."""

import functools
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from common import clone, lock
from common.errors import UserError
from common.paths import BUILD, ROOT
from common.proc import run
from plan.model import CTest, load_tests, load_variants

PROGRAMS = BUILD / "tests"
BUILD_SECONDS = 1800        # the shipped library is the whole pipeline
SONAME = "libhakmem.so.0"
AS_BUILT = "HAK_TESTS_AS_BUILT"     # set while somebody else sees to it that libraries are up to date
SHIPPED = ROOT / "dist" / "libhakmem.so"
LEFT_ALONE = "HAK_TESTS_LEAVE_DIST"     # set while dist/ is of an earlier source: the whole pipeline would make it anew
# The environment of a fuzz target. Blocks come from our own allocator: a leak checker sees none of them.
FUZZING = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1"}


def environment() -> dict:
    """A copy of os.environ for any thread: pytest notes the test in it and takes that out again, perhaps meanwhile."""
    return {name: os.environ[name] for name in list(os.environ) if name != "PYTEST_CURRENT_TEST"}


def ctests() -> tuple:
    """All rows of the table."""
    return load_tests(ROOT, load_variants(ROOT))


def program_of(row: CTest) -> Path:
    """The built program of a row; several rows may run one program with other arguments."""
    return PROGRAMS / (row.program or row.name)


def libraries() -> list[Path]:
    """The libraries under test: $HAK_SO (separated by ':'), else every plain build and the shipped one. What an
    earlier source built is built again first: a library that was left out would be one that nobody tests."""
    named = os.environ.get("HAK_SO", "")
    if named:
        chosen = [Path(word).resolve() for word in named.split(":") if word]
        for so in chosen:
            if not so.is_file():  # the loader would only warn, and every test would pass on libc's malloc
                raise UserError(f"HAK_SO names {so}, which does not exist")
        return chosen
    shipped = () if os.environ.get(LEFT_ALONE) else (SHIPPED,)
    found = [so for so in (*sorted(BUILD.glob("*/base/libhakmem.so")), *shipped) if so.exists()]
    if found and not os.environ.get(AS_BUILT) and not are_current(*found):
        found = [so for so in found if brought_up_to_date(so)]
    return found


@functools.cache
def brought_up_to_date(so: Path) -> bool:
    """True; builds the library where ninja would."""
    if not os.environ.get(AS_BUILT) and not is_current(so):
        print(f"tests: {so.relative_to(ROOT)} is of an earlier source: building it again", file=sys.stderr, flush=True)
        with lock.alone():
            run(["ninja", "--quiet", str(so.relative_to(ROOT))], cwd=ROOT, timeout=BUILD_SECONDS)
    return True


@functools.cache
def are_current(*found: Path) -> bool:
    """Whether ninja would leave libraries as they are: what an earlier source built is not what is to be tested. One
    that is not in the plan any more is."""
    if not (ROOT / "build.ninja").exists() or shutil.which("ninja") is None:
        return True
    result = run(["ninja", "-n", *(str(so.relative_to(ROOT)) for so in found)], cwd=ROOT, check=False)
    return "no work to do" in result.stdout or result.returncode != 0 and len(found) == 1


def is_current(so: Path) -> bool:
    """The same of one."""
    return are_current(so)


def main_library() -> Path:
    """The library that real programs run with: the shipped one where there is one, else the first build."""
    found = libraries()
    if not found:
        pytest.skip("no libhakmem.so yet: run `make all`")
    preferred = [so for so in found if so == SHIPPED] or [so for so in found if "bench_minimal" in str(so)] or found
    return preferred[0]


def label(so: Path) -> str:
    """A short name of a library for test ids: `dist`, `clang-balanced/base`, or the path."""
    parts = so.parts
    if so == SHIPPED:
        return "dist"
    if BUILD in so.parents:
        return "/".join(so.relative_to(BUILD).parts[:-1])
    return "/".join(parts[-2:])


class Preloaded:
    """A directory whose path has neither space nor colon (LD_PRELOAD splits at both), holding a link to the library."""

    def __init__(self, so: Path):
        self.so = so
        self.directory = Path(tempfile.mkdtemp(prefix="hakmem."))
        for name in ("libhakmem.so", SONAME):
            (self.directory / name).symlink_to(so)

    def environment(self, **extra) -> dict:
        """The environment for a program that runs on this library."""
        return {**environment(), "LD_PRELOAD": str(self.directory / "libhakmem.so"), **extra}

    def linked_environment(self, **extra) -> dict:
        """The environment for a program that was linked with the library."""
        return {**environment(), "LD_LIBRARY_PATH": str(self.directory), **extra}

    def close(self):
        """Remove the directory."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def needs(program: str, package: str) -> str:
    """The path of a program, or a skip that says how to get it."""
    path = shutil.which(program, path="/usr/bin:/bin:/usr/sbin:/sbin:/usr/games")
    if path is None:
        pytest.skip(f"{program} is not installed: apt-get install {package}")
    return path


def copy_of_sources(to: Path) -> Path:
    """A clean clone with the changes of this tree."""
    return clone.copy(to)


def recipe_of(goal) -> str:
    """The commands of a goal of the Makefile."""
    return re.search(rf"^{goal}:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
