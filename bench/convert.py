# SPDX-License-Identifier: MIT
"""Other programs' records of malloc -> a trace for bench_replay (docs/trace.md).

  mtrace    the text of glibc's mtrace(3): "@ CALLER + 0xADDRESS 0xSIZE", "-" frees, "<" and ">" are the two halves of a
            realloc
  android   the text of Android's memory_replay: "THREAD: malloc 0xADDRESS SIZE" and calloc, realloc, memalign, free,
            thread_done (its README, "Format of dumps")
  csv       a head with at least these five columns, in any order: thread, call, address, size, old. A call is one of
            malloc, calloc, realloc, memalign, free; `old` is what realloc was given, or the alignment for memalign.
            Numbers are decimal, or hexadecimal with 0x
"""

import csv
import re
import struct
import sys
from pathlib import Path

from common import files
from common.arguments import Parser
from common.errors import UserError, guard

BEGIN, THREAD, END, OBJECT, SITE = 2, 1, 3, 4, 5
MALLOC, CALLOC, ALIGNED, REALLOC, FREE = 6, 7, 8, 9, 10
TAKES = {"malloc": MALLOC, "calloc": CALLOC}
COLUMNS = ("thread", "call", "address", "size", "old")
LARGEST, LAST = 1 << 46, (1 << 64) - 1
LONGEST_SHOWN = 40


