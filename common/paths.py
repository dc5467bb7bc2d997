# SPDX-License-Identifier: MIT
"""Where things are, relative to the root of the clone. Every tool runs with the root as its directory."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
BENCH_PROGRAMS = BUILD / "bench"
INPUTS = BUILD / "inputs"
EXPORTS = "core/api/hakmem.map"
PLACES = "core/api/hakmem.ld"
# The interpreter, for tools that are called by tools: neither the locale nor the environment of the user changes it.
PYTHON = (sys.executable, "-E", "-Xutf8")
# Of build/bench: what is preloaded into runs that are counted.
STEADY, WITNESS, FORGET, IDLE = "steady.so", "witness.so", "forget.so", "idle.so"
