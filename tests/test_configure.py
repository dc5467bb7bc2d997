# SPDX-License-Identifier: MIT
"""configure.py: what it plans, that it is quick and pure, and that a wrong request leaves the old file alone."""

import dataclasses
import fnmatch
import os
import re
import resource
import subprocess

import pytest

from common import tables
from common.errors import UserError
from common.tree import AGAIN, STAGES, Tree
from common.workloads import Workload
from plan import library, measure, model, pipeline, plan, train
from plan.ninja import Edge, render
from plan.project import Config, Project
from tests.support import ROOT, copy_of_sources, needs

PYTHON = "/usr/bin/python3"

VARIANT = model.Variant("tiny", "a variant", "fast", {"purge": 1}, model.Flags(common=("-O2",)), ("-DHAK_PURGE=1",))
PROJECT = Project(
    variants={"tiny": VARIANT}, sources=("core/a.c",),
    workloads=(Workload("w", "train", ("{bench}/bench_w", "1"), "s", weight=3),
               Workload("h", "holdout", ("/bin/h", "{inputs}/x"), "s", inputs=("x",))),
    inputs=(), programs=("bench_w.c",), tests=(), configs=(Config("clang", "tiny"),))
(CONFIG,) = PROJECT.configs
OWN = Workload("user1", "train", ("/bin/u",), "your own command: u", own=True)
WHOLE = dataclasses.replace(PROJECT, workloads=(*PROJECT.workloads, OWN), policy="/p.toml")     # every stage has edges

PGO_CHAIN = """\
build build/clang-tiny/train/w.profdata | build/clang-tiny/train/w.profdata.json: train | \
build/clang-tiny/train/libhakmem.so build/workload/w.json build/bench/bench_w build/bench/steady.so \
build/bench/witness.so pgo/train.py pgo/counters.py
  workload = w
  so = build/clang-tiny/train/libhakmem.so
  toolchain = clang
  variant = tiny
build build/clang-tiny/pgo/merged.profdata | build/clang-tiny/pgo/merged.profdata.json: merge | \
build/clang-tiny/train/w.profdata build/clang-tiny/train/w.profdata.json pgo/merge.py
  parts = 3:build/clang-tiny/train/w.profdata
  profile = build/clang-tiny/pgo/merged.profdata
  toolchain = clang
  variant = tiny
build build/clang-tiny/pgo/core/a.o: compile core/a.c | build/clang-tiny/pgo/merged.profdata \
build/clang-tiny/pgo/checked.json
  cc = $clang
  flags = $c_clang_tiny $pgo_clang -fprofile-use=build/clang-tiny/pgo/merged.profdata
"""


