# SPDX-License-Identifier: MIT
"""Callgrind counts -> symbol order for lld's --symbol-ordering-file: one function name a line.

Three methods. `density` sorts executed functions by instructions executed a byte. `c3` starts from one cluster a
function and appends each function's cluster to that of its hottest caller (Ottoni and Maher, Optimizing Function
Placement for Large-Scale Data-Center Applications, CGO 2017) unless the result would exceed a page, then sorts
clusters by density. `search` moves functions, from the best of both and the linker's own order, as long as the
misses that placement.py predicts fall. Functions that were never executed are not listed; lld puts them behind.
"""

import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from common import files
from common.arguments import Parser
from common.errors import Failure, guard
from measure import flow as control
from layout import inputs, placement

METHODS = ("search", "density", "c3")
PREDICTIONS = 6000      # about; 0.6 s
CLUSTER_BYTES = 4096


@dataclass(frozen=True)
class Node:
    """One executed function."""
    name: str
    address: int
    size: int
    weight: float       # instructions executed in it


def nodes(flow) -> list:
    """Executed functions in address order, but for those of the C runtime's start files: they have no size, and one
    section for all, so that no linker can move them."""
    weights = defaultdict(float)
    for address, times in flow.counts.items():
        function = flow.index.find(address)
        if function is not None:
            weights[function.address] += times
    return [Node(function.name, function.address, function.size, weights[function.address])
            for function in flow.index.functions if function.size and weights.get(function.address)]


def density_key(weight, size, address):
    """Hottest byte first; the address decides ties, so that equal input gives equal output."""
    return -weight / size, address


def by_density(found) -> list:
    """Names, densest function first."""
    return [node.name for node in sorted(found, key=lambda n: density_key(n.weight, n.size, n.address))]


def by_c3(found, calls) -> list:
    """Names by call-chain clustering. `calls` is {(caller address, callee address): times}."""
    members = {node.address: [node] for node in found}
    owner = {node.address: node.address for node in found}
    hottest = {}
    for (caller, callee), times in calls.items():
        if caller != callee and caller in owner and callee in owner:
            held = hottest.get(callee)
            if held is None or (-times, caller) < held:
                hottest[callee] = (-times, caller)
    for node in sorted(found, key=lambda n: density_key(n.weight, n.size, n.address)):
        if node.address not in hottest:
            continue
        into, out = owner[hottest[node.address][1]], owner[node.address]
        if into == out or sum(member.size for member in members[into] + members[out]) > CLUSTER_BYTES:
            continue
        members[into] += members[out]
        for member in members.pop(out):
            owner[member.address] = into
    ranked = sorted(members.values(), key=lambda cluster: density_key(
        sum(node.weight for node in cluster), sum(node.size for node in cluster), cluster[0].address))
    return [node.name for cluster in ranked for node in cluster]


def order(flow, method: str) -> list:
    """Function names in the asked order."""
    found = nodes(flow)
    if method == "density":
        return by_density(found)
    calls = defaultdict(float)
    for (source, target), times in flow.calls.items():
        caller, callee = flow.index.find(source), flow.index.find(target)
        if caller is not None and callee is not None:
            calls[caller.address, callee.address] += times
    return by_c3(found, calls)


def model_of(flow, library, weighted) -> placement.Model:
    """What placement.py needs to know of the executed functions and of the training runs."""
    instructions = control.disassemble(library)
    runs = []
    workloads = []
    for run, weight in weighted:
        straight = control.fall_throughs(instructions, flow.index, run)
        rows = placement.transfers(instructions, flow.index, run, straight)
        visits = [times for start, group in rows.items() for times in placement.line_visits(group, start).values()]
        runs.append(rows)
        workloads.append(placement.Workload(weight, placement.fit_survival(visits, run.event("I1mr"))))
    functions = [placement.Function(node.name, node.size, placement.alignment_of(node.address),
                                    tuple(tuple(rows.get(node.address, ())) for rows in runs))
                 for node in nodes(flow)]
    start = next(section.address for section in flow.library.sections if section.name == ".text")
    return placement.Model(functions, workloads, start)


def searched(flow, library, weighted, budget=PREDICTIONS) -> list:
    """The order with the fewest predicted misses that the search finds."""
    starts = [order(flow, "density"), order(flow, "c3"), [node.name for node in nodes(flow)]]
    return placement.search(model_of(flow, library, weighted), starts, budget)


def main(argv) -> int:
    parser = Parser(
        prog="layout.order",
        description="example: python3 -m layout.order --build build/clang-bench_minimal -o order.txt\n\n"
                    "Write a symbol order from exact callgrind counts.")
    inputs.add_arguments(parser)
    parser.add_argument("--method", choices=METHODS, default="search", help="(default: %(default)s)")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args(argv)
    library, weighted = inputs.load_runs(arguments)
    flow = control.merge(library, weighted)
    names = searched(flow, library, weighted) if arguments.method == "search" else order(flow, arguments.method)
    if "malloc" not in names or "free" not in names:
        raise Failure("the counts never reach malloc and free: was the library preloaded?")
    files.write_atomic(arguments.output, "\n".join(names) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
