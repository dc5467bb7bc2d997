# SPDX-License-Identifier: MIT
"""Memory that the host of a virtual machine has taken back is slow at its next first touch: where free pages are
reported to it, a huge page that lay free for two seconds then takes 5 to 10 ms instead of 0.3. What is timed is an
allocator, not the host: a run that is timed finds its memory there."""

import contextlib
import mmap
import os

HUGE = 2 << 20
MARGIN = 16 << 20   # beyond what a program had at its peak: what differs between libraries
SHARE = 8           # of the memory that is free, at most one part in so many


def free_bytes() -> int:
    """Memory that no process has."""
    return os.sysconf("SC_AVPHYS_PAGES") * mmap.PAGESIZE


def back(peak_kib: int) -> int:
    """Touch as much memory as a run has at its peak, in huge pages where they may be asked for, and free it; returns
    the bytes. What a program touches in the next second are these pages. Nothing is done for a peak of 0: unknown."""
    size = min((peak_kib << 10) + MARGIN, free_bytes() // SHARE) // HUGE * HUGE
    if size == 0 or peak_kib == 0:
        return 0
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        with contextlib.suppress(OSError):      # a kernel without huge pages
            memory.madvise(mmap.MADV_HUGEPAGE)
        for at in range(0, size, HUGE):
            memory[at] = 1
    return size