def number(value: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    made = bytearray()
    while value >= 128:
        made.append(value & 127 | 128)
        value >>= 7
    return bytes([*made, value])


class Writer:
    """A trace under construction: blocks by address, threads and places by name."""

    def __init__(self):
        self.events, self.count, self.lost = bytearray(), 0, 0
        self.blocks, self.free_numbers, self.fresh = {}, [], 0
        self.threads, self.ended, self.current = {}, 0, None
        self.objects, self.sites = {}, {}

    def _event(self, kind: int, *numbers: int):
        self.events += bytes([kind]) + b"".join(map(number, numbers))
        self.count += 1

    def use_thread(self, name):
        """What follows is of this thread; its first call begins it."""
        if name not in self.threads:
            self.threads[name] = len(self.threads) + self.ended + 1
            self._event(BEGIN)
        elif self.current != name:
            self._event(THREAD, self.threads[name])
        self.current = name

    def end_thread(self, name):
        """It ends. A further thread may have its name."""
        self.use_thread(name)
        self._event(END)
        del self.threads[name]
        self.ended += 1
        self.current = None

    def site(self, path: str, offset: int) -> int:
        """The number of a place."""
        key = (path, offset)
        if key not in self.sites:
            if path not in self.objects:
                name = path.encode(errors="replace")[:255]
                self.objects[path] = len(self.objects) + 1
                self._event(OBJECT, len(name))
                self.events += name
            self.sites[key] = len(self.sites) + 1
            self._event(SITE, self.objects[path], offset)
        return self.sites[key]

    def take(self, kind: int, address: int, size: int, align=0, site=0):
        """A new block, unless the request was refused. One that was freed unseen goes first."""
        if address == 0:
            return
        if address in self.blocks:
            self.give(address)
        more = (align,) if kind == ALIGNED else ()
        self._event(kind, site, size, *more)
        if self.free_numbers:
            self.blocks[address] = self.free_numbers.pop()
        else:
            self.blocks[address] = self.fresh
            self.fresh += 1

    def give(self, address: int):
        """A free. One of a block that was taken before the record began is left out, and counted."""
        block = self.blocks.pop(address, None)
        if block is None:
            self.lost += address != 0
            return
        self._event(FREE, block)
        self.free_numbers.append(block)

    def resize(self, old: int, address: int, size: int, site=0):
        """A realloc, unless it was refused."""
        if address == 0:
            return
        if old == 0 or old not in self.blocks:
            self.lost += old != 0
            self.take(MALLOC, address, size, site=site)
            return
        block = self.blocks.pop(old)
        if address in self.blocks:
            self.give(address)
        self._event(REALLOC, site, size, block)
        self.blocks[address] = block

    def bytes(self, program: str) -> bytes:
        """The file."""
        texts = b"".join(struct.pack("<H", len(text)) + text for text in
                         (program.encode(errors="replace")[:4095], b"", b"converted", b""))
        length = 64 + len(texts)
        return struct.pack("<8sIIIIQQQIIQ", b"HAKTRACE", 1, length, 0, 1, length + len(self.events), self.count,
                           self.lost, 0, 0, 0) + texts + bytes(self.events)


_NUMBER = re.compile(r"0x[0-9a-f]{1,16}|[0-9]{1,20}", re.IGNORECASE | re.ASCII)


def _value(word: str) -> int:
    """A number as these texts have it, decimal or in hexadecimal."""
    if not _NUMBER.fullmatch(word):
        raise ValueError(f"{_shown(word)} is no number, such as 48 or 0x30")
    value = int(word, 0 if word[1:2].isalpha() else 10)
    if value > LAST:
        raise ValueError(f"{word} is beyond 64 bits")
    return value


def _shown(word: str) -> str:
    """In a sentence: a word may be a whole file."""
    return repr(word if len(word) <= LONGEST_SHOWN else word[:LONGEST_SHOWN] + "...")


def _met(address: int, size: int) -> int:
    """The size, which a malloc can have met if it gave an address."""
    if address != 0 and size > LARGEST:
        raise ValueError("a size that no malloc meets")
    return size


_MTRACE = re.compile(r"@ (?:(?P<path>.*?):)?(?:\([^)]*\))?\[(?P<at>0x[0-9a-f]+)\] (?P<what>[-+<>!]) "
                     r"(?P<address>0x[0-9a-f]+|\(nil\))(?: (?P<size>0x[0-9a-f]+|\d+))?$")


def read_mtrace(lines, writer):
    """glibc's mtrace; one thread, since the text names none."""
    old = None
    writer.use_thread("")
    for line in lines:
        if line.startswith("= "):   # start and end
            continue
        match = _MTRACE.match(line)
        if match is None:
            raise ValueError("no line of mtrace")
        address = 0 if match["address"] == "(nil)" else _value(match["address"])
        what = match["what"]
        if what in "+>!" and match["size"] is None:
            raise ValueError("no size")
        if what == "<":
            old = address
        elif what == "-":
            writer.give(address)
        elif what != "!":
            site = writer.site(match["path"] or "", _value(match["at"]))
            size = _met(address, _value(match["size"]))
            if what == ">":
                writer.resize(old or 0, address, size, site)
            else:
                writer.take(MALLOC, address, size, site=site)


def _log2(align: int) -> int:
    if align < 1 or align & align - 1:
        raise ValueError("an alignment that is no power of two")
    return align.bit_length() - 1


def read_android(lines, writer):
    """Android's memory_replay."""
    for line in lines:
        thread, colon, rest = line.partition(":")
        if not colon:
            raise ValueError("no thread")
        call, *words = rest.split() or [""]
        if call == "thread_done":
            writer.end_thread(thread)
            continue
        values = [_value(word) for word in words]
        if len(values) < {"free": 1, "malloc": 2}.get(call, 3):
            raise ValueError("words are missing")
        writer.use_thread(thread)
        if call == "free":
            writer.give(values[0])
        elif call == "realloc":
            _resize(writer, values[1], values[0], values[2])
        elif call == "memalign":
            writer.take(ALIGNED, values[0], _met(values[0], values[2]), _log2(values[1]))
        elif call in TAKES:
            size = values[1] * values[2] if call == "calloc" else values[1]
            writer.take(TAKES[call], values[0], _met(values[0], size))
        else:
            raise ValueError(f"{_shown(call)} is no call")


def _resize(writer, old, address, size):
    if size == 0 and old != 0 and address == 0:
        writer.give(old)
    else:
        writer.resize(old, address, _met(address, size))


def read_csv(lines, writer):
    """Five columns."""
    rows = csv.reader(lines, strict=True)
    names = [name.strip().lower() for name in next(rows, [])]
    if missing := sorted(set(COLUMNS) - set(names), key=COLUMNS.index):
        raise ValueError(f"the head has no column {', '.join(missing)}; it must have {', '.join(COLUMNS)}, with commas "
                         "between them")
    for words in rows:
        if len(words) < len(names):
            raise ValueError(f"{len(words)} columns, and the head has {len(names)}")
        _csv_row(dict(zip(names, (word.strip() for word in words))), writer)


def _csv_row(row, writer):
    call, address = row["call"], _value(row["address"] or "0")
    size = _value(row["size"] or "0")
    writer.use_thread(row["thread"])
    if call == "free":
        writer.give(address)
    elif call == "realloc":
        _resize(writer, _value(row["old"] or "0"), address, size)
    elif call == "memalign":
        writer.take(ALIGNED, address, _met(address, size), _log2(_value(row["old"] or "16")))
    elif call in TAKES:
        writer.take(TAKES[call], address, _met(address, size))
    else:
        raise ValueError(f"{_shown(call)} is no call")


FORMATS = {"mtrace": read_mtrace, "android": read_android, "csv": read_csv}


def convert(path: Path, form: str) -> Writer:
    """The events of a text."""
    writer, seen = Writer(), [0]
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    if not text.strip():
        raise UserError(f"{path} is empty")

    def lines():
        for line in text.splitlines():
            seen[0] += 1
            if line.strip():
                yield line.strip()

    try:
        FORMATS[form](lines(), writer)
    except (ValueError, csv.Error) as error:
        raise UserError(f"{path}: line {seen[0]}: {error}") from None
    return writer


def main(argv) -> int:
    """Command line."""
    parser = Parser(
        prog="bench.convert",
        description=f"example: python3 -m bench.convert mtrace malloc.log -o app.trace\n\n{__doc__}")
    parser.add_argument("format", choices=FORMATS)
    parser.add_argument("text", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args(argv)
    writer = convert(arguments.text, arguments.format)
    files.write_atomic(arguments.output, writer.bytes(str(arguments.text)))
    if writer.lost:
        print(f"bench.convert: {writer.lost} blocks had been taken before the record began, and are left out",
              file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
