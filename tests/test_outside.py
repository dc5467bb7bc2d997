# SPDX-License-Identifier: MIT
"""What is around the tools: the user's environment, locale, umask and clock, odd names, a clone without git, another
make at the same time, an end in the middle, and requests that cannot be. Nothing of it changes what is built, and what
cannot work is one sentence before anything is done."""

import fcntl
import importlib
import json
import os
import re
import resource
import shutil
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest

from common import clone, files, lock, proc, records
from common.errors import Failure, UserError, guard
from common.launch import launch
from common.tree import build_tree
from common.workloads import Workload
from learn import real
from measure import callgrind, counting
from gate import ab
from plan import own
from ship import verify_repro
from tests import kill, programs
from tests.support import ROOT, copy_of_sources, needs
from tests.test_faults import one_sentence, tool

PYTHON = kill.PYTHON
MAKEFILE = (ROOT / "Makefile").read_text()
OBJECTS = ("build/clang-bench_minimal/base/core/base/options.o", "build/gcc-bench_minimal/base/core/base/options.o")
# A user's settings for other work, each of which would break or change a build.
SPOILED = {
    "PYTHONHOME": "/nonexistent", "PYTHONPATH": "{here}", "PYTHONSAFEPATH": "1", "PYTHONWARNINGS": "error",
    "PYTHONIOENCODING": "ascii", "CPATH": "{here}", "C_INCLUDE_PATH": "{here}", "LIBRARY_PATH": "{here}",
    "COMPILER_PATH": "{here}", "GCC_EXEC_PREFIX": "{here}/", "LD_RUN_PATH": "{here}", "CCC_OVERRIDE_OPTIONS": "+-O0",
    "DEPENDENCIES_OUTPUT": "{here}/deps", "CFLAGS": "-O0", "LDFLAGS": "-static", "CC": "false", "CDPATH": "/",
    "MAKEFLAGS": "-k", "NINJA_STATUS": "[%p] ", "TERM": "dumb", "COLUMNS": "7", "CLICOLOR_FORCE": "1",
    "TZ": "XYZ-13:17", "GREP_OPTIONS": "-v",
    "BASH_ENV": "{here}/no", "ENV": "{here}/no", "POSIXLY_CORRECT": "1", "LC_ALL": "tr_TR",
    "GIT_DIR": "{here}", "INSTALL": "/usr/bin/install -c",
}
NAMES = ("a=b", "it's a 'place'", "$x: #1 %d @y \"q\" ü", "n" * 120 + "/" + "m" * 120, "caf\udce9", "back\\slash;|&")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A clone, configured for both compilers, and an object of each."""
    for program, package in (("ninja", "ninja-build"), ("clang-22", "clang-22"), ("make", "make")):
        needs(program, package)
    return built(copy_of_sources(tmp_path_factory.mktemp("plain") / "clone"))


def built(place, **more):
    """Configured, and an object of each compiler in it."""
    make(place, "configured", "TOOLCHAIN=all", **more)
    proc.run(["ninja", *OBJECTS, "compile_commands.json"], cwd=place, **more)
    return place


def make(place, *words, check=True, **more):
    """A goal of the Makefile. The packages are there."""
    there = [word for name in ("build-tools", "test-tools", "all-tools", "peers") for word in ("-o", name)]
    return proc.run(["make", "-s", *there, *words], cwd=place, check=check, **more)


def child(source: str, **more):
    """Python that runs a line of ours in the clone."""
    return subprocess.Popen([PYTHON, "-c", source], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            **more)


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


# Environment and names


def test_settings_for_other_work(plain, tmp_path):
    """Everything that a user may have set, at once: the same bytes."""
    here = tmp_path / "here"
    here.mkdir()
    for name in ("json.py", "argparse.py", "stdlib.h", "stdint.h", "stddef.h"):
        (here / name).write_text("#error the user's own\nraise SystemExit(9)\n")
    environment = {**os.environ, **{key: value.format(here=here) for key, value in SPOILED.items()}}
    place = built(copy_of_sources(tmp_path / "clone"), env=environment)
    for name in OBJECTS:
        assert (place / name).read_bytes() == (plain / name).read_bytes(), name
    assert not (here / "deps").exists()


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_clone_of_any_name(plain, tmp_path, name):
    """The same bytes of every object, and commands that editors can read."""
    place = built(copy_of_sources(tmp_path / name / "clone"))
    for path in OBJECTS:
        assert (place / path).read_bytes() == (plain / path).read_bytes(), path
    for row in json.loads((place / "compile_commands.json").read_text(errors="surrogateescape")):
        assert re.match(r" *'?/\S*(clang|gcc|g\+\+)\S* ", row["command"]), row["command"][:200]


@pytest.mark.parametrize("locale", ["C", "POSIX", "en_US.ISO-8859-1", "tr_TR.UTF-8"])
def test_locales(tmp_path, locale):
    """Names that are no ASCII, in any locale, whether the machine has it or not: the same files."""
    made = []
    for parent, setting in ((tmp_path / "a", locale), (tmp_path / "b", "C.UTF-8")):
        place = copy_of_sources(parent / "ü")
        (place / "dätä").write_text("x\n")
        environment = {**os.environ, "LC_ALL": setting, "LANG": setting, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
        done = subprocess.run(["./configure.py", "--variant=bench_minimal", "--train", "/bin/cat dätä"], cwd=place,
                              env=environment, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        made.append([(place / name).read_bytes().replace(os.fsencode(parent), b"")
                     for name in ("build.ninja", "build/workload/user1.json")])
    assert made[0] == made[1]


def test_names_that_are_no_text(tmp_path):
    """A file with a stray byte in its name, among the words of a command."""
    name = os.fsdecode(b"caf\xe9")
    (tmp_path / name).write_text("x\n")
    place = copy_of_sources(tmp_path / "clone")
    proc.run([PYTHON, "configure.py", "--variant=bench_minimal", "--train", f"/bin/cat {tmp_path / name}"], cwd=place)
    proc.run(["ninja", "-n", "build.ninja"], cwd=place)
    assert b"caf\xe9" in (place / "build.ninja").read_bytes()


def test_a_private_umask(tmp_path, monkeypatch):
    """What is preloaded may be loaded by every user: a program may become another one."""
    library = tmp_path / "lib.so"
    shutil.copyfile("/lib/x86_64-linux-gnu/libm.so.6", library)
    library.chmod(0o600)
    monkeypatch.setattr("common.paths.BENCH_PROGRAMS", tmp_path)
    shutil.copyfile(library, tmp_path / "beside.so")
    (tmp_path / "beside.so").chmod(0o600)
    modes = []
    launch(Workload("w", "train", ("/bin/true",), "s"), library, companion="beside.so", keep=lambda scratch:
           modes.extend(stat.S_IMODE(path.stat().st_mode) for path in scratch.glob("*.so")))
    assert modes == [0o755, 0o755]


def test_nowhere_to_run(monkeypatch, tmp_path):
    """A place that cannot be written to, and one that is full: what to do."""
    monkeypatch.setenv("TMPDIR", "/sys")
    with pytest.raises(UserError, match="/sys cannot hold the directory of a run .*: set TMPDIR"):
        launch(Workload("w", "train", ("/bin/true",), "s"), None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("common.proc.LEAST_ROOM", 1 << 80)
    with pytest.raises(Failure, match=f"false failed with exit 1; {tmp_path} is full: make room, or set TMPDIR"):
        launch(Workload("w", "train", ("/bin/false",), "s"), None)


def test_usage_that_was_not_written(monkeypatch, tmp_path):
    """On a full disk time(1) leaves an empty file."""
    def launched(*_words, keep, **_more):
        (tmp_path / counting.USAGE).write_text("")
        keep(tmp_path)

    monkeypatch.setattr(counting, "launch", launched)
    with pytest.raises(Failure, match="workload 'w': .*time left no figures of its run"):
        counting.usage_metrics(Workload("w", "train", ("/bin/true",), "s"), None)


WHOLE = "# callgrind format\nevents: Ir\nob=(1) /x/libhakmem.so\nfn=(1) malloc\n0x10 5\n\ntotals: 5\n"


def test_counts_that_are_cut_off(monkeypatch, tmp_path, capsys):
    """Of a full disk: a failure, not smaller counts; of a process that was killed: left out, and said."""
    (tmp_path / "callgrind.out.1").write_text(WHOLE)
    (tmp_path / "callgrind.out.2").write_text(WHOLE[:-12])
    assert counting.outputs(tmp_path, tmp_path / "libhakmem.so") == [WHOLE]
    assert "as it wrote its counts: it is not counted" in capsys.readouterr().err
    monkeypatch.setattr("common.proc.LEAST_ROOM", 1 << 80)
    with pytest.raises(Failure, match="could not write all of its counts; .* is full"):
        counting.outputs(tmp_path, tmp_path / "libhakmem.so")


# Files


def test_settings_of_valgrind(monkeypatch, tmp_path):
    """A .valgrindrc where a command was given, and VALGRIND_OPTS: nothing of them reaches a run that counts."""
    (tmp_path / ".valgrindrc").write_text("--no-such-option\n")
    monkeypatch.setenv("VALGRIND_OPTS", "--no-such-option")
    row = Workload("w", "train", ("/bin/true",), "s", here=str(tmp_path))
    assert "summary: " in counting.callgrind_output(row, None, flags=callgrind.INSTRUCTIONS)
    assert real.kinds()[real.INSTRUCTIONS] == ""


def test_a_program_that_prints_what_no_terminal_should(tmp_path):
    """The end of it stands in an error: without colours and control characters, and not the whole of a long line."""
    with pytest.raises(Failure) as failed:
        proc.run(["/bin/sh", "-c", "printf '\\033[31mred\\033[0m\\a\\n' >&2; head -c 9000 /dev/zero >&2; exit 3"])
    text = str(failed.value)
    assert "\n    red\\x07\n" in text and text.replace("\n", "").isprintable() and len(text) < 2000


def test_gigabytes_on_stderr():
    """Two of them would be lines beyond all memory."""
    source = ("import resource; from common import proc; from common.errors import Failure\n"
              "resource.setrlimit(resource.RLIMIT_AS, (1 << 29, 1 << 29))\n"
              "try:\n"
              "    proc.run(['/bin/sh', '-c', 'yes | head -c 300000000 >&2; echo end >&2; exit 3'])\n"
              "except Failure as error:\n    print(error)\n")
    done = proc.run([PYTHON, "-c", source], cwd=ROOT)
    assert "failed with exit 3" in done.stdout and done.stdout.endswith("end\n")


def test_a_device_stays_one(tmp_path):
    """-o /dev/null: written into, not replaced."""
    device = tmp_path / "null"
    try:
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root makes devices")
    mode = device.stat().st_mode
    files.write_atomic(device, "x")
    assert stat.S_ISCHR(mode) and device.stat().st_mode == mode


def test_a_link_stays_one(tmp_path):
    """What it leads to is replaced."""
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to("file")
    assert files.write_atomic(tmp_path / "link", "new") and not files.write_atomic(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "file").read_text() == "new"


@pytest.mark.parametrize("line", ["{", "[]", "{}", '{"file": "a", "lines": "x", "sha256": ""}'])
def test_a_torn_seal_is_named(tmp_path, line):
    """The line of seals.jsonl that is none."""
    (tmp_path / records.SEALS).write_text(f"{line}\n")
    with pytest.raises(Failure, match="seals.jsonl line 1 is no seal"):
        records.verify(tmp_path)


def test_checksums_that_are_none(tmp_path):
    """A dist/ with a cut SHA256SUMS: said before two clones are built."""
    (tmp_path / "SHA256SUMS").write_bytes(b"00  a\nabc\xff")
    with pytest.raises(UserError, match="SHA256SUMS line 2 is not of sha256sum"):
        verify_repro.main(["--dist", str(tmp_path)])


def test_a_limit_of_the_user(tmp_path):
    """`ulimit -f`, which only root may raise: a workload has it as well."""
    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)

    tmp_path.chmod(0o755)
    source = ("from common import proc; print(proc.run(['/bin/sh', '-c', 'ulimit -f'], file_limit=1 << 30)"
              ".stdout.strip())")
    runner = child(source, preexec_fn=limited)
    assert runner.communicate(timeout=60)[0] == "16\n"


# Git


def test_an_archive_inside_of_a_repository(tmp_path):
    """Unpacked in somebody's repository: it is not of their commit, and it can be copied and built like a clone."""
    needs("git", "git")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-C", tmp_path]
    proc.run([*git, "init", "-q"])
    (tmp_path / "file").write_text("theirs")
    proc.run([*git, "add", "file"])
    proc.run([*git, "commit", "-q", "-m", "theirs"])
    place = copy_of_sources(tmp_path / "hakmem")
    source = "from common import clone, records; print(records.revision()); print(*sorted(clone.names()), sep='\\n')"
    first, *names = proc.run([PYTHON, "-c", source], cwd=place).stdout.splitlines()
    assert first == records.UNKNOWN and names == sorted(clone.names())
    one_sentence(tool(place, "gate.ab", "--a", "HEAD", "--b", "."), 64, "this is no git clone")


