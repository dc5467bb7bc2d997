# SPDX-License-Identifier: MIT
"""Training and measuring other people's programs: how they are named, that all of their processes are counted however
they end, that nothing is left behind, and what is said when it cannot work."""

import json
import os
import re
import shlex
import shutil
import subprocess
import time

import pytest

from common import paths, proc
from common.errors import Failure
from common.launch import launch
from common.paths import WITNESS
from common.workloads import Workload
from bench import own as bench_own
from measure import counting
from plan import own
from plan.ninja import render
from pgo import resolve, train
from tests import kill
from tests.programs import wait_until
from tests.shop import BASE, TOOLCHAINS, so_of, take_built
from tests.support import ROOT, needs
from tests.test_faults import mounted, one_sentence, proc_state, tool

PYTHON = kill.PYTHON
WAYS = ("exit", "_exit", "SIGTERM", "SIGKILL", "exec", "chdir", "daemon", "vfork", "user", "chroot")
AS_ROOT = ("user", "chroot")
SOURCE = own.Source("--train", "train", str(ROOT), 60)


def configure(place, *words, **more):
    """configure.py; the finished process."""
    return subprocess.run([PYTHON, "configure.py", "--variant=bench_minimal", "--toolchain=all", *map(str, words)],
                          cwd=place, capture_output=True, text=True, check=False, **more)


def trained(place, command, toolchain="clang", **more):
    """pgo.train on a command; the finished process."""
    done = configure(place, "--train", command, "--timeout", "60")
    assert done.returncode == 0, done.stderr
    return tool(place, "pgo.train", "--workload", "user1", "--so", so_of(toolchain), "--toolchain", toolchain,
                "--variant", "bench_minimal", "-o", place / "build" / f"{toolchain}.profile", **more)


def numbers(done) -> list:
    """Processes and mallocs, seen and expected."""
    assert done.returncode == 0, done.stderr
    return [int(word.replace(",", "")) for word in re.findall(r"([\d,]+) (?:process(?:es)?|mallocs)", done.stdout)]


def files_of(place) -> set:
    """What is in the clone, but for build/."""
    return {path.name for path in place.iterdir()}


# Every process is counted


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("toolchain", TOOLCHAINS)
def test_every_end_is_counted(shop, toolchain, how):
    """Requests of a child that ends by _exit, a signal or exec, elsewhere, as another user, without files."""
    if how in AS_ROOT and os.geteuid() != 0:
        pytest.skip("only root may do that")
    before = files_of(shop)
    processes, mallocs, wanted_processes, wanted = numbers(trained(shop, f"./gauge {how}", toolchain))
    extra = {"exec": 1, "vfork": -1}.get(how, 0)        # a program started anew; a child that shares its parent's slot
    assert processes == wanted_processes == 2 + extra
    assert mallocs == wanted and 7000 <= mallocs < 7100
    assert files_of(shop) == before


def test_a_relative_preload_would_be_lost(shop):
    """The first process itself goes elsewhere and starts a program there."""
    processes, mallocs, _processes, wanted = numbers(trained(shop, f"sh -c 'cd / && exec {shop}/gauge exit'"))
    assert processes >= 2 and mallocs == wanted > 7000


def measured(place):
    """measure.counting on the configured command; the finished process."""
    return tool(place, "measure.counting", "--workload", "user1", "--so", BASE, "-o",
                place / "build" / "m.json")


def counted_mallocs(place, command) -> int:
    """What callgrind saw of a command."""
    assert configure(place, "--train", command).returncode == 0
    done = measured(place)
    assert done.returncode == 0, done.stderr
    return json.loads((place / "build" / "m.json").read_text())["metrics"]["calls"]["malloc"]


def test_measuring_counts_each_process_once(shop):
    """A forked child begins with its parent's counts under callgrind, and a program that is started has a file of its
    own."""
    for command in ("./gauge exit", "./gauge SIGTERM", f"sh -c '{shop}/gauge exit; true'"):
        assert 7000 <= counted_mallocs(shop, command) < 7300


