# SPDX-License-Identifier: MIT
"""Heat map of the library's text: executions of every 64-byte line, one panel a stage, drawn from callgrind's counts.

perf's heat maps need hardware branch records; the counts are exact, and the same on every machine. Executions of
all workloads are added up, so that a program which hardly allocates hardly shows. A cell is one cache line, a row of
64 cells is one page, the colour is the logarithm of its share.
"""

import sys
from collections import defaultdict
from pathlib import Path

from common import workloads
from common.arguments import Parser, result_file
from common.errors import UserError, guard
from common.paths import ROOT
from common.tree import Tree, build_tree
from measure import callgrind
from measure.counting import LINE_BYTES, PAGE_BYTES
from report import charts

LINES_A_PAGE = PAGE_BYTES // LINE_BYTES
FORMATS = (".svg", ".png")
LEAST_SHARE = 1e-7      # colours span seven decades


def line_shares(runs) -> dict:
    """Line number -> share of all executions of all runs together."""
    executed = defaultdict(int)
    for run in runs:
        for address, times in run.counts.items():
            executed[address // LINE_BYTES] += times
    whole = sum(executed.values())
    return {line: times / whole for line, times in executed.items()}


def grid(shares) -> list:
    """Rows of (page number, 64 shares), only pages in which something ran, in address order."""
    rows = {}
    for line, share in shares.items():
        rows.setdefault(line // LINES_A_PAGE, [0.0] * LINES_A_PAGE)[line % LINES_A_PAGE] += share
    return sorted(rows.items())


def stage_shares(tree: Tree, role="holdout") -> dict:
    """Stage -> line shares, of the stages that were measured."""
    found = {}
    for stage in tree.built_stages():
        paths = [tree.counts(stage, row.name) for row in workloads.load_workloads(ROOT) if row.role == role]
        runs = [callgrind.load(path) for path in paths if path.exists()]
        if runs:
            found[stage] = line_shares(runs)
    return found


def draw(stages, path: Path, title=""):
    """Write the picture; the suffix (svg, png) is the format. Equal input gives equal bytes."""
    grids = {stage: grid(shares) for stage, shares in stages.items()}
    height = 0.7 + sum(0.45 + 0.22 * len(rows) for rows in grids.values())
    figure, axes = charts.figure(len(grids), 1, (10, height),
                                 height_ratios=[len(rows) + 1 for rows in grids.values()])
    from matplotlib import colors
    scale = colors.LogNorm(LEAST_SHARE, 1.0)
    image = None
    for axis, (stage, rows) in zip(axes[:, 0], grids.items()):
        cells = [[share if share > 0 else float("nan") for share in row] for _page, row in rows]
        image = axis.imshow(cells, aspect="auto", norm=scale, cmap="inferno_r", interpolation="nearest")
        used = sum(share > 0 for _page, row in rows for share in row)
        axis.set_title(f"{stage}: {used} lines in {len(rows)} pages", loc="left", fontsize=9)
        axis.set_yticks(range(len(rows)), [f"{page * PAGE_BYTES:#x}" for page, _row in rows], fontsize=7)
        axis.tick_params(axis="x", labelsize=7)
    axes[-1, 0].set_xlabel("cache line of the page", fontsize=8)
    figure.colorbar(image, ax=axes[:, 0], label="share of executed instructions", fraction=0.03)
    if title:
        figure.suptitle(title, fontsize=10)
    charts.write(figure, path)


def main(argv) -> int:
    parser = Parser(
        prog="report.heatmap",
        description="example: python3 -m report.heatmap --build build/clang-bench_minimal -o heatmap.svg\n\n"
                    "Draw which cache lines of the library execute, stage by stage.")
    parser.add_argument("--build", type=build_tree, required=True, metavar="B")
    parser.add_argument("--role", choices=workloads.ROLES, default="holdout", help="(default: %(default)s)")
    parser.add_argument("-o", "--output", type=result_file, required=True, help="SVG or PNG file")
    arguments = parser.parse_args(argv)
    if arguments.output.suffix not in FORMATS:
        raise UserError(f"{arguments.output}: the picture's name must end in {' or '.join(FORMATS)}")
    tree = Tree(arguments.build)
    stages = stage_shares(tree, arguments.role)
    if not stages:
        raise UserError(f"{arguments.build} holds no measured stage: run `make pgo` first")
    draw(stages, arguments.output, tree.label)
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
