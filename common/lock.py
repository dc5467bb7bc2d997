# SPDX-License-Identifier: MIT
"""One build of a clone at a time, by the lock that make holds too: build/.lock."""

import contextlib
import fcntl
import os
import sys

from common.errors import program_name
from common.paths import BUILD

LOCK = BUILD / ".lock"
OF_MAKE = 9     # the file that a recipe of the Makefile holds the lock by, and hands on to what it starts


def held() -> bool:
    """Whether this process was started by who holds it."""
    try:
        return os.path.samestat(os.fstat(OF_MAKE), os.stat(LOCK))
    except OSError:
        return False


@contextlib.contextmanager
def alone():
    """Context manager: nobody else builds meanwhile; who has to wait says so."""
    if held():
        yield
        return
    BUILD.mkdir(exist_ok=True)
    with open(LOCK, "ab") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{program_name()}: another build of this tree is still running; waiting for it", file=sys.stderr,
                  flush=True)
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield
