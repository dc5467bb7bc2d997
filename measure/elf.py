"""A reader of x86-64 ELF shared objects: sections, segments, dynamic tags, symbols. Read only, no dependency.

The layout tools need a few dozen facts of one small file many times in a build; a subprocess and a text parser
for each would be slower and would tie the checks to one readelf's wording.
"""

import bisect
import struct
from dataclasses import dataclass
from pathlib import Path

from common.errors import Failure, UserError

PT_LOAD, PT_DYNAMIC, PT_GNU_STACK, PT_GNU_RELRO = 1, 2, 0x6474E551, 0x6474E552
PF_X, PF_W = 1, 2
SHT_SYMTAB, SHT_STRTAB, SHT_DYNAMIC, SHT_DYNSYM, SHT_VERDEF = 2, 3, 6, 11, 0x6FFFFFFD
SHF_EXECINSTR = 4
DT_NEEDED, DT_INIT, DT_SONAME, DT_TEXTREL, DT_BIND_NOW, DT_FLAGS = 1, 12, 14, 22, 24, 30
DT_INIT_ARRAY, DT_FLAGS_1 = 25, 0x6FFFFFFB
DF_TEXTREL, DF_BIND_NOW, DF_1_NOW = 4, 8, 1
STT_FUNC, STT_GNU_IFUNC = 2, 10
STB_LOCAL, STB_GLOBAL, STB_WEAK = 0, 1, 2
STV_DEFAULT, STV_PROTECTED = 0, 3
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_DYNAMIC = struct.Struct("<qQ")


@dataclass(frozen=True)
class Section:
    """One section; `address` is the link-time one, 0 when it is not loaded."""
    name: str
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int


@dataclass(frozen=True)
class Segment:
    """One program header."""
    kind: int
    flags: int
    address: int
    size: int


@dataclass(frozen=True)
class Symbol:
    """One symbol table entry. `section` is 0 when undefined."""
    name: str
    address: int
    size: int
    kind: int
    binding: int
    visibility: int
    section: int

    @property
    def is_function(self) -> bool:
        return self.kind in (STT_FUNC, STT_GNU_IFUNC) and self.section != 0


@dataclass(frozen=True)
class Elf:
    """What one shared object says about itself."""
    path: Path
    sections: tuple
    segments: tuple
    dynamic: tuple      # (tag, value) pairs
    symbols: tuple      # .symtab
    exported: tuple     # defined, visible .dynsym symbols
    soname: str

    def tag(self, number, default=None):
        """The first dynamic entry of that tag."""
        return next((value for tag, value in self.dynamic if tag == number), default)

    def text_bytes(self) -> int:
        """Bytes of executable sections."""
        return sum(section.size for section in self.sections if section.flags & SHF_EXECINSTR)

    def functions(self) -> tuple:
        """Function symbols of .symtab (of .dynsym when stripped) by address; one per address, global first."""
        best = {}
        for symbol in self.symbols or self.exported:
            if symbol.is_function:
                held = best.get(symbol.address)
                rank = (symbol.binding == STB_LOCAL, symbol.size == 0, symbol.name)
                if held is None or rank < held[0]:
                    best[symbol.address] = (rank, symbol)
        return tuple(symbol for _address, (_rank, symbol) in sorted(best.items()))


class FunctionIndex:
    """Address to the function that holds it. A function without a size reaches to the next one."""

    def __init__(self, functions):
        self.functions = tuple(functions)
        self._starts = [function.address for function in self.functions]

    def end(self, position: int) -> int:
        """First address behind the function at this position of the tuple."""
        function = self.functions[position]
        if function.size or position + 1 == len(self.functions):
            return function.address + function.size
        return self.functions[position + 1].address

    def find(self, address: int):
        """The Symbol whose range holds the address, or None."""
        position = bisect.bisect_right(self._starts, address) - 1
        if position < 0 or address >= self.end(position):
            return None
        return self.functions[position]


