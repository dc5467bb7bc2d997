# SPDX-License-Identifier: MIT
"""Judge a stage against the one before it: GO, NEUTRAL or NO-GO by the rows of gate/gates.toml, every figure shown."""

import dataclasses
import math
import sys
from dataclasses import dataclass
from pathlib import Path

from common import files, tables, workloads
from common.arguments import Parser
from common.errors import Failure, UserError, check_file, given, guard
from common.paths import ROOT
from common.tree import AGAIN, GIVEN, Tree, build_tree
from measure import stats

GATES = ROOT / "gate" / "gates.toml"
GO, NEUTRAL, NO_GO = "GO", "NEUTRAL", "NO-GO"
EXIT = {GO: 0, NEUTRAL: 1, NO_GO: 2}
SCOPES = ("holdout", "train", "micro", "wall", "replay")
ROLES = ("primary", "guard")
NEEDS = ("any", "all")
POOLED = frozenset(("i1_miss_alloc", "d1_miss_alloc", "branch_miss_alloc", "lines99", "pages99"))


@dataclass(frozen=True)
class Stage:
    """How the primary rows of one stage combine."""
    name: str
    needs: str
    sentence: str
    must: bool = False      # only GO lets it pass: what gains nothing is left out


@dataclass(frozen=True)
class Row:
    """One criterion; the head of gates.toml explains the keys."""
    stage: str
    metric: str
    scope: str
    role: str
    reason: str
    go: float | None = None
    nogo: float | None = None


@dataclass(frozen=True)
class Material:
    """Which workloads say anything: those in which the allocator executes at least so many instructions."""
    instructions: int
    reason: str


@dataclass(frozen=True)
class Gates:
    """gates.toml."""
    stages: dict
    rows: tuple
    material: Material


@dataclass(frozen=True)
class Evidence:
    """Everything measured of one stage: measure records by workload, golden figures by pattern, a time ratio."""
    measures: dict
    golden: dict
    time: stats.Estimate | None = None      # of after against before; only on the after side
    twice: tuple = ({}, {})                 # two measurements of one library; only on the after side
    replays: dict = dataclasses.field(default_factory=dict)     # policy/replay.json; only on the after side


@dataclass(frozen=True)
class Finding:
    """One row with its figures. `change` is None when a side lacks the metric."""
    row: Row
    before: float | None
    after: float | None
    change: float | None
    verdict: str
    noise: float = 0.0      # what A against A showed: a change must leave its limit by more than that


@dataclass(frozen=True)
class Judgement:
    """The verdict of a stage. `overfit` is the gain on trained minus the gain on held-out workloads, of the metric that
    the stage is judged by first."""
    stage: str
    verdict: str
    findings: tuple
    overfit: float | None
    overfit_metric: str = ""
    must: bool = False
    note: str = ""          # what the figures are of, where the rows do not say it

    @property
    def accepted(self) -> bool:
        return self.verdict == GO if self.must else self.verdict != NO_GO

    @property
    def shown(self) -> str:
        """The verdict, and what follows from it where that is not plain."""
        left_out = self.must and self.verdict == NEUTRAL
        return f"{self.verdict}, left out as it gains nothing" if left_out else self.verdict


def load_gates(path=GATES) -> Gates:
    """The table, checked."""
    stages = {row.name: row for row in tables.load(path, "stage", Stage)}
    rows = tables.load(path, "gate", Row)
    for stage in stages.values():
        if stage.needs not in NEEDS:
            raise UserError(f"{path}: stage '{stage.name}': needs must be one of {', '.join(NEEDS)}")
    for number, row in enumerate(rows, 1):
        where = f"{path}: [[gate]] row {number}"
        for key, valid in (("stage", stages), ("scope", SCOPES), ("role", ROLES)):
            if getattr(row, key) not in valid:
                raise UserError(f"{where}: {key} must be one of {', '.join(valid)}, not '{getattr(row, key)}'")
        if row.nogo is None or (row.role == "primary") != (row.go is not None):
            raise UserError(f"{where}: a primary row needs go and nogo, a guard row only nogo")
        if row.go is not None and row.go > row.nogo:
            raise UserError(f"{where}: go ({row.go}) must not be above nogo ({row.nogo})")
    material = tables.load(path, "material", Material)
    if len(material) != 1:
        raise UserError(f"{path}: there must be one [[material]] row, not {len(material)}")
    return Gates(stages, rows, material[0])


