# SPDX-License-Identifier: MIT
"""A run's own directory and environment, the same length and content for every stage, clone and machine.

Instruction counts depend on both: 3 KB more of environment costs hundreds of instructions in ld.so.
"""

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path

from common.errors import UserError

SETTING = "HAKMEM_"         # how names in the environment begin that tell the library what to do
LONGEST_ROOM = 400          # pgo/slots.c has 512 bytes for a file below
USUAL_ROOM = "/tmp"
STALE_SECONDS = 24 * 3600   # no run lasts that long

PINNED_ENV = {
    "PATH": "/usr/bin:/bin",
    "HOME": ".",
    "LC_ALL": "C",
    "TZ": "UTC",
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PERL_HASH_SEED": "0",
    "PERL_PERTURB_KEYS": "0",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_PAGER": "cat",
}


def own_setting(environment) -> str:
    """Why a command's own environment cannot be; "" when it can."""
    name = next((name for name in environment if name.startswith(SETTING)), "")
    return f"{name} decides in the library what is to be learned, built in and compared; leave it out, and set it " \
        "where the program runs" if name else ""


def room_for_runs() -> Path:
    """$TMPDIR, else /tmp: it must be one from which programs may be run."""
    room = Path(os.environ.get("TMPDIR") or USUAL_ROOM)
    if not room.is_dir():
        raise UserError(f"TMPDIR names {room}, which is no directory")
    if set(str(room.absolute())) & set(" :"):
        raise UserError(f"TMPDIR names {room}: LD_PRELOAD cannot name a file below a directory with a space or a colon "
                        "in its name; set TMPDIR to another one")
    length = len(os.fsencode(room.absolute()))
    if length > LONGEST_ROOM:
        raise UserError(f"TMPDIR names a directory with {length} bytes in its name, more than {LONGEST_ROOM}; set "
                        "TMPDIR to another one")
    return room.absolute()


def longer_names() -> int:
    """By how many bytes the names of runs are longer than usual, which programs show in what they ask for."""
    return len(os.fsencode(room_for_runs())) - len(USUAL_ROOM)


def sweep(room: Path):
    """Remove what killed tools left, of runs and of other work, once it is old: a tool that lives removes its own."""
    for path in (*room.glob("hakmem.????????"), *room.glob("hakmem-*.????????")):
        with contextlib.suppress(OSError):
            found = path.stat(follow_symlinks=False)
            if found.st_uid == os.geteuid() and time.time() - found.st_mtime > STALE_SECONDS:
                shutil.rmtree(path, ignore_errors=True)


class Scratch:
    """Context manager: hakmem.XXXXXXXX in the room for runs, removed at the end. Of root's, other users may make files
    in it, since a program may become another user."""

    def __init__(self):
        self.path = None

    def __enter__(self) -> Path:
        room = room_for_runs()
        sweep(room)
        try:
            self.path = Path(tempfile.mkdtemp(prefix="hakmem.", dir=room))
        except OSError as error:
            raise UserError(f"{room} cannot hold the directory of a run ({error.strerror}): set TMPDIR to one that can"
                            ) from None
        self.path.chmod(0o1777 if os.geteuid() == 0 else 0o700)
        return self.path

    def __exit__(self, *_exception):
        shutil.rmtree(self.path, ignore_errors=True)
