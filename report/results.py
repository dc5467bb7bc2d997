# SPDX-License-Identifier: MIT
"""Append measured results to results/*.jsonl, one line a run, and show a metric over the runs.

common/records.py writes and seals the lines. `make pgo` appends by itself; a run that measured nothing new adds none.
"""

import sys
import time
from pathlib import Path

from common import files, records, workloads
from common.arguments import Parser
from common.columns import columns
from common.errors import Failure, UserError, guard
from common.paths import ROOT
from common.tree import STAGES, Tree, build_tree
from measure import golden, stats
from gate import gate

LEAST_INSTRUCTIONS = "ir_alloc"
SHIPPED = "shipped"


def wall_of(tree: Tree):
    """What was timed; None where nothing was to be."""
    if not tree.wall.exists() or files.read_json(tree.wall) is None:
        return None
    return files.read_fields(tree.wall, "reference", "rounds", "control", "floor", "against", "seconds")


def run_record(tree: Tree, now: float) -> dict:
    """Everything measured of a build tree, raw: every derived number can be computed again."""
    rows = workloads.load_workloads(ROOT)
    titles = workloads.titles(rows)
    stages = {}
    for stage in tree.built_stages():
        evidence = gate.evidence_of(tree, stage, [row.name for row in rows])
        stages[stage] = {"library": files.sha256(tree.library(stage)), "golden": evidence.golden,
                         "metrics": {name: record["metrics"] for name, record in evidence.measures.items()},
                         "gate": files.read_fields(tree.gate(stage), "verdict", "sentence", "accepted")
                         if tree.gate(stage).exists() else None}
    if not any(row["metrics"] for row in stages.values()):
        raise UserError(f"{tree.root} holds no measurement: run `make pgo` first")
    ship = tree.select("ship.json")
    return {**records.common_fields("run", now), "tree": tree.label, "stages": stages,
            "roles": {row.name: {"role": row.role, "gate": row.gate, "weight": row.weight, "loop": bool(row.programs()),
                                 **({"title": titles[row.name]} if row.own else {})} for row in rows},
            "shipped": files.read_fields(ship, "stage")["stage"] if ship.exists() else "",
            "wall": wall_of(tree)}


def is_new(record: dict, before) -> bool:
    """Whether the last record of the same tree measured anything else."""
    last = next((row for row in reversed(before) if row.get("kind") == "run" and row["tree"] == record["tree"]), None)
    return last is None or any(last.get(key) != record[key] for key in ("stages", "wall", "shipped"))


def record_tree(tree: Tree, now: float, output=None) -> bool:
    """Append what a tree measured, unless it is on record. Whether a line was added."""
    path = output or records.year_file(now)
    record = run_record(tree, now)
    if not is_new(record, records.read(path) if path.exists() else []):
        return False
    records.append(path, record)
    return True


# looking back

def roles_of(record: dict) -> dict:
    """workload -> role, gate, weight, loop, of own ones title; of old records by the present table."""
    if "roles" in record:
        return record["roles"]
    return {row.name: {"role": row.role, "gate": row.gate, "weight": row.weight, "loop": bool(row.programs())}
            for row in workloads.load_table(ROOT)}


def shipped_of(record: dict) -> str:
    """The stage that ships; of old records the last one that its gate let through."""
    if record.get("shipped"):
        return record["shipped"]
    passed = [stage for stage in ("pgo", "layout", "bolt")
              if (record["stages"].get(stage, {}).get("gate") or {}).get("accepted")]
    return passed[-1] if passed else "base"


def evidence_in(record: dict, stage: str) -> gate.Evidence:
    """What a run measured of a stage, as the gate reads it."""
    roles = roles_of(record)
    held = record["stages"][stage]
    return gate.Evidence({name: {"workload": name, "metrics": metrics, "digest": "", **roles[name]}
                          for name, metrics in held["metrics"].items() if name in roles}, held["golden"])


def value_of(record: dict, metric: str, stage: str, workload: str):
    """A metric of a stage: of one workload or one pattern, or the geometric mean over held-out programs."""
    if stage == SHIPPED:
        stage = shipped_of(record)
    if stage not in record["stages"]:
        return None
    evidence = evidence_in(record, stage)
    if workload in golden.PATTERNS:
        return evidence.golden.get(workload, {}).get(metric)
    if workload:
        return evidence.measures.get(workload, {}).get("metrics", {}).get(metric)
    if metric in golden.FIGURES:
        values = [row[metric] for row in evidence.golden.values()]
    else:
        material = gate.load_gates().material
        values = [row["metrics"].get(metric) for row in evidence.measures.values() if row["role"] == "holdout"
                  and row["gate"] and row["metrics"][LEAST_INSTRUCTIONS] >= material.instructions]
    values = [value for value in values if value is not None]
    if not values:
        return None
    return stats.geometric_mean(values) if min(values) > 0 else sum(values) / len(values)