def read_measures(paths) -> dict:
    """workload -> record, of measure JSON files."""
    found = {}
    for path in paths:
        try:
            record = files.read_fields(path, "workload", "role", "weight", "digest", "metrics", "provenance")
            found[record["workload"]] = record
        except FileNotFoundError:
            raise UserError(f"{path} is missing: measure first") from None
    return found


def evidence_of(tree: Tree, stage: str, names) -> Evidence:
    """What the build tree holds of a stage, for the named workloads that were measured in it."""
    measures = read_measures(path for path in (tree.measure(stage, name) for name in names) if path.exists())
    if not tree.library(stage).exists():
        raise UserError(f"{tree.library(stage)} is missing: run `make pgo` first")
    have = files.sha256(tree.library(stage))
    for record in measures.values():
        if record["provenance"]["source"] != have:
            raise Failure(f"the measurement of {record['workload']} is of another {tree.library(stage)}: "
                          f"delete {tree.measure(stage, record['workload'])} and build again")
    golden = files.read_fields(tree.golden(stage), "patterns")["patterns"] if tree.golden(stage).exists() else {}
    judged = stage == GIVEN and tree.replay.exists()
    replays = files.read_fields(tree.replay, "workloads", "note") if judged else {}
    return Evidence(measures, golden, replays=replays)


def twice_of(tree: Tree, names) -> tuple:
    """The two measurements of the base library."""
    have = files.sha256(tree.library("base"))
    again = read_measures(path for path in (tree.measure(AGAIN, name) for name in names) if path.exists())
    again = {name: record for name, record in again.items() if record["provenance"]["source"] == have}
    return evidence_of(tree, "base", list(again)).measures, again


def evidence_from(paths) -> Evidence:
    """Evidence of explicit JSON files, measurements and golden figures mixed."""
    measures, golden = [], {}
    for path in paths:
        record = files.read_json(path)
        if isinstance(record, dict) and record.get("kind") == "golden":
            golden = files.read_fields(path, "patterns")["patterns"]
        else:
            measures.append(path)
    return Evidence(read_measures(measures), golden)


def check_same_workloads(before: Evidence, after: Evidence):
    """Failure when a workload's program, input or place changed between the two sides."""
    for name, record in sorted(before.measures.items()):
        other = after.measures.get(name)
        if other is not None and record["digest"] != other["digest"]:
            raise Failure(f"workload '{name}' changed between the two measurements (program, input, or TMPDIR to "
                          "a name of other length): measure both, as a build does without its measure/")


def _in_scope(record, scope, material):
    return record["role"] == scope and record.get("gate", True) and \
        record["metrics"]["ir_alloc"] >= material.instructions


def compare(before: Evidence, after: Evidence, metric: str, scope: str, material: Material):
    """(before, after, ratio) of a metric over a scope; None when it was not measured on both sides.

    Instructions are geometric means over workloads. Misses and lines are sums: their counts are small in some
    programs, where a ratio of two of them would be noise.
    """
    if scope == "wall":
        if after.time is None:
            return None
        return 1.0, after.time.ratio, after.time.ratio if after.time.decided else 1.0
    if scope == "replay":
        pairs = [(row["before"][metric], row["after"][metric], row["weight"])
                 for row in after.replays.get("workloads", {}).values()]
    elif scope == "micro":
        pairs = [(row[metric], after.golden[name][metric], 1) for name, row in sorted(before.golden.items())
                 if name in after.golden and metric in row]
    else:
        pairs = [(record["metrics"].get(metric), after.measures[name]["metrics"].get(metric), record["weight"])
                 for name, record in sorted(before.measures.items())
                 if name in after.measures and _in_scope(record, scope, material)]
    pairs = [pair for pair in pairs if pair[0] is not None and pair[1] is not None]
    if not pairs:
        return None
    if metric in POOLED or min(min(pair[:2]) for pair in pairs) <= 0:
        old = sum(weight * value for value, _other, weight in pairs)
        new = sum(weight * value for _other, value, weight in pairs)
        return old, new, new / old if old else (1.0 if not new else math.inf)
    weights = [weight for _old, _new, weight in pairs]
    return (stats.geometric_mean([pair[0] for pair in pairs], weights),
            stats.geometric_mean([pair[1] for pair in pairs], weights),
            stats.geometric_mean([pair[1] / pair[0] for pair in pairs], weights))


