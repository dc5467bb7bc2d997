# SPDX-License-Identifier: MIT
"""A dictionary of so many records of strings and lists, a third of which is deleted: heap.py RECORDS SEED."""

import sys


def numbers(seed):
    """Pseudo-random numbers, the same everywhere."""
    while True:
        seed = (seed * 1103515245 + 12345) & 0x7fffffff
        yield seed


def main(records: int, seed: int):
    """Fill, look up, delete, print what is left."""
    drawn, table = numbers(seed), {}
    for number in range(records):
        value = next(drawn)
        table[f"key{value % records}:{number}"] = [number, str(value)[:value % 9]]
    length = sum(len(row[1]) for row in table.values())
    for key in list(table)[::3]:
        del table[key]
    print(len(table), length)


main(int(sys.argv[1]), int(sys.argv[2]))
