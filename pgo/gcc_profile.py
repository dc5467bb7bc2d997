# SPDX-License-Identifier: MIT
"""gcc's profiles: one .gcda a translation unit, kept as a deterministic tar whose names are those of the sources."""

import io
import json
import re
import shutil
import tarfile
from pathlib import Path

from common import proc, tools
from common.errors import Failure
from common.scratch import Scratch
from common.tree import NOTES
from pgo import counters


_FUNCTION = re.compile(r"FUNCTION ident=(\d+)")
_NAMED = re.compile(r"FUNCTION ident=(\d+), .*`([^']+)'")
_ROW = re.compile(r"^\s+\d+: ((?:-?\d+ ?)+)$")


def pack(directory: Path) -> bytes:
    """A tar of the directory's .gcda files; equal files are equal bytes."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path in sorted(directory.rglob("*.gcda")):
            member = tarfile.TarInfo(str(path.relative_to(directory)))
            member.size = path.stat().st_size
            archive.addfile(member, io.BytesIO(path.read_bytes()))
    return stream.getvalue()


def _check_member(archive: Path, member):
    """A foreign tar cannot name a file outside, nor one of another kind."""
    parts = Path(member.name).parts
    if not member.isfile() or ".." in parts or "/" in parts or not member.name.endswith(".gcda"):
        raise Failure(f"{archive} holds '{member.name}', which is no profile of a source")


def members(archive: Path) -> dict:
    """Name -> content of a tar of .gcda files."""
    try:
        with tarfile.open(archive, "r:") as source:
            for member in source.getmembers():
                _check_member(archive, member)
            return {member.name: source.extractfile(member).read() for member in source.getmembers()}
    except (tarfile.TarError, EOFError) as error:
        raise Failure(f"{archive} is not a tar of .gcda files ({error}): train again with `ninja pgo`") from None


def unpack(archive: Path, directory: Path):
    """Write the files of a tar under a directory."""
    for name, content in members(archive).items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(content)


def make(so: Path, summed: bytes, scratch: Path) -> bytes:
    """The profile of a run's counters. Its files lie under GCOV_PREFIX at <build tree>/gcov/<source>.gcda, by whatever
    name the clone was reached when it was compiled: keep <source>.gcda."""
    prefix = scratch / NOTES
    counters.write_profile(so, summed, scratch / "run", {"GCOV_PREFIX": str(prefix)})
    tree = next(prefix.rglob(f"{so.parent.parent.name}/{NOTES}"), None)
    if tree is None:
        raise Failure(f"the runtime of {so} wrote no .gcda file")
    return pack(tree)


def merge(weighted, scratch: Path) -> bytes:
    """Scale each profile by its integer weight and add them one after the other: adding is not commutative."""
    tool = tools.require("gcov-tool")
    merged = None
    for number, (path, weight) in enumerate(weighted):
        raw, scaled = scratch / f"raw{number}", scratch / f"scaled{number}"
        unpack(path, raw)
        proc.run([tool, "rewrite", "-s", str(weight), "-o", scaled, raw])
        if merged is not None:
            added = scratch / f"added{number}"
            proc.run([tool, "merge", "-w", "1,1", "-o", added, merged, scaled])
            scaled = added
        merged = scaled
    return pack(merged)


def _counts(dump: str):
    """(ident, sum of counters) of each function in a gcov-dump listing."""
    ident, found = None, {}
    for line in dump.splitlines():
        line = line.rpartition(".gcda:")[2]
        if match := _FUNCTION.search(line):
            ident = match[1]
            found[ident] = 0
        elif ident and (match := _ROW.match(line)):
            found[ident] += sum(int(word) for word in match[1].split())
    return found


def _dumps(directory: Path, names) -> dict:
    """Name of a file there -> gcov-dump's listing of it. One process lists all; each line begins with a name."""
    found = {name: [] for name in names}
    if found:
        for line in proc.run([tools.require("gcov-dump"), "-l", "--", *found], cwd=directory).stdout.splitlines():
            found.get(line.partition(":")[0], []).append(line)
    return {name: "\n".join(lines) for name, lines in found.items()}


def _with_notes(names, notes) -> dict:
    """Name of a .gcda -> that of its .gcno, of those that are there."""
    pairs = {name: str(Path(name).with_suffix(".gcno")) for name in names if notes}
    return {name: note for name, note in pairs.items() if (notes / note).exists()}


def _unpacked(path, scratch: Path) -> list:
    """The names of a profile's files, which are now there."""
    unpack(Path(path), scratch)
    return sorted(str(data.relative_to(scratch)) for data in scratch.rglob("*.gcda"))


def functions(path, notes=None) -> dict:
    """Function name -> the sum of its arc counts. Names are in the .gcno files of the directory `notes`."""
    counts = {}
    with Scratch() as scratch:
        names = _unpacked(path, scratch)
        noted, data = _with_notes(names, notes), _dumps(scratch, names)
        listings = _dumps(notes, noted.values())
        for name in names:
            known = dict(_NAMED.findall(listings.get(noted.get(name), "")))
            for ident, count in _counts(data[name]).items():
                function = known.get(ident, ident)
                counts[function] = counts.get(function, 0) + count
    return counts


def calls(path, notes) -> dict:
    """Function name -> how often it was called, as gcov says it: a line of JSON a file."""
    found = {}
    with Scratch() as scratch:
        noted = _with_notes(_unpacked(path, scratch), notes)
        for note in noted.values():
            shutil.copyfile(notes / note, scratch / note)
        words = [tools.require("gcov"), "--json-format", "--stdout", "--", *noted]
        for line in filter(None, proc.run(words, cwd=scratch).stdout.splitlines() if noted else ()):
            for entry in (row for source in json.loads(line)["files"] for row in source["functions"]):
                found[entry["name"]] = found.get(entry["name"], 0) + entry["execution_count"]
    return found


def total(path) -> int:
    """The sum of all counts: how long the run was."""
    return sum(functions(path).values())
