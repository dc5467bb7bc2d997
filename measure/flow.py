# SPDX-License-Identifier: MIT
"""Callgrind counts + disassembly -> executions of every edge of the library's control flow.

callgrind counts instructions and taken jumps; BOLT wants edges between blocks, fall-throughs included, and the
linker's order wants a call graph. Blocks begin where BOLT's do: at direct targets, executed or not, behind each
branch, jump and return, and at the targets that an indirect jump was seen to reach.
"""

import re
from collections import defaultdict
from dataclasses import dataclass

from common import proc, tools
from common.errors import Failure
from measure import elf

SCALE = 1_000_000_000       # counts of a merged flow: instructions, so that the rarest edge still rounds to 1
_LINE = re.compile(r"^ +([0-9a-f]+):\s+(\S+)(?:\s+(.*))?$")
_TARGET = re.compile(r"^0x([0-9a-f]+)(?:\s|$)")
_PREFIXES = ("notrack", "bnd", "lock", "rep", "repz", "repne", "data16")


@dataclass(frozen=True)
class Instruction:
    """One instruction of the disassembly. `target` is of direct branches, jumps and calls."""
    address: int
    kind: str               # "plain", "cond", "jump", "call", "return"
    target: int | None


@dataclass(frozen=True)
class Flow:
    """Weighted sum of the control flow of several runs, in one library's addresses. Values are floats."""
    counts: dict            # address -> executions
    edges: dict             # (source, target) -> times, inside one function, fall-throughs included
    calls: dict             # (source, target) -> times, into a function of the library, tail calls included
    entries: dict           # function address -> calls from outside
    library: elf.Elf
    index: elf.FunctionIndex


def parse_disassembly(text: str) -> tuple:
    """Instructions of `llvm-objdump -d --no-show-raw-insn` output, by address."""
    found = []
    for line in text.splitlines():
        match = _LINE.match(line)
        if not match:
            continue
        address, mnemonic, operands = int(match[1], 16), match[2], match[3] or ""
        while mnemonic in _PREFIXES and operands:
            mnemonic, _, operands = operands.partition("\t") if "\t" in operands else operands.partition(" ")
        direct = _TARGET.match(operands.strip())
        if mnemonic.startswith("ret"):
            kind = "return"
        elif mnemonic.startswith("call"):
            kind = "call"
        elif mnemonic.startswith("jmp"):
            kind = "jump"
        elif mnemonic.startswith(("j", "loop")):
            kind = "cond"
        else:
            kind, direct = "plain", None
        found.append(Instruction(address, kind, int(direct[1], 16) if direct else None))
    return tuple(sorted(found, key=lambda instruction: instruction.address))


def disassemble(path) -> tuple:
    """Instructions of a library's executable sections."""
    result = proc.run([tools.require("llvm-objdump"), "-d", "--no-show-raw-insn", str(path)], timeout=60)
    found = parse_disassembly(result.stdout)
    if not found:
        raise Failure(f"llvm-objdump shows no instruction in {path}: is it a shared object?")
    return found


def returns(instructions, counts) -> int:
    """Executed return instructions: taken branches that callgrind's jump lines do not show."""
    return sum(counts.get(instruction.address, 0) for instruction in instructions if instruction.kind == "return")


def fall_throughs(instructions, index, run) -> dict:
    """(last address of a block, first of the next) -> times control ran on from one into the other."""
    targets = {instruction.target for instruction in instructions if instruction.kind in ("cond", "jump")}
    targets.update(target for _source, target in run.jumps)
    taken = defaultdict(int)    # a conditional tail call is reported as a call
    for table in (run.branches, run.calls):
        for (source, _target), times in table.items():
            taken[source] += times
    found = {}
    for before, after in zip(instructions, instructions[1:]):
        executed = run.counts.get(before.address, 0)
        if not executed or before.kind in ("jump", "return"):
            continue
        function = index.find(before.address)
        if function is None or index.find(after.address) is not function:
            continue
        if before.kind == "cond":
            executed -= taken[before.address]
        elif after.address not in targets:
            continue
        if executed > 0:
            found[before.address, after.address] = executed
    return found


def merge(path, weighted) -> Flow:
    """The Flow of (Run, weight) pairs of one library: each run counts for its weight, not for its length."""
    library = elf.read(path)
    index = elf.FunctionIndex(library.functions())
    instructions = disassemble(path)
    known = {instruction.address for instruction in instructions}
    counts, edges = defaultdict(float), defaultdict(float)
    calls, entries = defaultdict(float), defaultdict(float)
    whole = sum(weight for _run, weight in weighted)
    for run, weight in weighted:
        executed = sum(run.counts.values())
        if not executed:
            raise Failure(f"a run of {path} has no instruction of the library: was it preloaded?")
        stray = next((address for address in run.counts if address not in known), None)
        if stray is not None:
            raise Failure(f"a run has executions at {stray:#x}, which is no instruction of {path}: "
                          "the library was rebuilt since; measure again")
        scale = SCALE * weight / whole / executed
        for address, times in run.counts.items():
            counts[address] += times * scale
        inside = dict(fall_throughs(instructions, index, run))
        for table in (run.branches, run.jumps):
            for key, times in table.items():
                inside[key] = inside.get(key, 0) + times
        for key, times in inside.items():
            edges[key] += times * scale
        for (source, target), times in run.calls.items():
            if isinstance(target, int):
                calls[source, target] += times * scale
        for entry in run.entries.values():
            entries[entry.address] += entry.count * scale
    return Flow(dict(counts), dict(edges), dict(calls), dict(entries), library, index)