def test_another_user_under_valgrind(shop, monkeypatch):
    """A process that becomes another user is counted, when training and by valgrind; where valgrind cannot write its
    counts, since the program went past the C library: a sentence."""
    if os.geteuid() != 0:
        pytest.skip("only root may do that")
    processes, mallocs, *_wanted = numbers(trained(shop, "./gauge becomes"))
    assert processes == 2 and mallocs >= 7000
    assert 7000 <= counted_mallocs(shop, "./gauge becomes") < 7300
    assert 7000 <= counted_mallocs(shop, "./gauge user") < 7300
    row = own.workload("user1", "./gauge becomes", 1, own.Source("--train", "train", str(shop), 60))
    monkeypatch.setattr(paths, "BENCH_PROGRAMS", shop / "build" / "bench")
    assert 0 < bench_own.share_of_glibc(row) < 1
    assert configure(shop, "--train", "./gauge 'becomes raw'").returncode == 0
    one_sentence(measured(shop), 1, "gauge became another user", "as that user from the start")


@pytest.mark.parametrize("program, script, lost", [
    ("sh", "exec env -i /bin/ls", 1), ("sh", "LD_PRELOAD=libm.so.6 /bin/ls; unset LD_PRELOAD; /bin/no; /bin/ls", 2),
    ("python3", "import os, subprocess as s; s.run(['/bin/ls'], env={}); os.posix_spawn('/bin/ls', ['ls'], {})", 2),
    ("perl", "delete $ENV{LD_PRELOAD}; system { '/bin/ls' } 'ls'", 1),
    ("sh", "/bin/ls; LD_PRELOAD=x:$LD_PRELOAD ls", 0),
])
def test_programs_without_the_library_are_told(shop, program, script, lost):
    """Whoever drops or replaces LD_PRELOAD is named."""
    command = f"{PYTHON if program == 'python3' else program} -c {shlex.quote(script)}".replace("perl -c", "perl -e")
    assert configure(shop, "--train", command).returncode == 0
    said = proc.run(["ninja", "build/workload/user1.run.json"], cwd=shop).stdout
    found = re.search(r"(\d+) programs? (?:was|were) started without LD_PRELOAD by ", said)
    assert int(found[1] if found else 0) == lost, said


@pytest.mark.parametrize("script, unseen, told", [
    ("{}/static; {}/static 2; ls", "2 programs that dash started did not load the library", ""),
    ("ls; LD_PRELOAD=$LD_PRELOAD:/x ls; {}/absent; exec ls", "", ""),
    ("HAKMEM_THP=on ls; HAKMEM_X= cat", "", "HAKMEM_... is set for ls, cat: "),
    ("export HAKMEM_THP=off; {}/static", "1 program that dash started did not load", ""),
])
def test_what_a_script_does_is_told(shop, tmp_path, script, unseen, told):
    """It starts programs that load no library, or sets what the library obeys."""
    (tmp_path / "s.c").write_text("int main(void) { return 0; }\n")
    proc.run([needs("gcc", "gcc"), "-static", tmp_path / "s.c", "-o", tmp_path / "static"])
    assert configure(shop, "--train", f"dash -c {shlex.quote(script.replace('{}', str(tmp_path)))}").returncode == 0
    said = proc.run(["ninja", "build/workload/user1.run.json"], cwd=shop).stdout
    for sentence, mark in ((unseen, "did not load"), (told, "is set for")):
        assert sentence in said if sentence else mark not in said, said


def test_programs_started_by_words_are_told(shop, tmp_path):
    """By execl and its kin, whose execve is the C library's own, and by a shell: with the library, and without."""
    (tmp_path / "s.c").write_text('''
        #define _GNU_SOURCE
        #include <fcntl.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <sys/wait.h>
        #include <unistd.h>
        int main(int count, char **words) {
            char *none[] = {NULL}, *argv[] = {"true", NULL}, **variables = count > 1 ? none : environ;
            int file = open("/bin/true", O_RDONLY);
            for (int i = 0; i < 6; i++)
                if (fork() == 0) {
                    free(malloc(9));
                    if (i == 2)
                        execle("/bin/true", "true", "a", NULL, variables);
                    if (i == 3)
                        fexecve(file, argv, variables);
                    environ = variables;
                    if (i == 0)
                        execl("/bin/true", "true", "a", "b", NULL);
                    if (i == 1)
                        execlp("true", "true", NULL);
                    return i == 4 ? system("exit 0") : pclose(popen("exit 0", "r"));
                }
            while (wait(NULL) != -1)
                continue;
        }''')
    proc.run([needs("gcc", "gcc"), "-O0", tmp_path / "s.c", "-o", tmp_path / "s"])
    for word, found in (("", None), (" bare", "6 programs were started without LD_PRELOAD by s: ")):
        assert configure(shop, "--train", f"{tmp_path}/s{word}").returncode == 0
        said = proc.run(["ninja", "build/workload/user1.run.json"], cwd=shop).stdout
        assert found in said if found else "LD_PRELOAD" not in said, said
        assert "did not load" not in said


