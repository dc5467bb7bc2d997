# SPDX-License-Identifier: MIT
"""The tools under fault: killed, on a full disk, before an unwritable directory, with a workload that crashes or hangs,
with a profile that is empty or foreign. One sentence, the documented exit status, and nothing half-written."""

import contextlib
import errno
import importlib
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import tarfile
import threading
import time

import pytest

from common import files, household, proc, scratch
from common.errors import Failure, UserError, guard
from common.launch import launch
from common.workloads import Workload
from pgo import gcc_profile
from tests import kill, programs
from tests.shop import take_built
from tests.support import ROOT, needs

PYTHON = kill.PYTHON
TREE = "build/clang-bench_minimal"
TRAINED = f"{TREE}/train/words.profdata"
INSTRUMENTED = f"{TREE}/train/libhakmem.so"
UNWRITABLE = "/sys/hakmem"      # where root may not write either
SMALL_DISK = "256k"
SECONDS = 2

# One kill a step: enough for every run of the tests. All moments: make kill-test.
KILLS = [kill.Kill("training", 0.1, False), kill.Kill("merging", 0.08, True), kill.Kill("linking", 0.0, False),
         kill.Kill("measuring", 0.3, True), kill.Kill("gating", 0.08, False), kill.Kill("rewriting", 0.1, False),
         kill.Kill("shipping", 0.12, True), kill.Kill("shipping", 0.2, False)]

BAD_WORKLOADS = {
    "crashes": (["/bin/sh", "-c", "kill -SEGV $$"], "signal SIGSEGV"),
    "fails": (["/bin/sh", "-c", "echo it did not work >&2; exit 7"], "exit 7"),
    "hangs": (["/bin/sleep", "600"], f"did not end within {SECONDS} s and was killed"),
    "leaves": (["/bin/sh", "-c", "setsid sleep 20 & sleep 600"], f"did not end within {SECONDS} s and was killed"),
    "absent": (["/nonexistent/program"], "exit 127"),
}


def bad_table() -> str:
    """The small table, and a row for each workload that does not work. Their rows judge, so that no build runs them."""
    rows = [f'[[workload]]\nname = "{name}"\nrole = "holdout"\ncommand = {json.dumps(command)}\n'
            f'timeout = {SECONDS}\nsentence = "it {name}"\n' for name, (command, _words) in BAD_WORKLOADS.items()]
    rows.append('[[workload]]\nname = "slow"\nrole = "holdout"\ncommand = ["/bin/sleep", "60"]\nsentence = "waits"\n')
    return kill.WORKLOADS + "\n" + "\n".join(rows)


def tool(place, *words, **more):
    """Run one of the project's modules in a clone."""
    return subprocess.run([PYTHON, "-m", *map(str, words)], cwd=place, capture_output=True, text=True,
                          timeout=kill.MINUTES, check=False, **more)


def one_sentence(done, status: int, *words):
    """The status, and on stderr one sentence with these words; the tail of a program's output may follow, indented."""
    lines = done.stderr.splitlines()
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    assert lines and not [line for line in lines[1:] if not line.startswith("    ")], done.stderr
    for word in words:
        assert word in lines[0], done.stderr


def snapshot(directory) -> dict:
    """Name -> content of all files below a directory."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*")
            if path.is_file() and not path.is_symlink()}


def small_files():
    """In a child: no file may grow beyond 16 KiB, as on a disk that is nearly full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (16384, 16384))


@contextlib.contextmanager
def mounted(directory, *options):
    """A file system mounted there; a skip where that is not permitted."""
    directory.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *options, str(directory)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"mounting is not permitted here: {done.stderr.strip()}")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


@pytest.fixture(scope="module")
def workshop(finished):
    """The same clone, with the workloads that do not work in its table: from here on, a build of it fails."""
    (finished / "bench" / "workloads.toml").write_text(bad_table())
    proc.run([PYTHON, "configure.py", "--variant=bench_minimal"], cwd=finished)
    return finished


@pytest.fixture
def profile(finished, tmp_path):
    """A copy of the trained profile and its record, to be damaged."""
    for suffix in ("", ".json"):
        shutil.copyfile(finished / f"{TRAINED}{suffix}", tmp_path / f"words.profdata{suffix}")
    return tmp_path / "words.profdata"