def configure(root, *words, path=os.environ["PATH"]):
    """Run configure.py; the finished process."""
    return subprocess.run([PYTHON, "configure.py", *words], cwd=root, capture_output=True, text=True, check=False,
                          timeout=60, env={**os.environ, "PATH": path})


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A copy of the sources, configured."""
    place = copy_of_sources(tmp_path_factory.mktemp("configure"))
    assert configure(place, "--variant=bench_minimal").returncode == 0
    return place


def test_profile_edges_read_like_this():
    """One training edge a workload, its weight in the merge, and the profile before the compile."""
    edges = [edge.text() for edge in train.train_edges(PROJECT, CONFIG) + train.merge_edges(
        PROJECT, CONFIG) + library.pgo_edges(PROJECT, CONFIG)
             if edge.rule in ("train", "merge") or edge.outputs == ("build/clang-tiny/pgo/core/a.o",)]
    assert "".join(edges) == PGO_CHAIN


def test_the_pipeline_is_one_list():
    """The same lines stand in the graph, in that order, and in the document."""
    edges = plan.plan(WHOLE)
    lines = [stage.line for stage in pipeline.pipeline()]
    assert [edge.comment for edge in edges if edge.comment] == lines
    assert "\n".join(["```", *lines, "```"]) in (ROOT / "docs" / "pipeline.md").read_text()


def test_a_stage_says_what_it_does():
    """What it writes is made by its edges, by the module that it names; what it reads was written before."""
    template = (ROOT / "build.ninja.in").read_text()
    rules = dict(re.findall(r"^rule (\w+)\n  command = \$python -m ([\w.]+)", template, re.MULTILINE))
    written = set()
    for stage in pipeline.pipeline():
        edges = stage.edges(WHOLE, CONFIG)
        assert not stage.by or stage.by in {rules.get(edge.rule) for edge in edges}, stage.name
        outputs = {name.removeprefix("build/clang-tiny/") for edge in edges
                   for name in edge.outputs + edge.implicit_outputs}
        for pattern in stage.writes.split(", "):
            pattern = pattern.replace("<w>", "*") + ("*" if pattern.endswith("/") else "")
            assert fnmatch.filter(outputs, pattern), f"{stage.name} does not write {pattern}"
        for pattern in filter(lambda word: "." in word and " " not in word, stage.reads.split(", ")):
            assert fnmatch.filter(written, pattern.replace("<w>", "*")), f"{stage.name}: nobody wrote {pattern}"
        written |= outputs


def test_held_out_workloads_never_train():
    """Training, order and BOLT profile read the rows that train; the measurements are of all."""
    for edge in plan.plan(PROJECT):
        if edge.rule in ("train", "merge", "order", "fdata"):
            assert not any("/h." in name for name in edge.outputs + edge.implicit), edge
    measured = [edge.variables["stage"] for edge in plan.plan(PROJECT) if edge.rule == "measure"]
    assert sorted(measured) == sorted([*PROJECT.stages * 2, AGAIN])     # the latter of what judges, for the noise


def test_a_policy_is_a_stage():
    """Of its own, between base and what is trained; without one the graph is what it was."""
    assert PROJECT.stages == ("base", "pgo", "layout", "bolt") and WHOLE.stages == STAGES
    without = [edge.text() for edge in plan.plan(PROJECT)]
    assert not any("policy/" in text or "tuned" in text or "-iquote" in text for text in without)
    flags = {edge.outputs[0]: edge.variables["flags"] for edge in plan.plan(WHOLE) if edge.rule == "compile"}
    tuned = {stage: [f"-iquote build/clang-tiny/{room}/tuned" in flags[f"build/clang-tiny/{stage}/core/a.o"]
                     for room in ("policy", "select")] for stage in ("base", "policy", "train", "pgo")}
    assert tuned == {"base": [False, False], "policy": [True, False], "train": [False, True], "pgo": [False, True]}
    (replay,) = [edge for edge in plan.plan(WHOLE) if edge.rule == "replay"]
    assert {"build/clang-learning/base/libhakmem.so", "build/workload/user1.json", "build/bench/bench_replay",
            "build/bench/steady.so", "build/bench/idle.so"} <= set(replay.implicit)


def test_a_policy_is_repeated():
    """From dist/repeat: its table is copied, not made again, and nothing is judged; each output is made once."""
    repeated = dataclasses.replace(WHOLE, repeat="/dist/repeat", policy="/dist/repeat/policy/tuned/base/policy.def")
    edges = [edge for edge in plan.plan(repeated) if edge.rule != "phony"]
    made = [name for edge in edges for name in edge.outputs + edge.implicit_outputs]
    assert len(made) == len(set(made)) and not {"bake", "replay", "gate", "select"} & {edge.rule for edge in edges}
    copied = {edge.outputs[0]: edge.inputs[0] for edge in edges if edge.rule == "copy"}
    for name in ("policy/tuned/base/policy.def", "select/tuned/base/policy.def", "select/policy.json"):
        assert copied[f"build/clang-tiny/{name}"] == f"/dist/repeat/{name}"
    needed = {name for edge in edges for name in edge.inputs + edge.implicit if name.startswith("build/clang-tiny/")}
    assert needed <= set(made)


def test_a_policy_that_was_taken_away_is_gone(clone):
    """Configured with one, then without: nothing of it is taken for this build's."""
    (clone / "p.toml").write_text("format = 1\n[values]\nretain_mb = 8\n[provenance]\nsource = 'x'\n")
    done = configure(clone, "--variant=bench_minimal", "--policy=p.toml")
    assert done.returncode == 0 and "learned with another source of the library" in done.stderr
    here = Tree(clone / "build" / "clang-bench_minimal")
    for path in (here.select("policy.json"), here.library("policy")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"stage": "policy", "so": "x"}')
    assert here.stages == STAGES and here.before("pgo") == "policy" and here.built_stages() == ("policy",)
    assert configure(clone, "--variant=bench_minimal").returncode == 0
    assert here.stages == PROJECT.stages and here.before("pgo") == "base" and here.built_stages() == ()