def test_a_static_program_is_one_sentence(shop, tmp_path):
    """Nobody started it."""
    (tmp_path / "s.c").write_text("int main(void) { return 0; }\n")
    proc.run([needs("gcc", "gcc"), "-static", tmp_path / "s.c", "-o", tmp_path / "static"])
    assert configure(shop, "--train", tmp_path / "static").returncode == 0
    done = tool(shop, "pgo.resolve", "--workload", "user1", "-o", tmp_path / "r.json")
    one_sentence(done, 1, "static cannot be preloaded: it is a static or 32-bit program")


def test_more_processes_than_records():
    """Their number is not known."""
    assert str(train.Seen(1024, 3)) == "1,024 or more processes, 3 mallocs"


def test_who_is_left_under_valgrind_is_named_by_the_program(shop):
    """valgrind's tool is none of the user's."""
    assert configure(shop, "--train", "sh -c 'sleep 90 & ls'").returncode == 0
    done = measured(shop)
    assert "its program left sleep running" in done.stderr and "callgrind" not in done.stderr, done.stderr


def test_a_small_part_is_no_training():
    """897 mallocs of 200,000 are a failure that names both."""
    row = Workload("user1", "train", ("/bin/x",), "s", own=True)
    with pytest.raises(Failure, match="saw 1 process, 897 mallocs of 3 processes, 200,000 mallocs \\(sh, x\\)"):
        train.check_seen(row, train.Seen(1, 897), train.Seen(3, 200_000, ("sh", "x")))
    train.check_seen(row, train.Seen(3, 190_000), train.Seen(3, 200_000))


def test_a_program_with_a_profile_of_its_own(shop, tmp_path):
    """Another compiler's runtime in the program: its file stays out of ours."""
    source = tmp_path / "p.c"
    source.write_text("#include <stdlib.h>\nint main(void) { for (int i = 0; i < 900; i++) free(malloc(9)); }\n")
    for compiler, flags in (("clang-22", ["-fprofile-generate"]), ("gcc", ["--coverage"])):
        program = tmp_path / compiler
        proc.run([needs(compiler, compiler), "-fno-builtin", *flags, source, "-o", program], cwd=tmp_path)
        for toolchain in TOOLCHAINS:
            found = numbers(trained(shop, program, toolchain))
            assert found[0] == 1 and found[1] >= 900


def test_settings_of_the_runtimes(shop, monkeypatch):
    """What the user has told them of other programs: the same profile."""
    for toolchain in TOOLCHAINS:
        made = []
        for settings in ({}, {"GCOV_PREFIX_STRIP": "9", "GCOV_PREFIX": "/nonexistent", "LLVM_PROFILE_FILE": "/x/%p"}):
            for name, value in settings.items():
                monkeypatch.setenv(name, value)
            assert trained(shop, "./gauge exit", toolchain).returncode == 0
            made.append((shop / "build" / f"{toolchain}.profile").read_bytes())
        monkeypatch.undo()
        assert made[0] == made[1]


def test_equal_runs_give_equal_profiles(shop):
    """Whatever order the processes end in."""
    for toolchain in TOOLCHAINS:
        made = set()
        for _ in range(3):
            assert trained(shop, "./gauge SIGTERM", toolchain).returncode == 0
            made.add((shop / "build" / f"{toolchain}.profile").read_bytes())
        assert len(made) == 1


# Words


@pytest.mark.parametrize("command, words", [
    ("/bin/echo run build tests", ("/bin/echo", "run", "build", "tests")),
    ("echo README.md ./docs", ("/usr/bin/echo", "README.md", "./docs")),
    ("/bin/echo '|' \"&\" 'a; b' \\; 'a;'", ("/bin/echo", "|", "&", "a; b", ";", "a;")),
    ("/bin/echo >=3", ("/bin/echo", ">=3")),
    ("/bin/echo a\\ b @edges@ $HOME", ("/bin/echo", "a b", "@edges@", "$HOME")),
    (f"/bin/echo ../{ROOT.name}/README.md ../nothing", ("/bin/echo", f"{ROOT}/README.md", "../nothing")),
    (f"/bin/echo --file=../{ROOT.name}/docs -x=../nothing a=../{ROOT.name}", (
        "/bin/echo", f"--file={ROOT}/docs", "-x=../nothing", f"a=../{ROOT.name}")),
])
def test_words_stay_as_they_are(command, words):
    """Words that happen to be names of files too."""
    row = own.workload("user1", command, 1, SOURCE)
    assert (os.path.realpath(row.command[0]), *row.command[1:]) == (os.path.realpath(words[0]), *words[1:])


