# SPDX-License-Identifier: MIT
"""The heap profile: a reader that knows the format alone finds what is true of places whose calls are known, two pprofs
agree with it, and programs run under it as they do without."""

import math
import os
import re
import subprocess
from typing import NamedTuple

import pytest

from common.paths import BUILD
from common.proc import run
from tests.support import brought_up_to_date, needs

LIBRARIES = {name: BUILD / name / "base" / "libhakmem.so" for name in ("clang-learning", "gcc-research")}
PROGRAM = BUILD / "tests" / "life_profile"
HOSTS = ("life_fork_in_handler", "life_signals_threads",
         "life_thread_ends", "life_key_destructors", "life_small_stacks", "life_closed_descriptors", "life_cancelled",
         "life_no_proc", "life_raw_fork", "life_early_and_late", "stress_remote_free")
NEEDS = (*(f"build/{name}/base/libhakmem.so" for name in LIBRARIES), "build/tests/life_profile",
         *(f"build/tests/{name}" for name in HOSTS))
HEAD = re.compile(r"heap profile: (\d+): (\d+) \[(\d+): (\d+)\] @ heap_v2/(\d+)\n")
STACK = re.compile(r"(\d+): (\d+) \[(\d+): (\d+)\] @((?: 0x[0-9a-f]+)+)\n")
INTERVAL = 8    # KiB
LUCK = math.log(2e9)


class Site(NamedTuple):
    """A function of the program, and what it did."""
    size: int
    calls: int
    live: int


def environment(so, path, interval=INTERVAL, **more) -> dict:
    """Of a program that is sampled."""
    return {"PATH": "/usr/bin:/bin", "LD_PRELOAD": str(so), "HAKMEM_HEAP_PROFILE": str(path),
            "HAKMEM_HEAP_PROFILE_INTERVAL": str(interval), **more}


def finished(argv, env, **more):
    """A program's run."""
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=100, check=False, **more)


@pytest.fixture(scope="module", params=LIBRARIES)
def library(request):
    """A library that samples."""
    so = LIBRARIES[request.param]
    if not so.exists() or not PROGRAM.exists():
        pytest.skip(f"{so} or {PROGRAM} is not built: ninja matrix tests")
    return so if brought_up_to_date(so) else None


@pytest.fixture(scope="module")
def sampled(library, tmp_path_factory):
    """(path of the profile, what is true of each place)."""
    path = tmp_path_factory.mktemp("profile") / "sites.heap"
    done = finished([PROGRAM, "sites"], environment(library, path))
    assert done.returncode == 0, done.stderr
    truth = {name: Site(*map(int, rest)) for name, _place, *rest in
             (line.split()[1:] for line in done.stdout.splitlines() if line.startswith("site "))}
    return path, truth


def read(path):
    """(interval, [(live, live bytes, all, all bytes, addresses)], lines of maps); the head is the sum of the lines."""
    head, _, rest = path.read_text().partition("\n")
    figures = [int(word) for word in HEAD.fullmatch(head + "\n").groups()]
    stacks, _, maps = rest.partition("\nMAPPED_LIBRARIES:\n")
    rows = []
    for line in stacks.splitlines(keepends=True):
        *numbers, addresses = STACK.fullmatch(line).groups()
        rows.append((*map(int, numbers), [int(word, 16) for word in addresses.split()]))
    assert [sum(row[i] for row in rows) for i in range(4)] == figures[:4]
    return figures[4], rows, maps.splitlines()


def function_of(maps):
    """The function of the program that an address is in, by its symbols and where it was mapped."""
    start, offset = next((int(line.split("-")[0], 16), int(line.split()[2], 16)) for line in maps
                         if line.endswith(str(PROGRAM)))
    names = sorted((int(words[0], 16), words[2]) for words in
                   (line.split() for line in run(["nm", PROGRAM]).stdout.splitlines()) if len(words) == 3
                   and words[1] in "tT")

    def name(address):
        at = address - 1 - start + offset
        return next((symbol for value, symbol in reversed(names) if value <= at), "")
    return name


def estimates(path):
    """Function -> [(calls, live, chance of a block, bytes in it)] of what the profile says, scaled."""
    interval, rows, maps = read(path)
    name = function_of(maps)
    found: dict = {}
    for live, _live_bytes, count, count_bytes, addresses in rows:
        size = count_bytes / count
        chance = 1 - math.exp(-size / interval)
        found.setdefault(name(addresses[0]), []).append((count / chance, live / chance, chance, size))
    return found


def error(calls, chance) -> float:
    """How far from what is expected the samples of so many calls may be: further off less than once in 10^9 times
    (Bernstein's bound, which also holds where few are expected, or nearly all). None of no calls."""
    if calls == 0:
        return 0
    return LUCK / 3 + math.sqrt(LUCK ** 2 / 9 + 2 * LUCK * calls * chance * (1 - chance))