def _string(data: bytes, offset: int) -> str:
    return data[offset:data.index(b"\0", offset)].decode()


def _symbols(data, sections, kind):
    for section in sections:
        if section.kind == kind:
            names = sections[section.link]
            table = data[names.offset:names.offset + names.size]
            body = data[section.offset:section.offset + section.size]
            for name, info, other, index, value, size in _SYMBOL.iter_unpack(body):
                yield Symbol(_string(table, name), value, size, info & 15, info >> 4, other & 3, index)


def parse(data: bytes, path) -> Elf:
    """Elf of the bytes of a file; Failure when they are not an x86-64 ELF object."""
    try:
        return _parse(data, Path(path))
    except (struct.error, IndexError, ValueError, OverflowError) as error:
        raise Failure(f"{path} is not a well-formed ELF file ({error}): build it again") from None


def _parse(data, path):
    if data[:6] != b"\x7fELF\x02\x01":
        raise ValueError("no 64-bit little-endian ELF magic")
    (_ident, _type, machine, _version, _entry, segment_at, section_at, _flags, _size, segment_size, segments,
     section_size, sections, names_index) = _HEADER.unpack_from(data)
    if machine != 62:
        raise ValueError(f"machine {machine} is not x86-64")
    raw = [_SECTION.unpack_from(data, section_at + n * section_size) for n in range(sections)]
    names = data[raw[names_index][4]:raw[names_index][4] + raw[names_index][5]]
    table = tuple(Section(_string(names, row[0]), row[1], row[2], row[3], row[4], row[5], row[6]) for row in raw)
    headers = (_SEGMENT.unpack_from(data, segment_at + n * segment_size) for n in range(segments))
    dynamic, soname = (), ""
    for section in table:
        if section.kind == SHT_DYNAMIC:
            body = data[section.offset:section.offset + section.size]
            dynamic = tuple(entry for entry in _DYNAMIC.iter_unpack(body) if entry[0] != 0)
            strings = table[section.link]
            soname = next((_string(data, strings.offset + value) for tag, value in dynamic if tag == DT_SONAME), "")
    exported = tuple(symbol for symbol in _symbols(data, table, SHT_DYNSYM) if symbol.section != 0 and
                     symbol.binding != STB_LOCAL and symbol.visibility in (STV_DEFAULT, STV_PROTECTED))
    return Elf(path, table, tuple(Segment(row[0], row[1], row[3], row[6]) for row in headers), dynamic,
               tuple(_symbols(data, table, SHT_SYMTAB)), exported, soname)


def with_one_text(data: bytes, path) -> bytes:
    """The file with the header of .text stretched over the .text.* sections that follow it; nothing else changes.

    valgrind attributes to an object only what lies in its section named .text, and BOLT adds .text.cold: without
    this, whatever BOLT calls cold would leave the allocator's counts, and moving malloc there would look like a gain.
    """
    library = parse(data, path)
    code = sorted((section for section in library.sections if section.flags & SHF_EXECINSTR and section.size),
                  key=lambda section: section.address)
    at = next((n for n, section in enumerate(code) if section.name == ".text"), None)
    if at is None:
        return data
    last = code[at]
    for section in code[at + 1:]:
        if not section.name.startswith(".text."):
            break
        last = section
    strays = [section.name for section in code if section.name.startswith(".text.") and section.address > last.address]
    if strays:
        raise Failure(f"{path} has {', '.join(strays)} apart from .text: its counts would miss that code")
    header = _HEADER.unpack_from(data)
    size_at = header[6] + library.sections.index(code[at]) * header[11] + 32
    changed = bytearray(data)
    struct.pack_into("<Q", changed, size_at, last.address + last.size - code[at].address)
    return bytes(changed)


def read(path) -> Elf:
    """Elf of a file."""
    try:
        return parse(Path(path).read_bytes(), path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: build it first") from None
