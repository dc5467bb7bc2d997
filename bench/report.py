"""The result of a build: one row a stage with its figures and verdict, as a terminal table and as a page."""

import argparse
import io
import sys
from dataclasses import dataclass
from pathlib import Path

from common import files, workloads
from common.errors import Failure, UserError, guard
from common.paths import BUILD, ROOT
from bench import gate, golden, wall
from bench.tree import BEFORE, Tree

TEMPLATE = Path(__file__).with_name("report.html.j2")
PAIR = "pair64"         # the pattern that stands for "an operation"
PLOTTED = (("ir_alloc", "instructions in the allocator"), ("i1_miss_alloc", "I1 misses of its text"),
           ("taken_branches_alloc", "taken branches"), ("lines99", "lines holding 99 % of execution"))


@dataclass(frozen=True)
class StageRow:
    """One line of the table; None where something was not measured. Ratios are against base."""
    stage: str
    per_op: float | None
    instructions: float | None      # held-out, geometric mean of ratios
    i1_misses: int | None           # held-out, sum
    lines99: int | None             # held-out, sum
    text_bytes: int | None
    wall_base: str
    wall_glibc: str
    verdict: str
    sentence: str
    shipped: bool


@dataclass(frozen=True)
class Result:
    """Everything that is shown of one build tree."""
    label: str
    rows: tuple
    control: str        # A against A, with the noise floor; "" without wall clock
    rounds: int
    warnings: tuple


def _json(path):
    return files.read_json(path) if path.exists() else None


def _sum(evidence, metric, material):
    found = [record["metrics"][metric] for record in evidence.measures.values()
             if record["role"] == "holdout" and record["metrics"]["ir_alloc"] >= material.instructions]
    return sum(found) if found else None


def stage_row(tree, stage, evidence, base, times, shipped, material) -> StageRow:
    """The figures of one stage."""
    golden_row = evidence.golden.get(PAIR)
    compared = gate.compare(base, evidence, "ir_alloc", "holdout", material)
    verdict = _json(tree.gate(stage)) if stage in BEFORE else None
    against = times["against"] if times else {}
    reference = times["reference"] if times else ""
    text = next((record["metrics"]["text_bytes"] for record in evidence.measures.values()), None)
    return StageRow(
        stage, golden_row["together"] if golden_row else None, compared[2] if compared else None,
        _sum(evidence, "i1_miss_alloc", material), _sum(evidence, "lines99", material), text,
        against.get(reference, {}).get(stage, {}).get("text", ""),
        against.get(wall.GLIBC, {}).get(stage, {}).get("text", ""),
        verdict["verdict"] if verdict else "", verdict["sentence"] if verdict else "", stage == shipped)


def load(tree: Tree) -> Result:
    """What the build tree holds."""
    names = [row.name for row in workloads.load_workloads(ROOT)]
    material = gate.load_gates().material
    stages = tree.built_stages()
    evidence = {stage: gate.evidence_of(tree, stage, names) for stage in stages}
    if not evidence.get("base") or not evidence["base"].measures:
        raise Failure(f"{tree.root} holds no measured base stage: run `make pgo` first")
    times, ship = _json(tree.root / "wall.json"), _json(tree.select("ship.json"))
    shipped = ship["stage"] if ship else ""
    rows = tuple(stage_row(tree, stage, evidence[stage], evidence["base"], times, shipped, material)
                 for stage in stages)
    control, warnings = "", ()
    if times:
        control = f"{times['control']['text']}, noise floor {times['floor'] * 100:.1f} %"
        warnings = tuple(sorted({warning for group in times["against"].values() for row in group.values()
                                 for warning in row["warnings"]}))
    return Result(tree.label, rows, control, times["rounds"] if times else 0, warnings)


def _figure(value, form):
    return "-" if value is None else format(value, form)


def _cells(row: StageRow) -> tuple:
    change = "-" if row.instructions is None else gate.percent(row.instructions - 1)
    return (row.stage + (" *" if row.shipped else ""), _figure(row.per_op, ".1f"), change, _figure(row.i1_misses, ",d"),
            _figure(row.lines99, ",d"), _figure(row.text_bytes, ",d"), row.wall_base or "-", row.wall_glibc or "-",
            row.verdict or "-")


HEAD = ("stage", "instr/op", "allocator instr", "I1 misses", "lines99", "text bytes", "time vs base", "time vs glibc",
        "verdict")


