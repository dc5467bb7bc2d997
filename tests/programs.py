# SPDX-License-Identifier: MIT
"""What the tests of real programs share: which libraries, running one program twice, and leaving no process behind."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass

import pytest

from common import household, tools
from tests.support import ROOT, label, libraries

TIMEOUT = 180
NOT_PRELOADED = b"cannot be preloaded"      # what ld.so says before it goes on with the C library's malloc


@dataclass(frozen=True)
class Ran:
    """How a program ended and what it wrote."""
    status: int
    stdout: bytes
    stderr: bytes


def subjects(*trees) -> list:
    """Parameters for a fixture: the libraries of $HAK_SO, else the shipped one, else those of some build trees."""
    found = libraries()
    chosen = found if os.environ.get("HAK_SO") else \
        [so for so in found if so.parent == ROOT / "dist"] or \
        [so for so in found if label(so).split("/")[0] in trees] or found[:1]
    return [pytest.param(so, id=label(so)) for so in chosen]


def program(name: str) -> str:
    """The path of a program of common/tools.toml. One that is missing fails the test: a skip would prove nothing."""
    return tools.require(name)


def wait_until(condition, what, seconds=30):
    """Poll until the condition holds; what it returned."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.02)
    return found


class Household(household.Household):
    """The same for a test: what it started is ended at once, and this process is no parent of orphans any longer."""

    def __init__(self):
        super().__init__(grace=0)

    def __exit__(self, *exception):
        super().__exit__(*exception)
        household.adopt(False)


def execute(words, environment, directory, stdin=b"", timeout=TIMEOUT) -> Ran:
    """Run a program to its end; its process group ends with it."""
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               cwd=directory, env=environment, start_new_session=True)
    try:
        stdout, stderr = process.communicate(stdin, timeout=timeout)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert NOT_PRELOADED not in stderr, stderr.decode(errors="replace")
    return Ran(process.returncode, stdout, stderr)


def environments(preloaded, extra=None) -> dict:
    """`plain`: the environment without the library, `hakmem`: with it."""
    base = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"} | (extra or {})
    return {"plain": base, "hakmem": preloaded.environment(**(extra or {}))}


_without = {}   # (words, stdin, settings) -> (how it ended, where): the same for each library


def _plain(words, directory, stdin, env, environment) -> Ran:
    """A run without the library; once for all libraries. What it left is in its directory then, too."""
    key = (tuple(words), stdin, tuple(sorted((env or {}).items())))
    if key not in _without:
        _without[key] = execute(words, environment, directory, stdin), directory
    elif _without[key][1].is_dir():
        shutil.copytree(_without[key][1], directory, symlinks=True, dirs_exist_ok=True)
    return _without[key][0]


def both(words, preloaded, directory, *, stdin=b"", env=None) -> list:
    """What the program wrote without and with the library, each in a directory of its own; both must succeed."""
    found = []
    for name, environment in environments(preloaded, env).items():
        (directory / name).mkdir()
        ran = _plain(words, directory / name, stdin, env, environment) if name == "plain" else \
            execute(words, environment, directory / name, stdin)
        assert ran.status == 0, f"{name}: status {ran.status}\n{ran.stderr.decode(errors='replace')[-2000:]}"
        found.append(ran)
    return found


def same(words, preloaded, directory, **more) -> bytes:
    """Run twice, compare, return the output."""
    plain, with_library = both(words, preloaded, directory, **more)
    assert plain.stdout == with_library.stdout
    assert plain.stdout
    return plain.stdout