def _programs(record: dict, stage: str, workload: str) -> tuple:
    """What a value is about: runs that were judged by other programs have nothing to be compared by."""
    roles = roles_of(record)
    stage = shipped_of(record) if stage == SHIPPED else stage
    return tuple(sorted((name, roles[name].get("title", "")) for name in record["stages"][stage]["metrics"]
                        if name in roles and (name == workload if workload else roles[name]["role"] == "holdout")))


def history(runs, metric, stage, workload, tree="") -> str:
    """One line a run: when, which commit, the metric, its change against the run before it of equal programs."""
    rows, before = [("time", "commit", "tree", metric, "change")], {}
    for record in runs:
        if record.get("kind") != "run" or tree and record["tree"] != tree:
            continue
        value = value_of(record, metric, stage, workload)
        if value is None:
            continue
        key = record["tree"], _programs(record, stage, workload)
        change = gate.percent(value / before[key] - 1) if before.get(key) else "-"
        before[key] = value
        rows.append((record["time"], record.get("commit", records.UNKNOWN), record["tree"], f"{value:,.2f}", change))
    if len(rows) == 1:
        raise UserError(f"no run on record has {metric} of {stage}{f' under {workload}' if workload else ''}"
                        f"{f' of {tree}' if tree else ''}; `make pgo` records a run")
    return "\n".join(columns(rows, left=(0, 1, 2)))


def known_metrics(runs) -> set:
    """Every metric that some run has."""
    found = set(golden.FIGURES)
    for record in runs:
        for stage in record.get("stages", {}).values():
            for metrics in stage["metrics"].values():
                found |= {name for name, value in metrics.items() if not isinstance(value, dict)}
    return found


def check_names(runs, metric, stage, workload, tree):
    """UserError for a name that no run could have; it lists the valid ones."""
    runs = [record for record in runs if record.get("kind") == "run"]
    measured = {name for record in runs for held in record["stages"].values() for name in held["metrics"]}
    for what, name, valid in (("metric", metric, sorted(known_metrics(runs))), ("stage", stage, [*STAGES, SHIPPED]),
                              ("workload", workload, [*sorted(measured), *golden.PATTERNS]),
                              ("tree", tree, sorted({record["tree"] for record in runs}))):
        if name not in valid and (name or what in ("metric", "stage")):
            raise UserError(f"unknown {what} '{name}'; valid {what}s: {', '.join(valid)}")


def show_history(arguments):
    """What --history asks for."""
    runs = records.everything()
    check_names(runs, arguments.history, arguments.stage, arguments.workload, arguments.tree)
    print(history(runs, arguments.history, arguments.stage, arguments.workload, arguments.tree))


def main(argv) -> int:
    parser = Parser(
        prog="report.results",
        description="example: python3 -m report.results --build build/clang-bench_minimal\n"
                    "         python3 -m report.results --history ir_alloc --stage shipped --workload git\n\n"
                    "Append what was measured of build trees to results/, or look back.")
    parser.add_argument("--build", type=build_tree, action="append", default=[], metavar="B", help="repeatable")
    parser.add_argument("-o", "--output", type=Path, help="(default: results/<year>.jsonl)")
    parser.add_argument("--verify", action="store_true", help="exit 1 when a line was changed after it was appended")
    parser.add_argument("--history", metavar="METRIC", help="show a metric over all runs on record")
    parser.add_argument("--stage", default="shipped", help="of --history: base, pgo, layout, bolt or shipped (default)")
    parser.add_argument("--workload", default="",
                        help="of --history: one workload, or a pattern of bench_fastpath (default: held-out programs)")
    parser.add_argument("--tree", default="", help="of --history: only this one, as clang-bench_minimal")
    arguments = parser.parse_args(argv)
    if not (arguments.build or arguments.verify or arguments.history is not None):
        raise UserError("give --build, --history or --verify; see --help")
    now = time.time()
    for path in arguments.build:
        added = record_tree(Tree(path), now, arguments.output)
        print(f"results: {path.name}: {'appended' if added else 'nothing new'}")
    if arguments.history is not None:
        show_history(arguments)
    if arguments.verify:
        wrong = records.verify(records.RESULTS)
        if wrong:
            raise Failure("; ".join(wrong))
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