def noise_of(row: Row, after: Evidence, material: Material) -> float:
    """What a row shows of one library against itself; 0 where that was not measured. The wall clock's floor is part of
    its estimate."""
    if row.scope == "replay":
        return max((of["noise"].get(row.metric, 0.0) for of in after.replays.get("workloads", {}).values()),
                   default=0.0)
    if row.scope not in ("holdout", "train"):
        return 0.0
    figures = compare(Evidence(after.twice[0], {}), Evidence(after.twice[1], {}), row.metric, row.scope, material)
    return abs(figures[2] - 1) if figures else 0.0


def judge_row(row: Row, before: Evidence, after: Evidence, material: Material) -> Finding:
    """One row's figures and verdict. What was not measured decides nothing, nor what is within the noise of a limit."""
    figures = compare(before, after, row.metric, row.scope, material)
    if figures is None:
        return Finding(row, None, None, None, NEUTRAL)
    old, new, ratio = figures
    change = ratio - 1
    noise = noise_of(row, after, material)
    if change > row.nogo + noise:
        verdict = NO_GO
    elif row.go is not None and change <= row.go - noise:
        verdict = GO
    else:
        verdict = NEUTRAL
    return Finding(row, old, new, change, verdict, noise)


def primary_metric(rows) -> str:
    """The metric of programs by which a stage is judged first."""
    return next((row.metric for row in rows if row.role == "primary" and row.scope == "holdout"), "ir_alloc")


def overfit(before: Evidence, after: Evidence, material: Material, metric="ir_alloc"):
    """Gain on trained minus gain on held-out workloads, as a share; None without both."""
    train, holdout = (compare(before, after, metric, scope, material) for scope in ("train", "holdout"))
    if train is None or holdout is None:
        return None
    return (1 - train[2]) - (1 - holdout[2])


def judge(stage: str, before: Evidence, after: Evidence, gates: Gates) -> Judgement:
    """The verdict on a stage."""
    if stage not in gates.stages:
        raise UserError(f"unknown stage '{stage}'; stages with gates: {', '.join(gates.stages)}")
    check_same_workloads(before, after)
    rows = tuple(row for row in gates.rows if row.stage == stage)
    findings = tuple(judge_row(row, before, after, gates.material) for row in rows)
    if all(finding.change is None for finding in findings):
        raise Failure(f"nothing that the gate of stage {stage} reads was measured on both sides")
    primary = [finding.verdict == GO for finding in findings if finding.row.role == "primary"]
    if any(finding.verdict == NO_GO for finding in findings):
        verdict = NO_GO
    elif all(primary) if gates.stages[stage].needs == "all" else any(primary):
        verdict = GO
    else:
        verdict = NEUTRAL
    metric = primary_metric(rows)
    return Judgement(stage, verdict, findings, overfit(before, after, gates.material, metric), metric,
                     gates.stages[stage].must, after.replays.get("note", ""))


def percent(change) -> str:
    """`-3.21 %`; exactly equal figures print as `0`."""
    if change is None:
        return "not measured"
    if change == 0:
        return "0"
    return f"{change * 100:+.2f} %" if abs(change) >= 5e-5 else f"{change * 100:+.1e} %"


def sentence(judgement: Judgement) -> str:
    """The verdict and the figures behind it in one line."""
    deciding = [finding for finding in judgement.findings if finding.verdict == judgement.verdict] \
        if judgement.verdict != NEUTRAL else [f for f in judgement.findings if f.row.role == "primary"]
    figures = ", ".join(f"{f.row.metric} ({f.row.scope}) {percent(f.change)}" for f in deciding)
    of = "" if judgement.overfit_metric == "ir_alloc" else f" of {judgement.overfit_metric}"
    fit = f"; over-fit{of} {judgement.overfit * 100:+.2f} points" \
        if judgement.overfit is not None else ""
    note = f"; {judgement.note}" if judgement.note else ""
    return f"{judgement.shown}: {figures}{fit}{note}"


