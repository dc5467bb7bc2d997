# SPDX-License-Identifier: MIT
"""Requests that cannot be met, of make, configure.py and each tool: one sentence before anything is done, and nothing
is written."""

import importlib
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from common import lock, proc
from common.errors import UserError, guard
from common.launch import launch
from common.tree import build_tree
from common.workloads import Workload
from measure import counting
from gate import ab
from plan import own
from tests.outside import MAKEFILE, PYTHON, make
from tests.support import ROOT, copy_of_sources, needs
from tests.test_faults import one_sentence, tool


NONE_OF_ITS_KIND = {"binary": bytes(range(256)) * 9, "empty": b"", "deep": b"[" * 100_000, "directory": Path.mkdir,
                    "pipe": os.mkfifo}


@pytest.mark.parametrize("kind", NONE_OF_ITS_KIND)
@pytest.mark.parametrize("words", [
    "measure.callgrind @", "measure.golden --so @", "measure.counting --so @ --workload xz -o @.json",
    "bench.bench --from @", "bench.bench --library @ --only larson", "bench.bench --peer x=@ --only larson",
    "bench.study operation --peer x=@", "gate.gate --stage pgo --before @ --after @", "layout.artifact --so @",
    "report.readme --page @ --update", "report.sites @", "learn.learn --trace @ --name none --so @",
    "learn.judge --policy @ -o @.json", "learn.merge -o @.toml @", "ship.verify_repro --dist @"])
def test_files_that_are_none_of_their_kind(tmp_path, capsys, words, kind):
    """Whatever tool is given one: a wrong request, of one sentence, at once; nothing is written."""
    path, content = tmp_path / "given", NONE_OF_ITS_KIND[kind]
    path.write_bytes(content) if isinstance(content, bytes) else content(path)
    name, *more = words.replace("@", str(path)).split()
    status, said = guard(importlib.import_module(name).main, more), capsys.readouterr().err.removesuffix("\n")
    if name == "report.readme" and kind in ("empty", "deep"):
        assert status == 0 and path.read_bytes() == content     # a page without figures
    else:
        assert status == 2 and said and said.isprintable() and len(said) < 400, said
    assert [child.name for child in tmp_path.iterdir()] == ["given"]