def test_a_shallow_clone(tmp_path, monkeypatch):
    """A revision that it was cloned without: how to get it."""
    git = [needs("git", "git"), "-c", "user.name=a", "-c", "user.email=a@example.org", "-C", tmp_path / "whole"]
    proc.run([git[0], "init", "-q", tmp_path / "whole"])
    for number in range(2):
        proc.run([*git, "commit", "-q", "--allow-empty", "-m", str(number)])
    proc.run([git[0], "clone", "-q", "--depth", "1", f"file://{tmp_path}/whole", tmp_path / "shallow"])
    for name, said in (("whole", False), ("shallow", True)):
        monkeypatch.setattr(clone, "ROOT", tmp_path / name)
        with pytest.raises(UserError, match="'HEAD~2' is neither a git revision") as caught:
            ab.resolve_revision("HEAD~2")
        assert ("git fetch --unshallow" in str(caught.value)) == said


def test_a_hook_of_another_repository(monkeypatch, tmp_path):
    """git tells its hooks whose they are by the environment: our questions are about our clone."""
    if not clone.is_repository():
        pytest.skip("this is no git clone")
    before = records.revision()
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    assert records.revision() == before != records.UNKNOWN


# Two at a time


def test_whatever_builds_is_alone():
    """Each recipe that calls ninja or configures holds the lock, to its end."""
    for line in re.sub(r"\\\n", " ", MAKEFILE).splitlines():
        if line.startswith("\t@") and re.search(r"\$\((BUILD|CONFIGURE|ONCE|TREES)\)", line):
            before = re.split(r"\$\((?:BUILD|CONFIGURE|ONCE|TREES)\)", line)[0]
            assert "$(ALONE)" in before, line