@pytest.mark.parametrize("command, environment", [
    ("A=b /bin/echo c", {"A": "b"}), ("env A=b /bin/echo c", {"A": "b"}), ("/usr/bin/env -i A=b C=d=e echo c", {
        "A": "b", "C": "d=e"}), ("env A=1 A=2 echo c", {"A": "2"}), ("A=1 env -u A echo c", {}),
    ("env -- A= echo c", {"A": ""}), ("A=b env C=d echo c", {"A": "b", "C": "d"}),
    (f"A=.:../{ROOT.name}/docs:../nothing echo c", {"A": f".:{ROOT}/docs:../nothing"}),
])
def test_assignments(command, environment):
    """NAME=VALUE in front, with and without env."""
    row = own.workload("user1", command, 1, SOURCE)
    assert {key: value for key, value in row.env.items() if key != "PATH"} == environment
    assert os.path.basename(row.command[0]) == "echo" and row.command[1:] == ("c",)


def test_the_path_of_the_command_is_searched(tmp_path):
    """PATH=... in front of it, with a directory here."""
    (tmp_path / "bin").mkdir()
    shutil.copy2("/bin/true", tmp_path / "bin" / "tool")
    row = own.workload("user1", "PATH=bin:/bin tool x", 1, own.Source("--train", "train", str(tmp_path), 60))
    assert row.command == (f"{tmp_path}/bin/tool", "x") and row.env == {"PATH": "bin:/bin"}


@pytest.mark.parametrize("command, found", [
    ("cat README.md | sort", "|"), ("echo a > b", ">"), ("sleep 1 &", "&"), ("a && b", "&&"), ("a || b", "||"),
    ("a ; b", ";"), ("a 2>/dev/null", "2>/dev/null"), ("a 2>&1", "2>&1"), ("a >>log", ">>log"),
    ("sort < README.md", "<"), ("a <in", "<in"), ("ls a; ls", "a;"), ("ls x|cat", "x|cat"), ("ls a&", "a&"),
    ("env -S 'a b'", "-S"),
])
def test_shell_syntax_is_one_sentence(shop, command, found):
    """What only a shell would understand is named; nothing is run."""
    before = (shop / "build.ninja").read_bytes()
    done = configure(shop, "--train", command)
    one_sentence(done, 2, f"--train '{command}'", found)
    assert (shop / "build.ninja").read_bytes() == before


@pytest.mark.parametrize("words, sentence", [
    (["--train", "README.md"], "no such program"), (["--train", "./README.md"], "is not executable"),
    (["--train", "./core"], "./core is a directory; name the program in it"),
    (["--train", "/bin/su --version"], "/bin/su runs as another user or group (set-user-id)"),
    (["--train", "A=b"], "no such program"), (["--train", "s.toml x"], "'s.toml x': a server's file stands alone"),
    (["--train", "A=b s.toml"], "'A=b s.toml': a server's file stands alone"),
    (["--train", "/bin/ls a", "--holdout", "/bin/ls a"], "is trained on as well"),
    (["--holdout", "no-such-program-here"], "--holdout 'no-such-program-here': no such program"),
    (["--train", "env HAKMEM_THP=on ls"], "--train 'env HAKMEM_THP=on ls': HAKMEM_THP decides in the library"),
    (["--train", "ls", "--train", "ls a", "--weights", "2"], "--weights 2: 1 for 2 commands; give one for each"),
    (["--train", "ls", "--weights", "1,x"], "a whole number of at least 1"),
])
def test_wrong_commands(shop, words, sentence):
    """One sentence, exit 2."""
    one_sentence(configure(shop, *words), 2, sentence)