def test_estimates_are_what_is_true(sampled):
    """Sums of calls and bytes, all and live, of each place: right within the error of sampling."""
    path, truth = sampled
    found = estimates(path)
    assert len(truth) == 7
    for name, site in truth.items():
        rows = [row for row in found[name] if row[3] == site.size]
        chance = rows[0][2]
        for estimated, true in ((sum(row[0] for row in rows), site.calls), (sum(row[1] for row in rows), site.live)):
            assert abs(estimated - true) * chance <= error(true, chance), (name, estimated, true)


def test_stacks_lead_to_main(sampled):
    """Frames are callers, to the first: `mixes` is called by `replace`, all by main."""
    interval, rows, maps = read(sampled[0])
    name = function_of(maps)
    assert interval == INTERVAL * 1024
    stacks = [[name(address) for address in row[4]] for row in rows]
    assert any(stack[0] == "mixes" and "main" in stack for stack in stacks)
    assert all("main" in stack for stack in stacks if stack[0] in ("repeats", "grows", "mixes"))


def test_google_pprof_agrees(sampled):
    """Its figures are ours."""
    path, truth = sampled
    pprof = needs("google-pprof", "google-perftools")
    shown = run([pprof, "--text", "--alloc_objects", PROGRAM, path], timeout=60).stdout
    agrees(estimates(path), truth, re.findall(r"^ *(\d+) +\S+% +\S+% +\d+ +\S+% +(\w+)$", shown, re.MULTILINE))


def test_go_pprof_agrees(sampled, tmp_path):
    """The other pprof's too, and it knows what lives."""
    path, truth = sampled
    command = [needs("go", "golang-go"), "tool", "pprof", "-top", "-nodefraction=0"]
    env = {**os.environ, "HOME": str(tmp_path), "PPROF_TMPDIR": str(tmp_path)}
    shown = run([*command, "-sample_index=alloc_objects", PROGRAM, path], env=env, timeout=60).stdout
    agrees(estimates(path), truth, re.findall(r"^ *(\d+) +\S+% +\S+% +\d+ +\S+%  (\w+)$", shown, re.MULTILINE))
    lives = run([*command, "-sample_index=inuse_objects", PROGRAM, path], env=env, timeout=60).stdout
    assert re.search(r"^ *[1-9]\d+ .*  grows$", lives, re.MULTILINE) and "repeats" not in lives


def agrees(found, truth, shown):
    """Each place's calls are shown as the reader has them."""
    figures = {name: int(number) for number, name in shown}
    for name in truth:
        ours = sum(row[0] for row in found[name])
        assert abs(figures[name] - ours) <= 1 + 0.001 * ours, name


@pytest.mark.parametrize("host", HOSTS)
def test_programs_run_as_they_do_without(host, tmp_path):
    """With a block in each KiB sampled."""
    so = LIBRARIES["clang-learning"]
    if not so.exists() or not (BUILD / "tests" / host).exists():
        pytest.skip(f"{so} or {host} is not built: ninja matrix tests")
    path = tmp_path / "p.heap"
    done = finished([BUILD / "tests" / host], environment(so, path, 1), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    if host != "life_raw_fork":
        read(path)
    assert [name for name in os.listdir(tmp_path) if not re.fullmatch(r"p\.heap(\.\d+)?", name)] == []


def test_without_tables_there_are_fewer_frames(library, tmp_path):
    """Code that no unwinder knows: no crash, and the caller of malloc all the same."""
    source, program = tmp_path / "bare.c", tmp_path / "bare"
    source.write_text("#include <stdlib.h>\nint main(void)\n{\n    for (int i = 0; i < 100000; i++)\n"
                      "        if (malloc(100) == 0)\n            return 1;\n    return 0;\n}\n")
    run([needs("gcc", "gcc"), "-O2", "-fno-builtin", "-fno-asynchronous-unwind-tables", "-fomit-frame-pointer", source,
         "-o", program])
    path = tmp_path / "bare.heap"
    assert finished([program], environment(library, path, 1)).returncode == 0
    assert sum(row[2] for row in read(path)[1]) > 1000


def test_a_limit_of_the_files_size_is_told_not_met(library, tmp_path):
    """The program gets no SIGXFSZ, and nobody half a profile."""
    path = tmp_path / "p.heap"
    done = finished(["/bin/sh", "-c", f"ulimit -f 1; exec {PROGRAM} sites"], environment(library, path))
    assert done.returncode == 0
    assert done.stderr.count("hakmem: warning") == 1 and f"HAKMEM_HEAP_PROFILE={path}: it cannot be" in done.stderr
    assert os.listdir(tmp_path) == []


def test_a_long_name_is_told(library, tmp_path):
    """Once, and nothing is sampled."""
    done = finished([PROGRAM, "nothing"], environment(library, tmp_path / ("x" * 250 + "/") / ("y" * 250)))
    assert done.returncode == 0 and done.stderr.count("the name is too long") == 1
