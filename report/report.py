# SPDX-License-Identifier: MIT
"""The result of a build: one row a stage with its figures and verdict, as a terminal table and as a page."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

from common import files, records, workloads
from common.arguments import Parser, result_file
from common.columns import columns
from common.errors import Failure, UserError, guard
from common.paths import BUILD, ROOT
from common.tree import STAGES, Tree, build_tree
from measure import golden, wall
from gate import gate
from bench import canary, over_time, own, proof_table
from report import charts, results

MEMORY_PICTURE, CANARY_PICTURE = "memory.svg", "canary.svg"
WIDTH = 3.2             # inches of a chart
LETTERS = 45            # of its labels, which fit below it
BIN_SECONDS = 0.2       # of a point of bench_over_time's curve
TEMPLATE = Path(__file__).with_name("report.html.j2")
PAIR = "pair64"         # the pattern that stands for "an operation"
# What every workload is shown with; "" is the metric of the branch model, whatever its name.
METRICS = (("ir_alloc", "instructions"), ("i1_miss_alloc", "I1 misses"), ("d1_miss_alloc", "D1 misses"),
           ("", "branch misses"), ("taken_branches_alloc", "taken"), ("lines99", "lines99"),
           ("page_faults", "page faults"), ("syscalls", "syscalls"), ("memory_syscalls", "for memory"),
           ("peak_rss_kib", "peak KiB"))
ROLES = (("holdout", "held out: programs that training never saw"), ("train", "trained on"))
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
class WorkloadRow:
    """The effects of one stage on one workload: (value, value under base) of each of METRICS, None where missing."""
    stage: str
    workload: str
    role: str
    figures: tuple


@dataclass(frozen=True)
class Result:
    """Everything that is shown of one build tree."""
    label: str
    rows: tuple
    control: str        # A against A, with the noise floor; "" without wall clock
    rounds: int
    warnings: tuple
    workloads: tuple = ()       # WorkloadRows, stage by stage, held-out ones first

    @property
    def shipped(self) -> str:
        """The stage that ships; "" when none was chosen."""
        return next((row.stage for row in self.rows if row.shipped), "")


def branch_metric(metrics) -> str:
    """The name of the branch model's metric: the one that begins with `branch_`."""
    return next((name for name in sorted(metrics) if name.startswith("branch_")), "branch_miss_alloc")


def workload_rows(stage, evidence, base) -> list:
    """A row for each workload, held-out ones first."""
    found = []
    ordered = sorted(evidence.measures.values(), key=lambda record: (record["role"] != "holdout", record["workload"]))
    for record in ordered:
        before = base.measures.get(record["workload"])
        figures = []
        for name, _title in METRICS:
            name = name or branch_metric(record["metrics"])
            figures.append((record["metrics"].get(name), before["metrics"].get(name) if before else None))
        found.append(WorkloadRow(stage, record.get("title", record["workload"]), record["role"], tuple(figures)))
    return found


def _sum(evidence, metric, material):
    found = [record["metrics"].get(metric) for record in evidence.measures.values()
             if record["role"] == "holdout" and record["metrics"]["ir_alloc"] >= material.instructions]
    return sum(found) if found and None not in found else None


def stage_row(stage, verdict, evidence, base, times, shipped, material) -> StageRow:
    """The figures of one stage."""
    golden_row = evidence.golden.get(PAIR)
    compared = gate.compare(base, evidence, "ir_alloc", "holdout", material)
    against = times["against"] if times else {}
    reference = times["reference"] if times else ""
    text = next((record["metrics"].get("text_bytes") for record in evidence.measures.values()), None)
    return StageRow(
        stage, golden_row["together"] if golden_row else None, compared[2] if compared else None,
        _sum(evidence, "i1_miss_alloc", material), _sum(evidence, "lines99", material), text,
        against.get(reference, {}).get(stage, {}).get("text", ""),
        against.get(wall.GLIBC, {}).get(stage, {}).get("text", ""),
        verdict["verdict"] if verdict else "", verdict["sentence"] if verdict else "", stage == shipped)


