# SPDX-License-Identifier: MIT
"""What a policy changes for runs that it was not learned from: the user's held-out commands are recorded and replayed
under the default and under the policy. Without any, those that it is trained on are, and it is said so."""

import sys
from pathlib import Path

from common import files, workloads
from common.arguments import Parser, result_file, shared_library
from common.errors import UserError, guard
from common.paths import BUILD, ROOT
from common.scratch import Scratch
from learn import attribute, learn, objective, record, replay, search
from learn.builds import Builds
from learn.runs import Runs
from plan import policy

EXAMPLE = ("example: python3 -m learn.judge --policy policy/learned.toml "
           "-o build/clang-bench_minimal/policy/replay.json")
PLACE = BUILD / "learn-judge"       # of all configurations: the second finds the recordings of the first

NOTHING = {"workloads": {}, "parts": []}


def judging(rows) -> tuple:
    """(workloads, whether they are held out)"""
    own = [row for row in rows if row.own]
    held = [row for row in own if row.role == "holdout"]
    return (held, True) if held else (own, False)


def note(rows, held: bool) -> str:
    """What the figures are of, for the gate's table."""
    if not rows:
        return "no command of yours was given, so that nothing tells whether the policy pays: give TRAIN and HOLDOUT"
    of = ", ".join(f"'{row.sentence.partition(': ')[2]}'" for row in rows)
    return f"by replay of {of}" + ("" if held else ", on which it is trained: no HOLDOUT was given")


def replayer_of(rows, so: Path, place: Path, scratch: Path, builds=None) -> replay.Replayer:
    """Of these commands; what was recorded in `place` before is not recorded again."""
    place.mkdir(parents=True, exist_ok=True)
    traces = record.recorded(rows, so, record.MEGABYTES, place, learn.say)
    return replay.Replayer(so, traces, scratch, beside=record.beside(place), builds=builds)


def judge(rows, values, named, so: Path, place: Path, scratch: Path) -> dict:
    """`workloads`: of each figures before and after, its weight, and how far equal replays differ; `parts`: what each
    parameter alone changes in these runs. `named` is what people call the policy."""
    replayer = replayer_of(rows, so, place, scratch, Builds(so, values, policy.load_rows(ROOT)))
    traces = replayer.traces
    runs = Runs(replayer, workers=learn.WORKERS)
    before, noise, _repetitions = replay.look(runs, list(traces))
    if None in runs.figures([(values, (name, 0)) for name in traces]):
        raise UserError(f"{named}: the replay of a held-out run fails under it; learn another policy")
    after, its_noise, repetitions = replay.look(runs, list(traces), values)
    weights = learn.weights_of(before)
    noises = {name: {figure: max(share, its_noise[name][figure]) for figure, share in row.items()}
              for name, row in noise.items()}
    aim = objective.Objective(learn.GOAL, before, weights, noises)
    judging = attribute.Judge(aim, runs, search.jobs_of(weights, repetitions))
    judging.prepare([attribute.without(values, name) for name in values])
    parts = [attribute.part(judging, dict(values), name) for name in values]
    return {"workloads": {name: {"before": before[name], "after": after[name], "weight": weights[name],
                                 "noise": noises[name]} for name in traces},
            "parts": [attribute.as_row(part) for part in parts]}


def main(argv) -> int:
    """Judge one policy."""
    parser = Parser(prog="learn.judge", usage=f"{EXAMPLE}\n\n       %(prog)s [options]",
                    description=__doc__)
    parser.add_argument("--policy", type=Path, required=True, help="a policy file")
    parser.add_argument("--so", type=shared_library, default=learn.LIBRARY,
                        help="the library that records and reads policies")
    parser.add_argument("-o", dest="out", type=result_file, required=True, help="JSON")
    arguments = parser.parse_args(argv)
    given = policy.read(arguments.policy, policy.load_rows(ROOT))
    rows, held = judging(workloads.load_workloads(ROOT))
    with learn.alone(PLACE, wait=True), Scratch() as scratch:
        found = judge(rows, given.values, arguments.policy, arguments.so, PLACE, scratch) if rows else NOTHING
    files.write_json(arguments.out, {"schema": 1, "kind": "replay", "held": held, "note": note(rows, held),
                                     "parameters": list(given.parameters), **found})
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
