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


def take_built(place, *toolchains):
    """Copy the stages base and train of this tree, which are built here first, and ninja's records of them. The sources
    of a clone have the times of this tree's, so that ninja takes what fits and makes the rest itself; all of it where
    this tree is configured otherwise."""
    trees = [f"build/{toolchain}-{kill.VARIANT}" for toolchain in toolchains]
    with lock.alone():
        targets = [f"{tree}/{stage}/libhakmem.so" for tree in trees for stage in ("base", "train")]
        if proc.run(["ninja", "--quiet", *targets], cwd=ROOT, timeout=BUILD_SECONDS, check=False).returncode != 0:
            return
        for name in (".ninja_log", ".ninja_deps"):
            shutil.copy2(ROOT / "build" / name, place / "build" / name)
        for made in (ROOT / tree / part for tree in trees for part in ("base", "train", "gcov")):
            if made.exists():   # the last one is gcc's
                shutil.copytree(made, place / made.relative_to(ROOT), ignore=shutil.ignore_patterns(*MEASURED))


def open_shop(place):
    """A clone with what training and measuring need by both compilers, and the gauge."""
    for program, package in (("ninja", "ninja-build"), ("clang-22", "clang-22"), ("valgrind", "valgrind")):
        needs(program, package)
    take_built(kill.small_project(place, "all"), *TOOLCHAINS)
    beside = (f"build/bench/{name}" for name in (FORGET, STEADY, WITNESS))
    proc.run(["ninja", *beside, *map(so_of, TOOLCHAINS), BASE], cwd=place)
    proc.run([needs("gcc", "gcc"), "-O1", "-fno-builtin", ROOT / "tests" / "own" / "gauge.c", "-o", place / "gauge"])
    return place
