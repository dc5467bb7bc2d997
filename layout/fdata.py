# SPDX-License-Identifier: MIT
"""Callgrind counts -> BOLT profile (fdata): entries, branches, fall-throughs and calls, exact and repeatable.

Each line is `FROM-IS-SYMBOL FROM OFFSET TO-IS-SYMBOL TO OFFSET MISPREDICTS COUNT`, offsets in hexadecimal.
A local symbol is named NAME/N, N counting the locals of that name by address, as BOLT names them.
The counts of the compile stage's library serve BOLT's input too, since functions keep their bytes when they
are linked in another order; --for checks that every function has the same size in both.
"""

import sys
from collections import Counter
from pathlib import Path

from common import files
from common.arguments import Parser
from common.errors import Failure, guard
from common.tree import Tree
from measure import elf
from layout import inputs

REQUIRED = ("malloc", "free", "calloc", "realloc")


def symbol_names(functions) -> dict:
    """address -> the name that BOLT uses."""
    seen, names = Counter(), {}
    for function in functions:
        name = function.name
        if function.binding == elf.LOCAL:
            seen[name] += 1
            name = f"{name}/{seen[name]}"
        names[function.address] = name
    return names


def lines(flow) -> list:
    """Sorted fdata lines; an edge that rounds to 0 is left out."""
    names = symbol_names(flow.index.functions)

    def place(address):
        function = flow.index.find(address)
        return None if function is None else f"1 {names[function.address]} {address - function.address:x}"

    found = []
    for address, times in flow.entries.items():
        target = place(address)
        if target and round(times):
            found.append(f"0 [unknown] 0 {target} 0 {round(times)}")
    for table in (flow.edges, flow.calls):
        for (source, target), times in table.items():
            ends = place(source), place(target)
            if all(ends) and round(times):
                found.append(f"{ends[0]} {ends[1]} 0 {round(times)}")
    return sorted(found)


def uncounted(text: str, required=REQUIRED) -> tuple:
    """Required functions that have neither an entry nor an inner edge in fdata text."""
    counted = set()
    for line in text.splitlines():
        fields = line.split()
        if len(fields) == 8 and fields[7].isdigit() and int(fields[7]) > 0:
            counted.add(fields[4])
    return tuple(name for name in required if name not in counted)


def check_same_functions(measured: elf.Elf, other: elf.Elf):
    """Failure when a function of the measured library is absent from the other or has another size there."""
    def sizes(library):
        return Counter((function.name, function.size) for function in library.functions() if function.size)
    missing = sizes(measured) - sizes(other)
    if missing:
        name, size = min(missing)
        raise Failure(f"{name} ({size} bytes) of {measured.path} is not the same function in {other.path}: "
                      "the profile is stale; link both from the same objects")


def main(argv) -> int:
    parser = Parser(
        prog="layout.fdata",
        description="example: python3 -m layout.fdata --build build/clang-bench_minimal -o profile.fdata\n\n"
                    "Write a BOLT profile from exact callgrind counts.")
    inputs.add_arguments(parser)
    parser.add_argument("--for", dest="target", type=Path, metavar="SO",
                        help="library that BOLT will read (default with --build: bolt/input.so)")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args(argv)
    flow = inputs.load_flow(arguments)
    target = arguments.target or (Tree(arguments.build).bolt_input if arguments.build else None)
    if target:
        check_same_functions(flow.library, elf.read(target))
    text = "\n".join(lines(flow)) + "\n"
    missing = uncounted(text)
    if missing:
        raise Failure(f"the profile has no count for {', '.join(missing)}: "
                      "a training workload must call it, and the library must have been preloaded")
    files.write_atomic(arguments.output, text)
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
