# SPDX-License-Identifier: MIT
"""The C programs of tests/tests.toml: under the libraries as tests/pairs.py has it, the unit programs by themselves."""

import itertools
import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from common.proc import describe_status
from tests import pairs
from tests.support import ROOT, Preloaded, ctests, environment, label, libraries, program_of

NEEDS = ("matrix", "build/tests/life_early_and_late")
SKIPPED = 77
SANITIZERS = {
    "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:handle_segv=0",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:die_after_fork=0:allocator_may_return_null=1",
}
# cmocka 1.1.7 writes a skipped case as "not ok N # SKIP name".
CASE = re.compile(r"^(ok|not ok) (\d+)(?: - | # SKIP )(.*)$")


@dataclass(frozen=True)
class Outcome:
    """What one program said: its cases by result, and all it wrote."""
    passed: int
    failed: int
    skipped: int
    text: str


def read_outcome(returncode: int, text: str, expired: bool) -> Outcome:
    """Count cmocka's cases; a program without them is one case."""
    passed, failed, skipped = 0, 0, 0
    planned = 0
    for line in text.splitlines():
        case = CASE.match(line)
        if case and " # SKIP " in line:
            skipped += 1
        elif case:
            passed, failed = passed + (case[1] == "ok"), failed + (case[1] == "not ok")
        elif re.fullmatch(r"1\.\.\d+", line):
            planned = int(line[3:])
    if planned == 0:
        if returncode == SKIPPED and not expired:
            return Outcome(0, 0, 1, text)
        good = returncode == 0 and not expired
        return Outcome(int(good), int(not good), 0, text)
    # A crash leaves cases unsaid: they did not pass.
    missing = planned - passed - failed - skipped
    failed += max(missing, 1 if (returncode != 0 or expired) and failed == 0 else 0)
    return Outcome(passed, failed, skipped, text)


def execute(row, so) -> Outcome:
    """Run one program with no input; its whole process group ends with it."""
    program = program_of(row)
    words = [str(program), *row.args]
    settings = {"CMOCKA_MESSAGE_OUTPUT": "TAP"}
    if row.sanitize == "thread":
        # ThreadSanitizer of gcc 12 cannot start under the high address randomisation of newer kernels.
        words = ["/usr/bin/setarch", "-R", *words]
    if so is None:
        return _run(row, words, {**environment(), **SANITIZERS, **settings})
    with Preloaded(so) as preloaded:
        if row.kind == "linked":
            return _run(row, words, preloaded.linked_environment(**settings))
        return _run(row, ["/usr/bin/env", f"LD_PRELOAD={preloaded.directory}/libhakmem.so", *words],
                    {**environment(), **settings})


def _run(row, words, environment) -> Outcome:
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               env=environment, cwd=ROOT, start_new_session=True)
    try:
        output, _ = process.communicate(timeout=row.timeout)
        expired = False
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        output, _ = process.communicate()
        expired = True
    text = output.decode(errors="replace")
    if expired:
        text += f"\n{row.name} did not end within {row.timeout} s\n"
    elif process.returncode not in (0, SKIPPED):
        text += f"\n{row.name}: {describe_status(process.returncode)}\n"
    return read_outcome(process.returncode, text, expired)


# Load and memory are the business of code that `learning` and `research` share with `balanced`: they are it, with more
# that watches. `debug` is `hardened` with more that checks.
SHARING = ("learning", "research")
CHECKING = ("hardened", "debug")
LONG = ("stress_", "memory_")
# What is about the differences between the variants runs under each.
ABOUT = ("life_options", "life_sites", "life_learner", "life_policy", "life_profile", "life_system_calls",
         "life_interposed", "api_info", "misuse")


