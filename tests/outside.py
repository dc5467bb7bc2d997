# SPDX-License-Identifier: MIT
"""What the tests of what is around the tools have in common: make in a clone, and Python in a process of its own."""

import subprocess

from common import proc
from tests import kill
from tests.support import ROOT

PYTHON = kill.PYTHON
MAKEFILE = (ROOT / "Makefile").read_text()


def make(place, *words, check=True, **more):
    """A goal of the Makefile. The packages are there."""
    there = [word for name in ("build-tools", "test-tools", "all-tools", "peers") for word in ("-o", name)]
    return proc.run(["make", "-s", *there, *words], cwd=place, check=check, **more)


def child(source: str, **more):
    """Python that runs a line of ours in the clone."""
    return subprocess.Popen([PYTHON, "-c", source], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            **more)
