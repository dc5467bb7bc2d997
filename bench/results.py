"""Append measured results to results/*.jsonl: one line a run, with the machine it ran on. Lines are never rewritten."""

import argparse
import json
import sys
import time
from pathlib import Path

from common import files, workloads
from common.errors import Failure, UserError, guard
from common.paths import ROOT
from bench import gate, wall
from bench.tree import Tree

SCHEMA = 1
RESULTS = ROOT / "results"


def run_record(tree: Tree, now: float) -> dict:
    """Everything measured of a build tree, raw: every derived number can be computed again."""
    names = [row.name for row in workloads.load_workloads(ROOT)]
    stages = {}
    for stage in tree.built_stages():
        evidence = gate.evidence_of(tree, stage, names)
        stages[stage] = {"library": files.sha256(tree.library(stage)), "golden": evidence.golden,
                         "metrics": {name: record["metrics"] for name, record in evidence.measures.items()},
                         "gate": files.read_json(tree.gate(stage)) if tree.gate(stage).exists() else None}
    if not any(row["metrics"] for row in stages.values()):
        raise Failure(f"{tree.root} holds no measurement: run `make pgo` first")
    timed = tree.root / "wall.json"
    return {"schema": SCHEMA, "kind": "run", "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
            "tree": tree.label, "source": files.source_hash(ROOT), "machine": wall.machine(), "stages": stages,
            "wall": files.read_json(timed) if timed.exists() else None}


def append(path: Path, record: dict):
    """One line at the end of the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.append_line(path, json.dumps(record, sort_keys=True, separators=(",", ":")))


def read(path: Path) -> list:
    """Every record of a file. Failure names a line that is not one."""
    found = []
    try:
        lines = path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        raise UserError(f"{path} is missing: nothing was recorded yet") from None
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            if record["schema"] != SCHEMA:
                raise ValueError(f"schema {record['schema']}")
        except (ValueError, KeyError, TypeError) as error:
            raise Failure(f"{path} line {number} is not a result ({error})") from None
        found.append(record)
    return found


def main(argv) -> int:
    parser = argparse.ArgumentParser(
        prog="bench.results", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="example: python -m bench.results --build build/clang-bench_minimal\n\n"
                    "Append what was measured of a build tree to results/.")
    parser.add_argument("--build", type=Path, required=True, metavar="B")
    parser.add_argument("-o", "--output", type=Path, help="(default: results/<year>.jsonl)")
    arguments = parser.parse_args(argv)
    now = time.time()
    record = run_record(Tree(arguments.build), now)
    append(arguments.output or RESULTS / f"{time.gmtime(now).tm_year}.jsonl", record)
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
