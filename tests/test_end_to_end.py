# SPDX-License-Identifier: MIT
"""The whole pipeline once, in a copy of the sources: configure, train, build, lay out, measure, gate, ship."""

import importlib
import json
import shutil
import subprocess

import pytest

from common.errors import guard
from common.proc import run
from gate import ab
from measure import wall
from tests import kill
from tests.support import ROOT, copy_of_sources

PYTHON = "/usr/bin/python3"
MINUTES = 15 * 60


@pytest.fixture(scope="module")
def shipped(finished):
    """The clone of test_faults.py, after what `make ship` leaves out: the wall clock and the report."""
    run(["ninja", "pgo"], cwd=finished, timeout=MINUTES, log=finished / "pgo.log")
    return finished


@pytest.fixture
def real_programs(shipped):
    """The table that ships in place of the short one; a Python script that does everything once, not twice, with a
    quarter of the records."""
    inputs = shipped / "bench" / "inputs.py"
    whole = inputs.read_text()
    shorter = whole
    for text, few in ((" for _ in range(2):", " for _ in range(1):"), ("n in range(1200)]", "n in range(300)]")):
        assert whole.count(text) == 1
        shorter = shorter.replace(text, few)
    inputs.write_text(shorter)
    shutil.copyfile(ROOT / "bench" / "workloads.toml", shipped / "bench" / "workloads.toml")
    yield shipped
    inputs.write_text(whole)
    (shipped / "bench" / "workloads.toml").write_text(kill.WORKLOADS)
    run([PYTHON, "configure.py", "--variant=bench_minimal"], cwd=shipped)


def test_pipeline_is_complete(shipped):
    """A second run finds nothing to do."""
    again = run(["ninja", "pgo"], cwd=shipped, timeout=MINUTES)
    assert "no work to do" in again.stdout


def test_what_ships_may_be_passed_on(shipped):
    """The license lies beside the library and the archive, and is among the checksums."""
    assert (shipped / "dist" / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    listed = {line.split("  ")[1] for line in (shipped / "dist" / "SHA256SUMS").read_text().splitlines()}
    assert {"LICENSE", "libhakmem.so", "libhakmem.a", "hakmem.h", "manifest.json"} <= listed


def test_what_ships_may_be_read_by_all(shipped, tmp_path):
    """Whatever the umask is. A link in place of dist stays one, and the directory behind it is replaced."""
    (tmp_path / "real").mkdir()
    (tmp_path / "dist").symlink_to("real")
    words = ["ship.ship", "--build", "build/clang-bench_minimal", "--toolchain", "clang", "--variant", "bench_minimal"]
    subprocess.run([PYTHON, "-m", *words, "-o", tmp_path / "dist"], cwd=shipped, umask=0o077, check=True, timeout=120)
    assert (tmp_path / "dist").is_symlink() and sorted(path.name for path in tmp_path.iterdir()) == ["dist", "real"]
    made = list((tmp_path / "real").rglob("*"))
    assert len(made) > 15 and [path for path in made if not path.stat().st_mode & 0o004] == []


def test_every_stage_was_judged(shipped):
    """One verdict a stage, and a choice of what ships."""
    build = shipped / "build" / "clang-bench_minimal"
    for stage in ("pgo", "layout", "bolt"):
        verdict = json.loads((build / "gate" / f"{stage}.json").read_text())
        assert verdict
    assert json.loads((build / "wall.json").read_text())["rounds"] >= wall.LEAST_ROUNDS
    choice = json.loads((build / "select" / "ship.json").read_text())
    assert choice["stage"] in ("base", "pgo", "layout", "bolt")
    assert (shipped / choice["so"]).exists()


def test_shipped_library_runs_programs(shipped):
    """What came out of the last stage runs a real program."""
    choice = json.loads((shipped / "build" / "clang-bench_minimal" / "select" / "ship.json").read_text())
    words = ["/usr/bin/env", f"LD_PRELOAD={shipped / choice['so']}", PYTHON, "-c",
             "import json; print(json.dumps([1] * 3))"]
    assert run(words, cwd=shipped).stdout == "[1, 1, 1]\n"


@pytest.mark.parametrize("words, valid", [
    (["--variant=nonsense"], "bench_minimal"),
    (["--toolchain=nonsense"], "clang"),
    (["--workloads=nonsense"], "random_mixed"),
])
def test_wrong_names_are_one_sentence(tmp_path, words, valid):
    """An unknown name: exit 2, one line that lists the valid ones, the old build.ninja untouched."""
    clone = copy_of_sources(tmp_path)
    run([PYTHON, "configure.py", "--variant=bench_minimal"], cwd=clone)
    before = (clone / "build.ninja").read_bytes()
    result = run([PYTHON, "configure.py", *words], cwd=clone, check=False)
    assert result.returncode == 2
    assert len(result.stderr.strip().splitlines()) == 1
    assert "nonsense" in result.stderr and valid in result.stderr
    assert (clone / "build.ninja").read_bytes() == before


TOOLS = [f"{path.parent.name}.{path.stem}" for path in sorted(ROOT.glob("*/*.py")) if path.parent.name != "tests"
         and "import Parser" in path.read_text() and "def main(argv)" in path.read_text()]


@pytest.mark.parametrize("name", TOOLS)
def test_wrong_options_are_one_sentence(name, capsys):
    """Of every tool: what is wrong, and where to look; exit 2, or what the tool says instead."""
    module = importlib.import_module(name)
    status = module.guarded(["--no-such-option"]) if name == "gate.ab" else guard(module.main, ["--no-such-option"])
    assert status == (ab.EXIT_USAGE if name == "gate.ab" else 2)
    said = capsys.readouterr()
    assert said.out == "" and len(said.err.splitlines()) == 1 and "see --help" in said.err


# What measure.counting has of the library, but for the caches, which take half of its time.
COUNTS = """\
import sys
from pathlib import Path
from common import workloads
from common.paths import ROOT
from measure import callgrind, counting
(row,) = workloads.select(workloads.load_workloads(ROOT), [sys.argv[1]])
flags = (*callgrind.INSTRUCTIONS, "--collect-jumps=yes")
run = callgrind.parse(counting.callgrind_output(row, Path(sys.argv[2]), flags=flags))
print(*(sorted(counts.items(), key=str) for counts in (run.counts, run.branches, run.calls)), sep="\\n")
"""


def test_threads_and_python_repeat(real_programs):
    """The workloads whose counts once differed: the profile of two training runs and the library's counts of two
    measurements are the same, to the byte."""
    tree = "build/clang-bench_minimal"
    for name, needed in (("python", "inputs/py_mix.py"), ("producer_consumer", "bench/bench_producer_consumer")):
        run([PYTHON, "configure.py", "--variant=bench_minimal", "--workloads", f"{name},jq"], cwd=real_programs)
        run(["ninja", f"build/{needed}", f"build/workload/{name}.json"], cwd=real_programs)
        made = []
        for number in range(2):
            out = real_programs / "build" / f"{name}{number}"
            run([PYTHON, "-m", "pgo.train", "--workload", name, "--toolchain", "clang", "--variant", "bench_minimal",
                 "--so", f"{tree}/train/libhakmem.so", "-o", f"{out}.profdata"], cwd=real_programs)
            counts = run([PYTHON, "-c", COUNTS, name, f"{tree}/base/libhakmem.so"], cwd=real_programs).stdout
            made.append((out.with_suffix(".profdata").read_bytes(), counts))
        assert made[0] == made[1] and all(len(line) > 1000 for line in made[0][1].splitlines())
