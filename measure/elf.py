# SPDX-License-Identifier: MIT
"""What an x86-64 shared object says about itself, read by pyelftools into facts that do not change; and one rewriting.

Kinds are named as in elf.h: "SHT_GNU_verdef", "PT_LOAD", "STB_LOCAL", "DT_FLAGS".
"""

import bisect
import io
import struct
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.constants import SH_FLAGS

from common.errors import Failure, UserError

LOCAL = "STB_LOCAL"
FUNCTIONS = ("STT_FUNC", "STT_LOOS")        # the latter is what pyelftools calls GNU's indirect functions
VISIBLE = ("STV_DEFAULT", "STV_PROTECTED")
SIZE_IN_SECTION_HEADER = 32                 # Elf64_Shdr.sh_size
ENTRY = {"SHT_SYMTAB": 24, "SHT_DYNSYM": 24, "SHT_DYNAMIC": 16}     # bytes of an entry


@dataclass(frozen=True)
class Section:
    """One section; `address` is the link-time one, 0 when it is not loaded."""
    name: str
    kind: str
    flags: int
    address: int
    size: int

    @property
    def executable(self) -> bool:
        return bool(self.flags & SH_FLAGS.SHF_EXECINSTR)


@dataclass(frozen=True)
class Segment:
    """One program header."""
    kind: str
    flags: int


@dataclass(frozen=True)
class Symbol:
    """One symbol table entry."""
    name: str
    address: int
    size: int
    kind: str
    binding: str
    visibility: str
    defined: bool

    @property
    def is_function(self) -> bool:
        return self.kind in FUNCTIONS and self.defined


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

    def tag(self, name, default=None):
        """The first dynamic entry of that tag."""
        return next((value for tag, value in self.dynamic if tag == name), default)

    def functions(self) -> tuple:
        """Function symbols of .symtab (of .dynsym when stripped) by address; one per address, global first."""
        best = {}
        for symbol in self.symbols or self.exported:
            if symbol.is_function:
                held = best.get(symbol.address)
                rank = (symbol.binding == LOCAL, symbol.size == 0, symbol.name)
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


def _symbols(file, name) -> tuple:
    """The entries of a symbol table, but for the empty first one."""
    table = file.get_section_by_name(name)
    return () if table is None else tuple(
        Symbol(symbol.name, symbol["st_value"], symbol["st_size"], symbol["st_info"]["type"],
               symbol["st_info"]["bind"], symbol["st_other"]["visibility"], symbol["st_shndx"] != "SHN_UNDEF")
        for number, symbol in enumerate(table.iter_symbols()) if number)


def _sections(file) -> tuple:
    return tuple(Section(section.name, section["sh_type"], section["sh_flags"], section["sh_addr"], section["sh_size"])
                 for section in file.iter_sections())


def _check_tables(file, size: int):
    """ValueError when a table has entries of another size or ends behind the file: pyelftools would go on for hours."""
    tables = [("segments", file["e_phoff"], file["e_phnum"], file["e_phentsize"], 56),
              ("sections", file["e_shoff"], file.num_sections(), file["e_shentsize"], 64)]
    for what, start, count, entry, right in tables:
        if count and (entry != right or start + count * entry > size):
            raise ValueError(f"its {what} are not within the file")
    for section in file.iter_sections():
        right = ENTRY.get(section["sh_type"])
        if right and (section["sh_entsize"] != right or section["sh_offset"] + section["sh_size"] > size):
            raise ValueError(f"its section {section.name} is not within the file")


def _opened(data: bytes):
    """pyelftools' view. Reading its modules takes as long as the start of a Python, and not all that import this one
    open a file."""
    from elftools.elf.elffile import ELFFile
    return ELFFile(io.BytesIO(data))


def _parse(data: bytes, path: Path) -> Elf:
    file = _opened(data)
    _check_tables(file, len(data))
    if (file.elfclass, file.little_endian, file["e_machine"]) != (64, True, "EM_X86_64"):
        raise ValueError(f"{file['e_machine']}, {file.elfclass} bits, is not x86-64")
    section = file.get_section_by_name(".dynamic")
    tags = () if section is None else tuple(section.iter_tags())
    return Elf(path, _sections(file),
               tuple(Segment(segment["p_type"], segment["p_flags"]) for segment in file.iter_segments()),
               tuple((tag.entry.d_tag, tag.entry.d_val) for tag in tags), _symbols(file, ".symtab"),
               tuple(symbol for symbol in _symbols(file, ".dynsym")
                     if symbol.defined and symbol.binding != LOCAL and symbol.visibility in VISIBLE),
               next((tag.soname for tag in tags if tag.entry.d_tag == "DT_SONAME"), ""))


def parse(data: bytes, path) -> Elf:
    """Elf of the bytes of a file; Failure when they are not an x86-64 ELF object."""
    try:
        return _parse(data, Path(path))
    except Exception as error:      # a damaged file gives almost any: the package promises none
        raise Failure(f"{path} is not a well-formed ELF file ({error}): build it again") from None


def with_one_text(data: bytes, path) -> bytes:
    """The file with the header of .text stretched over the .text.* sections that follow it; nothing else changes.

    valgrind attributes to an object only what lies in its section named .text, and BOLT adds .text.cold: without
    this, whatever BOLT calls cold would leave the allocator's counts, and moving malloc there would look like a gain.
    pyelftools only reads.
    """
    library = parse(data, path)
    code = sorted((section for section in library.sections if section.executable and section.size),
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
    header = _opened(data).header
    place = header["e_shoff"] + library.sections.index(code[at]) * header["e_shentsize"] + SIZE_IN_SECTION_HEADER
    changed = bytearray(data)
    struct.pack_into("<Q", changed, place, last.address + last.size - code[at].address)
    return bytes(changed)


def read(path) -> Elf:
    """Elf of a file."""
    try:
        return parse(Path(path).read_bytes(), path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: build it first") from None