# Killed


def test_killed_runs_ship_the_same(finished, tmp_path):
    """A run that is killed in every step, and started again each time, ships what an undisturbed one does; both trained
    for themselves, from what this tree has compiled without a profile, and the clone that is killed has an odd name."""
    killed = kill.small_project(kill.odd_place(tmp_path))
    take_built(killed, "clang")
    kill.earlier_dist(finished, killed)
    assert kill.disturbed(killed, KILLS) >= len(KILLS) - 1
    kill.compare(finished, killed)


def test_a_difference_would_be_seen(finished, tmp_path):
    """The checks of the kill test themselves: other bytes, a dist/ that is not whole."""
    kill.earlier_dist(finished, tmp_path)
    kill.check_whole(tmp_path / "dist", "nothing")
    with pytest.raises(Failure, match="shipped other bytes: hakmem.h"):
        kill.compare(finished, tmp_path)
    (tmp_path / "dist" / "hakmem.pc").write_text("half")
    with pytest.raises(Failure, match="is not whole"):
        kill.check_whole(tmp_path / "dist", "this")


def test_a_ship_during_the_look(finished, tmp_path, monkeypatch):
    """Whoever was spared puts another dist/ in place of the one that is looked at: then that one counts."""
    kill.earlier_dist(finished, tmp_path)
    looks = []

    def replaced(directory, sums):
        looks.append(hold(directory, sums))
        if len(looks) == 1:
            shutil.copytree(finished / "dist", tmp_path / "made", symlinks=True)
            files.replace_directory(tmp_path / "made", directory)
        return hold(directory, sums)

    hold = kill.ship.checksums_hold
    monkeypatch.setattr(kill.ship, "checksums_hold", replaced)
    kill.check_whole(tmp_path / "dist", "this")
    assert looks == [True, True]


