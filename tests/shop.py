# SPDX-License-Identifier: MIT
"""The clone in which training and measuring of other people's programs is tried: what its tests share."""

from common import proc
from common.paths import FORGET, STEADY, WITNESS
from tests import kill
from tests.support import ROOT, needs

TOOLCHAINS = ("clang", "gcc")
BASE = "build/clang-bench_minimal/base/libhakmem.so"


def so_of(toolchain) -> str:
    """The instrumented library."""
    return f"build/{toolchain}-bench_minimal/train/libhakmem.so"


def open_shop(place):
    """A clone with what training and measuring need by both compilers, and the gauge."""
    for program, package in (("ninja", "ninja-build"), ("clang-22", "clang-22"), ("valgrind", "valgrind")):
        needs(program, package)
    kill.small_project(place, "all")
    beside = (f"build/bench/{name}" for name in (FORGET, STEADY, WITNESS))
    proc.run(["ninja", *beside, *map(so_of, TOOLCHAINS), BASE], cwd=place)
    proc.run([needs("gcc", "gcc"), "-O1", "-fno-builtin", ROOT / "tests" / "own" / "gauge.c", "-o", place / "gauge"])
    return place
