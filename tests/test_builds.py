# SPDX-License-Identifier: MIT
"""A policy may set what only a build sets: it is judged by replays under libraries that have that compiled in."""

import dataclasses

import pytest

from common.errors import UserError
from common.tree import Tree, judged
from learn import bake, builds, objective, replay
from plan import plan, policy
from tests.support import ROOT
from tests.test_configure import PROJECT, VARIANT, WHOLE

ROWS = policy.load_rows(ROOT)
TABLE = (ROOT / policy.TABLE).read_text()


def other(row) -> int:
    """A value that is not the default, and can be with all other defaults."""
    values = [row.lowest, row.highest, row.default * 2, row.default // 2, 3120]
    return next(value for value in values if value != row.default and policy.can_be({row.name: value}, ROWS))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_each_row_is_judged(row):
    """What a running library takes is judged by the one that there is, all else by one that has it compiled in."""
    values = {row.name: other(row)}
    assert policy.builds(values, ROWS) == ((values,) if row.scope == "build" else ())


def test_each_parameter_is_left_out_in_turn():
    """Equal libraries are one, what is the default anyway is none, and what cannot be together has none."""
    values = {"borrow": 4, "tiny_step": 32, "mid_steps": 8, "sweep_classes": 0}
    both, one, left = {"tiny_step": 32, "sweep_classes": 0}, {"sweep_classes": 0}, {"tiny_step": 32}
    assert policy.builds(values, ROWS) == (both, one, left)
    assert policy.builds({"tiny_max": 512, "mid_dyn1": 656}, ROWS) == ({"tiny_max": 512},)
    assert policy.builds({"borrow": 4, "mid_dyn1": 3120}, ROWS) == () == policy.builds({}, ROWS)


def test_the_graph_builds_them():
    """The variant that learns, once for all configurations; the replay waits for them. From dist/repeat nothing is
    judged, so that configure.py finds none."""
    project = dataclasses.replace(WHOLE, variants={"tiny": VARIANT, "learning": VARIANT},
                                  compiled=({"tiny_step": 32, "mid_steps": 4}, {"mid_steps": 4}))
    edges = {edge.outputs[0]: edge for edge in plan.plan(project)}
    for values in project.compiled:
        stage = f"build/clang-learning/{judged(values)}"
        assert f"-iquote {stage}/tuned" in edges[f"{stage}/core/a.o"].variables["flags"]
        assert f"{stage}/tuned/base/policy.def" in edges[f"{stage}/core/a.o"].implicit
        assert edges[f"{stage}/libhakmem.so"].inputs == (f"{stage}/core/a.o",)
        assert f"{stage}/libhakmem.so" in edges["build/clang-tiny/policy/replay.json"].implicit
    assert edges[f"{stage}/tuned/base/policy.def"].variables["values"] == "mid_steps=4"
    assert not any("judged" in name for edge in plan.plan(PROJECT) for name in edge.outputs)


def test_the_table_has_such_values(tmp_path):
    """And no other."""
    out = tmp_path / "policy.def"
    assert bake.main(["--values", "tiny_step=32,mid_steps=4", "-o", str(out)]) == 0
    assert out.read_text() == policy.bake(TABLE, {"tiny_step": 32, "mid_steps": 4}) != TABLE
    for text, sentence in (("tiny_step=33", "tiny_step = 33 is not a power of 2"), ("x=1", "unknown parameter 'x'"),
                           ("tiny_step", 'tiny_step must be a whole number, not ""')):
        with pytest.raises(UserError, match=f"^--values: {sentence}"):
            bake.main(["--values", text, "-o", str(out)])


@pytest.fixture
def tree(tmp_path):
    """A tree with libraries that are none, and a program in place of bench_replay that prints which one it has."""
    made = Tree(tmp_path / "clang-learning")
    for stage in ("base", judged({"tiny_step": 32})):
        made.library(stage).parent.mkdir(parents=True)
        made.library(stage).write_text(stage)
    (tmp_path / "trace").touch()
    return made


def test_a_replay_runs_under_the_library_of_its_values(tree, tmp_path):
    """The policy's file says all of it, as a library takes what it has compiled in anyway."""
    values = {"tiny_step": 32, "borrow": 4}
    found = builds.Builds(tree.library("base"), values, ROWS)
    replayer = replay.Replayer(tree.library("base"), {"w": tmp_path / "trace"}, tmp_path, tree.library("base"),
                               builds=found)

    def preloaded(values):
        (word,) = [word for word in replayer.command(values, "w") if str(word).startswith("LD_PRELOAD=")]
        return word.rpartition(":")[2]

    paths = {stage: preloaded(values) for stage, values in (
        ("base", {}), ("base2", {"borrow": 4}), ("both", values), ("one", {"tiny_step": 32}))}
    texts = {stage: open(path, encoding="utf-8").read() for stage, path in paths.items()}
    assert texts == {"base": "base", "base2": "base", "both": "judged/tiny_step-32", "one": "judged/tiny_step-32"}
    assert len(set(map(len, paths.values()))) == 1
    (word,) = [word for word in replayer.command(values, "w") if str(word).startswith("HAKMEM_POLICY=")]
    with open(word.partition("=")[2], encoding="utf-8") as file:
        assert "tiny_step = 32\nborrow = 4\n" in file.read()


def test_what_no_build_has_together_fails(tree, tmp_path):
    """Without one of two values that need each other: the parameter is told as one without which it fails."""
    so = tree.library(judged({"tiny_max": 512}))
    so.parent.mkdir(parents=True)
    so.touch()
    found = builds.Builds(tree.library("base"), {"tiny_max": 512, "mid_dyn1": 656}, ROWS)
    replayer = replay.Replayer(tree.library("base"), {"w": tmp_path / "trace"}, tmp_path, tree.library("base"),
                               builds=found)
    assert replayer({"mid_dyn1": 656}, "w") is None
    assert replayer.failures == ["no build has such values together, with mid_dyn1 = 656"]
    assert objective.WORST == objective.Objective("balanced", {}, {}, {}).score({"w": None})


def test_a_library_that_is_not_there(tree):
    """The policy was changed since configure.py read it."""
    with pytest.raises(UserError, match="mid_steps-4/libhakmem.so is missing, which has mid_steps = 4 compiled in: run "
                                        "configure.py again with this policy"):
        builds.Builds(tree.library("base"), {"mid_steps": 4}, ROWS)
