# SPDX-License-Identifier: MIT
"""What must hold of the learners' modules (core/learn/) for all numbers, not only for those of tests/unit/learn.c."""

import ctypes
import json
import os
import re
import shutil
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.proc import run
from plan import model
from tests.check import SHORT
from tests.support import ROOT, needs

NEEDS = ("build/clang-learning/base/libhakmem.so",)
LIBRARY = ROOT / "build" / "clang-learning" / "base" / "libhakmem.so"

NUMBERS = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200)
COUNTS = st.lists(st.integers(0, 2**40), min_size=48, max_size=48)
FEW = settings(max_examples=20 if os.environ.get(SHORT) else 60)


class P2(ctypes.Structure):
    """struct hak_p2."""
    _fields_ = [("part", ctypes.c_double), ("height", ctypes.c_double * 5), ("place", ctypes.c_double * 5),
                ("wanted", ctypes.c_double * 5), ("count", ctypes.c_uint64)]


class Arm(ctypes.Structure):
    """One arm of struct hak_ucb."""
    _fields_ = [("sum", ctypes.c_double), ("plays", ctypes.c_uint32)]


class Ucb(ctypes.Structure):
    """struct hak_ucb."""
    _fields_ = [("arm", Arm * 6), ("plays", ctypes.c_uint32), ("now", ctypes.c_uint32), ("streak", ctypes.c_uint32),
                ("changed_ms", ctypes.c_uint64)]


class Elo(ctypes.Structure):
    """struct hak_elo."""
    _fields_ = [("rating", ctypes.c_double * 12), ("games", ctypes.c_uint32 * 12)]


class Shape(ctypes.Structure):
    """struct hak_shape."""
    _fields_ = [("part", ctypes.c_uint32 * 48)]


@pytest.fixture(scope="module", name="library")
def built(tmp_path_factory):
    """The modules alone, as a shared object: they need nothing else."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    so = tmp_path_factory.mktemp("learn") / "learn.so"
    macros = [f"-D{feature.macro}={int(feature.default)}" for feature in model.load_features(ROOT)]
    run([compiler, "-std=gnu11", "-O1", "-shared", "-fPIC", "-Wl,-z,defs", "-I", ROOT / "core", *macros, "-o", so,
         *sorted((ROOT / "core" / "learn").glob("*.c"))], cwd=ROOT)
    loaded = ctypes.CDLL(str(so))
    loaded.hak_p2_init.argtypes = (ctypes.c_void_p, ctypes.c_double)
    loaded.hak_p2_add.argtypes = (ctypes.c_void_p, ctypes.c_double)
    loaded.hak_elo_game.argtypes = (ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_double)
    loaded.hak_elo_pick.argtypes = (ctypes.c_void_p, ctypes.c_uint64)
    loaded.hak_ucb_init.argtypes = (ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint64)
    loaded.hak_ucb_reward.argtypes = (ctypes.c_void_p, ctypes.c_double)
    loaded.hak_ucb_step.argtypes = (ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64)
    loaded.hak_p2_value.restype = ctypes.c_double
    loaded.hak_shape_of.restype = ctypes.c_uint64
    loaded.hak_ucb_step.restype = ctypes.c_bool
    return loaded


def percentile(library, part, numbers):
    """The estimate after all numbers, and the markers' state."""
    p2 = P2()
    library.hak_p2_init(ctypes.byref(p2), part)
    for number in numbers:
        library.hak_p2_add(ctypes.byref(p2), number)
    return library.hak_p2_value(ctypes.byref(p2)), p2


@FEW
@given(numbers=NUMBERS, part=st.sampled_from((0.5, 0.95, 0.99)))
def test_a_percentile_is_among_the_numbers(library, numbers, part):
    value, p2 = percentile(library, part, numbers)
    assert min(numbers) <= value <= max(numbers)
    if len(numbers) > 5:
        assert list(p2.height) == sorted(p2.height)
        assert list(p2.place) == sorted(set(p2.place)) and p2.place[4] == len(numbers)


@FEW
@given(number=st.floats(-1e6, 1e6), count=st.integers(1, 100))
def test_the_percentile_of_one_number_is_it(library, number, count):
    assert percentile(library, 0.95, [number] * count)[0] == number


@FEW
@given(games=st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11), st.sampled_from((0.0, 0.5, 1.0)))),
       random=st.integers(0, 2**64 - 1))
