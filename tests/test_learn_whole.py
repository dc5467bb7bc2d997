# SPDX-License-Identifier: MIT
"""Learning with the real library: programs are recorded, replayed and searched, a policy is judged by another input."""

import json
import os
import re
import subprocess

import pytest

from common import workloads
from common.errors import UserError
from common.paths import BUILD
from gate import gate
from learn import judge, learn, objective, record
from plan import own, policy
from tests.support import ROOT

NEEDS = ("matrix", "bench")
PYTHON = "/usr/bin/python3"
GROWS = """\
import sys
kept = [bytearray(700 + i % 900) for i in range(int(sys.argv[1]))]
del kept[::3]
more = [bytearray(5000) for i in range(int(sys.argv[1]) // 20)]
"""
FORKS = """\
import os, sys
blocks = [bytearray(2000) for i in range(3000)]
if os.fork() == 0:
    blocks += [bytearray(3000) for i in range(3000)]
    os._exit(0)
os.wait()
os.execv(sys.executable, [sys.executable, "-c", "x = [bytearray(1000) for i in range(9000)]"])
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A directory with the programs, and the tools' own places below it."""
    if not learn.LIBRARY.exists():
        pytest.skip("no library of variant learning yet: run `make all`")
    for name, text in (("grows.py", GROWS), ("forks.py", FORKS)):
        (tmp_path / name).write_text(text)
    for module in (learn, judge):
        monkeypatch.setattr(module, "PLACE", tmp_path / module.__name__)
    return tmp_path


def command_of(place, words, role="train"):
    """A row for a command."""
    return own.workload("user1", words, 1, own.Source("--train", role, str(place), 60))


def test_a_program_is_learned_and_judged_by_another_input(place, capsys, monkeypatch):
    """In half a minute, beside other tests: the policy gains, no figure pays more than 2 %, the library takes it
    without a word, and held-out replays show what it changes."""
    out = place / "app.toml"
    # So large a program that a huge page more or less at its peak is no fiftieth of it.
    words = ["--train", f"{PYTHON} grows.py 60000", "--here", str(place), "-o", str(out)]
    for budget in ("30", "120"):        # half a minute may be too few replays on a busy machine; it goes on then
        assert learn.main([*words, "--budget", budget]) == 0
        shown = capsys.readouterr().out
        made = policy.read(out, policy.load_rows(ROOT))
        if "the time was up" not in shown or made.values:
            break
    pairs = {name.rpartition(".")[2]: pair for name, pair in made.figures.items() if "*" not in name}
    assert made.values and re.search(r"learned for balanced: \d+ replays", shown)
    assert all(pairs[name][1] <= pairs[name][0] * objective.GUARD for name in objective.WEIGHED)
    assert any(pairs[name][1] < pairs[name][0] * 0.97 for name in objective.WEIGHED)
    done = subprocess.run([PYTHON, "grows.py", "10"], cwd=place, capture_output=True, text=True, check=True, env={
        **os.environ, "LD_PRELOAD": str(learn.LIBRARY), "HAKMEM_POLICY": str(out)})
    assert done.stderr == ""
    held = [command_of(place, f"{PYTHON} grows.py 90000", "holdout")]
    monkeypatch.setattr(workloads, "load_workloads", lambda root: held)
    assert judge.main(["--policy", str(out), "-o", str(place / "replay.json")]) == 0
    found = json.loads((place / "replay.json").read_text())
    (row,) = found["workloads"].values()
    assert found["held"] and found["note"] == f"by replay of '{PYTHON} grows.py 90000'"
    assert row["before"] != row["after"] and row["before"]["events"] > pairs["events"][0]
    assert {part["name"] for part in found["parts"]} == made.values.keys()
    nothing, judged = gate.Evidence({}, {}), gate.Evidence({}, {}, replays=found)
    assert gate.judge("policy", nothing, judged, gate.load_gates()).verdict == "GO"     # it is compiled in


def test_processes_that_fork_and_exec(place):
    """Each has a trace, and the largest are kept."""
    traces, beside = record.record(command_of(place, f"{PYTHON} forks.py"), learn.LIBRARY, 16, place)
    assert len(traces) == 3 and all(path.stat().st_size > 1000 for path in traces.values())
    assert beside["files"] > 1 << 20 and beside["seconds"] > 0


def test_recordings_are_reused(place):
    """Of the same command with the same files; another content of one is another recording."""
    told = []
    rows = [command_of(place, f"{PYTHON} grows.py 100")]
    first = record.recorded(rows, learn.LIBRARY, 16, place, told.append)
    assert record.recorded(rows, learn.LIBRARY, 16, place, told.append) == first and len(told) == 1
    next(iter(first.values())).write_bytes(b"damaged")
    assert record.recorded(rows, learn.LIBRARY, 16, place, told.append) == first and len(told) == 2
    with pytest.raises(UserError, match="failed with exit 1 .*; nothing was learned"):
        record.recorded([*rows, command_of(place, "/bin/false")], learn.LIBRARY, 16, place, told.append)
    assert record.recorded(rows, learn.LIBRARY, 16, place, told.append) == first and len(told) == 4
    (place / "grows.py").write_text(GROWS + "\n")
    record.recorded(rows, learn.LIBRARY, 16, place, told.append)
    assert len(told) == 5


def test_without_a_held_out_command():
    """What trains is judged by, and it is said; without any command nothing tells."""
    row = workloads.Workload("user1", "train", ("/bin/u",), "your own command: u", own=True)
    other = workloads.Workload("git", "holdout", ("/bin/git",), "git")
    assert judge.judging([row, other]) == ([row], False) and judge.judging([other]) == ([], False)
    assert judge.note([row], False) == "by replay of 'u', on which it is trained: no HOLDOUT was given"
    assert judge.note([], False).startswith("no command of yours was given")


def test_places_are_the_builds():
    assert learn.PLACE.is_relative_to(BUILD) and judge.PLACE.is_relative_to(BUILD)
    assert not learn.POLICIES.is_relative_to(BUILD)
