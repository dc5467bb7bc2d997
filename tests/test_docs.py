# SPDX-License-Identifier: MIT
"""What the documents promise: each command of a ```sh block, or of the tables of docs/features.md, works or at least
exists, each relative link resolves.

A command is judged by its first word. Quick ones are run in this tree: what preloads a library, and benchmark
programs. `make` goals are looked up in the Makefile (`help` is run), and so are the tests and studies that they name;
`python3 -m` modules must answer --help and know each long option that is named.
"""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

import configure
from common.proc import run
from bench import study
from plan import plan
from tests.support import ROOT, copy_of_sources, ctests, libraries, needs

NEEDS = ("matrix", "bench")
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
CELL = re.compile(r"^\| [^|]*\| `([^`]+)` \|$", re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
PYTHON = "/usr/bin/python3"
RUN_GOALS = ("help",)
# Words that change the reader's machine or shell; nothing of ours to test.
READER = ("git", "cd", "sudo", "apt-get", "apt", "export", "cp", "install")


def documents() -> list[Path]:
    """README and all of docs/."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def commands(text: str) -> list[str]:
    """The commands of all ```sh blocks, continued lines joined, comments and prompts dropped."""
    found = []
    for block in BLOCK.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            line = re.sub(r"(^|\s+)#\s.*$", "", line).strip().removeprefix("$ ")
            found.extend(part.strip() for part in line.split(" && ") if part.strip())
    return found


def split(command: str) -> tuple[dict, list[str]]:
    """Leading assignments and the words of a command."""
    words = shlex.split(command)
    settings = {}
    while words and ASSIGNMENT.match(words[0]):
        name, value = words.pop(0).split("=", 1)
        settings[name] = value
    return settings, words


def all_commands() -> list:
    """(page, command)"""
    features = ROOT / "docs" / "features.md"
    return [*((path, command) for path in documents() for command in commands(path.read_text())),
            *((features, command) for command in CELL.findall(features.read_text()))]


ALL = all_commands()


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A copy of the sources, so that a documented ./configure.py does not reconfigure this tree."""
    return copy_of_sources(tmp_path_factory.mktemp("docs"))


def names_a_test(word) -> bool:
    """A row of tests/tests.toml, or the beginning of some, or a file of tests."""
    return (ROOT / "tests" / f"{word}.py").exists() or any(row.name.startswith(word) for row in ctests())


def check_settings(words):
    """What is given to make, as far as it names something: tests and studies."""
    given = dict(word.split("=", 1) for word in words if "=" in word)
    assert given.get("STUDY", "operation") in study.STUDIES
    for word in re.findall(r"\w+", given.get("K", "")):
        assert word in ("and", "or", "not", "fork", "stdio") or names_a_test(word), f"no test is named {word}"


def check_make(words):
    """Every goal is a target of the Makefile."""
    check_settings(words)
    makefile = (ROOT / "Makefile").read_text()
    goals = [word for word in words if not word.startswith("-") and "=" not in word]
    for goal in goals:
        assert re.search(rf"^([\w. -]*\s)?{re.escape(goal)}(\s[\w. -]*)?:", makefile, re.MULTILINE), f"no target {goal}"
        if goal in RUN_GOALS:
            run(["make", goal], cwd=ROOT, timeout=60)


def check_module(words):
    """python3 -m room.module: answers --help, and the help names each long option that the document uses."""
    shown = run([PYTHON, "-m", words[2], "--help"], cwd=ROOT, timeout=60).stdout
    for word in words[3:]:
        option = word.split("=")[0]
        if option.startswith("--"):
            assert option in shown, f"{words[2]} has no option {option}"


def check_preloaded(settings, words):
    """LD_PRELOAD=... program: runs, when the library that the document names can be had."""
    if not libraries():
        pytest.skip("no libhakmem.so yet: run `make all`")
    named = ROOT / settings["LD_PRELOAD"]
    so = named if named.exists() else libraries()[0]
    environment = [f"{name}={value}" for name, value in {**settings, "LD_PRELOAD": so}.items()]
    result = subprocess.run(["/usr/bin/env", *environment, *words], cwd=ROOT, stdin=subprocess.DEVNULL,
                            capture_output=True, timeout=60)
    if result.returncode == 127 and not (ROOT / words[0]).exists():
        pytest.skip(f"{words[0]} is the reader's own program")
    assert result.returncode == 0, result.stderr.decode(errors="replace")


@pytest.mark.parametrize("path, command", ALL, ids=[f"{path.name}: {command}" for path, command in ALL])
def test_command(path, command, clone):
    """A documented command works."""
    settings, words = split(command)
    if not words or words[0] in READER:
        return
    if words[0] == "make":
        check_make(words[1:])
    elif words[0].endswith("configure.py"):
        run([PYTHON, "configure.py", *words[1:]], cwd=clone, timeout=60)
    elif words[0] in ("python3", PYTHON) and words[1:2] == ["-m"]:
        check_module([PYTHON, *words[1:]])
    elif "LD_PRELOAD" in settings:
        check_preloaded(settings, words)
    elif words[0].startswith("build/bench/"):
        run(words, cwd=ROOT, timeout=60)
    elif words[0] == "ninja":
        assert (ROOT / "build.ninja.in").exists()
    else:
        path_of_tool = ROOT / words[0]
        assert path_of_tool.exists(), f"{path.name} names {words[0]}, which this test does not know"


@pytest.mark.parametrize("path", documents(), ids=[path.name for path in documents()])
def test_links_resolve(path):
    """Relative links lead to files of the project."""
    missing = []
    for target in LINK.findall(path.read_text()):
        if re.match(r"[a-z]+:", target) or target.startswith("#"):
            continue
        if not (path.parent / target.split("#")[0]).exists():
            missing.append(target)
    assert missing == []


# Names of functions, and what some begin with (`hak_set_`); life-of-a-profile.md has names of files.
NAMED = sorted({(path.name, name) for path in documents()
                for name in re.findall(r"`(hak_[a-z0-9_]+)", path.read_text())})
ROW = re.compile(r"^\| `([^`]+)` \| (.*?) \| (.*?) \|", re.MULTILINE)
CORE = "".join(path.read_text() for room in ("core", "include") for path in (ROOT / room).rglob("*.[ch]"))
PROFILE = (ROOT / "docs" / "life-of-a-profile.md").read_text()
PROSE = {"compiler", "linker", "ninja", "you", "the same two", "everything below"}


@pytest.mark.parametrize("page, name", NAMED)
def test_named_functions_exist(page, name):
    """A function that was renamed is renamed in the walk, too."""
    assert re.search(rf"\b{name}" + ("" if name.endswith("_") else r"\b"), CORE), f"{page}: core/ has no {name}"


LED_TO = re.compile(r"`(hak_\w+)`\s+\(\[(core/[\w/.]+)\]")


@pytest.mark.parametrize("page", documents(), ids=[path.name for path in documents()])
def test_functions_are_in_the_files_beside_them(page):
    """Where a page says `hak_os_repair` ([core/os/fork.c](...)) a reader opens that file."""
    assert [(name, file) for name, file in LED_TO.findall(page.read_text())
            if not re.search(rf"\b{name}\([^;{{]*?\)[^;{{]*\{{", (ROOT / file).read_text())] == []


@pytest.fixture(scope="module")
def planned(tmp_path_factory) -> set:
    """What the build makes for both compilers of a tree with a policy, as the walk names it: below the tree."""
    policy = tmp_path_factory.mktemp("policy") / "p.toml"
    policy.write_text("format = 1\n[values]\nretain_mb = 8\n")
    made = set()
    for toolchain in ("clang", "gcc"):
        arguments = configure.parse(["--variant=bench_minimal", f"--toolchain={toolchain}", "--train", "/bin/true",
                                     f"--policy={policy}"])
        project, _rows = configure.load(arguments)
        for edge in plan.plan(project):
            made.update(name.removeprefix(f"build/{toolchain}-bench_minimal/")
                        for name in (*edge.outputs, *edge.implicit_outputs))
        made.update(f"build/workload/{row.name}.json" for row in project.workloads)
    return made


def pattern(name) -> str:
    """Of the files that a row of the walk is about."""
    return re.escape(name).replace("<workload>", "[^/]+").replace("<stage>", "[a-z]+").replace("<source>", ".+")


def test_named_files_are_made(planned):
    """Each file of the life of a profile is an output of the build plan."""
    rows = ROW.findall(PROFILE)
    assert len(rows) > 20
    for name, _writer, _reader in rows:
        assert any(re.fullmatch(pattern(name), path) for path in planned), f"no edge makes {name}"


def test_every_file_of_a_tree_is_named(planned):
    """And the other way round: who looks for the writer of a file finds its row. Other trees and common files are below
    build/, aliases have neither directory nor ending."""
    rows = [pattern(name) for name, _writer, _reader in ROW.findall(PROFILE)]
    files = {path for path in planned if not path.startswith("build/") and re.search("[/.]", path)}
    assert len(files) > 100
    assert {path for path in files if not any(re.fullmatch(row, path) for row in rows)} == {"compile_commands.json"}


def rule_of_writers() -> list:
    """(beginnings and ends of names, room) of the row of docs/develop.md that tells a file's writer by its place."""
    rule = re.search(r"what is left of (.*?)\. \[", (ROOT / "docs" / "develop.md").read_text())[1]
    return [(tuple(re.findall(r"[\w.]+[/.]\w*", names)), room)
            for names, room in re.findall(r"(\w[^,]*?) (?:is written )?by ([a-z]+/)", rule)]


def test_the_place_of_a_file_tells_its_writer():
    """As docs/develop.md has it, and the walk has each file: what the compiler makes, then the room of a directory."""
    rules = rule_of_writers()
    assert len(rules) == 6
    for name, writer, _reader in ROW.findall(PROFILE):
        if name.startswith(("build/", "dist/")):
            continue
        if re.search(r"\.(o|gcno)$|/(libhakmem|input)\.so$", name) and not name.startswith("bolt/lib"):
            assert re.match("compiler|linker", writer), name
            continue
        fitting = [room for names, room in rules if name.endswith(names) or name.startswith(names)]
        assert fitting and writer.startswith(fitting[0]), f"{name} is written by {writer}"


def test_named_writers_and_readers_exist():
    for _name, *people in ROW.findall(PROFILE):
        for person in (word for cell in people for word in cell.replace("`", "").split(", ")):
            path = person.split(" ")[0]
            assert person in PROSE or (ROOT / path).is_file(), f"there is no {person}"


def test_help_names_every_study():
    """Whole, with all that a line of it holds."""
    assert f"STUDY={'|'.join(study.STUDIES)} (STUDY_ARGS=" in run(["make", "-s", "help"], cwd=ROOT).stdout


def test_the_forge_runs_what_everybody_runs():
    """The workflow calls .ci/run and adds nothing; pre-commit has the formatters of tests/test_style.py."""
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert re.findall(r"^ *- run: (.*)$", workflow, re.MULTILINE)[-1] == ".ci/run"
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    assert re.findall(r"^ *entry: (\S+)", hooks, re.MULTILINE) == ["clang-format", "flake8"]


def test_the_debugger_stops_in_the_library(tmp_path):
    """The command of docs/develop.md as it stands there, but for the program: gdb puts the library into that alone."""
    debug = ROOT / "build" / "clang-debug" / "base" / "libhakmem.so"
    if not debug.exists():
        pytest.skip("no build of debug: run `make all`")
    page = (ROOT / "docs" / "develop.md").read_text()
    command = re.search(r"^(gdb .*?)^\(gdb\) run$", page, re.MULTILINE | re.DOTALL)[1].replace("$PWD", str(ROOT))
    words = shlex.split(command.replace("\\\n", " "))
    assert words[-3:] == ["--args", "build/tests/misuse", "double-free"]
    source, program = tmp_path / "p.c", tmp_path / "p"
    source.write_text("#include <stdlib.h>\nint main(void) { void *volatile p = malloc(9); free(p); free(p); }\n")
    run([needs("gcc", "gcc"), "-w", "-O0", "-o", program, source])
    shown = run([needs("gdb", "gdb"), "-nx", "-batch", *words[1:-3], "-ex", "run", "--args", program], timeout=120)
    assert "Breakpoint 1, hak_fatal (format=" in shown.stdout and "double free" in shown.stdout


def test_there_is_a_readme():
    """Parametrised tests of nothing pass; a missing README must not, nor a table that is not read."""
    assert (ROOT / "README.md").exists()
    rows = [line for line in (ROOT / "docs" / "features.md").read_text().splitlines() if line.startswith("| ")]
    heads = sum(row.startswith("| what |") for row in rows)
    assert sum(path.name == "features.md" for path, _command in ALL) == len(rows) - 2 * heads > 40


@pytest.mark.parametrize("words", [["test", "K=life_nothing"], ["study", "STUDY=nothing"], ["no_goal"]])
def test_what_is_not_there_is_seen(words):
    with pytest.raises(AssertionError):
        check_make(words)


def test_the_reader_of_blocks():
    """Continuations, comments, prompts, several commands in a line, blocks of other languages."""
    text = "```sh\n$ make pgo  # all of it\nLD_PRELOAD=a.so \\\n  prog x && cd y\n# only this\n```\n```\nnot sh\n```\n"
    assert commands(text) == ["make pgo", "LD_PRELOAD=a.so    prog x", "cd y"]
    assert split("A=1 B='x y' prog 'an argument'") == ({"A": "1", "B": "x y"}, ["prog", "an argument"])
