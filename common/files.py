"""Atomic, content-stable files: a file whose content did not change keeps its time stamp, so ninja prunes."""

import hashlib
import json
import os
import tempfile
from pathlib import Path

SOURCE_ROOMS = ("core", "include")


def write_atomic(path, data) -> bool:
    """Write str or bytes through a temporary file and a rename. False when the content was already there."""
    path = Path(path)
    content = data.encode() if isinstance(data, str) else data
    try:
        if path.read_bytes() == content:
            return False
    except (FileNotFoundError, NotADirectoryError):
        pass
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return True


def read_json(path):
    """The object in a JSON file."""
    return json.loads(Path(path).read_text())


def write_json(path, obj) -> bool:
    """Write with sorted keys, so that equal objects are equal files."""
    return write_atomic(path, json.dumps(obj, indent=1, sort_keys=True) + "\n")


def sha256(path) -> str:
    """Hexadecimal digest of one file's content."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def source_hash(root) -> str:
    """One digest over the names and contents of everything the library is compiled from."""
    root = Path(root)
    digest = hashlib.sha256()
    for room in SOURCE_ROOMS:
        for path in sorted(p for p in (root / room).rglob("*") if p.is_file()):
            digest.update(f"{path.relative_to(root)}\0{sha256(path)}\n".encode())
    return digest.hexdigest()
