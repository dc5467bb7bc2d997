# SPDX-License-Identifier: MIT
"""Nothing outlives a run: whatever a program started, daemons too, ends with it.

A process whose parent ends becomes the child of the nearest ancestor that asked for it (PR_SET_CHILD_SUBREAPER), which
is this one: so everything that a run started is found among its descendants.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import threading
import time
from pathlib import Path

from common.proc import GRACE_SECONDS, STARTING, interrupts_wait, of_threads

PR_SET_CHILD_SUBREAPER = 36
VALGRIND = ("callgrind-", "memcheck-", "none-")     # how its processes begin to call themselves
TRACER_GRACE = 15       # times as long as others
# What ends a program that does not mind SIGTERM, where SIGKILL would take with it what valgrind has counted: hardly any
# program minds these, and none leaves a core.
UNHEARD = (signal.SIGPWR, signal.SIGVTALRM)
_LIBC = ctypes.CDLL(None)


def adopt(on=True):
    """Become, or cease to be, the parent of orphans."""
    _LIBC.prctl(PR_SET_CHILD_SUBREAPER, int(on), 0, 0, 0)


def parents() -> dict:
    """Process id -> its parent's, of everything that runs and is no zombie."""
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            state, parent = Path("/proc", name, "stat").read_text().rpartition(")")[2].split()[:2]
            if state not in "ZX":
                found[int(name)] = int(parent)
    return found


def descendants(but=()) -> set:
    """Everything that this process started, at any depth, without the processes `but` and theirs."""
    tree, found, fresh = parents(), set(), {os.getpid()}
    while fresh:
        fresh = {pid for pid, parent in tree.items() if parent in fresh and pid not in but} - found
        found |= fresh
    return found


def _shows(pid: int, directory) -> bool:
    """Whether a process tells by its directory, its mappings or its environment that it belongs to a run."""
    place = os.fsencode(directory)
    with contextlib.suppress(OSError):
        if os.fsencode(os.readlink(f"/proc/{pid}/cwd")).startswith(place):
            return True
    for name in ("maps", "environ"):
        with contextlib.suppress(OSError):
            if place in Path("/proc", str(pid), name).read_bytes():
                return True
    return False


def name_of(pid: int) -> str:
    """What the process calls itself; under valgrind, whose options have no words of their own, what is traced."""
    try:
        name = Path("/proc", str(pid), "comm").read_text().strip()
        if not name.startswith(VALGRIND):
            return name
        words = Path("/proc", str(pid), "cmdline").read_bytes().split(b"\0")[1:]
        return os.path.basename(os.fsdecode(next((word for word in words if word and word[:1] != b"-"), b""))) or name
    except OSError:
        return "?"


def is_counted(pid: int) -> bool:
    """Whether it runs under valgrind, whatever it calls itself."""
    with contextlib.suppress(OSError):
        return os.path.basename(os.readlink(f"/proc/{pid}/exe")).startswith(VALGRIND)
    return False


def send(pids, number):
    """A signal to each that still is."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def reap(pids):
    """Take the exit status of those that have become ours."""
    for pid in pids:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def _end_all_of(directory):
    """SIGKILL to everything that shows a run's directory, until nothing does."""
    for _attempt in range(200):
        found = [pid for pid in parents() if pid != os.getpid() and _shows(pid, directory)]
        if not found:
            return
        send(found, signal.SIGKILL)
        time.sleep(0.01)


def _told_otherwise(pids) -> set:
    """Those of them that count: they are asked by other signals, which reach one that was stopped, too."""
    counted = set(filter(is_counted, pids))
    for number in (*UNHEARD, signal.SIGCONT):
        send(counted, number)
    return counted


class Guardian:
    """Context manager: a process that does nothing, unless this one dies inside, even by SIGKILL: then it ends what the
    run has started, and removes its directory."""

    def __init__(self, directory):
        self.directory = directory
        self.pid = self._hold = None

    def __enter__(self):
        wait, self._hold = os.pipe()
        with interrupts_wait(), STARTING:
            self.pid = os.fork()
            if self.pid:
                of_threads[self.pid] = threading.get_ident()
        if self.pid:
            os.close(wait)
            return self
        try:
            os.setsid()
            os.close(self._hold)
            if not os.read(wait, 1):
                _end_all_of(self.directory)
                shutil.rmtree(self.directory, ignore_errors=True)
        finally:
            os._exit(0)

    def __exit__(self, *_exception):
        os.write(self._hold, b"x")
        os.close(self._hold)
        os.waitpid(self.pid, 0)
        of_threads.pop(self.pid, None)


class Household:
    """Context manager: at its end nothing runs that was started inside. `directory` is the run's own: it tells its
    processes from those of another run in another thread. `left` are the names of those that had to be ended; one that
    is named `tracer` is waited for."""

    def __init__(self, directory=None, grace=GRACE_SECONDS, tracer=""):
        self.directory, self.grace, self.tracer = directory, grace, tracer
        self.left = []
        self._before, self._aside = set(), set()
        self._thread = None

    def __enter__(self):
        adopt()
        self._thread = threading.get_ident()
        self._before = descendants()
        return self

    def set_aside(self):
        """What runs now is of the run, but not what the run is about: it is only ended with it."""
        self._aside = self.remaining()

    def remaining(self) -> set:
        """What runs of it. What other threads start, tools too, is theirs."""
        with STARTING:
            others = {pid for pid, thread in of_threads.items() if thread != self._thread}
            found = descendants(but=others | self._aside) - self._before
        return {pid for pid in found if not others or self.directory is None or _shows(pid, self.directory)}

    def end(self):
        """Ask what is left to end, wait a little, then end it. A tracer ends when nothing is left to trace, and writes
        what it has seen; valgrind writes when its program is ended by any signal that it sees."""
        self._aside = set()
        remaining = self.remaining()
        begun, waited = time.monotonic(), {pid for pid in remaining if name_of(pid) == self.tracer}
        self.left = sorted(name_of(pid) for pid in remaining - waited)
        send(remaining - waited, signal.SIGTERM)
        ended = set(remaining)
        while remaining:
            late = time.monotonic() - begun
            if late > self.grace:
                waited |= _told_otherwise(remaining - waited)
                send(remaining - waited if late < TRACER_GRACE * self.grace else remaining, signal.SIGKILL)
            time.sleep(0.005)
            reap(ended)
            remaining = self.remaining()
            ended |= remaining
        reap(ended)

    def __exit__(self, *_exception):
        try:
            self.end()
        finally:
            for pid in list(of_threads):
                if of_threads.get(pid) == self._thread and not os.path.exists(f"/proc/{pid}"):
                    of_threads.pop(pid, None)
