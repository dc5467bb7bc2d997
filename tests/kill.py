# SPDX-License-Identifier: MIT
"""Kill the pipeline with SIGKILL at many points, start it again each time, and compare what ships with an undisturbed
run's.

    /usr/bin/python3 -m tests.kill                       every step, four moments in each, one after the other
    /usr/bin/python3 -m tests.kill --toolchain gcc       the same with gcc

Every second kill takes make and ninja alone: what they started goes on, and the next run must get along with it. After
each kill dist/ must be whole: the library that was there before, or the new one.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from common.arguments import Parser
from common.errors import Failure, guard
from common.proc import run, tail
from ship import ship
from tests.support import copy_of_sources

PYTHON = "/usr/bin/python3"
MINUTES = 15 * 60
VARIANT = "bench_minimal"
COMMAND = ("make", "ship")
MARK = "HAK_KILL_TEST"       # in the environment of everything that the pipeline starts, but for the workloads

# A step of the pipeline in the order of the build, and what a process's command line shows of it.
STEPS = {"training": "pgo.train", "merging": "pgo.merge", "linking": "/pgo/libhakmem.so.new",
         "measuring": "--stage pgo ", "gating": "gate.gate --stage pgo", "ordering": "layout.order",
         "rewriting": "layout.bolt", "shipping": "ship.ship"}
MOMENTS = (0.0, 0.08, 0.25, 0.7)    # seconds after a step begins; the longest steps take two
POLL = 0.008        # the shortest steps last a twentieth of a second; a look at all processes takes half a millisecond

FEW_PATTERNS = "--pattern pair64"
FEW_ROUNDS = "--budget 1"

# The shortest pipeline that there is: one small program trains, another one judges. Shells, since perl takes four times
# as long to start under valgrind; what judges runs there for each stage, and of shells dash starts soonest.
WORKLOADS = """\
[[workload]]
name = "words"
role = "train"
command = ["/bin/bash", "--norc", "-c", '''
declare -A n; for ((i = 1; i <= 200; i++)); do n[$((i * 7919 % 1009))]+="word $i,"; done; l=("${n[@]}")
[[ ${l[*]} =~ word.[0-9]*9 ]] && echo ${#l[*]}
''']
package = "bash"
wall = true
sentence = "a hash of strings that grow, and a regular expression"