def load(tree: Tree) -> Result:
    """What the build tree holds."""
    if "base" not in tree.built_stages():
        raise UserError(f"{tree.root} holds no measured base stage: run `make pgo` first")
    return of_record(results.run_record(tree, time.time()))


def of_record(record: dict) -> Result:
    """What a run measured, from the tree just now or from results/."""
    material = gate.load_gates().material
    stages = [stage for stage in STAGES if stage in record["stages"]]
    evidence = {stage: results.evidence_in(record, stage) for stage in stages}
    if not evidence.get("base") or not evidence["base"].measures:
        raise Failure(f"the run of {record['tree']} has no measured base stage: run `make pgo` first")
    times = record["wall"]
    shipped = results.shipped_of(record) if "shipped" not in record or record["shipped"] else ""
    rows = tuple(stage_row(stage, record["stages"][stage]["gate"], evidence[stage], evidence["base"], times, shipped,
                           material) for stage in stages)
    effects = tuple(row for stage in stages for row in workload_rows(stage, evidence[stage], evidence["base"]))
    control, warnings = "", ()
    if times:
        control = f"{times['control']['text']}, noise floor {times['floor'] * 100:.1f} %"
        warnings = tuple(sorted({warning for group in times["against"].values() for row in group.values()
                                 for warning in row["warnings"]}))
    return Result(record["tree"], rows, control, times["rounds"] if times else 0, warnings, effects)


def _figure(value, form):
    return "-" if value is None else format(value, form)


def _cells(row: StageRow) -> tuple:
    change = "-" if row.instructions is None else gate.percent(row.instructions - 1)
    return (row.stage + (" *" if row.shipped else ""), _figure(row.per_op, ".1f"), change, _figure(row.i1_misses, ",d"),
            _figure(row.lines99, ",d"), _figure(row.text_bytes, ",d"), row.wall_base or "-", row.wall_glibc or "-",
            row.verdict or "-")


HEAD = ("stage", "instr/op", "allocator instr", "I1 misses", "lines99", "text bytes", "time vs base", "time vs glibc",
        "verdict")


def effect(value, before) -> str:
    """`12,345 (-1.2 %)`: a figure and its change against base; without a change when there is none to tell."""
    if value is None:
        return "-"
    if not before or value == before:
        return f"{value:,d}"
    return f"{value:,d} ({(value / before - 1) * 100:+.1f} %)"


def effect_cells(row: WorkloadRow) -> tuple:
    """A row of the table of effects."""
    return (row.workload, *(effect(*pair) for pair in row.figures))


def render_effects(result: Result) -> list:
    """Lines: each workload under what ships (or the last stage), against base; trained and held out apart."""
    stage = result.shipped or (result.rows[-1].stage if result.rows else "")
    lines = []
    for role, title in ROLES:
        rows = [row for row in result.workloads if row.stage == stage and row.role == role]
        if rows:
            what = "what ships" if result.shipped else "the last stage"
            lines.append(f"  {stage}, {what}, against base; {title}")
            lines += columns([("workload", *(title for _name, title in METRICS)), *map(effect_cells, rows)],
                             indent="  ")
    return lines


def stage_lines(result: Result) -> list:
    """The label, and a line a stage."""
    return [result.label, *columns([HEAD] + [_cells(row) for row in result.rows], (0, len(HEAD) - 1), "  ")]


def render_table(result: Result) -> str:
    """The terminal table."""
    lines = stage_lines(result)
    lines.append("  instr/op: one malloc and one free of 64 bytes with calls and PLT stubs "
                 f"(goal {golden.GOALS[PAIR]}); the rest on held-out")
    lines.append("  programs: instructions against base, misses and lines of its own text; * ships; ~ undecided;")
    lines.append("  I1 misses are simulated: 32 KiB, fully associative, so that they do not depend on addresses")
    lines += render_effects(result)
    if result.control:
        lines.append(f"  {result.rounds} interleaved rounds; A against A {result.control}")
    lines += [f"  warning: {warning}" for warning in result.warnings]
    lines += [f"  {row.stage}: {row.sentence}" for row in result.rows if row.sentence]
    return "\n".join(lines)