def test_a_build_waits_for_the_one_before(finished):
    """What a killed make left running still holds the lock: the next one says so, and goes on when it has ended."""
    import fcntl
    with open(finished / "build" / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = subprocess.Popen(["make", "ship"], cwd=finished, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True)
        assert "another build of this tree is still running" in waiting.stderr.readline()
        assert waiting.poll() is None
    assert waiting.communicate(timeout=120) and waiting.returncode == 0


def test_a_run_ends_nothing_of_another_thread(tmp_path):
    """A tool that another thread has started meanwhile, as in `make ab`: it is no part of the run."""
    ended = []
    with household.Household(tmp_path) as run:
        other = threading.Thread(target=lambda: ended.append(proc.run(["/bin/sleep", "1"], check=False).returncode))
        other.start()
        programs.wait_until(household.descendants, "the start of the other")
        proc.run(["/bin/true"])
    other.join()
    assert ended == [0] and run.left == []


def test_a_workload_dies_with_its_tool():
    """SIGKILL of a tool leaves no workload behind."""
    source = "from common import proc; proc.run(['/bin/sh', '-c', 'echo $$ >&2; exec sleep 600'], timeout=600)"
    runner = subprocess.Popen([PYTHON, "-c", source], cwd=ROOT)
    try:
        def child():
            lines = subprocess.run(["ps", "-o", "pid=", "--ppid", str(runner.pid)], capture_output=True, text=True,
                                   check=False).stdout.split()
            return int(lines[0]) if lines else 0

        deadline = time.monotonic() + 20
        while not (pid := child()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        runner.kill()
        runner.wait()
    deadline = time.monotonic() + 20
    while os.path.exists(f"/proc/{pid}") and proc_state(pid) != "Z":
        assert time.monotonic() < deadline, "the workload outlived its tool"
        time.sleep(0.02)


def command_of(pid) -> bytes:
    """Its command line; nothing of one that is gone."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as line:
        return line.read()
    return b""


def proc_state(pid) -> str:
    """One letter; "Z" also for one that is gone."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_what_killed_runs_left_goes(tmp_path):
    """Their directories of yesterday; not today's, nor what has another name."""
    names = ("hakmem.abcdefgh", "hakmem.12345678", "hakmem.mine", "other.abcdefgh", "hakmem-repro.abcdefgh")
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("content")
        if name != "hakmem.12345678":
            os.utime(tmp_path / name, (0, 0))
    scratch.sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(names[1:4])


def test_a_torn_log_is_mended(finished):
    """ninja's own records end in half a line, as a kill may leave them: the next run ships the same."""
    before = snapshot(finished / "dist")
    for name in (".ninja_log", ".ninja_deps"):
        path = finished / "build" / name
        with open(path, "r+b") as log:
            log.truncate(path.stat().st_size - 7)
    proc.run(kill.COMMAND, cwd=finished, timeout=kill.MINUTES)
    assert snapshot(finished / "dist") == before


def test_what_a_killed_ship_left_goes(finished):
    """The directory that it was filling is removed by the next one."""
    left, mine = finished / ".dist.abandoned.made", finished / ".dist.mine"
    left.mkdir()
    mine.mkdir()
    (left / "libhakmem.so").write_bytes(b"half")
    before = snapshot(finished / "dist")
    done = tool(finished, "ship.ship", "--build", TREE, "--toolchain", "clang", "--variant", "bench_minimal",
                "-o", "dist")
    assert done.returncode == 0 and not left.exists() and snapshot(finished / "dist") == before
    mine.rmdir()


@pytest.mark.parametrize("exchange", [True, False])
def test_a_directory_is_replaced_whole(tmp_path, monkeypatch, exchange):
    """By one rename, or where the file system has none such by two, of which the second may fail."""
    if not exchange:
        class Without:
            """A C library without renameat2."""
            renameat2 = staticmethod(lambda *_arguments: -1)
        monkeypatch.setattr(files.ctypes, "CDLL", lambda *_arguments, **_more: Without)
    for name in ("made", "dist"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_text(name)
    files.replace_directory(tmp_path / "made", tmp_path / "dist")
    assert (tmp_path / "dist" / "f").read_text() == "made"
    with pytest.raises(OSError):
        files.replace_directory(tmp_path / "absent", tmp_path / "dist")
    assert (tmp_path / "dist" / "f").read_text() == "made"


def test_the_guard_knows_the_system(capsys):
    """What the system refuses and what the user interrupts is a sentence as well."""
    def refuse(_argv):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "build/x")

    def interrupt(_argv):
        raise KeyboardInterrupt

    assert guard(refuse, []) == 1
    assert "build/x: No space left on device; put that right" in capsys.readouterr().err
    assert guard(refuse, [], failure=70) == 70
    assert guard(interrupt, []) == 130
    assert "interrupted" in capsys.readouterr().err


# Workloads


@pytest.mark.parametrize("name", BAD_WORKLOADS)
@pytest.mark.parametrize("module", ["pgo.train", "measure.counting"])
def test_bad_workloads(workshop, tmp_path, module, name):
    """A workload that does not work: what it did, exit 1, the old result untouched and no new one."""
    so = INSTRUMENTED if module == "pgo.train" else f"{TREE}/base/libhakmem.so"
    old = tmp_path / "out.json"
    old.write_text("old")
    started = time.monotonic()
    done = tool(workshop, module, "--workload", name, "--so", so, "--toolchain", "clang", "-o", old)
    one_sentence(done, 1, f"workload '{name}'", *([BAD_WORKLOADS[name][1]] if module == "pgo.train" else []))
    assert snapshot(tmp_path) == {"out.json": b"old"}
    assert time.monotonic() - started < 60


def test_a_workload_that_calls_nothing(workshop, tmp_path):
    """A static program is not preloaded: there is no profile to keep."""
    program = tmp_path / "static"
    source = tmp_path / "static.c"
    source.write_text("int main(void) { return 0; }\n")
    proc.run([needs("gcc", "gcc"), "-static", source, "-o", program])
    proc.run([PYTHON, "configure.py", "--variant=bench_minimal", "--train", program], cwd=workshop)
    try:
        done = tool(workshop, "pgo.train", "--workload", "user1", "--so", INSTRUMENTED, "--toolchain", "clang",
                    "-o", tmp_path / "out")
    finally:
        proc.run([PYTHON, "configure.py", "--variant=bench_minimal"], cwd=workshop)
    one_sentence(done, 1, "left no counts")
    assert not (tmp_path / "out").exists()


def test_the_pipeline_stops_at_a_bad_workload(workshop):
    """In the whole build: a status other than 0, dist/ as it was, and a second run that fails alike."""
    table = workshop / "bench" / "workloads.toml"
    before, good = snapshot(workshop / "dist"), table.read_text()
    table.write_text(kill.WORKLOADS.replace("declare -A n;", "kill -SEGV $$; declare -A n;"))
    try:
        for _attempt in range(2):
            done = subprocess.run(["make", "ship"], cwd=workshop, capture_output=True, text=True, timeout=120,
                                  check=False)
            assert done.returncode != 0 and "signal SIGSEGV" in done.stdout and "Traceback" not in done.stdout
            assert snapshot(workshop / "dist") == before
    finally:
        table.write_text(good)
        proc.run([PYTHON, "configure.py", "--variant=bench_minimal"], cwd=workshop)


def test_an_interrupt_ends_the_workload_too(workshop, tmp_path):
    """Ctrl-C: the workload ends, its directory goes, status 130."""
    runner = subprocess.Popen([PYTHON, "-m", "measure.counting", "--workload", "slow", "--so",
                               f"{TREE}/base/libhakmem.so", "-o", tmp_path / "out.json"], cwd=workshop,
                              stderr=subprocess.PIPE, text=True)
    child = programs.wait_until(lambda: [pid for pid in household.descendants() if b"sleep" in command_of(pid)],
                                "the workload's start")[0]
    directory = os.readlink(f"/proc/{child}/cwd")
    runner.send_signal(signal.SIGINT)
    assert "interrupted" in runner.communicate(timeout=30)[1] and runner.returncode == 130
    assert not os.path.exists(directory) and b"sleep" not in command_of(child) and list(tmp_path.iterdir()) == []


def test_a_workload_that_writes_without_end(tmp_path, monkeypatch):
    """It is ended before the disk is full."""
    monkeypatch.setattr("common.proc.LARGEST_FILE", 1 << 20)
    shell = ("/bin/sh", "-c")
    for command in (("/usr/bin/yes",), (*shell, "yes > file; exit $?"), (*shell, "trap '' XFSZ; yes")):
        with pytest.raises(Failure, match="workload 'w' .*; its output, or a file that it wrote, came to the limit"):
            launch(Workload("w", "train", command, "s"), None)


def test_commands_are_argument_lists(tmp_path):
    """Nothing of a command line is expanded, unless it names a shell."""
    words = ("/bin/echo", "$(touch made)", "`touch made`", ";", "touch", "made", "*", "$HOME", "&&", "> made")
    kept = []
    launch(Workload("w", "train", words, "s"), None, keep=lambda scratch: kept.extend(
        ((scratch / "stdout").read_text(), sorted(path.name for path in scratch.iterdir()))))
    assert kept == [" ".join(words[1:]) + "\n", ["stdout"]]
    launch(Workload("w", "train", ("/bin/sh", "-c", "echo $((6 * 7))"), "s"), None,
           keep=lambda scratch: kept.append((scratch / "stdout").read_text()))
    assert kept[-1] == "42\n"


@pytest.mark.parametrize("goal, program", [("configured", "configure.py"), ("learn", "learn.learn")])
def test_commands_pass_through_make(tmp_path, goal, program):
    """TRAIN=... reaches the tool as it was typed: neither make nor its shell expands it."""
    typed = f"prog $(shell touch {tmp_path}/a) $HOME `touch {tmp_path}/b` 'a; b' $$x # y, z \\"
    given = {"TRAIN": "train", "TRAIN3": "train", "TIMEOUT": "timeout", "WEIGHTS": "weights"} | (
        {"HOLDOUT": "holdout", "POLICY": "policy"} if goal == "configured" else {"TRACE": "trace", "NAME": "name"})
    done = subprocess.run(["make", "-n", goal, *(f"{name}={typed}" for name in given)], cwd=ROOT, capture_output=True,
                          text=True, check=True)
    line = next(line for line in done.stdout.splitlines() if "--train" in line)
    words = line[line.index(program) + len(program):].partition(" --no-run")[0].partition("; }")[0]
    shown = subprocess.run(["/bin/sh", "-c", f"printf '%s\\n' {words}"], capture_output=True, text=True, check=True)
    for option in given.values():
        assert f"\n--{option}={typed}\n" in f"\n{shown.stdout}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command, words", [
    ("prog 'half", "No closing quotation"), ("/bin/echo a\nb", "a command is one line"), ("", "no such program"),
    ("/nonexistent/x", "no such program")])
def test_wrong_own_commands(finished, command, words):
    """Exit 2, one sentence, the build as it was."""
    before = (finished / "build.ninja").read_bytes()
    done = subprocess.run([PYTHON, "configure.py", "--variant=bench_minimal", "--train", command], cwd=finished,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr
    assert (finished / "build.ninja").read_bytes() == before


# Profiles


def damage_record(profile, **changes):
    """Change the record beside a profile."""
    path = profile.with_name(profile.name + ".json")
    record = json.loads(path.read_text())
    record["provenance"] |= {key: value for key, value in changes.items() if key in record["provenance"]}
    record |= {key: value for key, value in changes.items() if key not in record["provenance"]}
    path.write_text(json.dumps(record))


DAMAGES = {
    "empty": (lambda path: path.write_bytes(b""), ""),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:len(path.read_bytes()) // 2]), ""),
    "garbage": (lambda path: path.write_bytes(b"\x7f" * 5000), ""),
    "half a record": (lambda path: path.with_name(path.name + ".json").write_text('{"schema": 1,'), "is not JSON"),
    "no record": (lambda path: os.unlink(f"{path}.json"), "has no record"),
    "record of something else": (lambda path: path.with_name(path.name + ".json").write_text("[]"), "does not say"),
    "provenance of something else": (lambda path: damage_record(path, provenance=3), "does not say provenance as"),
    "other toolchain": (lambda path: damage_record(path, toolchain="gcc"), "its toolchain is 'gcc'"),
    "other compiler": (lambda path: damage_record(path, compiler="clang 1"), "its compiler is 'clang 1'"),
    "other variant": (lambda path: damage_record(path, variant="debug"), "its variant is 'debug'"),
    "other source": (lambda path: damage_record(path, source="0" * 64), "its source is '000"),
    "other library": (lambda path: damage_record(path, instrumented="0" * 64), "is not of the present"),
}


# A given profile answers for its source, one of this build for its library.
@pytest.mark.parametrize("damage, given", [(damage, given) for given in (False, True) for damage in DAMAGES
                                           if damage != ("other library" if given else "other source")])
def test_bad_profiles(finished, profile, damage, given):
    """Empty, cut short, of something else: refused before anything is compiled with it."""
    act, words = DAMAGES[damage]
    act(profile)
    out = profile.with_name("checked.json")
    done = tool(finished, "pgo.check", "--toolchain", "clang", "--variant", "bench_minimal", "-o", out,
                *(() if given else ("--so", INSTRUMENTED)), profile)
    one_sentence(done, 1, words)
    assert not out.exists()


@pytest.mark.parametrize("damage", ["empty", "truncated", "garbage", "no record", "half a record"])
def test_bad_parts_are_not_merged(finished, profile, damage):
    """One bad part of two stops the merge."""
    act, words = DAMAGES[damage]
    act(profile)
    out = profile.with_name("merged")
    done = tool(finished, "pgo.merge", "--toolchain", "clang", "-o", out, f"1:{finished / TRAINED}", f"1:{profile}")
    one_sentence(done, 1, words)
    assert not out.exists()


def tar_of(name, content=b"x", kind=tarfile.REGTYPE) -> bytes:
    """A tar of one member."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size, member.type, member.linkname = len(content), kind, "/etc/passwd"
        archive.addfile(member, io.BytesIO(content) if kind == tarfile.REGTYPE else None)
    return stream.getvalue()


@pytest.mark.parametrize("content", [
    b"", b"garbage" * 200, tar_of("a.gcda", b"x" * 9000)[:3000], tar_of("../a.gcda"), tar_of("/tmp/a.gcda"),
    tar_of("a.gcda", kind=tarfile.SYMTYPE), tar_of("a.gcda", kind=tarfile.DIRTYPE), tar_of("a.sh"),
], ids=["empty", "garbage", "truncated", "above", "absolute", "link", "directory", "other"])
def test_bad_gcc_profiles(tmp_path, content):
    """A tar that is none, or that names files elsewhere, is not unpacked."""
    path, into = tmp_path / "x.gcda.tar", tmp_path / "into"
    path.write_bytes(content)
    with pytest.raises(Failure, match="x.gcda.tar (is not a tar|holds)"):
        gcc_profile.members(path)
    done = tool(ROOT, "pgo.unpack", "--into", into, "-o", into / "all.json", path)
    one_sentence(done, 1, "x.gcda.tar")
    assert not into.exists() and sorted(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("text, words", [
    ("", "is not JSON"), ("{}", "does not say toolchain, variant"),
    ('{"toolchain": 1, "variant": []}', "does not say toolchain, variant as it should"),
    ('{"toolchain": "rust", "variant": "none"}', "it is of"),
])
def test_bad_repeats(finished, tmp_path, text, words):
    """configure.py --repeat of a directory whose index is damaged."""
    shutil.copytree(finished / "dist" / "repeat", tmp_path / "repeat")
    (tmp_path / "repeat" / "repeat.json").write_text(text)
    done = subprocess.run([PYTHON, "configure.py", "--variant=bench_minimal", "--repeat", tmp_path / "repeat"],
                          cwd=finished, capture_output=True, text=True, check=False)
    assert done.returncode in (1, 2) and words in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["select/ship.json", "gate/bolt.json", "select/compile.json"])
@pytest.mark.parametrize("text", ["", "[]", '{"stage":'], ids=["empty", "foreign", "truncated"])
def test_damaged_decisions(finished, tmp_path, name, text):
    """A decision of the build that is no decision ships nothing."""
    tree = tmp_path / "tree"
    shutil.copytree(finished / TREE, tree, symlinks=True)
    (tree / name).write_text(text)
    step = ["layout.order", "--build", tree, "-o", tmp_path / "order.txt"] if "compile" in name else \
        ["ship.ship", "--build", tree, "--toolchain", "clang", "--variant", "bench_minimal", "-o", tmp_path / "dist"]
    one_sentence(tool(finished, *step), 1, name.split("/")[1])
    assert [path.name for path in tmp_path.iterdir()] == ["tree"]


# Full disks and unwritable directories


def steps(finished, out) -> dict:
    """One command for each tool that writes, with its result at `out`."""
    tree = finished / TREE
    return {
        "configure": None,
        "input": ["bench.inputs", "py_mix", out],
        "repository": ["bench.inputs", "git_repository", out],
        "train": ["pgo.train", "--workload", "words", "--so", INSTRUMENTED, "--toolchain", "clang", "-o", out],
        "merge": ["pgo.merge", "--toolchain", "clang", "-o", out, f"1:{TRAINED}"],
        "check": ["pgo.check", "--toolchain", "clang", "--variant", "bench_minimal", "-o", out, TRAINED],
        "measure": ["measure.counting", "--workload", "words", "--so", f"{TREE}/base/libhakmem.so", "-o",
                    f"{out}.json"],
        "golden": ["measure.golden", "--so", f"{TREE}/base/libhakmem.so", "--pattern", "pair64", "-o", out],
        "gate": ["gate.gate", "--stage", "pgo", "--build", tree, "-o", out],
        "order": ["layout.order", "--build", tree, "-o", out],
        "fdata": ["layout.fdata", "--build", tree, "-o", out],
        "bolt": ["layout.bolt", "--in", tree / "bolt" / "input.so", "--fdata", tree / "bolt" / "profile.fdata",
                 "-o", out],
        "artifact": ["layout.artifact", "--so", tree / "bolt" / "libhakmem.so", "--stamp", out],
        "heatmap": ["report.heatmap", "--build", tree, "-o", f"{out}.svg"],
        "results": ["report.results", "--build", tree, "-o", out],
        "ship": ["ship.ship", "--build", tree, "--toolchain", "clang", "--variant", "bench_minimal", "-o", out],
    }


STEPS = tuple(name for name in steps(ROOT, "") if name != "configure")


@pytest.mark.parametrize("name", STEPS)
def test_unwritable_directory(finished, name):
    """Where nobody may write: which directory, exit 1."""
    done = tool(finished, *steps(finished, f"{UNWRITABLE}/out")[name])
    one_sentence(done, 1, "/sys/hakmem")


@pytest.mark.parametrize("name", STEPS)
def test_file_in_place_of_a_directory(finished, tmp_path, name):
    """A file stands where a directory must be: it stays."""
    (tmp_path / "file").write_text("mine")
    done = tool(finished, *steps(finished, tmp_path / "file" / "out")[name])
    one_sentence(done, 1, "file")
    assert snapshot(tmp_path) == {"file": b"mine"}


BEFORE_WORK = {
    "measure.counting --workload xz --so /bin/true": "measure", "report.heatmap --build @": "stage_shares",
    "measure.golden --so /bin/true": "count", "measure.wall --build @": "compare", "bench.own --build @": "study",
    "pgo.train --workload xz --so /bin/true --toolchain clang": "train", "pgo.resolve --workload user1": "train",
    "gate.ab --a . --b .": "resolve", "learn.learn --train /bin/true": "learn", "bench.study hits": "bench.contenders",
    "learn.judge --policy @ --so /bin/true": "judge", "bench.bench --only larson": "contenders",
    "bench.proof": "prove_all",
}


@pytest.mark.parametrize("command", BEFORE_WORK)
def test_no_work_for_nothing(tmp_path, monkeypatch, command):
    """Where nobody may write is said before the work for it."""
    name, *words = command.replace("@", str(tmp_path)).split()
    module = importlib.import_module(name)
    monkeypatch.setattr(f"{name}.{BEFORE_WORK[command]}", lambda *_arguments, **_more: pytest.fail("worked first"))
    option = "--results" if name in ("bench.study", "bench.proof", "bench.bench") else "-o"
    with pytest.raises(OSError, match="/sys/hakmem"):
        module.main([*words, option, f"{UNWRITABLE}/out.svg"])


def test_a_look_at_a_place_leaves_nothing(tmp_path):
    """Directories that are to be made are not, yet; what can be written into may be a pipe."""
    files.check_place(tmp_path / "new" / "deeper" / "out")
    (tmp_path / "file").write_text("mine")
    files.check_place(tmp_path / "file")
    files.check_place("/dev/stdout")
    for name in ("file/out", "."):
        with pytest.raises(OSError, match="irectory"):
            files.check_place(tmp_path / name)
    assert snapshot(tmp_path) == {"file": b"mine"}


def test_ship_spares_a_file(finished, tmp_path):
    """dist is a file of the user's."""
    (tmp_path / "out").write_text("mine")
    done = tool(finished, *steps(finished, tmp_path / "out")["ship"])
    one_sentence(done, 2, "out is not a directory")
    assert snapshot(tmp_path) == {"out": b"mine"}


@pytest.mark.parametrize("name", ["ship", "merge", "measure"])
def test_read_only_file_system(finished, tmp_path, name):
    """A result that is there stays as it is."""
    shutil.copytree(finished / "dist", tmp_path / "disk" / "out", symlinks=True)
    (tmp_path / "disk" / "out" / "SHA256SUMS").write_text("of an earlier run")
    before = snapshot(tmp_path)
    place = tmp_path / "disk"
    with mounted(place, "--bind", "-o", "ro", str(place)):
        target = place / "out" if name == "ship" else place / "out" / "hakmem.h"
        one_sentence(tool(finished, *steps(finished, target)[name]), 1, "Read-only file system")
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("name", ["input", "repository", "merge", "measure", "bolt", "ship", "heatmap"])
def test_full_disk(finished, tmp_path, name):
    """No room on a disk: one sentence; what was there stays, and nothing half-written is added."""
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "tmpfs") as disk:
        (disk / "fill").write_bytes(b"x" * 256 * 1024)
        before = snapshot(disk)
        done = tool(finished, *steps(finished, disk / "out")[name])
        one_sentence(done, 1)
        assert "No space left" in done.stderr or "no space" in done.stderr.lower()
        assert {key: value for key, value in snapshot(disk).items() if not key.endswith(".log")} == before


@pytest.mark.parametrize("name", ["input", "train", "merge", "measure", "bolt", "ship"])
def test_file_size_limit(finished, tmp_path, name):
    """The same under a limit of the size of files, which reaches the programs that a tool starts, too."""
    done = tool(finished, *steps(finished, tmp_path / "out")[name], preexec_fn=small_files)
    if done.returncode == 0:
        assert all(path.stat().st_size <= 16384 for path in tmp_path.rglob("*"))     # it fits
    else:
        one_sentence(done, 1)
        assert not [path for path in tmp_path.rglob("*") if path.suffix != ".log" and path.is_file()]


def test_the_pipeline_on_a_full_disk(tmp_path):
    """The whole build: it fails, ships nothing, and once there is room the same command goes on."""
    place = kill.small_project(tmp_path / "clone")
    shutil.rmtree(place / "build")
    with mounted(place / "build", "-t", "tmpfs", "-o", "size=1200k", "tmpfs") as disk:
        for _attempt in range(2):
            done = subprocess.run(["make", "pgo"], cwd=place, capture_output=True, text=True, timeout=120, check=False)
            assert done.returncode != 0 and "Traceback" not in done.stdout + done.stderr
            assert not (place / "dist").exists()
        assert not list(disk.rglob("select/ship.json"))
        subprocess.run(["mount", "-o", "remount,size=100m", str(disk)], check=True)
        proc.run(["ninja", f"{TREE}/base/libhakmem.so"], cwd=place)


def test_a_result_line_is_whole_or_absent(tmp_path):
    """results/*.jsonl: a line that does not fit is taken back."""
    path = tmp_path / "r.jsonl"
    path.write_text("first\n")
    source = "from common import files; import sys; files.append_line(sys.argv[1], 'x' * 20000)"
    done = subprocess.run([PYTHON, "-c", source, path], cwd=ROOT, preexec_fn=small_files, check=False,
                          capture_output=True, text=True)
    assert done.returncode == 1 and path.read_text() == "first\n"
    files.append_line(path, "second")
    assert path.read_text() == "first\nsecond\n"
    path.write_text("cut of")       # by a machine that stopped
    files.append_line(path, "third")
    assert path.read_text() == "cut of\nthird\n"


def test_configure_in_an_unwritable_clone(tmp_path):
    """A file in place of build/: one sentence, no build.ninja."""
    place = kill.small_project(tmp_path / "clone")
    shutil.rmtree(place / "build")
    (place / "build.ninja").unlink()
    (place / "build").write_text("mine")
    done = subprocess.run([PYTHON, "configure.py", "--variant=bench_minimal"], cwd=place, capture_output=True,
                          text=True, check=False)
    one_sentence(done, 1, "build")
    assert not (place / "build.ninja").exists() and (place / "build").read_text() == "mine"


def test_a_hung_tool_does_not_hold_the_runner():
    """A process that left the group keeps the pipe: the runner stops waiting for it."""
    started = time.monotonic()
    with pytest.raises(Failure, match="did not end within 0.5 s"):
        proc.run(["/bin/sh", "-c", "setsid sleep 12 & exec sleep 600"], timeout=0.5)
    assert time.monotonic() - started < 10


def test_timeouts_are_checked(finished):
    """--timeout 0 is no limit."""
    done = subprocess.run([PYTHON, "configure.py", "--train", "/bin/true", "--timeout", "0"], cwd=finished,
                          capture_output=True, text=True, check=False)
    one_sentence(done, 2, "--timeout: must be a whole number of at least 1")


def test_describe_names_signals():
    """The tail of a failed program's output stands below the sentence."""
    with pytest.raises(Failure, match="signal SIGKILL"):
        proc.run(["/bin/sh", "-c", f"kill -{int(signal.SIGKILL)} $$"])
    with pytest.raises(UserError, match="cannot run"):
        proc.run([__file__])