@pytest.mark.parametrize("text, sentence", [
    ("format = 1\n[values]\nretain_mb = -1\n", "p.toml:3: retain_mb = -1 is not within 0 to 1048576"),
    ("format = 1\n[values]\nretain = 1\n", "p.toml:3: unknown parameter 'retain'; valid parameters: purge_delay_ms"),
    ("format = 1\n", "p.toml:1: no section holds values, which is written [values]"),
])
def test_bad_policies(clone, text, sentence):
    """One sentence with the line, exit 2, and the graph is what it was."""
    (clone / "p.toml").write_text(text)
    before = (clone / "build.ninja").read_bytes()
    done = configure(clone, "--variant=bench_minimal", "--policy", "p.toml")
    assert done.returncode == 2 and sentence in done.stderr and len(done.stderr.splitlines()) == 1
    assert (clone / "build.ninja").read_bytes() == before
    assert configure(clone, "--variant=bench_minimal", "--policy", "gone.toml").returncode == 2


def test_a_policy_that_sets_nothing(clone):
    """As `make learn` writes where the defaults are best: the next command, `make pgo`, goes on without one."""
    (clone / "p.toml").write_text("format = 1\n[values]\n[mine]\nnote = 'x'\n")
    done = configure(clone, "--variant=bench_minimal", "--policy=p.toml")
    assert done.returncode == 0 and "p.toml sets nothing" in done.stderr and len(done.stderr.splitlines()) == 1
    assert "/policy/libhakmem.so" not in (clone / "build.ninja").read_text()
    assert configure(clone, "--variant=bench_minimal").returncode == 0      # as the next test finds it


def test_what_a_policy_is_judged_by(clone):
    """Libraries with what a running one does not take, where a command tells what to replay."""
    (clone / "p.toml").write_text("format = 1\n[values]\ntiny_step = 32\nborrow = 4\n")
    words = ["--variant=bench_minimal", "--policy=p.toml"]
    for more, found in ((["--train=/bin/true"], True), ([], False)):
        assert configure(clone, *words, *more).returncode == 0
        assert ("build/clang-learning/judged/tiny_step-32/libhakmem.so" in (clone / "build.ninja").read_text()) == found
    assert configure(clone, "--variant=bench_minimal").returncode == 0      # as the next test finds it


def test_no_output_is_made_twice():
    """Ninja would refuse it; with several configurations, and with a policy, too."""
    project = dataclasses.replace(WHOLE, variants={"tiny": VARIANT, "other": VARIANT},
                                  configs=(CONFIG, Config("gcc", "tiny"), Config("clang", "other")))
    made = [name for edge in plan.plan(project) for name in edge.outputs + edge.implicit_outputs]
    assert len(made) == len(set(made))


def test_wall_clock_comes_after_all_counting():
    """It must run alone."""
    project = dataclasses.replace(PROJECT, configs=(CONFIG, Config("gcc", "tiny")))
    walls = [edge for edge in plan.plan(project) if edge.rule == "wall"]
    for edge in walls:
        for config in project.configs:
            assert set(map(str, measure.measures(PROJECT, config))) <= set(edge.order_only)
    assert "build/clang-tiny/wall.json" in walls[1].order_only


def test_selection_flows_through_files():
    """What a gate refuses is left out: later links read the objects and the order that were let through."""
    links = {edge.outputs[0]: edge for edge in plan.plan(PROJECT) if edge.rule == "link_ordered"}
    bolt = links["build/clang-tiny/bolt/input.so"]
    assert bolt.variables["objects"] == "build/clang-tiny/select/objects.rsp"
    assert bolt.variables["order"] == "build/clang-tiny/select/order.txt"
    assert "--emit-relocs" in bolt.variables["more"]