def concerns(number, row, so) -> bool:
    """Whether the program with this number runs under a library. Of two variants that share their code it runs under
    one, every other program under the first; a long one of the first two under neither."""
    variant = pairs.split(label(so))[1]
    if pairs.is_everything() or row.name.startswith(ABOUT):
        return True
    if row.name.startswith(LONG):
        return variant not in SHARING and not pairs.is_left_out(number, variant, CHECKING)
    return not pairs.is_left_out(number, variant, SHARING)


def possible_runs() -> list:
    """A list for each row: every (row, library). Unit programs carry the allocator in themselves and run once."""
    rows = [row for row in ctests() if row.kind in ("unit", "preload", "linked")]
    return [[(row, None)] if row.kind == "unit" else [(row, so) for so in libraries() if concerns(number, row, so)]
            for number, row in enumerate(rows)]


def planned_runs(possible) -> list:
    """Those that are to run."""
    runs = []
    for number, all_of_row in enumerate(possible):
        chosen = pairs.chosen(number, [label(so) for _row, so in all_of_row if so])
        runs += [(row, so) for row, so in all_of_row if so is None or label(so) in chosen]
    return runs


def name_of(row, so) -> str:
    """The id of a run."""
    return f"{row.name}-{label(so)}" if so else row.name


POSSIBLE = possible_runs()
PLANNED = planned_runs(POSSIBLE)
RUNS = [pytest.param(run, id=name_of(*run)) for run in PLANNED]
NOTE = pairs.sentence(len(PLANNED), sum(map(len, POSSIBLE)))


@pytest.fixture(scope="module")
def outcomes(request):
    """All selected programs, run side by side; each test waits for its own. Those with the allocator in them first: the
    explorer and the sanitizers take longest, and one of them at the end would leave the other processors idle. Those
    that wait for time to pass take turns among themselves, beside those that compute."""
    chosen = {item.callspec.id: item.callspec.params["run"] for item in request.session.items
              if item.fspath == request.fspath and hasattr(item, "callspec") and "run" in item.callspec.params}
    with ThreadPoolExecutor(os.cpu_count() or 1) as computing, ThreadPoolExecutor(1) as waiting:
        longest_first = sorted(chosen.items(), key=lambda item: item[1][0].kind != "unit")
        futures = {name: (waiting if run[0].waits else computing).submit(execute, *run)
                   for name, run in longest_first if program_of(run[0]).exists()}
        yield futures
        for future in futures.values():
            future.cancel()


@pytest.mark.parametrize("run", RUNS)
def test_program(run, outcomes, request, record_property):
    """The program keeps its promise under this library."""
    row, _ = run
    if request.node.callspec.id not in outcomes:
        pytest.fail(f"{program_of(row)} is not built: run `make tests`", pytrace=False)
    outcome = outcomes[request.node.callspec.id].result()
    record_property("cases", (outcome.passed, outcome.failed, outcome.skipped))
    if outcome.failed:
        pytest.fail(f"{row.sentence}\n{outcome.text}", pytrace=False)
    if not outcome.passed:
        pytest.skip(outcome.text.strip().splitlines()[-1] if outcome.text.strip() else "not shown on this machine")


def test_there_is_a_library_to_test():
    """A run without any library must not look like a success."""
    assert libraries(), "no libhakmem.so: run `make all`, or name one in HAK_SO"


@pytest.mark.parametrize("so", libraries(), ids=[label(so) for so in libraries()])
def test_preloading_takes(so):
    """A wrong path in LD_PRELOAD is only a warning of the loader: the library must really be in the process."""
    with Preloaded(so) as preloaded:
        words = ["/usr/bin/env", f"LD_PRELOAD={preloaded.directory}/libhakmem.so", "/bin/cat", "/proc/self/maps"]
        result = subprocess.run(words, capture_output=True, text=True, timeout=30)
    assert str(so) in result.stdout
    assert result.stderr == ""


