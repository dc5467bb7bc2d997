# SPDX-License-Identifier: MIT
"""Figures by matplotlib, without a display: equal input gives equal bytes."""

import io
from pathlib import Path

from common import files

DPI = 110       # of a PNG


def figure(rows: int, across: int, size: tuple, **more) -> tuple:
    """A figure of `size` inches with so many charts, and their axes in rows."""
    import matplotlib
    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "hakmem"
    from matplotlib import pyplot
    return pyplot.subplots(rows, across, figsize=size, layout="constrained", squeeze=False, **more)


def write(drawn, path: Path):
    """The figure as a file, whose suffix is the format; and no longer in memory."""
    from matplotlib import pyplot
    out = io.BytesIO()
    drawn.savefig(out, format=path.suffix[1:], metadata={"Date": None} if path.suffix == ".svg" else None, dpi=DPI)
    pyplot.close(drawn)
    files.write_atomic(path, out.getvalue())


def label(text: str) -> str:
    """A name that anybody may have given: neither a formula nor bytes that are no text."""
    return text.encode(errors="replace").decode().replace("$", r"\$")
