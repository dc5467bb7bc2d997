# SPDX-License-Identifier: MIT
"""A reader of traces by docs/trace.md alone: neither the library's code nor bench_replay's is asked."""

import struct
from dataclasses import dataclass, field
from pathlib import Path

KINDS = {1: "thread", 2: "begin", 3: "end", 4: "object", 5: "site", 6: "malloc", 7: "calloc", 8: "aligned", 9: "realloc",
         10: "free", 11: "born"}
FIELDS = {"thread": ("thread",), "site": ("object", "offset"), "malloc": ("site", "size"), "calloc": ("site", "size"),
          "aligned": ("site", "size", "align"), "realloc": ("site", "size", "block"), "free": ("block",),
          "born": ("size", "align")}


class Damaged(Exception):
    """The file is not what the page says."""


class Cut(Exception):
    """The file ends within an event."""


@dataclass
class Trace:
    """What a file says."""
    flags: int
    end: int
    bytes: int
    events_said: int
    lost: int
    process: int
    program: str
    version: str
    build_ids: tuple
    events: list = field(default_factory=list)     # (kind, thread, its fields)
    objects: list = field(default_factory=list)
    sites: list = field(default_factory=list)
    peak: int = 0
    live: dict = field(default_factory=dict)       # block -> (size, thread that took it)
    remote: int = 0

    def of(self, *kinds) -> list:
        """The fields of all events of some kinds."""
        return [row for kind, _thread, row in self.events if kind in kinds]

    def sizes(self, *kinds) -> list:
        """Sizes that only the test program asks for."""
        return [row["size"] for row in self.of(*kinds) if 7000 <= row["size"] < 8000]


class _Bytes:
    def __init__(self, data, at):
        self.data, self.at = data, at

    def byte(self) -> int:
        if self.at >= len(self.data):
            raise Cut
        self.at += 1
        return self.data[self.at - 1]

    def number(self) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def take(self, length) -> bytes:
        if self.at + length > len(self.data):
            raise Cut
        self.at += length
        return self.data[self.at - length:self.at]


def read_header(data):
    """(Trace without events, where they begin)."""
    if data[:8] != b"HAKTRACE" or len(data) < 64:
        raise Damaged("it does not begin as a trace")
    version, length, flags, end, size, events, lost, process, _parent, _started = struct.unpack_from("<IIIIQQQIIQ", data, 8)
    if version != 1 or length > len(data):
        raise Damaged("version or length")
    strings, at = [], 64
    for _ in range(4):
        count = int.from_bytes(data[at:at + 2], "little")
        strings.append(data[at + 2:at + 2 + count])
        at += 2 + count
    if at > length:
        raise Damaged("strings")
    return Trace(flags, end, size, events, lost, process, strings[0].decode(), strings[2].decode(),
                 (strings[1], strings[3])), length


def read(path: Path) -> Trace:
    """All of a file."""
    data = Path(path).read_bytes()
    trace, first = read_header(data)
    source = _Bytes(data[:trace.bytes] if trace.end else data, first)
    state = {"thread": 0, "threads": 0, "ended": set(), "free": [], "fresh": 0, "live": 0}
    while source.at < len(source.data):
        try:
            _event(trace, source, state)
        except Cut:
            if trace.end:
                raise Damaged("cut, but it says how it ended") from None
            break
    return trace


def _event(trace, source, state):
    kind = KINDS.get(source.byte())
    if kind is None:
        raise Damaged(f"a kind that there is not, at {source.at - 1}")
    if kind == "object":
        row = {"path": source.take(source.number()).decode()}
    else:
        row = {name: source.number() for name in FIELDS.get(kind, ())}
    thread = state["thread"]
    if kind in ("begin", "thread", "end"):
        _thread(kind, row, state)
        thread = row.setdefault("thread", thread)
    elif kind == "object":
        trace.objects.append(row)
    elif kind == "site":
        assert row["object"] <= len(trace.objects)
        trace.sites.append(row)
    else:
        assert row.get("site", 0) <= len(trace.sites)
        _block(trace, kind, row, state)
    trace.events.append((kind, thread, row))


def _thread(kind, row, state):
    if kind == "begin":
        state["threads"] += 1
        row["thread"] = state["thread"] = state["threads"]
    elif kind == "end":
        assert state["thread"] != 0
        row["thread"] = state["thread"]
        state["ended"].add(state["thread"])
        state["thread"] = 0
    else:
        assert row["thread"] <= state["threads"] and row["thread"] not in state["ended"]
        state["thread"] = row["thread"]


def _block(trace, kind, row, state):
    if kind in ("free", "realloc"):
        size, thread = trace.live.pop(row["block"])
        state["live"] -= size
        row["of"] = size
        if kind == "free":
            trace.remote += thread != state["thread"]
            state["free"].append(row["block"])
            return
        trace.live[row["block"]] = row["size"], thread
    else:
        if state["free"]:
            row["block"] = state["free"].pop()
        else:
            row["block"] = state["fresh"]
            state["fresh"] += 1
        assert row["block"] not in trace.live
        trace.live[row["block"]] = row["size"], state["thread"]
    state["live"] += row["size"]
    trace.peak = max(trace.peak, state["live"])