def test_output_that_nobody_takes():
    """A full disk behind standard output is a sentence; a reader who has enough is not even that."""
    words = [PYTHON, "-E", "-m", "plan.pipeline"]       # -E: buffered, as usual
    with open("/dev/full", "wb") as full:
        done = subprocess.run(words, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    one_sentence(done, 1, "standard output: No space left on device")
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(words, cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("words, sentence", [
    (["--variant="], "unknown variant ''; valid variants: "), (["--variant=,"], "unknown variant ''; valid"),
    (["--toolchain="], "unknown toolchain ''; valid toolchains: clang, gcc, all"),
    (["--here", "/a\nb"], "an option has a line's end in it"),
    (["--timeout", "99999999999"], "must be a whole number of at least 1 and at most 2000000, not '99999999999'"),
    (["--timeout", "nan"], "must be a whole number"),
])
def test_requests_that_build_nothing(configured, words, sentence):
    """Exit 2, one sentence, the old build.ninja."""
    before = (configured / "build.ninja").read_bytes()
    done = subprocess.run([PYTHON, "configure.py", *words], cwd=configured, capture_output=True, text=True, check=False)
    one_sentence(done, 2, sentence)
    assert (configured / "build.ninja").read_bytes() == before


def test_a_command_that_ninja_could_not_call(configured):
    """A word of a command has 128 KiB at most."""
    before = (configured / "build.ninja").read_bytes()
    done = subprocess.run([PYTHON, "configure.py", f"--train=ls {'x' * 110_000}"], cwd=configured, capture_output=True,
                          text=True, check=False)
    one_sentence(done, 2, "more than 100,000, which ninja could not hand on")
    assert (configured / "build.ninja").read_bytes() == before
    done = subprocess.run([PYTHON, "configure.py", "--variant=bench_minimal", f"--train=ls {'x' * 90_000}"],
                          cwd=configured, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    os.utime(configured / "configure.py")
    proc.run(["ninja", "build.ninja"], cwd=configured)
    make(configured, "configured", "TOOLCHAIN=all")


def test_make_from_elsewhere(configured, tmp_path):
    """`make -f` of a clone, in another directory: nothing of it would be found."""
    done = proc.run(["make", "-s", "-f", configured / "Makefile", "help"], cwd=tmp_path, check=False)
    assert done.returncode == 2 and f"{configured}/Makefile works in its own directory: " in done.stderr
    assert "make verify-repro" in proc.run(["make", "-s", "-f", "./Makefile", "help"], cwd=configured).stdout


def test_clean_keeps_the_lock(tmp_path):
    """Who waits for it would hold a file that nobody else opens."""
    place = copy_of_sources(tmp_path / "clone")
    (place / "build" / "deep").mkdir(parents=True)
    (place / "dist").mkdir()
    make(place, "clean")
    assert [path.name for path in (place / "build").iterdir()] == [".lock"] and not (place / "dist").exists()


def test_a_clock_that_was_set_back(configured):
    """ninja would call configure.py a hundred times."""
    path = configured / "bench" / "workloads.toml"
    os.utime(path, (time.time() + 7200, time.time() + 7200))
    try:
        done = proc.run(["ninja", "build.ninja"], cwd=configured, check=False)
        assert done.returncode != 0 and re.search(r"workloads.toml is 7,\d+ s newer than now", done.stdout)
    finally:
        os.utime(path)


def test_a_directory_that_is_gone(tmp_path):
    """configure.py, called in one."""
    gone = tmp_path / "gone"
    gone.mkdir()
    done = subprocess.run(["/bin/sh", "-c", f"rmdir {gone}; exec {PYTHON} {ROOT}/configure.py --no-run"], cwd=gone,
                          capture_output=True, text=True, check=False)
    one_sentence(done, 2, "is gone")


@pytest.mark.parametrize("path, text, words", [
    ("variants/two words.toml", 'sentence = "s"\nmode = "fast"\n', "the name of a variant"),
    ("bench/workloads.toml", '[[workload]]\nname = "../x"\nrole = "train"\ncommand = ["a"]\nsentence = "s"\n',
     "[[workload]] '../x': a name has"),
])
def test_names_of_rows(tmp_path, path, text, words):
    """They become names of files and words of commands."""
    place = copy_of_sources(tmp_path)
    (place / path).write_text(text)
    done = subprocess.run([PYTHON, "configure.py"], cwd=place, capture_output=True, text=True, check=False)
    one_sentence(done, 2, words)


@pytest.mark.parametrize("text, words", [
    (b"#!/bin/sh\r\necho a\r\n", "ends as lines do in Windows"), (b"#!/usr/bin/env perl\r\n1;\r\n", "Windows"),
    (b"#!/no/such/sh\necho a\n", "names /no/such/sh, which is not there"), (b"echo a\n", "does not say what runs it"),
])
def test_scripts_that_cannot_run(tmp_path, text, words):
    """Said when they are given."""
    script = tmp_path / "app.sh"
    script.write_bytes(text)
    script.chmod(0o755)
    source = own.Source("--train", "train", str(tmp_path), 60)
    with pytest.raises(UserError, match=re.escape("--train './app.sh': the first line of ./app.sh ")) as caught:
        own.workload("user1", "./app.sh", 1, source)
    assert words in str(caught.value)
    script.write_bytes(b"#! /bin/sh -e\necho a\n")
    assert own.workload("user1", "./app.sh", 1, source).command == (str(script),)


def test_a_program_that_is_built_again_meanwhile(tmp_path):
    """What was measured before and after is not compared."""
    program = tmp_path / "prog"
    shutil.copy2("/bin/true", program)
    row = own.workload("user1", "./prog", 1, own.Source("--train", "train", str(tmp_path), 60))
    before = counting.workload_digest(row)
    assert counting.workload_digest(row) == before
    with open(program, "ab") as stream:
        stream.write(b"\0")
    assert counting.workload_digest(row) != before


def test_a_tmpdir_of_another_length(monkeypatch, tmp_path):
    """Programs show in their counts how long the names of their files are: not compared, either."""
    row = Workload("w", "train", ("/bin/true",), "s")
    digests = []
    for room in ("", "/tmp", "/run", str(tmp_path), str(tmp_path)):
        monkeypatch.setenv("TMPDIR", room)
        digests.append(counting.workload_digest(row))
    assert digests[0] == digests[1] == digests[2] != digests[3] == digests[4]


def test_a_library_that_is_missing():
    """Of another place than the clone."""
    with pytest.raises(UserError, match="/nonexistent/x.so is missing: build it first"):
        launch(Workload("w", "train", ("/bin/true",), "s"), "/nonexistent/x.so")


TREES = ("gate.gate --stage pgo", "gate.select ship", "layout.order -o x", "layout.fdata -o x", "report.report",
         "report.results", "report.heatmap -o x.svg", "measure.wall", "measure.wall --show", "measure.golden",
         "bench.own", "bench.own -o x", "learn.show", "ship.ship --toolchain clang --variant bench_minimal -o x")


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize("command", TREES)
def test_a_build_tree_that_is_missing(tmp_path, command, empty):
    """A wrong request of every tool that takes one; of one without a file too, unless nothing is to be shown."""
    if empty:
        (tmp_path / "tree").mkdir()
    module, *words = [str(tmp_path / word) if word.startswith("x") else word for word in command.split()]
    done = tool(ROOT, module, *words, "--build", tmp_path / "tree")
    if empty and command in ("bench.own", "learn.show"):
        assert (done.returncode, done.stderr) == (0, "")
    else:
        one_sentence(done, 2, f"{tmp_path}/tree" if command != "bench.own -o x" or not empty else "")
    assert sorted(path.name for path in tmp_path.iterdir()) == (["tree"] if empty else [])


def test_a_tree_that_is_there(tmp_path):
    """The type of --build."""
    assert build_tree(str(tmp_path)) == tmp_path


@pytest.mark.parametrize("words, sentence", [
    (["fuzz", "FUZZ_SECONDS=x"], "must be a whole number of at least 1"), (["study", "STUDY=x"], "invalid choice: 'x'"),
    (["study", "STUDY_ARGS=--threads 0"], "at least 1"), (["bench", "BENCH_ARGS=--rounds 0"], "at least 1"),
    (["proof", "PROOF_ARGS=--budget x"], "--budget"), (["ab", "A=.", "B=.", "RULES=x"], "invalid choice: 'x'"),
    (["ablation", "ABLATION_ARGS=--seconds inf"], "--seconds"), (["variants", "TOOLCHAIN=x"], "invalid choice: 'x'"),
    (["bench", "BENCH_ARGS=--only x"], "unknown benchmark 'x'"), (["bench", "BENCH_ARGS=--peer x=/bin"], "/bin: Is a "),
    (["ab", "A=-x", "B=."], "'-x' is "), (["history", "METRIC=-x"], "unknown metric '-x'"),
    (["learn", "TRAIN=/bin/true", "NAME=-x"], "--name '-x': a name has"),
    (["learn", "TRAIN=/bin/true", "BUDGET=x"], "--budget"), (["learn"], "there is nothing to learn from"),
    (["learn", "TRAIN=no-such-program"], "no such program"), (["learn", "TRACE=gone"], "--trace gone: no such file"),
    (["learn", "TRAIN=/bin/true", "GOAL=x"], "unknown goal 'x'"), (["proof", "PROOF_ARGS=--only x"], "program 'x'"),
    (["ab", "A=.:x", "B=."], "'x' is no stage"), (["ab", "A=.", "B=gone.so"], "gone.so is missing"),
    (["ab", "A=\"`touch {}`'", "B=."], "'\"`touch {}`'' is "), (["soak", "VARIANT=all"], "runs under one library"),
    (["soak", "VARIANT=x"], "unknown variant 'x'"), (["soak", "SOAK_SECONDS=1x"], "SOAK_SECONDS must be"),
    (["pgo", "TRAIN=a\nb"], "TRAIN: a value is one line"), (["learn", "NAME=a\nb"], "NAME: a value is one line"),
    (["learn", "TRAIN=/bin/true", "TRAIN2=HAKMEM_THP=on ls"], "'HAKMEM_THP=on ls': HAKMEM_THP decides in the library"),
    (["learn", "TRAIN=/bin/true", "WEIGHTS=3 1"], "--weights 3,1: 2 for 1 command; give one for each"),
    (["learn", "TRAIN=/bin/true", "TIMEOUT=0"], "--timeout"), (["pgo", "WEIGHTS=0", "TRAIN=ls"], "--weights"),
    (["pgo", "TRAIN2=no-such-program"], "runs from {here}"), (["pgo", "POLICY=$x"], "$x: No such file"),
])
def test_make_complains_first(configured, tmp_path, words, sentence):
    """Before anything is built. What is given is no shell's text."""
    words, sentence = [word.replace("{}", f"{tmp_path}/touched") for word in words], \
        sentence.replace("{}", f"{tmp_path}/touched").replace("{here}", str(configured))
    done = make(configured, *words, f"NINJA=touch {tmp_path}/built", check=False)
    assert done.returncode == 2 and sentence in done.stderr and "be written to" not in done.stderr, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_learned_policy_is_taken_with_a_command(tmp_path):
    """With the first one or a further one; a build that is nobody's own has none."""
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "learned.toml").write_text("")
    (tmp_path / "Makefile").write_text(MAKEFILE)
    for words, taken in (([], False), (["TRAIN=x"], True), (["TRAIN2=x"], True), (["TRAIN=x", "POLICY="], False)):
        assert ("--policy='policy/learned.toml'" in make(tmp_path, "-n", "pgo", *words).stdout) == taken, words


def test_common_words_in_the_environment(configured):
    """Some systems have the machine's name in NAME, and others a STAGE: not what a policy or a question is about."""
    there = {**os.environ, "NAME": "pc", "STAGE": "prod", "TRACE": "1", "GOAL": "x", "K": "x", "CLONES": "1", "A": "x"}
    shown = [make(configured, "-n", *words, env=there).stdout
             for words in (["learn", "TRAIN=x"], ["history"], ["test"])]
    assert "--name='learned' --goal='balanced'" in shown[0] and "--trace" not in shown[0]
    assert "--stage='shipped'" in shown[1] and " -k " not in shown[2]
    assert "--name='pc'" in make(configured, "-n", "learn", "TRAIN=x", "NAME=pc").stdout


def test_a_python_that_is_missing():
    """Of the user's own choice: nothing is installed in its place."""
    done = subprocess.run(["make", "-s", "history", "PYTHON=no-such-python"], cwd=ROOT, capture_output=True, text=True,
                          env={**os.environ, "PATH": "/usr/bin:/bin"}, check=False)
    assert done.returncode == 2 and done.stdout == "", done.stderr
    assert done.stderr.startswith("make: PYTHON names 'no-such-python' and no such program is there: leave it out\n")


def test_zero_clones(configured):
    """CLONES=0 is none, as INSTALL=0."""
    assert "--clones" not in make(configured, "-n", "verify-repro", "CLONES=0").stdout
    assert "--clones" in make(configured, "-n", "verify-repro", "CLONES=1").stdout


def test_an_install_of_others_is_none(configured):
    """INSTALL is exported by many a build system: only 1 installs."""
    shown = make(configured, "-n", "doctor", "INSTALL=/usr/bin/install -c").stdout
    assert "common.doctor" in shown and "--install" not in shown
    assert "--install --optional" in make(configured, "-n", "doctor", "INSTALL=1").stdout


def test_every_tool_looks_at_its_options_alone(capsys):
    """--no-run: exit 0 and nothing said."""
    from bench import study
    with pytest.raises(SystemExit) as caught:
        guard(study.main, ["scaling", "--no-run"])
    assert caught.value.code in (None, 0) and capsys.readouterr() == ("", "")


def test_help_in_turkish(tmp_path):
    """Where i is not among a to z for all programs."""
    done = subprocess.run([needs("localedef", "locales"), "-i", "tr_TR", "-f", "UTF-8", tmp_path / "tr_TR.UTF-8"],
                          capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("the sources of locales are not installed: apt-get install locales")
    shown = [proc.run(["make", "-s", "help"], cwd=ROOT, env={**os.environ, "LOCPATH": str(tmp_path), "LC_ALL": name})
             .stdout for name in ("tr_TR.UTF-8", "C")]
    assert shown[0] == shown[1] and "make verify-repro" in shown[0]


def test_what_a_comparison_runs_is_built(monkeypatch):
    """Called by hand in a new clone: what is preloaded into runs that count, too."""
    called = []
    monkeypatch.setattr("gate.ab.proc.run", lambda words, **more: called.append(words))
    monkeypatch.setattr(lock, "held", lambda: True)
    ab.prepare([Workload("w", "holdout", ("{bench}/bench_x",), "s", inputs=("text.txt",))], "clang", "bench_minimal")
    assert called[-1] == ["ninja", "build/inputs/text.txt", "build/bench/bench_fastpath", "build/bench/bench_x",
                          "build/bench/steady.so"]
