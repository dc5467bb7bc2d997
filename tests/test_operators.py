# SPDX-License-Identifier: MIT
"""The C++ operators in programs and plug-ins of every make: forms that a program replaces, and memory that is out.

Each program is also run without the library: what the C++ runtime does by itself is what is expected.
"""

import os
import re
import shutil
import subprocess

import pytest

from ship import ship
from tests import pairs
from tests.support import BUILD, ROOT, Preloaded, label, libraries
from tests.test_archive import TREES, objects, run

NEEDS = ("matrix",)
CXX = ROOT / "tests" / "cxx"
FLAGS = ["-std=c++17", "-O1", "-fsized-deallocation", "-Wall", "-Wextra", "-Werror", "-Wno-alloc-size-larger-than",
         "-Wno-mismatched-new-delete", "-Wno-sized-deallocation"]
FORMS = 20
GROUPS = [(), (0, 8), (0, 1, 8, 9), (4, 14), (0, 8, 4, 14), (1, 9), (5, 15), (8, 10), (2, 12), (0, 1, 2, 3, 4, 5, 6, 7),
          tuple(range(8, 20)), tuple(range(20))]
REPLACED = [*((form,) for form in range(FORMS)), *GROUPS]
LINKED = BUILD / "clang-bench_minimal" / "base"
ALL = [None, *libraries()]
IDS = ["none", *(label(so) for so in libraries())]


@pytest.fixture(scope="module", name="place")
def build_place(tmp_path_factory):
    """A directory with the archives, and with what is made in it."""
    place = tmp_path_factory.mktemp("operators")
    for tree in TREES:
        (place / tree.name).mkdir()
        ship.ship_archive(objects(tree), place / tree.name)
    return place


def made(program, words):
    """What a compiler makes, once for all libraries."""
    if not program.exists():
        run([*words, "-o", program])
    return program


def link(place, forms, name, *words):
    """A program with these forms replaced."""
    parts = [made(place / "replaced.o", ["g++", *FLAGS, "-c", CXX / "replaced.cc"])]
    parts += [made(place / f"form{form}.o", ["g++", *FLAGS, f"-DFORM={form}", "-c", CXX / "form.cc"]) for form in forms]
    return made(place / name, ["g++", *parts, *words])


def run_under(so, words, linked=False):
    """Run a program with a library, or without."""
    if so is None:
        return run(words)
    with Preloaded(so) as preloaded:
        return run(words, env=preloaded.linked_environment() if linked else preloaded.environment())


def name_of(forms) -> str:
    """An id."""
    return "+".join(map(str, forms)) or "none"


def chosen(forms) -> list:
    """The libraries under which a program runs that replaces these: as tests/pairs.py has it."""
    names = pairs.chosen(REPLACED.index(forms), [label(so) for so in libraries()])
    return [so for so in libraries() if label(so) in names]


@pytest.mark.parametrize("forms", REPLACED, ids=name_of)
def test_replaced_forms(place, forms):
    """Whatever forms a program replaces, those it leaves call them: preloaded, and without us."""
    program = link(place, forms, f"preloaded-{name_of(forms)}")
    for so in (None, *chosen(forms)):
        run_under(so, [program, *forms])


@pytest.mark.parametrize("forms", REPLACED, ids=name_of)
def test_replaced_forms_of_a_linked_program(place, forms):
    """The same, linked with -lhakmem."""
    if not LINKED.exists():
        pytest.skip("no build of clang-bench_minimal")
    program = link(place, forms, f"linked-{name_of(forms)}", f"-L{LINKED}", "-lhakmem")
    for so in chosen(forms):
        run_under(so, [program, *forms], linked=True)


@pytest.mark.parametrize("tree", TREES, ids=[tree.name for tree in TREES])
@pytest.mark.parametrize("kind", ("dynamic", "static"))
@pytest.mark.parametrize("forms", GROUPS, ids=name_of)
def test_replaced_forms_with_the_archive(place, tree, kind, forms):
    """The same, linked with the archive."""
    program = link(place, forms, f"{tree.name}-{kind}-{name_of(forms)}", place / tree.name / "libhakmem.a",
                   *(["-static"] if kind == "static" else []))
    run([program, *forms])