[[workload]]
name = "lines"
role = "holdout"
command = ["/bin/dash", "-c", '''
i=0; while [ $i -lt 80 ]; do i=$((i + 1)); set -- "$@" "line $i of the text"; done; s="$*"; echo ${#s}
''']
package = "dash"
sentence = "a list of strings, joined"
"""


@dataclass(frozen=True)
class Kill:
    """One point: so many seconds after a step was seen to run. `alone` spares what make and ninja started."""
    step: str
    seconds: float
    alone: bool


def plan_of(moments) -> list:
    """Every step at these moments, in the order of the build; every second kill is of make and ninja alone."""
    pairs = [(step, seconds) for step in STEPS for seconds in moments]
    return [Kill(step, seconds, bool(number % 2)) for number, (step, seconds) in enumerate(pairs)]


def shorten(template: Path):
    """One golden pattern, which is two short runs under valgrind: all eleven would be half of the small pipeline's
    time. So would be more than the fewest rounds of the wall clock."""
    text = template.read_text()
    for module, words in (("measure.golden", FEW_PATTERNS), ("measure.wall", FEW_ROUNDS)):
        assert text.count(f" -m {module} ") == 1, f"{template} has no rule for {module}"
        text = text.replace(f" -m {module} ", f" -m {module} {words} ")
    template.write_text(text)


def odd_place(directory: Path) -> Path:
    """A place for a clone whose path has an apostrophe and a space, by the name of a link to it."""
    place = directory / "it's a place" / "clone"
    place.mkdir(parents=True)
    (directory / "link").symlink_to(place)
    return directory / "link"


def small_project(place: Path, toolchain="clang", table=WORKLOADS) -> Path:
    """A copy of the sources with the small table, configured. Without what a plan of this variant does not need: each
    of the many tests that configure a clone would read it."""
    copy_of_sources(place)
    for path in (place / "tests" / "tests.toml", *(place / "variants").glob("*.toml")):
        if path.stem not in ("features", VARIANT):
            path.unlink()
    (place / "bench" / "workloads.toml").write_text(table)
    shorten(place / "build.ninja.in")
    run([PYTHON, "configure.py", f"--variant={VARIANT}", f"--toolchain={toolchain}"], cwd=place)
    return place


def marked(mark: str, strangers=None) -> dict:
    """Process id -> command line of what runs with the mark in its environment. `strangers` remembers those without
    it from call to call: the shortest steps last a twentieth of a second."""
    found, strangers = {}, set() if strangers is None else strangers
    for name in set(filter(str.isdigit, os.listdir("/proc"))) - strangers:
        try:
            if f"{MARK}={mark}".encode() in Path("/proc", name, "environ").read_bytes().split(b"\0"):
                found[int(name)] = Path("/proc", name, "cmdline").read_bytes().replace(b"\0", b" ").decode()
            else:
                strangers.add(name)
        except OSError:
            pass        # it has ended meanwhile
    return found


def kill(processes):
    """SIGKILL to each that still is."""
    for pid in processes:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def kill_all(mark: str):
    """Until nothing with the mark is left: a process may have started another one meanwhile."""
    while found := {pid: line for pid, line in marked(mark).items() if line}:   # a zombie has no command line
        kill(found)
        time.sleep(0.01)


def kill_builders(mark: str):
    """make, its shell and ninja: what they started goes on."""
    kill(pid for pid, line in marked(mark).items() if Path(line.split(" ")[0]).name in ("make", "ninja"))


def earlier_dist(of: Path, place: Path):
    """A dist/ that an earlier run might have left: whole, and of other bytes."""
    shutil.copytree(of / "dist", place / "dist", symlinks=True)
    (place / "dist" / "hakmem.h").write_text("/* of an earlier run */\n")
    (place / "dist" / "SHA256SUMS").unlink()
    (place / "dist" / "SHA256SUMS").write_text(ship.checksums(place / "dist"))


def run_and_kill(place: Path, point: Kill, mark: str) -> bool:
    """Start the pipeline and kill it at the point, or at a later step if that comes first. False: it ended before."""
    names = list(STEPS)
    wanted = [STEPS[name] for name in names[names.index(point.step):]]
    with open(place / "kill.log", "wb") as log:
        process = subprocess.Popen(COMMAND, cwd=place, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   env={**os.environ, MARK: mark}, start_new_session=True)
    deadline, strangers = time.monotonic() + MINUTES, set()
    try:
        while process.poll() is None and time.monotonic() < deadline:
            if any(text in line for line in marked(mark, strangers).values() for text in wanted):
                time.sleep(point.seconds)
                (kill_builders if point.alone else kill_all)(mark)
                process.wait()
                return True
            time.sleep(POLL)
    except BaseException:
        kill_all(mark)
        raise
    if process.poll() != 0:
        kill_all(mark)
        raise Failure(f"`{' '.join(COMMAND)}` failed with {process.poll()} on the way to {point}"
                      f"{tail((place / 'kill.log').read_text())}")
    return False


def check_whole(directory: Path, after):
    """Nothing, or a directory in which every checksum holds. What was spared may put another one in its place during
    the look: that one is looked at then."""
    sums = directory / "SHA256SUMS"
    while directory.exists():
        number = directory.stat().st_ino
        if sums.is_file() and ship.checksums_hold(directory, sums.read_text()):
            return
        if directory.stat().st_ino == number:
            raise Failure(f"{directory} is not whole after {after}")


def leftovers(place: Path) -> list:
    """Half-made files where no file may be half-made."""
    return [str(path.relative_to(place)) for path in (*place.glob(".dist.*"), *(place / "build").rglob("*.new"))]


def disturbed(place: Path, points) -> int:
    """Kill at each point, then run to the end. How many points were reached."""
    mark, reached = uuid.uuid4().hex, 0
    try:
        for point in points:
            reached += run_and_kill(place, point, mark)
            check_whole(place / "dist", point)
        run(COMMAND, cwd=place, timeout=MINUTES)
    finally:
        kill_all(mark)
    left = leftovers(place)
    if left:
        raise Failure(f"half-made files are left: {', '.join(left)}")
    return reached


def compare(one: Path, other: Path):
    """Failure when the two ship different bytes."""
    sums = [(place / "dist" / "SHA256SUMS").read_text().splitlines() for place in (one, other)]
    if sums[0] != sums[1]:
        differing = sorted({line.split("  ", 1)[1] for line in set(sums[0]) ^ set(sums[1])})
        raise Failure(f"{other} shipped other bytes: {', '.join(differing)}")


def main(argv) -> int:
    """The sweep."""
    parser = Parser(prog="tests.kill", usage="example: python3 -m tests.kill --toolchain gcc",
                    description=__doc__)
    parser.add_argument("--toolchain", default="clang", choices=("clang", "gcc"))
    toolchain = parser.parse_args(argv).toolchain
    points = plan_of(MOMENTS)
    with tempfile.TemporaryDirectory(prefix="hakmem-kill.") as directory:
        calm, killed = (small_project(Path(directory) / name, toolchain) for name in ("calm", "killed"))
        run(COMMAND, cwd=calm, timeout=MINUTES)
        earlier_dist(calm, killed)
        reached = disturbed(killed, points)
        compare(calm, killed)
    print(f"{toolchain}: killed {reached} times of {len(points)}; what ships is the same, to the byte")
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
