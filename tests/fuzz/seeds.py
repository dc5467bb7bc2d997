# SPDX-License-Identifier: MIT
"""The first inputs of each fuzz target, said in words rather than committed as bytes."""

import re
from pathlib import Path

from common.paths import ROOT
from plan import policy
from report import options_doc

OPERATIONS = tuple(re.findall(r"^OPERATION\((\w+)\)", (Path(__file__).parent / "operations.def").read_text(), re.M))
SIZES = (0, 1, 16, 100, 1024, 1025, 5000, 32768, 40000, 300000, 1 << 20, 3 << 20)
VALUES = ("0", "1", "2", "16", "05", "10", "0.5", "1.0", "1.001", "0.0001", "-1", "4294967296", "off", "x")


def record(operation, slot=0, number=0, size=0, kind=None) -> bytes:
    """One operation, as api.c reads it; at most 4 MiB. `kind` is said only where it does not encode the size."""
    coded = (4, size) if size < 1 << 16 else (6, min(size // 64, 0xffff))
    if kind is not None:
        coded = (kind, size)
    return bytes((OPERATIONS.index(operation), slot, number, coded[0], *coded[1].to_bytes(2, "little")))


def _churn(size) -> list:
    """Many, some of them freed, as many again, all freed downwards; then each name once."""
    many = 250 if size < 5000 else 10
    names = ("malloc", "calloc", "aligned_alloc", "memalign", "posix_memalign", "page", "own", "free")
    return [record("burst", 0, many, size), record("sweep", 0, many, kind=4), record("burst", 0, many, size),
            record("look", 3), record("sweep", 0, many, 1, kind=1),
            *(record(name, slot, 3, size) for slot, name in enumerate(names)),
            record("refused", 1), record("nothing"), record("trim")]


def _remote(size) -> list:
    """Threads free each other's blocks, and take what came back."""
    many = 100 if size < 5000 else 8
    return [record("turn", number=1), record("burst", 0, many, size), record("turn", number=2),
            record("sweep", 0, many, kind=1), record("burst", 100, many, size), record("turn", number=1),
            record("sweep", 100, many, kind=1), record("burst", 0, many, size), record("calloc", 220, 0, size)]


def _generations(size) -> list:
    """Threads end and leave blocks; others free them before and after the next thread takes over."""
    many = 100 if size < 5000 else 6
    return [record("turn", number=1), record("burst", 0, many, size), record("end"),
            record("sweep", 0, many // 2, kind=1), record("turn", number=2), record("burst", 120, many, size),
            record("sweep", many // 4, many // 2, kind=1), record("trim"), record("end"),
            record("sweep", 120, many, kind=1)]


def _growth(size) -> list:
    """realloc from this size on: by little, by much, and back."""
    return [record("malloc", 20, 0, size), record("free", 20), record("malloc", 20, 0, size + size // 4),
            record("realloc", 9, 0, size), *(record("reallocarray", 9, step % 3, 7 * step + 1) for step in range(9)),
            *(record("realloc", 9, step % 2, other) for step, other in enumerate((3 * size + 1, 7 * size, size, 100)))]


def _scarcity(size) -> list:
    """The system refuses here and there."""
    made = []
    for refusals in range(1, 8, 2):
        made += [record("starve", number=refusals), record("burst", 8 * refusals, 2, size),
                 record("realloc", 8 * refusals, 0, 2 * size), record("aligned_alloc", 200, 17, size),
                 record("turn", number=refusals % 3), record("sweep", 8 * refusals, 8, kind=1), record("trim")]
    return made


def _aging(size) -> list:
    """Free memory grows old, is purged or unmapped, and comes back zero."""
    callocs = [record("calloc", slot, 0, size) for slot in range(4)]
    return [record("burst", 0, 2, size), record("sweep", 0, 4, kind=1), record("clock", number=255), *callocs,
            record("sweep", 0, 8, kind=1), *callocs, record("clock", number=255), record("sweep", 0, 8, kind=1),
            *callocs]


def _vacated(size) -> list:
    """Pages of free blocks beside others in use go back; the blocks are zero when they come again."""
    many = 60 if size < 5000 else 8
    callocs = [record("calloc", slot, 0, size) for slot in range(0, 2 * many, 3)]
    made = [record("turn", number=1), record("burst", 0, many, size)]
    for step in range(2, 6):
        made += [record("sweep", 0, many, kind=4 * (step - 1)), record("starve", number=step // 4), record("trim"),
                 *callocs, record("sweep", step, many // step, 1, kind=1), record("trim"), record("fork", number=step),
                 record("burst", 0, many, size), record("sweep", 0, many // 2, kind=4), record("trim")]
    return [*made, record("end"), record("turn", number=2), *callocs, record("sweep", 0, many, kind=1), *callocs]


def _forks(size) -> list:
    """Children that inherit blocks of three threads, one of which has ended."""
    many = 60 if size < 5000 else 4
    made = [record("burst", 0, many, size), record("turn", number=1), record("burst", 60, many, size), record("end"),
            record("turn", number=2), record("burst", 120, many, size), record("sweep", 0, many // 2, kind=1)]
    for way in range(3):
        made += [record("fork", number=way), record("sweep", 40 * way, many, kind=1), record("calloc", 200, 0, size),
                 record("malloc", 201, 0, size), record("realloc", 130, 0, 2 * size), record("trim")]
    return made


def _beside(size) -> list:
    """The program's own mappings beside big blocks and where they were; blocks that move."""
    made = [record("vast", 0, 2), record("vast", 8, 10), record("free", 8), record("vast", 16, 5),
            record("vast", 24, 4, kind=0), record("free", 16), record("free", 24), record("free", 0)]
    for step in range(6):
        made += [record("malloc", step, 0, (2 << 20) + size), record("neighbour", step, 20, step, kind=1),
                 record("neighbour", step, 16, step + 8, kind=2), record("realloc", step, 0, (3 << 20) + size),
                 record("neighbour", step, 31, step * 257, kind=0), record("free", step),
                 record("neighbour", step, 30, step * 257, kind=0), record("clock", number=255),
                 record("neighbour", step, 3, step * 257, kind=3), record("trim"),
                 record("neighbour", step, 31, step * 257, kind=0), record("neighbour", step, 0, step + 8, kind=4)]
    return made


def _sites(size) -> list:
    """Places with a habit, so that what they free is kept; blocks of others that they end, and the other way round."""
    made = []
    for step in range(24):
        place = step % 9
        made += [record("turn", number=step % 3), *(record("site", slot, place, size) for slot in range(12)),
                 record("malloc", 13, 0, size), record("sweep", 0, 30, kind=1)]
    return [*made, record("clock", number=255), record("site", 0, 3, size), record("trim"), record("end"),
            record("site", 1, 3, size), record("starve", number=3), record("site", 2, 2, size),
            record("fork", number=1), record("site", 3, 2, size), record("sweep", 0, 30, kind=1)]


def _names_of_options() -> list:
    """Of every row of the tables."""
    rows = options_doc.parse(options_doc.TABLE.read_text())
    return [row.name for row in rows] + [f"HAKMEM_{row.name.upper()}" for row in policy.load_rows(ROOT)]


def _options() -> dict:
    return {
        "none": b"",
        "valid": b"HAKMEM_MODE=minimal\nHAKMEM_RETAIN_MB=3\nHAKMEM_THP=off\nHAKMEM_STATS=counters\n",
        "bad": b"HAKMEM_MODE=quick\nHAKMEM_RETAIN_MB=-1\nHAKMEM_THP=off|auto\nHAKMEM_SAFE_FREE=2\nHAKMEM_STATS=",
        "edges": b"HAKMEM_PURGE_DELAY_MS=3600001\nHAKMEM_BIGCACHE_MB=65536\nHAKMEM_RETAIN_MB=0004294967297\n",
        "long": b"HAKMEM_STATS_DUMP=" + 600 * b"9" + b"\nHAKMEM_MODE=" + 600 * b"m",
        "repeated": b"\x01" + b"1\n\x01x\n\x02" + 12 * b"0",
        **{f"all-{value}": "".join(f"{name}={value}\n" for name in _names_of_options()).encode() for value in VALUES},
    }


def seeds_of(target) -> dict:
    """name -> input."""
    if target == "fuzz_options":
        return _options()
    return {f"{made.__name__.strip('_')}-{size}": b"".join(made(size)) for size in SIZES
            for made in (_churn, _remote, _generations, _growth, _scarcity, _aging, _vacated, _forks, _beside,
                         _sites)}


def write_seeds(target, directory) -> Path:
    """A corpus to start from."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    for name, data in seeds_of(target).items():
        (directory / name).write_bytes(data)
    return directory
