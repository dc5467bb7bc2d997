# SPDX-License-Identifier: MIT
"""From the sources to what ships, stage by stage: `pipeline` names them all, in the order in which a profile flows."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

from common.arguments import Parser
from common.errors import guard
from plan import gate, library, measure, train


@dataclass(frozen=True)
class Stage:
    """One step of a build tree: what it reads, which module does it ("" for a compiler or linker), what it writes."""
    name: str
    reads: str
    by: str
    writes: str
    edges: Callable             # (project, config) -> edges
    repeats: bool | None = None     # of a repeated build alone (True), of a first one alone (False), or of both

    @property
    def line(self) -> str:
        """The stage as build.ninja and docs/pipeline.md print it."""
        return f"{self.name:12}  {self.reads} -> {self.writes}" + (f"  ({self.by})" if self.by else "")


def pipeline(repeat=False) -> tuple:
    """Every stage of a build tree; or, from its dist/repeat, of one that is built again. What is written lies below
    the tree, but for dist/; <w> is a workload, * a stage."""
    return tuple(stage for stage in (
        Stage("base", "core/", "", "base/libhakmem.so", library.base_edges),
        Stage("policy", "core/, the policy that was given", "learn.bake", "policy/libhakmem.so", library.policy_edges),
        Stage("replay", "the policy, held-out <w>", "learn.judge", "policy/replay.json", measure.replay_edges, False),
        Stage("judge policy", "policy/replay.json, measure/", "gate.gate", "gate/policy.json, select/tuned/",
              gate.policy_edges, False),
        Stage("train", "the instrumented library, <w>", "pgo.train", "train/<w>.profdata", train.train_edges, False),
        Stage("merge", "train/<w>.profdata", "pgo.merge", "pgo/merged.profdata", train.merge_edges, False),
        Stage("repeat", "dist/repeat", "", "pgo/merged.profdata, select/, gate/", gate.repeat_edges, True),
        Stage("check", "pgo/merged.profdata", "pgo.check", "pgo/checked.json", train.check_edges),
        Stage("pgo", "core/, pgo/merged.profdata", "", "pgo/libhakmem.so", library.pgo_edges),
        Stage("measure", "each library, <w>", "measure.counting", "measure/*/<w>.cg.gz", measure.measure_edges, False),
        Stage("judge pgo", "measure/", "gate.gate", "gate/pgo.json, select/objects.rsp", gate.pgo_edges, False),
        Stage("order", "measure/*/<w>.cg.gz", "layout.order", "layout/order.txt", measure.order_edges, False),
        Stage("layout", "select/objects.rsp, layout/order.txt", "", "layout/libhakmem.so", library.layout_edges),
        Stage("judge layout", "measure/", "gate.gate", "gate/layout.json, select/order.txt", gate.layout_edges, False),
        Stage("link", "select/objects.rsp, select/order.txt", "", "bolt/input.so", library.bolt_input_edges),
        Stage("fdata", "measure/*/<w>.cg.gz", "layout.fdata", "bolt/profile.fdata", measure.fdata_edges, False),
        Stage("bolt", "bolt/input.so, bolt/profile.fdata", "layout.bolt", "bolt/libhakmem.so", library.bolt_edges),
        Stage("judge bolt", "measure/", "gate.gate", "gate/bolt.json, select/ship.json", gate.bolt_edges, False),
        Stage("ship", "the library of select/ship.json", "ship.ship", "dist/", gate.ship_edges),
        Stage("wall", "each library, after all else", "measure.wall", "wall.json", measure.wall_edges, False),
        Stage("own", "what ships, own commands and servers", "bench.own", "own.json", measure.own_edges, False),
    ) if stage.repeats in (None, repeat))


def main(argv) -> int:
    parser = Parser(
        prog="plan.pipeline",
        description="example: python3 -m plan.pipeline\n\nShow the stages of a build, in the order in which a profile "
                    "flows.")
    parser.add_argument("--repeat", action="store_true", help="those of a build from an earlier one's dist/repeat")
    print(*(stage.line for stage in pipeline(parser.parse_args(argv).repeat)), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