def _legend_beside(axes):
    """One legend for all charts, where it covers none of them."""
    if axes[0][0].get_legend_handles_labels()[0]:
        axes[0][-1].legend(*axes[0][0].get_legend_handles_labels(), loc="upper left", bbox_to_anchor=(1, 1), fontsize=7,
                           frameon=False)


def plot_memory(record: dict, path: Path):
    """Resident memory over time: a chart for each shape and size, a line for each contender."""
    shapes, sizes = over_time.words_of("shape"), over_time.words_of("size")
    figure, axes = charts.figure(len(shapes), len(sizes), (WIDTH * len(sizes), 2.2 * len(shapes)))
    step = BIN_SECONDS * record["scale"]
    for axis, row in zip(axes.flat, over_time.row_names()):
        for name, found in record["figures"][row].items():
            curve = found.get("curve", [])
            axis.plot([at * step for at in range(len(curve))], curve, linewidth=2 if name == over_time.OURS else 1,
                      label=name)
        axis.set_title(row, fontsize=8)
        axis.tick_params(labelsize=7)
        axis.set_ylim(bottom=-0.02 * axis.get_ylim()[1])      # who returns everything has a line, too
    _legend_beside(axes)
    figure.supxlabel("seconds", fontsize=8)
    figure.supylabel("MiB resident beyond what lives", fontsize=8)
    charts.write(figure, path)


def plot_canary(record: dict, path: Path):
    """What the learner was doing while the workload changed: its state, how far sizes moved, and its drifts."""
    rows = record["figures"]["rows"]
    figure, axes = charts.figure(3, 1, (9, 5))
    seconds = [row["seconds"] for row in rows]
    for (axis,), (key, unit, title) in zip(axes, (
            ("state", 1, "state"), ("drift", 10000, "sizes of the last look that are not as when it froze, %"),
            ("drifts", 1, "times that it learned anew"))):
        axis.step(seconds, [row[key] / unit for row in rows], where="post", linewidth=1)
        for begins, _learned, _froze in canary.phases(rows)[1:]:
            axis.axvline(begins, color="black", linewidth=0.6, linestyle="dashed")
        axis.set_title(title, fontsize=8)
        axis.tick_params(labelsize=7)
    axes[0][0].set_yticks(range(len(canary.STATES)), canary.STATES)
    figure.supxlabel("seconds; dashed: the sizes of blocks change", fontsize=8)
    charts.write(figure, path)


def turned(labels) -> dict:
    """How labels below a chart stand: side by side, or aslant where they would run into each other."""
    room = LETTERS / max(1, len(labels))
    return {"rotation": 30, "ha": "right"} if max(map(len, labels), default=0) > room else {}