def test_points_are_neither_made_nor_lost(library, games, random):
    elo = Elo()
    library.hak_elo_init(ctypes.byref(elo))
    for one, other, score in games:
        if one == other:
            continue
        before = elo.rating[one]
        library.hak_elo_game(ctypes.byref(elo), one, other, score)
        assert (elo.rating[one] >= before) if score == 1 else score == 0.5 or elo.rating[one] <= before
    assert sum(elo.rating) == pytest.approx(12 * 1500)
    assert 0 <= library.hak_elo_pick(ctypes.byref(elo), random) < 12


@FEW
@given(rewards=st.lists(st.floats(0, 1), min_size=1, max_size=200), first=st.integers(0, 5))
def test_a_threshold_moves_by_one_and_waits(library, rewards, first):
    ucb = Ucb()
    library.hak_ucb_init(ctypes.byref(ucb), first, 0)
    last, now = 0, 0
    for reward in rewards:
        before, now = ucb.now, now + 10
        library.hak_ucb_reward(ctypes.byref(ucb), reward)
        moved = library.hak_ucb_step(ctypes.byref(ucb), now, 100)
        assert abs(ucb.now - before) == moved and ucb.now < 6
        assert not moved or now - last >= 100
        last = now if moved else last


@FEW
@given(counts=st.tuples(COUNTS, COUNTS, COUNTS))
def test_the_distance_is_one(library, counts):
    """Symmetric, 0 to itself, no detour is shorter: up to the rounding of 48 parts."""
    shapes = [Shape() for _ in counts]
    for shape, count in zip(shapes, counts):
        assert library.hak_shape_of(ctypes.byref(shape), (ctypes.c_uint64 * 48)(*count)) == sum(count)
        assert sum(shape.part) in range(1000000 - 48, 1000001) or sum(count) == 0

    def distance(one, other):
        return library.hak_shape_distance(ctypes.byref(shapes[one]), ctypes.byref(shapes[other]))
    assert distance(0, 0) == 0 and distance(0, 1) == distance(1, 0) <= 1000000
    assert distance(0, 2) <= distance(0, 1) + distance(1, 2) + 1


CHURN = """
import ctypes, time
blocks = [b""] * 500
end = time.monotonic() + %s
n = 0
while time.monotonic() < end or n < 5000:
    blocks[n %% 500] = bytes(n * 7919 %% 30000 + 1)
    n += 1
ctypes.CDLL(None).hakmem_stats_print(1, 1)
"""


def churn(seconds, *words, **settings):
    """What a Python program under the library wrote."""
    if not LIBRARY.exists():
        pytest.skip("the variant learning is not built")
    return run(["/usr/bin/env", f"LD_PRELOAD={LIBRARY}", *(f"{name}={value}" for name, value in settings.items()),
                *words, sys.executable, "-S", "-c", CHURN % seconds], cwd=ROOT, timeout=300,
               env={**os.environ, "PYTHONMALLOC": "malloc"}).stdout


def test_the_page_shows_the_learner():
    """As JSON: its state, its ratings, and a policy that is its own."""
    page = json.loads(churn(1, HAKMEM_LEARN="1", HAKMEM_LEARN_WINDOW_MS="5", HAKMEM_LEARN_MIN_SAMPLES="4"))
    assert page["learner_state"] == 1 and page["learner_windows"] > 8 and page["learner_changes"] > 0
    ratings = [page[f"learner_rating_{strategy}"] for strategy in range(12)]
    assert max(ratings) > 1500 > min(ratings)
    assert page["learner_refill_p50"] <= page["learner_refill_p95"] <= page["learner_refill_p99"]
    assert json.loads(churn(0))["learner_state"] == 0


@pytest.mark.parametrize("settings", [{}, {"HAKMEM_LEARN": "1", "HAKMEM_EVO_POLICY": "frozen"}],
                         ids=["off", "frozen"])
def test_what_does_not_learn_runs_nothing_of_it(tmp_path, settings):
    """Not one function of the learner is entered, but for the one that reads the options and what prints the page."""
    tool = needs("valgrind", "valgrind")
    churn(0, tool, "--vgdb=no", "--tool=callgrind", f"--callgrind-out-file={tmp_path}/out", **settings)
    entered = set(re.findall(r"fn=\(\d+\) (\w+)", (tmp_path / "out").read_text()))
    assert "hak_bin_refill" in entered
    learners = {name for name in entered if re.match(r"hak_(tune|p2|ucb|elo|ace|shape|cycle|real|learner)_", name)}
    assert learners <= {"hak_learner_load", "hak_learner_value"}