def test_options_hold_for_a_malloc_before_the_constructors():
    """A program that allocates in preinit_array: libc has no environment yet, the options are read all the same."""
    balanced = [so for so in libraries() if "-balanced" in label(so)]
    if not balanced:
        pytest.skip("no build of `balanced`: run `make all`")
    with Preloaded(balanced[0]) as preloaded:
        result = subprocess.run([ROOT / "build/tests/life_early_and_late"], capture_output=True, text=True, timeout=30,
                                env=preloaded.environment(HAKMEM_MODE="no-such-mode"))
    assert result.stderr.count("HAKMEM_MODE=no-such-mode") == 1


def test_rows_name_sources_that_exist():
    """Every source of the table is there, and every test source is in the table."""
    listed = {source for row in ctests() for source in row.sources}
    missing = sorted(source for source in listed if not (ROOT / source).is_file())
    assert not missing
    written = {str(path.relative_to(ROOT)) for folder in
               ("api", "life", "memory", "stress", "unit", "plugin", "misuse", "fuzz", "explore")
               for path in (ROOT / "tests" / folder).glob("*.c*")}
    assert written - listed == set(), "sources without a row in tests/tests.toml"


def test_what_two_of_three_meet(monkeypatch):
    """Programs, variants and compilers: each two, with half of the runs."""
    for name in (pairs.ALL, "HAK_SO"):
        monkeypatch.delenv(name, raising=False)
    plain = [f"{toolchain}-{variant}/base" for toolchain in ("clang", "gcc")
             for variant in ("balanced", "bench_minimal", "debug", "plugin")]
    met = [(number, *pairs.split(name)) for number in range(4) for name in pairs.chosen(number, [*plain, "dist"])]
    for two in ((0, 1), (0, 2), (1, 2)):
        found = {tuple(one[place] for place in two) for one in met if one[2] != "dist"}
        assert found == {tuple(one[place] for place in two) for one in itertools.product(
            range(4), ("clang", "gcc"), ("balanced", "bench_minimal", "debug", "plugin"))}
    assert len(met) == 4 * (2 + 3 + 1)      # both of bench_minimal, one of each other variant, and dist
    assert pairs.chosen(0, ["gcc-debug/base"]) == pairs.chosen(1, ["gcc-debug/base"]) == ["gcc-debug/base"]


def test_one_of_two_that_share_their_code(monkeypatch):
    """Each meets every second program, by either compiler; neither is left out where both are asked for."""
    for name in (pairs.ALL, "HAK_SO"):
        monkeypatch.delenv(name, raising=False)
    met = {(number % 2, variant) for number in range(4) for variant in CHECKING
           if not pairs.is_left_out(number, variant, CHECKING)}
    assert met == {(0, "hardened"), (1, "hardened"), (0, "debug"), (1, "debug")}
    for number in range(4):
        assert sum(pairs.is_left_out(number, variant, CHECKING) for variant in CHECKING) == 1
        assert not pairs.is_left_out(number, "balanced", CHECKING)


def test_what_is_named_runs_everything(monkeypatch):
    names = ["clang-debug/base", "gcc-debug/base"]
    for setting in (pairs.ALL, "HAK_SO"):
        with monkeypatch.context() as patch:
            patch.setenv(setting, "1")
            assert pairs.chosen(0, names) == names


def test_outcome_of_tap():
    """The parser of cmocka's output: passed, skipped, failed and lost cases."""
    assert read_outcome(0, "1..3\nok 1 - a\nnot ok 2 # SKIP b\nok 3 - c\n# ok - tests\n", False) == Outcome(
        2, 0, 1, "1..3\nok 1 - a\nnot ok 2 # SKIP b\nok 3 - c\n# ok - tests\n")
    crashed = read_outcome(-11, "1..4\nok 1 - a\n", False)
    assert (crashed.passed, crashed.failed) == (1, 3)
    late = read_outcome(-6, "1..1\nok 1 - a\n", False)
    assert (late.passed, late.failed) == (1, 1)
    assert read_outcome(0, "", False).passed == 1
    assert read_outcome(SKIPPED, "", False).skipped == 1
    assert read_outcome(0, "", True).failed == 1