def test_names_count_from_where_it_was_given(shop, tmp_path):
    """configure.py called from another directory, and again by ninja from the clone."""
    (tmp_path / "app.sh").write_text("#!/bin/sh\nread -r line < data && echo \"$line\"\n")
    (tmp_path / "app.sh").chmod(0o755)
    (tmp_path / "data").write_text("content\n")
    done = subprocess.run([PYTHON, shop / "configure.py", "--variant=bench_minimal", "--train", "./app.sh"],
                          cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"--here={tmp_path}" in (shop / "build.ninja").read_text()
    row = own.workload("user1", "./app.sh", 1, own.Source("--train", "train", str(tmp_path), 60))
    kept = []
    launch(row, None, keep=lambda scratch: kept.append((scratch / "stdout").read_text()))
    assert kept == ["content\n"]


def test_files_named_like_ours_are_spared(shop, tmp_path):
    """What the tools write into a run's directory has names that a file of the user's may have, too."""
    names = ("stdout", "usage", "syscalls", "counters", "callgrind.out.17", "libhakmem.so")
    for name in names:
        (tmp_path / name).write_text(f"{name} of the user's\n")
    command = f"cat {' '.join(names)}"
    row = own.workload("user1", command, 1, own.Source("--train", "train", str(tmp_path), 60))
    kept, so = [], shop / BASE
    launch(row, so, keep=lambda scratch: kept.append((scratch / "stdout").read_text()))
    counting.usage_metrics(row, so)
    counting.syscall_metrics(row, so)
    assert kept == ["".join(f"{name} of the user's\n" for name in names)]
    assert counting.callgrind_output(row, so).count("version: 1") == 1
    assert train.run(row, shop / "build" / "bench" / WITNESS)[0][0].program.endswith("/cat")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        name: f"{name} of the user's\n" for name in names}


def test_placeholders_are_of_the_table_alone(tmp_path):
    """{root} and {inputs}/x in a command of the user's are words."""
    row = own.workload("user1", "A={root} sh -c 'echo \"$A\" \"$@\"' - {inputs}/x {root} {scratch} {preload}", 1,
                       own.Source("--train", "train", str(tmp_path), 60))
    kept = []
    launch(row, None, keep=lambda scratch: kept.append((scratch / "stdout").read_text()))
    assert kept == ["{root} {inputs}/x {root} {scratch} {preload}\n"]


def test_a_preload_of_the_command_stays(shop, tmp_path):
    """LD_PRELOAD=... in front of it: behind ours."""
    source = tmp_path / "p.c"
    source.write_text("#include <stdio.h>\n"
                      "__attribute__((constructor)) static void start(void) { puts(\"theirs\"); }\n")
    proc.run([needs("gcc", "gcc"), "-shared", "-fPIC", source, "-o", tmp_path / "p.so"])
    row = own.workload("user1", "LD_PRELOAD=./p.so /bin/echo x", 1, own.Source("--train", "train", str(tmp_path), 60))
    for so in (None, shop / BASE):
        for wrapper in ((), ("/usr/bin/env", "{preload}")):
            kept = []
            launch(row, so, wrapper=wrapper, keep=lambda scratch: kept.append((scratch / "stdout").read_text()))
            assert kept == ["theirs\nx\n"]


def test_names_that_ninja_cannot_have(shop, tmp_path):
    """A file with a bar or spaces, quotes and signs in its name, among the words of a command."""
    for name in ("a|b", "it's $x \"ü\" #1 %d: *"):
        (tmp_path / name).write_text("x\n")
        assert configure(shop, "--train", f"cat {shlex.quote(str(tmp_path / name))}").returncode == 0
        proc.run(["ninja", "build/workload/user1.run.json"], cwd=shop)
        assert "no work to do" in proc.run(["ninja", "build/workload/user1.run.json"], cwd=shop).stdout


def test_a_command_that_changes_its_files_is_told(shop, tmp_path):
    """Each run would find another file."""
    (tmp_path / "log").write_text("")
    (tmp_path / "app.sh").write_text("#!/bin/sh\necho line >> log\necho line > new\n")
    (tmp_path / "app.sh").chmod(0o755)
    assert configure(shop, "--train", "./app.sh", "--here", tmp_path).returncode == 0
    done = proc.run(["ninja", "build/workload/user1.run.json"], cwd=shop)
    assert f"workload 'user1' changes log in {tmp_path}: each run finds" in done.stdout
    assert not (tmp_path / "new").exists()