@pytest.mark.parametrize("goal", ["pgo", "all", "learn TRAIN=/bin/true"])
def test_a_make_that_is_ended_takes_ninja_with_it(plain, goal):
    """SIGTERM to make alone, as a supervisor sends it: make passes it on to a shell, and that to nobody."""
    needed = [word for name in ("build-tools", "python") for word in ("-o", name)]
    started = subprocess.Popen(["make", "-s", *needed, *goal.split(), f"NINJA=sleep {LONG};:"], cwd=plain)
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


def test_a_second_configuration_waits(plain):
    """A make with another TRAIN changes nothing under a build that runs."""
    before = (plain / "build.ninja").read_bytes()
    with open(plain / "build" / ".lock", "ab") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        second = subprocess.Popen(["make", "-s", "-o", "build-tools", "configured", "TRAIN=/bin/true"], cwd=plain,
                                  stderr=subprocess.PIPE, text=True)
        assert "another build of this tree is still running" in second.stderr.readline()
        time.sleep(0.5)
        assert second.poll() is None and (plain / "build.ninja").read_bytes() == before
    assert second.communicate(timeout=60) and second.returncode == 0
    assert b"/bin/true" in (plain / "build.ninja").read_bytes()
    make(plain, "configured", "TOOLCHAIN=all")
    assert (plain / "build.ninja").read_bytes() == before


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


