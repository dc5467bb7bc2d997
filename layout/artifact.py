# SPDX-License-Identifier: MIT
"""Checks on a finished library: exports, symbol order, stack, text relocations, RELRO, soname."""

import fnmatch
import re
import sys
from pathlib import Path

from elftools.elf.constants import P_FLAGS
from elftools.elf.enums import ENUM_DT_FLAGS, ENUM_DT_FLAGS_1

from common import files
from common.arguments import Parser, shared_library
from common.errors import Failure, UserError, guard
from measure import elf

SONAME = "libhakmem.so.0"
_GLOBAL = re.compile(r"global\s*:(.*?)(?:local\s*:|$)", re.DOTALL)
_COMMENT = re.compile(r"/\*.*?\*/|#[^\n]*", re.DOTALL)


def version_script_globals(text: str) -> tuple:
    """Names and patterns of a version script's global lists."""
    found = []
    for block in _GLOBAL.findall(_COMMENT.sub("", text)):
        block = re.sub(r'extern\s+"[^"]*"\s*\{([^}]*)\}', r"\1", block)
        found += [name.strip().strip('"') for name in re.split(r"[;{}]", block)]
    return tuple(name for name in found if name)


def _is_pattern(name):
    return any(character in name for character in "*?[")


def check_exports(library, wanted) -> list:
    """Sentences on exports that differ from the version script."""
    have = {symbol.name for symbol in library.exported}
    exact = {name for name in wanted if not _is_pattern(name)}
    patterns = [name for name in wanted if _is_pattern(name)]
    extra = sorted(name for name in have - exact if not any(fnmatch.fnmatchcase(name, p) for p in patterns))
    missing = sorted(exact - have)
    return ([f"exports {', '.join(extra)}, which the version script does not list"] if extra else []) + \
        ([f"does not export {', '.join(missing)}"] if missing else [])


def check_binding(library) -> list:
    """Versioned exports would not satisfy a program's reference to malloc@GLIBC_2.2.5."""
    if any(section.kind == "SHT_GNU_verdef" for section in library.sections):
        return ["defines symbol versions, so that programs would keep using the C library's malloc: "
                "the version script's node must have no name"]
    return []


def check_hardening(library) -> list:
    """Sentences on stack, relocations and segments."""
    found = []
    stacks = [segment for segment in library.segments if segment.kind == "PT_GNU_STACK"]
    if not stacks:
        found.append("has no PT_GNU_STACK header, so its stack is executable (BOLT's -use-gnu-stack drops it)")
    if any(segment.flags & P_FLAGS.PF_X for segment in stacks):
        found.append("asks for an executable stack (link with -z noexecstack)")
    if any(segment.kind == "PT_LOAD" and segment.flags & P_FLAGS.PF_X and segment.flags & P_FLAGS.PF_W
           for segment in library.segments):
        found.append("has a segment that is writable and executable")
    flags = library.tag("DT_FLAGS", 0)
    if library.tag("DT_TEXTREL") is not None or flags & ENUM_DT_FLAGS["DF_TEXTREL"]:
        found.append("has text relocations (compile with -fPIC)")
    if not any(segment.kind == "PT_GNU_RELRO" for segment in library.segments):
        found.append("has no RELRO segment (link with -z relro)")
    if not (library.tag("DT_BIND_NOW") is not None or flags & ENUM_DT_FLAGS["DF_BIND_NOW"] or
            library.tag("DT_FLAGS_1", 0) & ENUM_DT_FLAGS_1["DF_1_NOW"]):
        found.append("binds lazily (link with -z now)")
    if library.soname != SONAME:
        found.append(f"has the soname '{library.soname}', not '{SONAME}'")
    return found


def check_order(library, names) -> list:
    """Sentences on symbols that are not where the order file wants them."""
    addresses = {}
    for symbol in library.symbols:
        if symbol.is_function and symbol.size:      # the start files' functions have none, and stay where they are
            addresses.setdefault(symbol.name, []).append(symbol.address)
    present = [(name, addresses[name][0]) for name in names if len(addresses.get(name, ())) == 1]
    if len(present) * 2 < len(names):
        return [f"has {len(present)} of the {len(names)} functions that the order names: the order is of other objects"]
    for (before, low), (after, high) in zip(present, present[1:]):
        if high < low:
            return [f"has {after} before {before}, against the order"]
    return []


def check(library, *, exports=None, order=None) -> list:
    """Every sentence on what is wrong."""
    found = check_binding(library) + check_hardening(library)
    if exports is not None:
        found = check_exports(library, exports) + found
    if order is not None:
        found += check_order(library, order)
    return found


def _read(path):
    try:
        return path.read_text()
    except FileNotFoundError:
        raise UserError(f"{path} is missing") from None


def main(argv) -> int:
    parser = Parser(
        prog="layout.artifact",
        description="example: python3 -m layout.artifact --so dist/libhakmem.so --map core/api/hakmem.map\n\n"
                    "Check what a finished library exports, and how it was linked. Exit 1 when something is wrong.")
    parser.add_argument("--so", type=shared_library, required=True)
    parser.add_argument("--map", type=Path, help="version script: the exports must be its global list")
    parser.add_argument("--order", type=Path, help="order file: the functions must stand in its order")
    parser.add_argument("--stamp", type=Path, help="file to write when all is right")
    arguments = parser.parse_args(argv)
    exports = version_script_globals(_read(arguments.map)) if arguments.map else None
    order = _read(arguments.order).split() if arguments.order else None
    wrong = check(elf.read(arguments.so), exports=exports, order=order)
    if wrong:
        raise Failure(f"{arguments.so} " + "; it ".join(wrong))
    if arguments.stamp:
        files.write_atomic(arguments.stamp, f"{files.sha256(arguments.so)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
