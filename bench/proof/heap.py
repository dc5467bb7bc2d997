# SPDX-License-Identifier: MIT
"""A dictionary of so many records of strings and lists, a third of which is deleted: heap.py RECORDS SEED."""

import sys


def main(records: int, seed: int):
    """Fill, look up, delete, print what is left."""
    table = {f"key{number * seed}": [number, str(number % seed * number)] for number in range(records)}
    length = sum(len(row[1]) for row in table.values())
    for key in list(table)[::3]:
        del table[key]
    print(len(table), length)


main(int(sys.argv[1]), int(sys.argv[2]))
