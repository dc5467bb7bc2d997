# SPDX-License-Identifier: MIT
"""The committed table of instructions per malloc and free (bench/golden.toml) holds for what was just built."""

import json

import pytest

from common.errors import Failure
from common.tree import Tree, stages_of
from measure import golden
from tests.support import BUILD, ROOT, brought_up_to_date

NEEDS = ("matrix", "build/bench/bench_fastpath", "build/bench/steady.so")
VARIANTS = ("bench_minimal", "balanced")


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("toolchain", ["clang", "gcc"])
def test_no_pattern_costs_more_than_committed(toolchain, variant):
    so = ROOT / "build" / f"{toolchain}-{variant}" / "base" / "libhakmem.so"
    if not so.exists():
        pytest.fail(f"{so.relative_to(ROOT)} is not built: run ninja matrix")
    brought_up_to_date(so)
    assert golden.main(["--so", str(so), "--stage", "base", "--toolchain", toolchain, "--variant", variant,
                        "--check"]) == 0


@pytest.mark.parametrize("toolchain", ["clang", "gcc"])
def test_later_stages_cost_no_more_than_committed(toolchain):
    """What `make pgo` counted, where it ran: read, not counted again."""
    tree = BUILD / f"{toolchain}-bench_minimal"
    if not Tree(tree).golden("bolt").exists():
        pytest.skip(f"{tree.name} has no later stages: run make pgo TOOLCHAIN={toolchain}")
    assert golden.main(["--build", str(tree), "--check"]) == 0


def test_every_stage_has_rows():
    have = {golden.key_of(row)[:3] for row in golden.load_rows(golden.TABLE)}
    wanted = {(toolchain, "bench_minimal", stage) for toolchain in ("clang", "gcc") for stage in
              stages_of(given=False)}
    assert wanted | {(toolchain, "balanced", "base") for toolchain in ("clang", "gcc")} <= have


def test_a_stage_that_costs_more_is_named(tmp_path, monkeypatch):
    tree = Tree(tmp_path / "clang-x")
    for stage, cost in (("base", 10.0), ("pgo", 12.0)):
        tree.golden(stage).parent.mkdir(parents=True, exist_ok=True)
        tree.golden(stage).write_text(json.dumps(
            {"patterns": {"pair64": {"malloc": cost, "free": 14.0, "together": cost + 18}}}))
    table = tmp_path / "golden.toml"
    rows = tuple(golden.Row("clang", "x", stage, "pair64", 11.0, 14.0, 29.0) for stage in ("base", "pgo"))
    table.write_text(golden.render(rows))
    with pytest.raises(Failure, match="clang-x pgo: pair64: malloc takes 12.00 instructions, 1.00 more"):
        golden.main(["--build", str(tree.root), "--check", str(table)])
    golden.main(["--build", str(tree.root), "--update", str(table)])
    assert golden.main(["--build", str(tree.root), "--check", str(table)]) == 0
