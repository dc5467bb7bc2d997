# SPDX-License-Identifier: MIT
"""House style held by tools: clang-format over all C and C++, clang-tidy over the allocator, flake8 over all Python."""

import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from common import clone
from common.proc import run
from tests.check import SHORT
from tests.support import ROOT, needs

NEEDS = ("compile_commands.json",)
ROOMS = ("core", "include", "bench", "tests", "pgo")


def sources(*suffixes) -> list[str]:
    """Our own files of some kinds, in the rooms that hold code."""
    return sorted(str(path.relative_to(ROOT)) for room in ROOMS for path in (ROOT / room).rglob("*")
                  if path.suffix in suffixes and path.is_file())


def pages() -> list:
    """Our own Markdown."""
    return [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]


def test_c_is_formatted():
    """clang-format would change nothing."""
    tool = needs("clang-format", "clang-format")
    result = run([tool, "--dry-run", "-Werror", "--ferror-limit=3", *sources(".c", ".h", ".cc")], cwd=ROOT, check=False)
    files = sorted({line.split(":")[0] for line in result.stderr.splitlines() if "error:" in line})
    assert not files, f"run: clang-format -i {' '.join(files)}"


CODE = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|/\*.*?\*/|//[^\n]*', re.DOTALL)


def line_comments(text: str) -> list:
    """The comments that begin with two slashes."""
    return [token for token in CODE.findall(text) if token.startswith("//")]


def test_comments_are_of_one_kind():
    """C's own, in C++ as well."""
    found = {name: line_comments((ROOT / name).read_text()) for name in sources(".c", ".h", ".cc", ".def")}
    assert {name: comments for name, comments in found.items() if comments} == {}
    assert line_comments('p = "//"; /* // */ q = \'"\'; // one') == ["// one"]


# Files of these names carry the license's line among their first ones; what a tool writes has a head of its own.
LICENSED = (".py", ".toml", ".yml", ".yaml", ".c", ".h", ".cc", ".def", ".map", ".ld", "Makefile", ".ci/run",
            "build.ninja.in", ".clang-format", ".clang-tidy")
GENERATED = ("bench/golden.toml",)


def test_every_source_names_its_license():
    """Also when it is found alone."""
    names = [name for name in clone.names() if name.endswith(LICENSED) and name not in GENERATED]
    texts = {name: (ROOT / name).read_text() for name in names}
    missing = [name for name, text in texts.items()
               if text and "SPDX-License-Identifier: MIT" not in "\n".join(text.splitlines()[:3])]
    assert missing == [] != names


def test_python_is_clean():
    """flake8 has nothing to say."""
    tool = needs("flake8", "flake8")
    result = run([tool, "."], cwd=ROOT, check=False)
    assert result.stdout == ""


def compile_commands() -> Path:
    """The compile commands, at the root or in the build directory."""
    for path in (ROOT / "compile_commands.json", ROOT / "build" / "compile_commands.json"):
        if path.exists():
            return path
    pytest.skip("no compile_commands.json: run ./configure.py")


def declared_widths() -> dict:
    """Pattern of .editorconfig -> max_line_length."""
    text = (ROOT / ".editorconfig").read_text()
    return dict(re.findall(r"^\[(.+)\]\n(?:(?!\[).*\n)*?max_line_length = (\w+)$", text, re.M))


def prose(text: str) -> list:
    """(number, line) of a Markdown page, without its tables, its code, and what a tool writes."""
    found, code, derived = [], False, False
    for number, line in enumerate(text.splitlines(), 1):
        derived = line.startswith("<!-- derived") or derived and not line.startswith("<!-- end")
        code ^= line.startswith("```")
        if not code and not derived and not line.startswith(("|", "    ")):
            found.append((number, line))
    return found


def test_lines_are_as_wide_as_declared():
    """Comments, tables of rows and prose; of code clang-format and flake8 know."""
    width = int(declared_widths()["*"])
    assert f"max-line-length = {declared_widths()['*.py']}" in (ROOT / ".flake8").read_text()
    wide = []
    for name in [*sources(".c", ".h", ".cc", ".def"), *(str(path.relative_to(ROOT)) for path in pages())]:
        text = (ROOT / name).read_text()
        lines = prose(text) if name.endswith(".md") else enumerate(text.splitlines(), 1)
        wide += [f"{name}:{number}" for number, line in lines if len(line) > width]
    assert not wide, f"wider than {width}: {' '.join(wide)}"


def changed() -> set:
    """What differs from the last commit: all that a check before the next one needs to look at."""
    return set(clone.git("diff", "--name-only", "HEAD").stdout.splitlines() if clone.is_repository() else clone.names())


def test_core_has_no_clang_tidy_findings(tmp_path):
    """clang-tidy over each source of the allocator, with the features of the variant that compiles in the most."""
    tool = needs("clang-tidy", "clang-tidy")
    commands = {}
    for entry in json.loads(compile_commands().read_text()):
        file = os.path.relpath(os.path.join(entry["directory"], entry["file"]), ROOT)
        words = entry.get("command", "")
        if file.startswith("core/") and "clang-debug/base/" in words:
            commands.setdefault(file, entry)
    if not commands:
        pytest.skip("compile_commands.json has no debug build of core/ by clang")
    if os.environ.get(SHORT):
        commands = {file: entry for file, entry in commands.items() if file in changed()}
    (tmp_path / "compile_commands.json").write_text(json.dumps(list(commands.values())))

    def check(file):
        result = run([tool, "--quiet", "-p", str(tmp_path), file], cwd=ROOT, check=False, timeout=300)
        return [line for line in result.stdout.splitlines() if "error:" in line or "warning:" in line]

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        findings = [line for lines in pool.map(check, sorted(commands)) for line in lines]
    assert not findings, "\n".join(sorted(set(findings)))
