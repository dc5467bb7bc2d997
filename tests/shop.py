# SPDX-License-Identifier: MIT
"""The clone in which training and measuring of other people's programs is tried: what its tests share. And what clones
take of this tree in place of compiling it again."""

import shutil

from common import lock, proc
from common.paths import FORGET, STEADY, WITNESS
from tests import kill
from tests.support import BUILD_SECONDS, ROOT, needs

TOOLCHAINS = ("clang", "gcc")
MEASURED = ("*.gcda*", "*.tar*", "*.profdata*", "unpacked.json")      # what runs leave beside what is compiled
BASE = "build/clang-bench_minimal/base/libhakmem.so"


def so_of(toolchain) -> str:
    """The instrumented library."""
    return f"build/{toolchain}-bench_minimal/train/libhakmem.so"


def built(tree) -> list:
    """The directories of a tree's stages base and train, of those that there are in this tree's plan, made anew."""
    found = []
    for stage, parts in (("base", ("base",)), ("train", ("train", "gcov"))):
        words = ["ninja", "--quiet", f"{tree}/{stage}/libhakmem.so"]
        if proc.run(words, cwd=ROOT, timeout=BUILD_SECONDS, check=False).returncode == 0:
            found += [f"{tree}/{part}" for part in parts if (ROOT / tree / part).exists()]     # the last one is gcc's
    return found


def take_built(place, *toolchains):
    """Copy the stages base and train of this tree, which are built here first, and ninja's records of them. The sources
    of a clone have the times of this tree's, so that ninja takes what fits and makes the rest itself: what this tree is
    not configured for, as the stage train of another compiler."""
    with lock.alone():
        parts = [part for toolchain in toolchains for part in built(f"build/{toolchain}-{kill.VARIANT}")]
        for name in (".ninja_log", ".ninja_deps"):
            shutil.copy2(ROOT / "build" / name, place / "build" / name)
        for part in parts:
            shutil.copytree(ROOT / part, place / part, ignore=shutil.ignore_patterns(*MEASURED))


def open_shop(place):
    """A clone with what training and measuring need by both compilers, and the gauge."""
    for program, package in (("ninja", "ninja-build"), ("clang-22", "clang-22"), ("valgrind", "valgrind")):
        needs(program, package)
    take_built(kill.small_project(place, "all"), *TOOLCHAINS)
    beside = (f"build/bench/{name}" for name in (FORGET, STEADY, WITNESS))
    proc.run(["ninja", *beside, *map(so_of, TOOLCHAINS), BASE], cwd=place)
    proc.run([needs("gcc", "gcc"), "-O1", "-fno-builtin", ROOT / "tests" / "own" / "gauge.c", "-o", place / "gauge"])
    return place
