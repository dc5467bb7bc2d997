# SPDX-License-Identifier: MIT
"""Locks by a file, and the one that make holds too, build/.lock: one build of a clone at a time."""

import contextlib
import fcntl
import os
from pathlib import Path

from common.errors import tell
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
def taken(path, busy=lambda: None):
    """Context manager: nobody else has the lock of this file. While somebody has, it is waited for, after `busy()`,
    which may raise instead."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            busy()
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _say_busy():
    tell("another build of this tree is still running; waiting for it")


@contextlib.contextmanager
def alone():
    """Context manager: nobody else builds meanwhile; who has to wait says so."""
    with contextlib.nullcontext() if held() else taken(LOCK, _say_busy):
        yield