def test_a_repeated_build_neither_trains_nor_judges():
    """`--repeat` neither trains nor measures."""
    project = dataclasses.replace(PROJECT, repeat="/p")
    rules = {edge.rule for edge in plan.plan(project)}
    assert not rules & {"train", "merge", "measure", "golden", "gate", "select", "wall", "order", "fdata"}
    assert {"copy", "check", "bolt", "ship"} <= rules


def test_gcc_unpacks_after_every_instrumented_compile():
    """Such a compile deletes the .gcda that the next one would read."""
    config = Config("gcc", "tiny")
    edges = {edge.rule: edge for edge in library.pgo_edges(PROJECT, config)}
    assert set(map(str, config.objects(PROJECT.sources, "train"))) <= set(edges["unpack"].implicit)
    assert edges["unpack"].outputs[0] in edges["compile"].implicit


def test_render_escapes_and_fills():
    """Paths are escaped, variables are not."""
    text = render("root = @root@\n@edges@", {"root": "/a b"}, [Edge(("a b",), "r", ("c:d",), variables={"x": "$y"})])
    assert text == "root = /a b\nbuild a$ b: r c$:d\n  x = $y\n"


def test_second_run_keeps_the_file(clone):
    """Unchanged content keeps its time stamp, and it takes under half a second of the processor."""
    before = (clone / "build.ninja").stat().st_mtime_ns
    seconds = []
    for _ in range(3):
        before_it = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert configure(clone, "--variant=bench_minimal").returncode == 0
        after_it = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after_it.ru_utime + after_it.ru_stime - before_it.ru_utime - before_it.ru_stime)
    assert (clone / "build.ninja").stat().st_mtime_ns == before
    assert min(seconds) < 0.5


@pytest.mark.parametrize("words, sentence", [
    (["--variant=nope"], "unknown variant 'nope'; valid variants: "),
    (["--variant=balanced,nope"], "unknown variant 'nope'; valid variants: "),
    (["--toolchain=icc"], "unknown toolchain 'icc'; valid toolchains: clang, gcc, all"),
    (["--workloads=nope"], "unknown workload 'nope'; valid workloads: "),
    (["--train", "no-such-program-here"], "no such program"),
    (["--repeat", "/nonexistent"], "holds no repeat.json"),
])
def test_wrong_requests(clone, words, sentence):
    """One sentence, exit 2, the old build.ninja stays."""
    before = (clone / "build.ninja").read_bytes()
    done = configure(clone, *words)
    assert done.returncode == 2
    assert sentence in done.stderr and done.stderr.count("\n") == 1
    assert (clone / "build.ninja").read_bytes() == before


@pytest.mark.parametrize("toolchain, there, missing", [("gcc", "", "clang"), ("gcc", "clang-22", "gcc"),
                                                       ("clang", "", "clang")])
def test_missing_compilers(clone, tmp_path, toolchain, there, missing):
    """What would build nothing is not written; how to get the compiler is said at once, not by a linker later."""
    before = (clone / "build.ninja").read_bytes()
    if there:
        (tmp_path / there).symlink_to(os.path.realpath(needs(there, there)))
    done = configure(clone, f"--toolchain={toolchain}", path=str(tmp_path))
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"configure.py: {missing} is missing: ") and "apt-get install" in done.stderr
    assert (clone / "build.ninja").read_bytes() == before


def test_wrong_variant_file(clone):
    """An unknown key or feature of a variant names the file and the valid ones."""
    wrong = clone / "variants" / "wrong.toml"
    before = (clone / "build.ninja").read_bytes()
    for text, sentence in (('sentence = "s"\nmode = "fast"\ncolour = 1\n', "unknown key 'colour'; valid keys: "),
                           ('sentence = "s"\nmode = "quick"\n', "unknown mode 'quick'; valid modes: "),
                           ('sentence = "s"\nmode = "fast"\n[features]\nx = true\n', "unknown feature 'x'; valid"),
                           ('sentence = "s"\nmode = \n', "is not valid TOML")):
        wrong.write_text(text)
        done = configure(clone, "--variant=bench_minimal")
        assert done.returncode == 2 and sentence in done.stderr and "wrong.toml" in done.stderr
    wrong.unlink()
    assert (clone / "build.ninja").read_bytes() == before