def render_table(result: Result) -> str:
    """The terminal table."""
    body = [HEAD] + [_cells(row) for row in result.rows]
    widths = [max(len(cells[column]) for cells in body) for column in range(len(HEAD))]
    lines = [result.label]
    for cells in body:
        lines.append("  " + "  ".join(cell.ljust(width) if column in (0, len(HEAD) - 1) else cell.rjust(width)
                                      for column, (cell, width) in enumerate(zip(cells, widths))).rstrip())
    lines.append("  instr/op: one malloc and one free of 64 bytes with calls and PLT stubs "
                 f"(goal {golden.GOALS[PAIR]}); the rest on held-out")
    lines.append("  programs: instructions against base, misses and lines of its own text; * ships; ~ undecided")
    if result.control:
        lines.append(f"  {result.rounds} interleaved rounds; A against A {result.control}")
    lines += [f"  warning: {warning}" for warning in result.warnings]
    lines += [f"  {row.stage}: {row.sentence}" for row in result.rows if row.sentence]
    return "\n".join(lines)


def plot(tree: Tree, path: Path):
    """Bars of the held-out workloads' metrics by stage, each against base. Equal input gives equal bytes."""
    import matplotlib
    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "hakmem"
    from matplotlib import pyplot

    material = gate.load_gates().material
    names = [row.name for row in workloads.load_workloads(ROOT)]
    stages = tree.built_stages()
    evidence = {stage: gate.evidence_of(tree, stage, names) for stage in stages}
    shown = [name for name, record in sorted(evidence["base"].measures.items())
             if record["role"] == "holdout" and record["metrics"]["ir_alloc"] >= material.instructions]
    figure, axes = pyplot.subplots(1, len(PLOTTED), figsize=(3.2 * len(PLOTTED), 3), layout="constrained",
                                   squeeze=False)
    for axis, (metric, title) in zip(axes[0], PLOTTED):
        for position, stage in enumerate(stages):
            values = []
            for name in shown:
                record = evidence[stage].measures.get(name)
                before = evidence["base"].measures[name]["metrics"][metric]
                values.append(record["metrics"][metric] / before if record and before else 0)
            axis.bar([at + position * 0.8 / len(stages) for at in range(len(shown))], values, 0.8 / len(stages),
                     label=stage)
        axis.set_xticks([at + 0.4 - 0.4 / len(stages) for at in range(len(shown))], shown, fontsize=7)
        axis.tick_params(axis="y", labelsize=7)
        axis.axhline(1, color="black", linewidth=0.6)
        axis.set_title(title, fontsize=8)
    axes[0][0].legend(fontsize=7)
    drawn = io.BytesIO()
    figure.savefig(drawn, format=path.suffix[1:], metadata={"Date": None})
    pyplot.close(figure)
    files.write_atomic(path, drawn.getvalue())


def render_page(results, pictures) -> str:
    """The page; `pictures` maps a label to (bars, heat map) file names."""
    import jinja2
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
                                     lstrip_blocks=True)
    return environment.from_string(TEMPLATE.read_text()).render(results=results, pictures=pictures, head=HEAD,
                                                                cells=_cells)


def write_page(trees, results, path: Path):
    """The page and its pictures."""
    from layout import heatmap
    pictures = {}
    path.parent.mkdir(parents=True, exist_ok=True)
    for tree, result in zip(trees, results):
        bars, heat = f"{tree.label}-metrics.svg", f"{tree.label}-heatmap.svg"
        plot(tree, path.parent / bars)
        stages = heatmap.stage_shares(tree)
        heatmap.draw(stages, path.parent / heat, tree.label)
        pictures[result.label] = (bars, heat)
    files.write_atomic(path, render_page(results, pictures))


def main(argv) -> int:
    parser = argparse.ArgumentParser(
        prog="bench.report", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="example: python -m bench.report --build build/clang-bench_minimal --table\n\n"
                    "Show what each stage of a build brought.")
    parser.add_argument("--build", type=Path, action="append", default=[], metavar="B",
                        help="build tree; repeatable (default: all that were measured)")
    parser.add_argument("--table", action="store_true", help="print the table (default without --html)")
    parser.add_argument("--html", type=Path, metavar="OUT", help="write a page with pictures")
    arguments = parser.parse_args(argv)
    trees = [Tree(path) for path in arguments.build] or \
        [Tree(path.parent.parent) for path in sorted(BUILD.glob("*/measure/base"))]
    if not trees:
        raise UserError("no build tree was measured: run `make pgo` first")
    results = [load(tree) for tree in trees]
    if arguments.html:
        write_page(trees, results, arguments.html)
    if arguments.table or not arguments.html:
        print("\n\n".join(render_table(result) for result in results))
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
