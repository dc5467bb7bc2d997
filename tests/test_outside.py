# SPDX-License-Identifier: MIT
"""What is around the tools: the user's environment, locale, umask and clock, odd names, odd files, a clone without git.
Nothing of it changes what is built, and what cannot work is one sentence before anything is done."""

import json
import os
import re
import resource
import shutil
import stat
import subprocess

import pytest

from common import clone, files, proc, records
from common.errors import Failure, UserError
from common.launch import launch
from common.workloads import Workload
from learn import real
from measure import callgrind, counting
from gate import ab
from ship import verify_repro
from tests.outside import PYTHON, child, make
from tests.support import ROOT, copy_of_sources, needs
from tests.test_faults import one_sentence, tool


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


def test_a_limit_for_files_is_said(tmp_path):
    """Which file of ours, or which tool, and what to do; before a build, in place of a compiler's stack."""
    source = f"""
from pathlib import Path
from common import doctor, errors, files, proc
from pgo import counters
place = Path('{tmp_path}')
for call in (lambda _: counters.make(place), lambda _: files.append_line(place / 'r.jsonl', 'x' * 20000),
             lambda _: proc.run(['/usr/bin/head', '-c', '20000', '/dev/zero'], stdout=place / 'out'),
             lambda _: doctor.main(['--install', '--group', 'build'])):
    print(errors.guard(call, []))
"""
    runner = child(source, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192)))
    said, complained = runner.communicate(timeout=60)
    assert said.split() == ["1", "1", "1", "2"], complained
    expected = ("counters: File too large", "r.jsonl: File too large", "head failed with signal SIGXFSZ; a file that",
                "a file may have")
    for line, words in zip(complained.splitlines(), expected, strict=True):
        assert words in line and "8,192 bytes here" in line and "`ulimit -f unlimited`" in line, complained
    assert not (tmp_path / "r.jsonl").read_bytes()


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