def plot(tree: Tree, path: Path):
    """Bars of the held-out workloads' metrics: what each stage changed against base, in percent."""
    material = gate.load_gates().material
    titles = workloads.titles(workloads.load_workloads(ROOT))
    stages = tree.built_stages()
    evidence = {stage: gate.evidence_of(tree, stage, list(titles)) for stage in stages}
    shown = [name for name, record in sorted(evidence["base"].measures.items())
             if record["role"] == "holdout" and record["metrics"]["ir_alloc"] >= material.instructions]
    labels = [charts.label(titles[name]) for name in shown]
    figure, axes = charts.figure(1, len(PLOTTED), (WIDTH * len(PLOTTED), 3))
    later = [stage for stage in stages if stage != "base"]
    for axis, (metric, title) in zip(axes[0], PLOTTED):
        for position, stage in enumerate(later):
            values = []
            for name in shown:
                record = evidence[stage].measures.get(name)
                before = evidence["base"].measures[name]["metrics"].get(metric)
                after = record["metrics"].get(metric) if record else None
                values.append((after / before - 1) * 100 if after is not None and before else 0)
            axis.bar([at + position * 0.8 / len(later) for at in range(len(shown))], values, 0.8 / len(later),
                     label=stage)
        axis.set_xticks([at + 0.4 - 0.4 / len(later) for at in range(len(shown))] if later else [],
                        labels if later else [], fontsize=7, **turned(labels))
        axis.tick_params(axis="y", labelsize=7)
        axis.axhline(0, color="black", linewidth=0.6)
        axis.set_title(title, fontsize=8)
    figure.supylabel("% against base", fontsize=8)
    _legend_beside(axes)
    charts.write(figure, path)


def own_of(trees) -> dict:
    """Label -> what was found about own commands and servers, where there are any."""
    if not any(row.own for row in workloads.load_workloads(ROOT)):
        return {}
    return {tree.label: files.read_fields(tree.own, "commands")["commands"] for tree in trees if tree.own.exists()}


def render_page(results, pictures, memory=None, learner=None, proof=None, commands=None) -> str:
    """The page; `pictures` maps a label to (bars, heat map) file names, `memory` is a record of memory over time,
    `learner` one of a workload that changes, `proof` one of learned policies, `commands` is of own_of."""
    import jinja2
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
                                     lstrip_blocks=True)
    return environment.from_string(TEMPLATE.read_text()).render(
        own={label: [(own.caption(entry).strip(), own.table_of(entry)) for entry in found]
             for label, found in (commands or {}).items()},
        judged={label: any(entry["role"] == "holdout" for entry in found) for label, found in (commands or {}).items()},
        results=results, pictures=pictures, memory=memory, memory_picture=MEMORY_PICTURE, learner=learner,
        canary_picture=CANARY_PICTURE, proof=proof, head=HEAD, cells=_cells,
        learner_rows=canary.cells(learner["figures"]) if learner else (),
        proof_tables=proof_table.tables(proof) if proof else (),
        proof_says=proof_table.statements(proof) if proof else (),
        memory_rows=over_time.after_rows(memory["figures"]) if memory else (), roles=ROLES, effect_cells=effect_cells,
        effect_head=("workload", *(title for _name, title in METRICS)))


def write_page(trees, results, path: Path):
    """The page and its pictures."""
    from report import heatmap
    pictures = {}
    path.parent.mkdir(parents=True, exist_ok=True)
    for tree, result in zip(trees, results):
        bars, heat = f"{tree.label}-metrics.svg", f"{tree.label}-heatmap.svg"
        plot(tree, path.parent / bars)
        stages = heatmap.stage_shares(tree)
        heatmap.draw(stages, path.parent / heat, tree.label)
        pictures[result.label] = (bars, heat)
    on_record = records.everything()
    memory, learner = over_time.newest(on_record), records.newest(on_record, canary.KIND)
    proof = records.newest(on_record, proof_table.KIND)
    if memory:
        plot_memory(memory, path.parent / MEMORY_PICTURE)
    if learner:
        plot_canary(learner, path.parent / CANARY_PICTURE)
    files.write_atomic(path, render_page(results, pictures, memory, learner, proof, own_of(trees)))


def main(argv) -> int:
    parser = Parser(
        prog="report.report",
        description="example: python3 -m report.report --build build/clang-bench_minimal --table\n\n"
                    "Show what each stage of a build brought.")
    parser.add_argument("--build", type=build_tree, action="append", default=[], metavar="B",
                        help="build tree; repeatable (default: all that were measured)")
    parser.add_argument("--table", action="store_true", help="print the table (default without --html)")
    parser.add_argument("--html", type=result_file, metavar="OUT", help="write a page with pictures")
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
