# SPDX-License-Identifier: MIT
"""The records of results/*.jsonl: one line a run, appended and sealed, never rewritten.

Each line that is appended is sealed: results/seals.jsonl gets the number of lines that the file then has and the digest
of all of them, so that a line which is changed, moved or taken out later is named by `verify`.
"""

import hashlib
import json
import time
from pathlib import Path

from common import clone, files, lock
from common.errors import Failure, UserError
from common.machine import machine
from common.paths import ROOT

SCHEMA = 2
SCHEMAS = (1, SCHEMA)       # 1 has neither commit, nor roles, nor what ships
RESULTS = ROOT / "results"
# What is read of the records of a kind, whoever reads them.
NEEDED = {kind: {"time": str, **more} for kind, more in {
    "run": {"tree": str, "stages": dict, "machine": dict},
    "variants": {"figures": dict, "timed": dict, "reference": str, "workloads": list},
    "ablation": {"features": list, "base": str, "workloads": list},
    "study-memory": {"scale": (int, float), "figures": dict},
    "study-canary": {"figures": dict},
    "proof": {"programs": (dict, list), "budget": (int, float), "goal": str, "machine": dict},
}.items()}
MEND = "restore it as it was committed: git checkout -- results"
SEALS = "seals.jsonl"
UNKNOWN = "unknown"


def revision() -> str:
    """The commit of the clone, with `+` when the working tree differs from it; `unknown` outside of git."""
    if not clone.is_repository():
        return UNKNOWN
    try:
        commit = clone.git("rev-parse", "--short=12", "HEAD").stdout.strip()
        changed = clone.git("status", "--porcelain", "--", "core", "include", "variants").stdout
    except (Failure, UserError):
        return UNKNOWN
    return commit + ("+" if changed.strip() else "")


def stamp(now: float) -> str:
    """The time as records have it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))


def common_fields(kind: str, now: float) -> dict:
    """What every record says of itself."""
    return {"schema": SCHEMA, "kind": kind, "time": stamp(now), "commit": revision(),
            "source": files.source_hash(ROOT), "machine": machine().as_dict()}


def digest(lines) -> str:
    """Of some lines, each with its end."""
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


def _lines(path: Path) -> list:
    """Of a file, whatever it holds."""
    return path.read_text(errors="replace").splitlines()


def _alone(directory: Path):
    """Context manager: one writer at a time, as a line and its seal belong together."""
    return lock.taken(directory / SEALS)


def _seal_alone(path: Path):
    whole = _lines(path)
    files.append_line(path.with_name(SEALS), json.dumps(
        {"file": path.name, "lines": len(whole), "sha256": digest(whole)}, sort_keys=True))


def seal(path: Path):
    """Seal what a file holds now; for a writer of many lines, at its end."""
    with _alone(path.parent):
        _seal_alone(path)


def append(path: Path, record: dict):
    """One record at the end of the file, and its seal."""
    with _alone(path.parent):
        files.append_line(path, json.dumps(record, sort_keys=True, separators=(",", ":")))
        _seal_alone(path)


def _seals_of(path: Path) -> list:
    """The seals, in the order in which they were made."""
    found = []
    for number, line in enumerate(_lines(path) if path.exists() else [], 1):
        try:
            row = json.loads(line)
            found.append((row["file"], int(row["lines"]), row["sha256"]))
        except (ValueError, KeyError, TypeError) as error:
            raise Failure(f"{path} line {number} is no seal ({error}); {MEND}") from None
    return found


def verify(directory: Path) -> list:
    """One sentence for each file that is not what its seals say."""
    wrong, contents, sealed, broken = [], {}, {}, set()
    for name, count, sha256 in _seals_of(directory / SEALS):
        path = directory / name
        if path not in contents:
            contents[path] = _lines(path) if path.exists() else []
        before = sealed.get(path, 0)
        if count < before:
            wrong.append(f"{path}: its seals do not grow; {MEND}")
        sealed[path] = count
        if path not in broken and digest(contents[path][:count]) != sha256:
            broken.add(path)    # all later seals are, too
            wrong.append(f"{path}: lines {before + 1} to {count} are not those that were sealed; {MEND}")
    for path in sorted(directory.glob("*.jsonl")):
        count = len(_lines(path))
        if path.name != SEALS and sealed.get(path, 0) != count:
            wrong.append(f"{path}: {count} lines, of which {sealed.get(path, 0)} are sealed: append by common.records")
    return list(dict.fromkeys(wrong))


def rows(path: Path, accept) -> list:
    """`accept(object)` of each line's JSON. Failure names a line that is none, or which it refuses by a ValueError,
    KeyError or TypeError."""
    found = []
    for number, line in enumerate(_lines(path), 1):
        try:
            found.append(accept(json.loads(line)))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            why = "no JSON" if isinstance(error, json.JSONDecodeError) else error
            raise Failure(f"{path} line {number} is not a result ({why}); {MEND}") from None
    return found


def _accept(record: dict) -> dict:
    if record["schema"] not in SCHEMAS:
        raise ValueError(f"schema {record['schema']}")
    for name, kind in NEEDED.get(record.get("kind"), {}).items():
        if not isinstance(record.get(name), kind):
            raise ValueError(f"a {record['kind']} without its {name}")
    return record


def read(path: Path) -> list:
    """Every record of a file. Failure names a line that is not one."""
    try:
        return rows(path, _accept)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: nothing was recorded yet") from None


def year_file(now: float) -> Path:
    """Where the records of a year go."""
    return RESULTS / f"{time.gmtime(now).tm_year}.jsonl"


def everything(directory: Path = RESULTS) -> list:
    """The records of all years, oldest first."""
    return [record for path in sorted(directory.glob("[0-9]*.jsonl")) for record in read(path)]


def newest(found, kind: str):
    """The last record of a kind; None without one."""
    return next((record for record in reversed(list(found)) if record["kind"] == kind), None)
