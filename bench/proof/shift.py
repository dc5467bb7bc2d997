# SPDX-License-Identifier: MIT
"""A workload that changes its pattern, and what the learner says of itself meanwhile: shift.py SECONDS STEP_SECONDS

Small blocks, then large ones, then small ones again, a third of the time each. Every step a line of JSON: seconds,
phase and the rows of the statistics page that are the learner's.
"""

import ctypes
import json
import os
import sys
import time

SIZES = (3000, 200000, 3000)        # blocks of a phase are up to so large
KEPT = 250          # blocks; their numbers are integers that Python has already, so that few other blocks are made
ROWS = ("state", "drift", "drifts", "looks", "changes", "cost_p50")


def page(library, handle) -> dict:
    """The learner's rows."""
    os.ftruncate(handle, 0)
    os.lseek(handle, 0, os.SEEK_SET)
    library.hakmem_stats_print(handle, 1)
    shown = json.loads(os.pread(handle, 1 << 16, 0))
    return {name: shown[f"learner_{name}"] for name in ROWS}


def main(seconds: float, step: float):
    """Replace blocks in an array until the time is over."""
    library, handle = ctypes.CDLL(None), os.memfd_create("page")
    patterns = [[number * 7919 % most + 1 for number in range(KEPT)] for most in SIZES]
    blocks, begun, due = [b""] * KEPT, time.monotonic(), 0.0
    while (now := time.monotonic() - begun) < seconds:
        phase = min(int(now / seconds * len(SIZES)), len(SIZES) - 1)
        for place, size in enumerate(patterns[phase]):
            blocks[place] = bytes(size)
        if now >= due:
            due = now + step
            print(json.dumps({"seconds": round(now, 3), "phase": phase, **page(library, handle)}), flush=True)


main(float(sys.argv[1]), float(sys.argv[2]))