def test_a_command_that_changes_what_its_words_name_is_told(tmp_path, capsys):
    """Files elsewhere, too, and one that goes; files of the kernel are of no time."""
    here = tmp_path / "here"
    here.mkdir()
    for name in ("kept", "written", "gone"):
        (tmp_path / name).write_text("")
    row = own.workload("user1", f"cat ../kept {tmp_path}/written -x={tmp_path}/gone /proc/version", 1,
                       own.Source("--train", "train", str(here), 60))
    assert [os.path.basename(name) for name in row.watch if "cat" not in name and "coreutils" not in name] == [
        "kept", "written", "gone"]
    before = resolve.state_of(row)
    (tmp_path / "written").write_text("more")
    (tmp_path / "gone").unlink()
    (here / "new").write_text("")
    resolve.tell_changes(row, before, resolve.state_of(row))
    assert f"workload 'user1' changes {tmp_path}/gone, {tmp_path}/written in {here}: each" in capsys.readouterr().err


def test_names_in_a_command_are_not_filled_in():
    """@edges@ and @root@ of the template, in a command of the user's."""
    text = render("args = @flags@\nroot = @root@\n@edges@", {"flags": "echo @edges@ @root@", "root": "/r"}, [])
    assert text == "args = echo @edges@ @root@\nroot = /r\n"


def test_an_edges_command_configures(shop):
    """The whole configure with it, twice."""
    for _ in range(2):
        assert configure(shop, "--train", "/bin/echo @edges@ @root@ $x").returncode == 0
        proc.run(["ninja", "-n", "build.ninja"], cwd=shop)


# The innermost program


def test_a_shim_is_followed(shop, tmp_path):
    """A version manager's script, which runs other programs before it becomes the right one."""
    shims, real = tmp_path / "shims", tmp_path / "versions" / "1.0"
    for directory in (shims, real):
        directory.mkdir(parents=True)
    shutil.copy2(shop / "gauge", real / "tool")
    (shims / "tool").write_text(f'#!/usr/bin/env bash\nset -e\nversion="$(basename "{real}")"\n'
                                f'exec "{tmp_path}/versions/$version/tool" "$@"\n')
    (shims / "tool").chmod(0o755)
    assert configure(shop, "--train", f"{shims}/tool exit").returncode == 0
    target = "build/workload/user1.run.json"
    proc.run(["ninja", target], cwd=shop)
    done = tool(shop, "measure.counting", "--workload", "user1", "--so", BASE, "-o",
                shop / "build" / "m.json")
    assert done.returncode == 0, done.stderr
    assert f'"{real}/tool",\n  "exit"' in (shop / target).read_text()
    processes, mallocs, *_rest = numbers(tool(
        shop, "pgo.train", "--workload", "user1", "--so", so_of("clang"), "--toolchain", "clang", "-o", tmp_path / "p"))
    assert processes == 2 and mallocs < 7100
    # and a new version of the program behind it is noticed
    assert "no work to do" in proc.run(["ninja", target], cwd=shop).stdout
    with open(real / "tool", "ab") as stream:
        stream.write(b"\0")
    assert "RESOLVE" in proc.run(["ninja", target], cwd=shop).stdout


def test_launchers_alone_are_taken_away():
    """sh that runs two programs stays; a program that becomes another one stays too."""
    def process(pid, program, *arguments, forked=False):
        from pgo.counters import Process
        return Process(pid, 1, forked, program, arguments, [0])

    given = ("/s/tool", "x")
    assert resolve.innermost([], given) == given
    assert resolve.innermost([process(1, "/usr/bin/dash", "sh"), process(2, "/bin/ls", "ls")], given) == given
    assert resolve.innermost([process(1, "/bin/a", "a"), process(1, "/bin/b", "b")], given) == given
    assert resolve.innermost([process(1, "/usr/bin/bash", "bash"), process(2, "/bin/ls", "ls"),
                              process(1, "/usr/bin/env", "env"), process(1, "/bin/b", "/bin/b", "x", "y")],
                             given) == ("/bin/b", "x", "y")


@pytest.mark.parametrize("changed", ["program", "script", "word"])
def test_a_change_is_noticed(shop, tmp_path, changed):
    """The program, the script that it runs, a file that its words name: trained again."""
    program, data = tmp_path / "prog", tmp_path / "data.pl"
    data.write_text("print 1;\n")
    if changed == "program":
        shutil.copy2(shop / "gauge", program)
    else:
        program.write_text(f"#!/bin/sh\nexec /usr/bin/perl {data}\n")
        program.chmod(0o755)
    command = f"perl {data}" if changed == "word" else str(program)
    assert configure(shop, "--train", command).returncode == 0
    target = "build/clang-bench_minimal/train/user1.profdata"
    proc.run(["ninja", target], cwd=shop)
    assert "no work to do" in proc.run(["ninja", "-n", target], cwd=shop).stdout
    with open(data if changed == "word" else program, "ab") as stream:
        stream.write(b"\n")
    assert "TRAIN" in proc.run(["ninja", "-n", target], cwd=shop).stdout