def as_dict(judgement: Judgement, before_stage: str) -> dict:
    """For JSON."""
    rows = [{"metric": f.row.metric, "scope": f.row.scope, "role": f.row.role, "before": f.before, "after": f.after,
             "change": f.change, "go": f.row.go, "nogo": f.row.nogo, "noise": f.noise, "verdict": f.verdict,
             "reason": f.row.reason} for f in judgement.findings]
    return {"schema": 1, "kind": "gate", "stage": judgement.stage, "before": before_stage,
            "verdict": judgement.verdict, "accepted": judgement.accepted, "sentence": sentence(judgement),
            "note": judgement.note, "overfit": judgement.overfit, "overfit_metric": judgement.overfit_metric,
            "rows": rows}


def table(judgement: Judgement) -> str:
    """Every figure for a terminal."""
    lines = [f"{'metric':22} {'scope':8} {'role':8} {'before':>14} {'after':>14} {'change':>12} {'noise':>8} "
             f"{'go':>8} {'no-go':>8}  verdict"]
    for f in judgement.findings:
        figures = ("-", "-") if f.change is None else (f"{f.before:,.2f}", f"{f.after:,.2f}")
        limits = ["" if limit is None else f"{limit * 100:+.1f} %" for limit in (f.row.go, f.row.nogo)]
        lines.append(f"{f.row.metric:22} {f.row.scope:8} {f.row.role:8} {figures[0]:>14} {figures[1]:>14} "
                     f"{percent(f.change):>12} {f.noise * 100:>6.2f} % {limits[0]:>8} {limits[1]:>8}  {f.verdict}")
    if judgement.overfit is not None:
        lines.append(f"over-fit of {judgement.overfit_metric} (gain on trained minus gain on held-out): "
                     f"{judgement.overfit * 100:+.2f} points")
    if judgement.note:
        lines.append(judgement.note)
    lines.append(f"{judgement.stage}: {judgement.shown}")
    return "\n".join(lines)


def main(argv) -> int:
    parser = Parser(
        prog="gate.gate",
        description="example: python3 -m gate.gate --stage pgo --build build/clang-bench_minimal\n\n"
                    "Judge a stage against the one before it. Exit 0 when a verdict was reached; with --strict\n"
                    "0 GO, 1 NEUTRAL, 2 NO-GO.")
    parser.add_argument("--stage", required=True, help="a stage of gate/gates.toml")
    parser.add_argument("--build", type=build_tree, metavar="B", help="build tree to read both sides from")
    parser.add_argument("--before", nargs="+", type=Path, default=[], metavar="JSON",
                        help="measurements and golden figures")
    parser.add_argument("--after", nargs="+", type=Path, default=[], metavar="JSON")
    parser.add_argument("--gates", type=Path, default=GATES)
    parser.add_argument("--strict", action="store_true", help="exit by verdict")
    parser.add_argument("-o", "--output", type=Path, help="JSON; without it the table is printed")
    arguments = parser.parse_args(argv)
    gates = load_gates(arguments.gates)
    if arguments.build:
        tree = Tree(arguments.build)
        before_stage = tree.before(arguments.stage)
        names = [row.name for row in workloads.load_workloads(ROOT)]
        before = evidence_of(tree, before_stage, names)
        after = dataclasses.replace(evidence_of(tree, arguments.stage, names), twice=twice_of(tree, names))
    elif arguments.before and arguments.after:
        before_stage = "before"
        for path in (*arguments.before, *arguments.after):
            check_file(path)
        with given("a file of --before or --after"):
            before, after = evidence_from(arguments.before), evidence_from(arguments.after)
    else:
        raise UserError("give --build B, or --before and --after; see --help")
    judgement = judge(arguments.stage, before, after, gates)
    if arguments.output:
        files.write_json(arguments.output, as_dict(judgement, before_stage))
    else:
        print(table(judgement))
    return EXIT[judgement.verdict] if arguments.strict else 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
