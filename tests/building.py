# SPDX-License-Identifier: MIT
"""Build what the chosen tests need, and no more: a plug-in of tests/run.py, between pytest's choice and its first test.

A test whose parameters name a C program's row or a library needs these. Of any other, its file says it: `NEEDS` is a
tuple of ninja targets. The list of libraries must be whole before pytest can choose, so a tree that lacks one builds
all of them first, once.
"""

import os
from pathlib import Path

import pytest

from common import lock
from common.errors import Failure
from common.paths import PYTHON, ROOT
from common.proc import run
from plan import tests as planned
from tests import support

LIBRARIES = "matrix"


def planned_libraries() -> list:
    """The plain build of every variant, built or not, as the build plan has it."""
    lines = run(["ninja", "-t", "query", LIBRARIES], cwd=ROOT).stdout.splitlines()
    return [ROOT / line.strip() for line in lines if line.endswith("/libhakmem.so")]


def ninja(targets):
    """Bring targets up to date; silent when they are."""
    if targets:
        with lock.alone():
            run(["ninja", "--quiet", *sorted(targets)], cwd=ROOT, timeout=support.BUILD_SECONDS)


def target(path: Path) -> str:
    """What ninja calls a file."""
    return str(path.relative_to(ROOT))


def targets_of_row(row) -> set:
    """The program of a row, and the plug-ins, which any program may load."""
    plugins = (other for other in support.ctests() if other.kind == "plugin")
    return {target(support.program_of(row)), *map(planned.target, plugins)}


def targets_of(item) -> set:
    """What one test needs."""
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    found, said = set(), False
    for value in parameters.values():
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, support.CTest):
                found, said = found | targets_of_row(part), True
            elif isinstance(part, Path) and part.suffix == ".so" and ROOT in part.parents:
                found, said = found | {target(part)}, True
    return found if said else set(getattr(item.module, "NEEDS", ()))


class Builder:
    """The plug-in. With names of `only` these libraries are built and tested, and no others."""

    def __init__(self, only=()):
        if not (ROOT / "build.ninja").exists():
            run([*PYTHON, "configure.py"], cwd=ROOT)
        self.only = [ROOT / "build" / name / "base" / "libhakmem.so" for name in only]
        if only:
            ninja(set(map(target, self.only)))
            os.environ["HAK_SO"] = ":".join(map(str, self.only))
        elif not os.environ.get("HAK_SO"):
            if not all(so.exists() for so in planned_libraries()):
                print("building the libraries of all variants, once", flush=True)
                ninja({LIBRARIES})
            os.environ[support.AS_BUILT] = "1"      # what is chosen is brought up to date below
            if support.SHIPPED.exists() and not support.is_current(support.SHIPPED):
                print("dist/ is of an earlier source: it is left alone, and not tested; `make pgo` ships it anew",
                      flush=True)
                os.environ[support.LEFT_ALONE] = "1"

    def left_out(self, name: str) -> bool:
        """Libraries that nothing chosen is about: a file names what all of its tests need."""
        return bool(self.only) and (name == LIBRARIES or name.endswith("/base/libhakmem.so")) and \
            ROOT / name not in self.only

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, session, items):
        """After every other plug-in has chosen."""
        if session.config.option.collectonly:
            return
        try:
            ninja({name for name in set().union(*map(targets_of, items)) if not self.left_out(name)})
        except Failure as failure:
            raise pytest.UsageError(str(failure)) from None
