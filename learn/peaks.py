# SPDX-License-Identifier: MIT
"""Sizes that are worth a class of their own: those by whose rounding most is lost when most is in use.

What rounding loses of a block is at most 1 in `mid_steps`, but a program whose memory is blocks of one size (pages of a
database with their headers, nodes of a tree) loses that of all it has. The trace says which sizes these are; whether a
class pays, which has its own slabs and its own bin, is for the search to find out.
"""

import bisect
from pathlib import Path

from common import proc
from common.errors import Failure

STEP = 16           # bytes between the sizes of classes
MOST = 3            # sizes that are tried
LEAST = 0.004       # of the bytes in use: what a class saves of them, or it is not tried


def classes(built: dict) -> list:
    """The sizes of blocks from tiny_max to mid_max_kb, rising; those that the policy adds left out."""
    sizes, power = [built["tiny_max"]], built["tiny_max"]
    while power < built["mid_max_kb"] * 1024:
        sizes += [power + power * step // built["mid_steps"] for step in range(1, built["mid_steps"] + 1)]
        power *= 2
    return sizes


def saved(blocks: dict, sizes: list, size: int) -> float:
    """Bytes that one more class saves, as a share like the blocks. `sizes` are those that there are."""
    place = bisect.bisect_left(sizes, size)
    below, above = sizes[place - 1], sizes[place]
    return (above - size) * sum(number for other, number in blocks.items() if below < other <= size)


def found(blocks: dict, built: dict) -> list:
    """Of size -> blocks, as shares of the bytes in use: the sizes that save most, one after the other, the best
    first."""
    sizes, chosen = classes(built), []
    while len(chosen) < MOST:
        worth = {size: saved(blocks, sizes, size) for size in blocks if sizes[0] < size < sizes[-1]}
        best = max(sorted(worth), key=worth.get, default=None)
        if best is None or worth[best] < LEAST:
            break
        chosen.append(best)
        bisect.insort(sizes, best)
    return chosen


def shares(parts) -> dict:
    """Of (blocks of each size, bytes in use, weight)s one: size -> blocks a byte in use."""
    total = sum(weight for _blocks, _live, weight in parts) or 1
    joined = {}
    for blocks, live, weight in parts:
        for size, number in blocks.items():
            joined[size] = joined.get(size, 0.0) + weight / total * number / max(live, 1)
    return joined


def read(program: Path, trace: Path) -> dict:
    """Size, rounded up to STEP -> blocks of it when most bytes are in use."""
    done = proc.run([program, trace, "--sizes"], name=program.name)
    try:
        return {int(size): int(number) for size, number in map(str.split, done.stdout.splitlines())}
    except ValueError:
        raise Failure(f"{program} --sizes printed no sizes: it is not the one of this clone; run `ninja bench`"
                      ) from None
