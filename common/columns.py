# SPDX-License-Identifier: MIT
"""Tables for a terminal."""


def columns(rows, left=(0,), indent="") -> list:
    """A line for each row of cells, which are strings: the columns of `left` to the left, the others to the right. Rows
    may differ in length."""
    widths = [max(len(row[at]) for row in rows if at < len(row)) for at in range(max(map(len, rows)))]
    return [indent + "  ".join(cell.ljust(width) if at in left else cell.rjust(width)
                               for at, (cell, width) in enumerate(zip(row, widths))).rstrip() for row in rows]