# --- memory is out ----------------------------------------------------------------------------------------------------

# The linker takes new(nothrow) from -lhakmem, and leaves that of the runtime out, which alone can catch what a handler
# throws.
NO_QUIET_FORM = ["-DQUIET_FORMS_CALL_THE_HANDLER=0"]
HOSTS = {"c": ["gcc", "-x", "c"], "cxx": ["g++", "-x", "c++"]}
PLUGINS = {
    "shared": [],
    "own runtime": ["-static-libstdc++", "-static-libgcc"],
    "own runtime, hidden": ["-static-libstdc++", "-static-libgcc", "-Wl,--exclude-libs,ALL"],
    "own runtime, bound to it": ["-static-libstdc++", "-static-libgcc", "-Wl,-Bsymbolic"],
    "linked": ["-L" + str(LINKED), "-lhakmem"],
    "linked, own runtime": ["-L" + str(LINKED), "-lhakmem", *NO_QUIET_FORM, "-static-libstdc++", "-static-libgcc"],
}
# For the thread-local storage of a library that is not there from the start.
LATE = {"GLIBC_TUNABLES": "glibc.rtld.optional_static_tls=16384"}


@pytest.mark.parametrize("plugin", PLUGINS)
@pytest.mark.parametrize("host", HOSTS)
def test_a_plug_in_out_of_memory(tmp_path, host, plugin):
    """Each plug-in's new throws what its own catch understands, and calls its own new_handler."""
    run(["g++", *FLAGS, "-shared", "-fPIC", CXX / "out_of_memory.cc", *PLUGINS[plugin], "-o", tmp_path / "plugin.so"])
    run([*HOSTS[host], "-O1", CXX / "host.c", "-o", tmp_path / "host"])
    for so in libraries() if plugin.startswith("linked") else ALL:
        with Preloaded(so or libraries()[0]) as preloaded:
            preload = {"LD_PRELOAD": str(preloaded.directory / "libhakmem.so")} if so else {}
            run([tmp_path / "host", tmp_path / "plugin.so"], env=preloaded.linked_environment(**preload, **LATE))


PROGRAMS = {
    "shared": ["g++"], "own runtime": ["g++", "-static-libstdc++", "-static-libgcc"],
    "own runtime, exported": ["g++", "-static-libstdc++", "-rdynamic"],
    "linked": ["g++", f"-L{LINKED}", "-lhakmem"],
    "linked, own runtime": ["g++", f"-L{LINKED}", "-lhakmem", *NO_QUIET_FORM, "-static-libstdc++", "-static-libgcc"],
    "libc++": ["clang++", "-stdlib=libc++"],
}


@pytest.mark.parametrize("kind", PROGRAMS)
def test_a_program_out_of_memory(tmp_path, kind):
    """The same in a program."""
    driver, *words = PROGRAMS[kind]
    flags = [flag for flag in FLAGS if driver == "g++" or "mismatched" not in flag and "alloc-size" not in flag and
             "sized" not in flag]
    if shutil.which(driver) is None or kind == "libc++" and not has_libcxx():
        pytest.skip(f"{kind}: not installed")
    run([driver, *flags, "-DPROGRAM", CXX / "out_of_memory.cc", *words, "-o", tmp_path / "program"])
    for so in libraries() if kind.startswith("linked") else ALL:
        run_under(so, [tmp_path / "program"], linked=kind.startswith("linked"))