def test_lists_and_all(clone):
    """A comma list, repetition and `all`; the options are kept for regeneration."""
    assert configure(clone, "--variant=minimal,debug", "--variant=research", "--toolchain=all").returncode == 0
    text = (clone / "build.ninja").read_text()
    for tree in ("clang-minimal", "gcc-debug", "gcc-research"):
        assert f"build build/{tree}/bolt/input.so: " in text
    assert "configure_args = --variant=minimal,debug --variant=research --toolchain=all\n" in text
    assert configure(clone, "--variant=all").returncode == 0
    assert (clone / "build.ninja").read_text().count(": bolt | ") == len(model.load_variants(ROOT))


def test_own_command(clone):
    """`--train` makes a row that trains, with half of all weight, and survives regeneration."""
    assert configure(clone, "--variant=bench_minimal", "--train", "/bin/ls -l 'a b'").returncode == 0
    row = tables.parse(clone / "bench" / "workloads.toml")["workload"]
    others = sum(entry.get("weight", 1) for entry in row if entry["role"] == "train")
    text = (clone / "build.ninja").read_text()
    assert f"{others}:build/clang-bench_minimal/train/user1.profdata" in text
    command = '"/bin/ls",\n  "-l",\n  "a b"'
    assert command in (clone / "build" / "workload" / "user1.json").read_text()
    assert configure(clone, "--variant=bench_minimal").returncode == 0


def test_weights_of_own_commands(clone):
    """Of several: as they are given, and together half of all weight or more."""
    def weights(*words):
        assert configure(clone, "--variant=bench_minimal", *words).returncode == 0
        text = (clone / "build.ninja").read_text()
        return [int(re.search(rf"(\d+):build/clang-bench_minimal/train/user{number}.profdata", text)[1])
                for number in (1, 2)]

    words = ("--train", "/bin/ls", "--train", "/bin/ls a")
    alike, heavier = weights(*words), weights(*words, "--weights", "3,1")
    large = weights(*words, "--weights", "700 100")
    assert alike[0] == alike[1] > 0 and 2 * heavier[1] < heavier[0] <= 3 * heavier[1] and large == [700, 100]
    assert configure(clone, "--variant=bench_minimal").returncode == 0


def test_regenerates_itself(clone):
    """A changed table makes ninja run configure.py first, and then there is nothing left to do."""
    if not any((ROOT / "build").glob("*")) and not subprocess.run(["which", "ninja"], capture_output=True).stdout:
        pytest.skip("ninja is missing (apt-get install ninja-build)")
    path = clone / "bench" / "workloads.toml"
    path.write_text(path.read_text().replace("[[workload]]", "# changed\n[[workload]]", 1))
    first = subprocess.run(["ninja", "build.ninja"], cwd=clone, capture_output=True, text=True, check=True)
    assert "CONFIGURE" in first.stdout
    again = subprocess.run(["ninja", "build.ninja"], cwd=clone, capture_output=True, text=True, check=True)
    assert "no work to do" in again.stdout


def test_help_opens_with_an_example():
    """House style."""
    done = configure(ROOT, "--help")
    assert done.returncode == 0 and done.stdout.startswith("usage: example: ./configure.py --variant=bench_minimal")


def test_table_errors(tmp_path):
    """Missing keys, wrong types and doubled names are sentences."""
    path = tmp_path / "t.toml"
    for text, sentence in (
            ('[[feature]]\nname = "a"\nmacro = "A"\ndefault = true\n', "key 'sentence' is missing"),
            ('[[feature]]\nname = 1\nmacro = "A"\ndefault = true\nsentence = ""\n', "key 'name' must be str"),
            ('[feature]\nname = "a"\n', "must be an array of tables"),
            ('[[feature]]\nname = "a"\nmacro = "A"\ndefault = true\nsentence = ""\n' * 2, "two [[feature]] rows")):
        path.write_text(text)
        with pytest.raises(UserError, match=sentence.replace("[", r"\[").replace("]", r"\]")):
            tables.load(path, "feature", model.Feature)
