# SPDX-License-Identifier: MIT
"""One policy for several workloads: of each parameter the weighted mean of what their policies say, absent ones the
default. Amounts are averaged by their logarithms, as they differ by factors; where 0 turns something off, and where
values are words, the heavier side decides and the others do not count. What is compiled into tables fits together or
not at all: that is taken from one side, the heaviest."""

import math
import os
import sys
from collections import Counter
from pathlib import Path

from common.arguments import MOST_WEIGHT, Parser
from common.errors import UserError, guard
from common.paths import ROOT
from learn.space import FEW
from plan import policy

EXAMPLE = "example: python3 -m learn.merge -o policy/both.toml 3:policy/small.toml 1:policy/large.toml"


def vote(weighted):
    """The value with the most weight; of equal ones the smallest."""
    tally = Counter()
    for value, weight in weighted:
        tally[value] += weight
    return min(tally, key=lambda value: (-tally[value], value))


def merge_value(row, weighted) -> int:
    """One parameter, of (value, weight)s."""
    if row.highest - row.lowest < FEW:
        return vote(weighted)
    on = [(value, weight) for value, weight in weighted if value > 0]
    if 2 * sum(weight for _value, weight in on) < sum(weight for _value, weight in weighted):
        return 0
    total = sum(weight for _value, weight in on)
    mean = math.exp(sum(weight * math.log(value) for value, weight in on) / total)
    low, high = min(value for value, _weight in on), max(value for value, _weight in on)
    return max(low, min(high, round(mean)))


def merge_values(weighted, rows) -> dict:
    """Of (values of a policy, weight)s."""
    built = [row for row in rows if row.scope != "run"]
    shapes = [(tuple(values.get(row.name, row.default) for row in built), weight) for values, weight in weighted]
    shape = dict(zip((row.name for row in built), vote(shapes)))
    found = {}
    for row in rows:
        value = shape[row.name] if row.name in shape else merge_value(
            row, [(values.get(row.name, row.default), weight) for values, weight in weighted])
        if value != row.default:
            found[row.name] = value
    return found


def merge(weighted, rows) -> policy.Policy:
    """Of (name, policy, weight)s. Nothing is said of what the merged one brings: nobody replayed it."""
    return policy.Policy(merge_values([(one.values, weight) for _name, one, weight in weighted], rows), {
        "merged_from": [f"{weight}:{name}" for name, _one, weight in weighted],
        "programs": [str(one.provenance.get("program", "")) for _name, one, _weight in weighted]})


def weight_and_path(word: str) -> tuple:
    """`3:FILE`, or FILE, which weighs 1 and may have a colon in its name."""
    weight, colon, path = word.partition(":")
    if not colon or os.path.exists(word):
        return 1, word
    if not weight.isascii() or not weight.isdigit() or not 1 <= len(weight) <= len(str(MOST_WEIGHT)) or \
            not 1 <= int(weight) <= MOST_WEIGHT:
        raise UserError(f"{word}: a weight must be a whole number from 1 to {MOST_WEIGHT}, as in 3:FILE")
    return int(weight), path


def main(argv) -> int:
    """Merge files into one."""
    parser = Parser(prog="learn.merge", usage=f"{EXAMPLE}\n\n       %(prog)s -o OUT [WEIGHT:]FILE ...",
                    description=__doc__)
    parser.add_argument("-o", dest="out", type=Path, required=True, help="the policy file to write")
    parser.add_argument("parts", nargs="+", metavar="[WEIGHT:]FILE", help="policies that `make learn` wrote")
    arguments = parser.parse_args(argv)
    rows = policy.load_rows(ROOT)
    parts = []
    for word in arguments.parts:
        weight, path = weight_and_path(word)
        parts.append((Path(path).name, policy.read(path, rows), weight))
    policy.write(arguments.out, merge(parts, rows))
    print(f"{arguments.out}: {len(parts)} policies merged")
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
