# SPDX-License-Identifier: MIT
"""What is resident when a program has done its work, and some time later: bench/programs/idle.c, preloaded by
common.launch (`companion`), writes it as each process exits."""

from dataclasses import dataclass

NAME = "resident"       # in the run's directory, with the number of the process
FIELDS = 5


@dataclass(frozen=True, order=True)
class Resident:
    """Of one process, in KiB. The largest is the one that a command is about."""
    now_kib: int
    later_kib: int
    files_kib: int      # of these: the program's and its libraries' text, which no allocator changes
    calls: int          # to read and write; 0 where the kernel does not count them
    settings: int       # of the library, in its environment


def environment(seconds: float) -> dict:
    """For the run."""
    return {"IDLE_FILE": f"{{scratch}}/{NAME}", "IDLE_MS": str(round(seconds * 1000))}


def read(scratch) -> list:
    """Of all processes that ended by exit; one that was killed meanwhile has written nothing, or half."""
    shown = (path.read_text().split() for path in sorted(scratch.glob(f"{NAME}.*")))
    return [Resident(*map(int, words)) for words in shown if len(words) == FIELDS and all(map(str.isdigit, words))]