# What is left behind, and where


def test_a_background_child_does_not_hold_the_run(shop):
    """It keeps stderr open; the run ends with its program, and the child with the run."""
    started = time.monotonic()
    sleeper = f"sleep 77.{os.getpid()}"
    done = trained(shop, f"sh -c '{sleeper} & exec /bin/ls'")
    assert done.returncode == 0 and time.monotonic() - started < 30
    assert re.search("left (sh|sleep) running", done.stderr)
    assert not [line for line in proc.run(["ps", "-eo", "args="]).stdout.splitlines() if line == sleeper]


@pytest.mark.parametrize("script", ["{} & exec /bin/true", "trap '' TERM; {} & kill -STOP $!"])
def test_a_background_child_does_not_hold_the_tracer(tmp_path, script):
    """strace goes on to the end of all that it traces: a child is ended first, even one that does not want to."""
    needs("strace", "strace")
    sleeper, started = f"sleep 78.{os.getpid()}", time.monotonic()
    row = own.workload("user1", f"sh -c {shlex.quote(script.format(sleeper))}", 1, own.Source(
        "--train", "train", str(tmp_path), 60))
    calls = counting.syscall_metrics(row, None)["syscalls"]
    assert calls is not None and calls > 20 and time.monotonic() - started < 30
    assert not [line for line in proc.run(["ps", "-eo", "args="]).stdout.splitlines() if line == sleeper]


def test_a_command_that_removes_its_run(tmp_path):
    """The directory above its own, in which the tools keep what they read."""
    row = own.workload("user1", "sh -c 'rm -rf ../*'", 1, own.Source("--train", "train", str(tmp_path), 60))
    with pytest.raises(Failure, match="its program removed files of /tmp/hakmem.*, the directory above its own"):
        launch(row, None)


def test_a_daemon_ends_with_the_run(shop, tmp_path):
    """Even one that left its session and its parent."""
    source = ("import os, time\nif os.fork() == 0:\n os.setsid()\n if os.fork() == 0:\n"
              f"  open('{tmp_path}/pid', 'w').write(str(os.getpid()))\n  time.sleep(60)\n os._exit(0)\n"
              f"while not os.path.exists('{tmp_path}/pid'): time.sleep(0.01)\n")
    (tmp_path / "daemon.py").write_text(source)
    done = trained(shop, f"{PYTHON} {tmp_path}/daemon.py")
    assert done.returncode == 0 and "running, which was ended with it" in done.stderr
    pid = int((tmp_path / "pid").read_text())
    # Or nothing at all. What was killed may not have run since; a third of what it would sleep is enough for that.
    wait_until(lambda: proc_state(pid) == "Z", "the daemon's end", seconds=20)


DEAF = """
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

int main(void)
{
    int ends[2];
    char done = 0;
    if (pipe(ends) != 0 || signal(SIGTERM, SIG_IGN) == SIG_ERR)
        return 1;
    pid_t worker = fork();
    for (int i = 0; i < (worker == 0 ? 5000 : 2000); i++)
        free(malloc(50));
    if (worker == 0 && write(ends[1], &done, 1) == 1 && setsid() != -1)
        kill(getpid(), STOP);
    while (worker == 0)
        sleep(1);
    return read(ends[0], &done, 1) != 1;
}
"""


@pytest.mark.parametrize("stop", ["0", "SIGSTOP"])
def test_a_worker_that_minds_no_sigterm_is_counted(shop, tmp_path, stop):
    """As training counts it: what ends it lets valgrind write, also when it was stopped."""
    (tmp_path / "d.c").write_text(DEAF)
    proc.run([needs("gcc", "gcc"), "-fno-builtin", f"-DSTOP={stop}", tmp_path / "d.c", "-o", tmp_path / "deaf"])
    assert 7000 <= counted_mallocs(shop, tmp_path / "deaf") < 7300


def test_messages_name_the_program(shop):
    """Not what it is run by."""
    one_sentence(trained(shop, "/bin/sh -c 'exit 3'"), 1, "/bin/sh failed with exit 3")
    one_sentence(trained(shop, "/bin/false"), 1, "/bin/false failed with exit 1")


