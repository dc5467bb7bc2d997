# SPDX-License-Identifier: MIT
"""Another make at the same time, and an end in the middle: one waits for the other, and who ends a tool ends its
work."""

import fcntl
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from common import clone, household, lock
from common.errors import guard
from tests import programs
from tests.outside import MAKEFILE, PYTHON, child, make
from tests.support import ROOT, needs
from tests.test_faults import one_sentence


# How long a program sleeps: words that another run of these tests, on the same machine, does not have.
LONG = f"611.{os.getpid()}"


def sleepers() -> list:
    """Processes that have it among their words."""
    return [name for name in os.listdir("/proc") if name.isdigit() and LONG.encode() in words_of(name)]


def expect_no_sleepers():
    """What the kernel ends with its parent, a moment after it, has ended too."""
    programs.wait_until(lambda: not sleepers(), "the end of what was started")


def words_of(pid) -> list:
    """Of a process that runs; none of one that is gone."""
    try:
        return Path("/proc", pid, "cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


# Two at a time


def test_whatever_builds_is_alone():
    """Each recipe that calls ninja or configures holds the lock, to its end."""
    for line in re.sub(r"\\\n", " ", MAKEFILE).splitlines():
        if line.startswith("\t@") and re.search(r"\$\((BUILD|CONFIGURE|ONCE|TREES)\)", line):
            before = re.split(r"\$\((?:BUILD|CONFIGURE|ONCE|TREES)\)", line)[0]
            assert "$(ALONE)" in before, line


@pytest.mark.parametrize("goal", ["pgo", "all", "learn TRAIN=/bin/true"])
def test_a_make_that_is_ended_takes_ninja_with_it(configured, goal):
    """SIGTERM to make alone, as a supervisor sends it: make passes it on to a shell, and that to nobody."""
    needed = [word for name in ("build-tools", "python") for word in ("-o", name)]
    started = subprocess.Popen(["make", "-s", *needed, *goal.split(), f"NINJA=sleep {LONG};:"], cwd=configured)
    programs.wait_until(lambda: any(words[0] == b"sleep" for words in map(words_of, sleepers()) if words),
                        "the start of what stands for ninja")
    started.terminate()
    assert started.wait(timeout=20) != 0
    expect_no_sleepers()


def test_a_clone_that_cannot_be_written_to(tmp_path):
    """Somebody else's, or on a read-only disk: what to do, in place of a shell's complaint."""
    (tmp_path / "Makefile").write_text(MAKEFILE)
    (tmp_path / "build").write_text("")
    done = make(tmp_path, "configured", check=False)
    assert done.returncode == 2 and done.stderr.startswith("make: build/ cannot be written to: "), done.stderr


def test_a_second_configuration_waits(configured):
    """A make with another TRAIN changes nothing under a build that runs."""
    before = (configured / "build.ninja").read_bytes()
    with open(configured / "build" / ".lock", "ab") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        second = subprocess.Popen(["make", "-s", "-o", "build-tools", "configured", "TRAIN=/bin/true"], cwd=configured,
                                  stderr=subprocess.PIPE, text=True)
        assert "another build of this tree is still running" in second.stderr.readline()
        time.sleep(0.5)
        assert second.poll() is None and (configured / "build.ninja").read_bytes() == before
    assert second.communicate(timeout=60) and second.returncode == 0
    assert b"/bin/true" in (configured / "build.ninja").read_bytes()
    make(configured, "configured", "TOOLCHAIN=all")
    assert (configured / "build.ninja").read_bytes() == before


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_make_that_is_ended_waits_no_longer(configured, number):
    """Nor does its shell, which nobody sees and which would build as soon as it may."""
    before = (configured / "build.ninja").read_bytes()
    with lock.taken(configured / "build" / ".lock"):
        waiting = subprocess.Popen(["make", "-s", "-o", "build-tools", "configured", f"TRAIN=/bin/echo {LONG}"],
                                   cwd=configured, stderr=subprocess.PIPE, text=True)
        assert "still running" in waiting.stderr.readline()
        shells = household.descendants()
        waiting.send_signal(number)
        waiting.wait(20)
        programs.wait_until(lambda: not shells & household.parents().keys(), "the end of its shell")
    assert (configured / "build.ninja").read_bytes() == before


def test_tools_hold_the_same_lock(tmp_path, monkeypatch):
    """Who is started by its holder goes on; anybody else waits, and says so."""
    monkeypatch.setattr(lock, "LOCK", tmp_path / ".lock")
    source = f"from common import lock; from pathlib import Path; lock.LOCK = Path('{lock.LOCK}')\n" \
             "with lock.alone(): print('in', flush=True)"
    with open(lock.LOCK, "ab") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        inherited = child(source, pass_fds=[lock.OF_MAKE], preexec_fn=lambda: os.dup2(stream.fileno(), lock.OF_MAKE))
        assert inherited.communicate(timeout=60)[0] == "in\n"
        other = child(source)
        assert "waiting for it" in other.stderr.readline()
    assert other.communicate(timeout=60)[0] == "in\n"


# An end in the middle


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_who_ends_a_tool_ends_its_work(number):
    """The directory of the run goes, and the program, as with Ctrl-C."""
    runner = child("import sys; from common.errors import guard; from common.launch import launch\n"
                   "from common.workloads import Workload\n"
                   f"row = Workload('w', 'train', ('/bin/sleep', '{LONG}'), 's')\n"
                   "sys.exit(guard(lambda _: launch(row, None), []))")
    pid = programs.wait_until(sleepers, "the workload's start")[0]
    directory = os.readlink(f"/proc/{pid}/cwd")
    runner.send_signal(number)
    assert "interrupted" in runner.communicate(timeout=30)[1] and runner.returncode == 130
    assert not os.path.exists(directory)
    expect_no_sleepers()


def test_what_is_ignored_stays_so():
    """nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert guard(lambda _: os.kill(os.getpid(), signal.SIGHUP) or 7, []) == 7
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.mark.parametrize("call", [f"proc.run(['/bin/sleep', '{LONG}'])", f"Guardian('/absent/{LONG}').__enter__()"],
                         ids=["run", "guardian"])
def test_an_interrupt_while_the_interpreter_forks(call):
    """It comes in a hook of fork, where Python would only report what it raises."""
    source = ("import os, signal, time; from common import proc; from common.household import Guardian; "
              "os.register_at_fork(after_in_parent=lambda: os.kill(os.getpid(), signal.SIGINT)); "
              f"{call}; time.sleep(30)")
    runner = child(source)
    error = runner.communicate(timeout=25)[1]
    assert "KeyboardInterrupt" in error and "ignored" not in error and runner.returncode == -signal.SIGINT
    expect_no_sleepers()


@pytest.mark.parametrize("how", ["interrupt", "timeout"])
def test_a_build_that_a_tool_started_ends_with_it(tmp_path, how):
    """ninja's jobs have process groups of their own."""
    needs("ninja", "ninja-build")
    (tmp_path / "build.ninja").write_text(f"rule r\n  command = sleep {LONG}\nbuild x: r\n")
    runner = child("import sys; from common import proc; from common.errors import guard\n"
                   f"sys.exit(guard(lambda _: proc.run(['ninja'], cwd='{tmp_path}', "
                   f"timeout={600 if how == 'interrupt' else 1}), []))")
    programs.wait_until(sleepers, "the job's start")
    if how == "interrupt":
        runner.send_signal(signal.SIGINT)
    runner.communicate(timeout=30)
    assert runner.returncode == (130 if how == "interrupt" else 1)
    expect_no_sleepers()


def test_several_runs_end_together():
    """Ctrl-C does not wait for what runs side by side."""
    runner = child("import sys; from common import proc; from common.errors import guard\n"
                   "from common.pool import Pool\n"
                   "def main(_):\n"
                   " with Pool(2) as pool:\n"
                   f"  for job in [pool.submit(proc.run, ['/bin/sleep', '{LONG}']) for _ in range(5)]: job.result()\n"
                   "sys.exit(guard(main, []))")
    programs.wait_until(lambda: len(sleepers()) == 2, "two jobs")
    runner.send_signal(signal.SIGINT)
    assert "interrupted" in runner.communicate(timeout=30)[1] and runner.returncode == 130
    expect_no_sleepers()


LACKS = """\
import os, sys
class Lack:
    def find_spec(name, path=None, target=None):
        if name == os.environ["AT"]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Lack)
"""


def test_a_python_without_a_module(tmp_path):
    """As the first one on PATH may be: a sentence, and which one has them."""
    (tmp_path / "sitecustomize.py").write_text(LACKS)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "AT": "elftools"}
    done = subprocess.run([PYTHON, "-m", "gate.ab"], cwd=ROOT, env=environment, capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode == 2 and re.fullmatch(r"gate\.ab: \S+ has no module 'elftools': .*\n", done.stderr)


# A module that is sought, named by AT, brings a Ctrl-C: in Python's own words before any line of a tool runs.
STRIKES = """\
import os, signal, sys
class Strike:
    def find_spec(name, path=None, target=None):
        if name == os.environ["AT"]:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Strike)
"""
TOOLS = [".".join(path.with_suffix("").parts) for path in map(Path, clone.names()) if path.suffix == ".py"
         and "\nif __name__ == \"__main__\":\n    sys.exit(guard(" in (ROOT / path).read_text()]


def test_an_interrupt_while_modules_are_read(tmp_path):
    """Each tool, before anything is begun: one sentence, as later."""
    (tmp_path / "sitecustomize.py").write_text(STRIKES)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "AT": "common.errors"}
    assert len(TOOLS) > 40
    for name in TOOLS:
        words = ["configure.py"] if name == "configure" else ["-m", name]
        done = subprocess.run([PYTHON, *words], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60,
                              check=False)
        one_sentence(done, 130, f"{words[-1]}: interrupted")
