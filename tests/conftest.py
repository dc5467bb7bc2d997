# SPDX-License-Identifier: MIT
"""The marks that tests carry: what each asks of tests/parallel.py. The clones that two files of tests share each. And
hypothesis: always the same examples, and no judgement by the clock, since the machine may be busy."""

import signal

import pytest
from hypothesis import settings

from common import proc
from tests import kill
from tests.outside import make
from tests.parallel import MARKS
from tests.shop import open_shop, take_built
from tests.support import copy_of_sources, needs

settings.register_profile("tests", derandomize=True, deadline=None, database=None)
settings.load_profile("tests")


def pytest_configure(config):
    """Marks are registered, so that a misspelt one is a warning. What tests start can be interrupted."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:     # as a shell has it for what it starts in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for name, sentence in MARKS.items():
        config.addinivalue_line("markers", f"{name}: {sentence}")


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A clone after an undisturbed run of the shortest pipeline, from what this tree has compiled. What another test
    changes in it, it puts back."""
    for program, package in (("ninja", "ninja-build"), ("clang-22", "clang-22"), ("llvm-bolt-22", "bolt-22"),
                             ("valgrind", "valgrind"), ("make", "make")):
        needs(program, package)
    place = kill.small_project(tmp_path_factory.mktemp("finished") / "calm")
    take_built(place, "clang")
    proc.run(kill.COMMAND, cwd=place, timeout=kill.MINUTES)
    return place


@pytest.fixture(scope="session")
def configured(tmp_path_factory):
    """One that is configured for both compilers, and nothing more. What a test changes in it, it puts back."""
    for program, package in (("ninja", "ninja-build"), ("make", "make")):
        needs(program, package)
    place = copy_of_sources(tmp_path_factory.mktemp("configured") / "clone")
    make(place, "configured", "TOOLCHAIN=all")
    return place


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    """Another one, in which nothing but libraries is built: tests configure it as they like."""
    return open_shop(tmp_path_factory.mktemp("shop") / "clone")