@pytest.mark.parametrize("call", [f"proc.run(['/bin/sleep', '{LONG}'])", "Guardian('/nonexistent').__enter__()"],
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


# Requests


@pytest.mark.parametrize("words, sentence", [
    (["--variant="], "unknown variant ''; valid variants: "), (["--variant=,"], "unknown variant ''; valid"),
    (["--toolchain="], "unknown toolchain ''; valid toolchains: clang, gcc, all"),
    (["--here", "/a\nb"], "an option has a line's end in it"),
    (["--timeout", "99999999999"], "must be a whole number of at least 1 and at most 2000000, not '99999999999'"),
    (["--timeout", "nan"], "must be a whole number"),
])
def test_requests_that_build_nothing(plain, words, sentence):
    """Exit 2, one sentence, the old build.ninja."""
    before = (plain / "build.ninja").read_bytes()
    done = subprocess.run([PYTHON, "configure.py", *words], cwd=plain, capture_output=True, text=True, check=False)
    one_sentence(done, 2, sentence)
    assert (plain / "build.ninja").read_bytes() == before


def test_a_command_that_ninja_could_not_call(plain):
    """A word of a command has 128 KiB at most."""
    before = (plain / "build.ninja").read_bytes()
    done = subprocess.run([PYTHON, "configure.py", f"--train=ls {'x' * 110_000}"], cwd=plain, capture_output=True,
                          text=True, check=False)
    one_sentence(done, 2, "more than 100,000, which ninja could not hand on")
    assert (plain / "build.ninja").read_bytes() == before
    done = subprocess.run([PYTHON, "configure.py", "--variant=bench_minimal", f"--train=ls {'x' * 90_000}"], cwd=plain,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    os.utime(plain / "configure.py")
    proc.run(["ninja", "build.ninja"], cwd=plain)


def test_make_from_elsewhere(plain, tmp_path):
    """`make -f` of a clone, in another directory: nothing of it would be found."""
    done = proc.run(["make", "-s", "-f", plain / "Makefile", "help"], cwd=tmp_path, check=False)
    assert done.returncode == 2 and f"{plain}/Makefile works in its own directory: " in done.stderr
    assert "make verify-repro" in proc.run(["make", "-s", "-f", "./Makefile", "help"], cwd=plain).stdout


def test_clean_keeps_the_lock(tmp_path):
    """Who waits for it would hold a file that nobody else opens."""
    place = copy_of_sources(tmp_path / "clone")
    (place / "build" / "deep").mkdir(parents=True)
    (place / "dist").mkdir()
    make(place, "clean")
    assert [path.name for path in (place / "build").iterdir()] == [".lock"] and not (place / "dist").exists()


def test_a_clock_that_was_set_back(plain):
    """ninja would call configure.py a hundred times."""
    path = plain / "bench" / "workloads.toml"
    os.utime(path, (time.time() + 7200, time.time() + 7200))
    try:
        done = proc.run(["ninja", "build.ninja"], cwd=plain, check=False)
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
def test_make_complains_first(plain, tmp_path, words, sentence):
    """Before anything is built. What is given is no shell's text."""
    words, sentence = [word.replace("{}", f"{tmp_path}/touched") for word in words], \
        sentence.replace("{}", f"{tmp_path}/touched").replace("{here}", str(plain))
    done = make(plain, *words, f"NINJA=touch {tmp_path}/built", check=False)
    assert done.returncode == 2 and sentence in done.stderr and "be written to" not in done.stderr, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_learned_policy_is_taken_with_a_command(tmp_path):
    """With the first one or a further one; a build that is nobody's own has none."""
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "learned.toml").write_text("")
    (tmp_path / "Makefile").write_text(MAKEFILE)
    for words, taken in (([], False), (["TRAIN=x"], True), (["TRAIN2=x"], True), (["TRAIN=x", "POLICY="], False)):
        assert ("--policy='policy/learned.toml'" in make(tmp_path, "-n", "pgo", *words).stdout) == taken, words


def test_common_words_in_the_environment(plain):
    """Some systems have the machine's name in NAME, and others a STAGE: not what a policy or a question is about."""
    there = {**os.environ, "NAME": "pc", "STAGE": "prod", "TRACE": "1", "GOAL": "x", "K": "x", "CLONES": "1", "A": "x"}
    shown = [make(plain, "-n", *words, env=there).stdout for words in (["learn", "TRAIN=x"], ["history"], ["test"])]
    assert "--name='learned' --goal='balanced'" in shown[0] and "--trace" not in shown[0]
    assert "--stage='shipped'" in shown[1] and " -k " not in shown[2]
    assert "--name='pc'" in make(plain, "-n", "learn", "TRAIN=x", "NAME=pc").stdout


def test_zero_clones(plain):
    """CLONES=0 is none, as INSTALL=0."""
    assert "--clones" not in make(plain, "-n", "verify-repro", "CLONES=0").stdout
    assert "--clones" in make(plain, "-n", "verify-repro", "CLONES=1").stdout


def test_an_install_of_others_is_none(plain):
    """INSTALL is exported by many a build system: only 1 installs."""
    shown = make(plain, "-n", "doctor", "INSTALL=/usr/bin/install -c").stdout
    assert "common.doctor" in shown and "--install" not in shown
    assert "--install --optional" in make(plain, "-n", "doctor", "INSTALL=1").stdout


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
