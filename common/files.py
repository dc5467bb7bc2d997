# SPDX-License-Identifier: MIT
"""Atomic, content-stable files: a file whose content did not change keeps its time stamp, so ninja prunes."""

import contextlib
import ctypes
import errno
import json
import os
import shutil
import stat
import tempfile
from pathlib import Path

from common.errors import Failure, naming
from common.shapes import SHAPES, fits

AT_FDCWD, RENAME_EXCHANGE = -100, 2
SOURCE_ROOMS = ("core", "include")


def _is_special(path) -> bool:
    """Whether a device or a pipe goes by this name, as /dev/null and /dev/stdout."""
    try:
        kind = os.stat(path).st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(kind) or stat.S_ISDIR(kind))


def _replace(path: Path, content: bytes, mode: int):
    """A temporary file beside it, and a rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, os.fspath(path)) from None
        raise


def write_atomic(path, data, mode=0o644) -> bool:
    """Write str or bytes through a temporary file and a rename. False when the content was already there. What is no
    file is written into, never replaced; a link stays one. Text may have bytes in it that are none, as names of files
    do."""
    content = data.encode(errors="surrogateescape") if isinstance(data, str) else data
    if _is_special(path):
        Path(path).write_bytes(content)
        return True
    path = Path(os.path.realpath(path) if os.path.islink(path) else path)
    try:
        if path.read_bytes() == content:
            return False
    except (FileNotFoundError, NotADirectoryError):
        pass
    _replace(path, content, mode)
    return True


def check_place(path):
    """OSError where no such file can be made, before the work for it is done. That a disk is full shows only when it is
    written."""
    if _is_special(path):
        return
    place = Path(os.path.realpath(path))
    try:
        if place.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        place = place.parent
        while not place.exists():
            place = place.parent
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None


def append_line(path, line: str):
    """Add a line to a file, in a single write, so that two writers do not mix. A line that does not fit on the disk
    is taken back: the file never ends in half of one. Behind one that was cut off by something else, the new one is a
    line all the same."""
    data = line.encode() + b"\n"
    with open(path, "a+b", buffering=0) as stream:
        before = stream.seek(0, os.SEEK_END)
        if before and os.pread(stream.fileno(), 1, before - 1) != b"\n":
            data = b"\n" + data
        try:
            with naming(path):
                written = stream.write(data)
                if written != len(data):
                    stream.write(data[written:])    # says why
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            stream.truncate(before)
            raise


def replace_directory(made: Path, directory: Path):
    """Put a finished directory in place of another, which goes. One step, so that a kill leaves the old or the new,
    except where the file system cannot exchange two names."""
    if not directory.exists():
        os.rename(made, directory)
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(AT_FDCWD, os.fsencode(made), AT_FDCWD, os.fsencode(directory), RENAME_EXCHANGE) == 0:
        shutil.rmtree(made, ignore_errors=True)
        return
    old = made.with_name(made.name + ".old")
    os.rename(directory, old)
    try:
        os.rename(made, directory)
    except OSError:
        os.rename(old, directory)
        raise
    shutil.rmtree(old, ignore_errors=True)


def read_json(path):
    """The object in a JSON file."""
    try:
        return json.loads(Path(path).read_text())
    except (ValueError, RecursionError) as error:
        why = f" ({error})" if isinstance(error, json.JSONDecodeError) else ""
        raise Failure(f"{path} is not JSON{why}: delete it and build again") from None


def read_fields(path, *names) -> dict:
    """The object in a JSON file, which must have these keys, each with a value of its shape."""
    found = read_json(path)
    missing = [name for name in names if not isinstance(found, dict) or name not in found]
    strange = [name for name in names if not missing and not fits(found[name], SHAPES.get(name, object))]
    if missing or strange:
        raise Failure(f"{path} does not say {', '.join(missing or strange)}{' as it should' if strange else ''}: it is "
                      "not what a step of this build writes; delete it and build again")
    return found


def write_json(path, obj) -> bool:
    """Write with sorted keys, so that equal objects are equal files."""
    return write_atomic(path, json.dumps(obj, indent=1, sort_keys=True) + "\n")


def sha256(path) -> str:
    """Hexadecimal digest of one file's content."""
    import hashlib
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def source_hash(root) -> str:
    """One digest over the names and contents of everything the library is compiled from."""
    import hashlib
    root = Path(root)
    digest = hashlib.sha256()
    for room in SOURCE_ROOMS:
        for path in sorted(p for p in (root / room).rglob("*") if p.is_file()):
            digest.update(f"{path.relative_to(root)}\0{sha256(path)}\n".encode())
    return digest.hexdigest()