def has_libcxx() -> bool:
    """Whether clang has libc++'s headers."""
    return subprocess.run(["clang++", "-stdlib=libc++", "-fsyntax-only", "-x", "c++", "-include", "new", os.devnull],
                          capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("so", ALL, ids=IDS)
def test_nobody_catches(place, so):
    """A program without exceptions ends, and does not go on with NULL."""
    program = made(place / "uncaught", ["g++", *FLAGS, "-fno-exceptions", CXX / "uncaught.cc"])
    with Preloaded(so or libraries()[0]) as preloaded:
        result = subprocess.run([program], env=preloaded.environment() if so else None,
                                capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == -6 and "bad_alloc" in result.stderr
    assert "went on" not in result.stdout


@pytest.mark.parametrize("so", libraries(), ids=IDS[1:])
def test_a_c_program_that_calls_new(tmp_path, so):
    """No C++ runtime anywhere, not even one to load: one line and an end, never NULL."""
    program = made(tmp_path / "program", ["gcc", "-O1", CXX / "no_runtime.c", f"-L{so.parent}", "-lhakmem"])
    with Preloaded(so) as preloaded:
        result = subprocess.run([program], env=preloaded.linked_environment(), capture_output=True,
                                text=True, timeout=60, check=False)
    assert result.returncode == -6 and "bad_alloc" in result.stderr


# --- the wrong kind of delete -----------------------------------------------------------------------------------------

HARDENED = [so for so in libraries() if {"hardened", "debug"} & set(re.split("[-/]", label(so)))]
SIZES = (0, 8, 100, 4096, 256 << 10, 5 << 20)


@pytest.fixture(scope="module", name="sanitized")
def build_sanitized(tmp_path_factory):
    """The program of all pairs of new and delete, plain and with AddressSanitizer; and what the latter says."""
    place = tmp_path_factory.mktemp("kinds")
    run(["g++", *FLAGS, "-Wno-free-nonheap-object", CXX / "kinds.cc", "-o", place / "kinds"])
    run(["g++", *FLAGS, "-Wno-free-nonheap-object", "-fsanitize=address", CXX / "kinds.cc", "-o", place / "sanitized"])
    env = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0:symbolize=0"}
    return place / "kinds", {size: run([place / "sanitized", str(size)], env=env).stdout for size in SIZES}


@pytest.mark.parametrize("so", HARDENED, ids=[label(so) for so in HARDENED])
def test_wrong_kinds_are_seen(sanitized, so):
    """Of every way to take a block and every way to free it, those are stopped that AddressSanitizer stops."""
    program, said = sanitized
    for size in SIZES:
        with Preloaded(so) as preloaded:
            assert run([program, str(size)], env=preloaded.environment()).stdout == said[size]


@pytest.mark.parametrize("so", ALL, ids=IDS)
def test_other_variants_do_not_mind(sanitized, so):
    """Only the hardened ones stop a program for the kind; without a library libstdc++ has one kind."""
    program, _ = sanitized
    if so not in HARDENED:
        assert "delete[]: went on" in run_under(so, [program, "100"]).stdout


EXCHANGING = {
    "shared": ([], [], 0),
    "plug-in's own runtime": ([], ["-static-libstdc++", "-static-libgcc"], 0),
    "plug-in's own runtime, hidden": ([], ["-static-libstdc++", "-Wl,--exclude-libs,ALL"], 0),
    "plug-in's own runtime, all hidden": ([], ["-static-libstdc++", "-static-libgcc", "-Wl,--exclude-libs,ALL"], 0),
    "plug-in's own runtime, bound to it": ([], ["-static-libstdc++", "-Wl,-Bsymbolic"], 0),
    "program's own runtime": (["-static-libstdc++"], [], 0),
    "program's own runtime, all": (["-static-libstdc++", "-static-libgcc"], [], 0),
    "both have their own": (["-static-libstdc++"], ["-static-libstdc++", "-Wl,--exclude-libs,ALL"], 0),
    "bound deeply": ([], [], os.RTLD_DEEPBIND),
}


@pytest.mark.parametrize("so", ALL, ids=IDS)
@pytest.mark.parametrize("kind", EXCHANGING)
def test_blocks_of_several_runtimes(place, kind, so):
    """A block of one C++ runtime may be freed by another one: to libstdc++ new and delete are malloc and free."""
    own, plugin, mode = EXCHANGING[kind]
    number = list(EXCHANGING).index(kind)
    exchange = made(place / f"exchange{number}.so", ["g++", *FLAGS, "-shared", "-fPIC", CXX / "exchange.cc", *plugin])
    program = made(place / f"exchange{number}", ["g++", *FLAGS, "-DPROGRAM", CXX / "exchange.cc", *own])
    run_under(so, [program, exchange, str(mode)])
