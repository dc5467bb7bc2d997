# SPDX-License-Identifier: MIT
"""The rooms of the tools: a module imports only what lies before its room, and no two modules wait for each other."""

import ast
import graphlib
import re
from pathlib import Path

from common.proc import run
from tests.support import ROOT

# In the order in which a profile flows; docs/design.md says why.
ORDER = ("common", "plan", "pgo", "measure", "learn", "layout", "gate", "bench", "report", "ship")


def modules(root: Path) -> dict:
    """room.module -> its path."""
    return {f"{room}.{path.stem}": path for room in ORDER for path in sorted((root / room).glob("*.py"))
            if path.stem != "__init__"}


def imported(path: Path) -> set:
    """Every module of a room that a file imports, wherever the statement stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names} if "." not in (node.module or ".") else \
                {node.module}
    return {name for name in found if name.partition(".")[0] in (*ORDER, "tests", "configure")}


def violations(root: Path) -> list[str]:
    """One sentence for each import that breaks the order, and for a circle within a room."""
    known, found, graph = modules(root), [], {}
    for name, path in known.items():
        graph[name] = imported(path)
        for other in sorted(graph[name]):
            room, of = other.partition(".")[0], name.partition(".")[0]
            if room not in ORDER or ORDER.index(room) > ORDER.index(of):
                found.append(f"{name} imports {other}: {room} does not lie before {of}")
            elif other not in known:
                found.append(f"{name} imports {other}, which is no module")
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        found.append(f"a circle: {' -> '.join(error.args[1])}")
    return found


def test_imports_point_backwards():
    """The rule, over all rooms."""
    assert len(modules(ROOT)) > 50
    assert violations(ROOT) == []


def test_the_order_is_the_one_that_is_written():
    """docs/design.md lists the rooms in it; README.md too, but for common/, which stands behind them."""
    text = (ROOT / "docs" / "design.md").read_text()
    part = text[text.index("## The rooms of the tools"):]
    assert re.findall(r"^    ([a-z]+)/ ", part, re.MULTILINE) == list(ORDER)
    rooms = re.findall(r"^\| \[([a-z]+)/\]", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert [room for room in rooms if room in ORDER] == [*ORDER[1:], ORDER[0]]


def test_every_python_file_has_a_room():
    """Beside configure.py and the tests nothing lies outside."""
    outside = [path for path in ROOT.glob("*/*.py") if path.parent.name not in (*ORDER, "tests")]
    assert outside == [] and all((ROOT / room / "__init__.py").exists() for room in ORDER)


def test_a_violation_is_seen(tmp_path):
    """The check itself: forwards, by a statement inside a function, into the tests, to nowhere, and in a circle."""
    for name, text in {"common/a.py": "from plan import b\n", "plan/b.py": "import os\n",
                       "plan/c.py": "def late():\n    from ship.d import x\n",
                       "ship/d.py": "from tests import support\n",
                       "gate/e.py": "from measure import gone\n", "bench/f.py": "from bench import g\n",
                       "bench/g.py": "import bench.f\n"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert violations(tmp_path) == [
        "common.a imports plan.b: plan does not lie before common",
        "plan.c imports ship.d: ship does not lie before plan",
        "gate.e imports measure.gone, which is no module",
        "ship.d imports tests.support: tests does not lie before ship",
        "a circle: bench.f -> bench.g -> bench.f",
    ]


def test_the_top_holds_what_a_newcomer_looks_for():
    """Whatever a program leaves where it runs, `git add -A` takes along: a compiler's output lay here for two hours."""
    known = {"CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md", "SECURITY.md", "build.ninja.in",
             "configure.py"}
    listed = run(["git", "ls-files", "--", ":/*", ":!:*/*"], cwd=ROOT).stdout.split()
    assert {name for name in listed if not name.startswith(".")} == known