def test_a_program_that_allocates_nothing(shop, tmp_path):
    """Said at once: neither training nor the table would find anything."""
    (tmp_path / "p.c").write_text("int main(void) { return 0; }\n")
    proc.run([needs("gcc", "gcc"), tmp_path / "p.c", "-o", tmp_path / "none"])
    assert configure(shop, "--train", tmp_path / "none").returncode == 0
    one_sentence(tool(shop, "pgo.resolve", "--workload", "user1", "-o", tmp_path / "out.json"), 1,
                 "none makes no malloc call")


def test_a_static_program(shop, tmp_path):
    """Nothing can be preloaded into it."""
    (tmp_path / "s.c").write_text("int main(void) { return 0; }\n")
    proc.run([needs("gcc", "gcc"), "-static", tmp_path / "s.c", "-o", tmp_path / "static"])
    one_sentence(trained(shop, tmp_path / "static"), 1, "left no counts", "static")
    done = subprocess.run(["ninja", "build/workload/user1.run.json"], cwd=shop, capture_output=True, text=True,
                          check=False)
    assert done.returncode != 0 and "cannot be preloaded: it is a static or 32-bit program" in \
        done.stdout


def test_tmp_without_programs(shop, tmp_path):
    """A directory for runs from which nothing may be loaded: ld.so's reason, and what to do."""
    with mounted(tmp_path / "tmp", "-t", "tmpfs", "-o", "noexec,size=16m", "tmpfs") as room:
        room.chmod(0o1777)
        done = trained(shop, "/bin/ls", env={**os.environ, "TMPDIR": str(room)})
        one_sentence(done, 1, "failed to map segment", "noexec", "TMPDIR")
    done = trained(shop, "/bin/ls", env={**os.environ, "TMPDIR": str(tmp_path)})
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["a b", "a:b", "absent"])
def test_a_bad_tmpdir(shop, tmp_path, name):
    """LD_PRELOAD splits at spaces and colons."""
    if name != "absent":
        (tmp_path / name).mkdir()
    done = trained(shop, "/bin/ls", env={**os.environ, "TMPDIR": str(tmp_path / name)})
    one_sentence(done, 2, f"TMPDIR names {tmp_path / name}")


def test_a_long_tmpdir(shop, tmp_path):
    """Its counters would not be found."""
    place = tmp_path / "/".join(["d" * 100] * 4)
    place.mkdir(parents=True)
    done = trained(shop, "/bin/ls", env={**os.environ, "TMPDIR": str(place)})
    one_sentence(done, 2, "bytes in its name, more than 400; set TMPDIR")


# Where the clone is


def taken_apart(place, tree, layer) -> dict:
    """Take away what stages without a profile have compiled of a layer of core/; path -> content."""
    found = {path: path.read_bytes() for path in (place / tree).glob(f"*/core/{layer}/*") if path.suffix == ".o"}
    for path in found:
        path.unlink()
    return found


def test_a_clone_by_any_name(shop, tmp_path):
    """An apostrophe and a space in its path, reached through a link, PYTHONSAFEPATH set: what it compiles without a
    profile is this tree's, byte for byte (one layer is compiled again there), its profile is that of a clone elsewhere,
    and what it ships can be built there again. That is gcc; with clang two clones that both go all the way are compared
    in test_faults.py::test_killed_runs_ship_the_same."""
    odd, plain = kill.odd_place(tmp_path), tmp_path / "plain"
    take_built(kill.small_project(odd, "gcc"), "gcc")
    taken = taken_apart(odd, "build/gcc-bench_minimal", "api")
    proc.run(kill.COMMAND, cwd=odd, env={**os.environ, "PYTHONSAFEPATH": "1"}, timeout=kill.MINUTES)
    assert "base" in {path.relative_to(odd).parts[2] for path in taken}     # and "train", where this tree has it
    assert [path for path, content in taken.items() if path.read_bytes() != content] == []
    done = tool(shop, "pgo.train", "--workload", "words", "--so", so_of("gcc"), "--toolchain", "gcc",
                "--variant", "bench_minimal", "-o", tmp_path / "words")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "words").read_bytes() == \
        (odd / "build" / "gcc-bench_minimal" / "train" / "words.gcda.tar").read_bytes()
    take_built(kill.small_project(plain, "gcc"), "gcc")
    proc.run([PYTHON, "configure.py", "--variant=bench_minimal", "--toolchain=gcc",
              f"--repeat={odd / 'dist' / 'repeat'}"], cwd=plain)
    proc.run(["ninja", "ship"], cwd=plain, timeout=kill.MINUTES)
    kill.compare(odd, plain)
