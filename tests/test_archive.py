# SPDX-License-Identifier: MIT
"""The archive as it ships: programs link with it statically, position-independent, whole and with link-time
optimisation, and every function of the malloc family in them is ours."""

import shutil
import subprocess
import tomllib

import pytest

from ship import ship
from tests.support import BUILD, ROOT

NEEDS = ("matrix",)
LINKS = {
    "dynamic": [], "static": ["-static"], "static-pie": ["-static-pie", "-fPIE"], "lto": ["-flto", "-O2"],
    "static-lto": ["-flto", "-O2", "-static"],
}
COMPILERS = {"gcc": ("gcc", "g++", []), "clang": ("clang", "clang++", ["-fuse-ld=lld"])}
FLAGS = ["-std=gnu11", "-O1", "-fno-builtin", "-pthread", "-Wno-deprecated-declarations"]
CXX_FLAGS = ["-std=c++17", "-O1", "-pthread", "-fsized-deallocation"]


def objects(tree) -> list:
    """The objects of a plain build, in the order of the table."""
    sources = tomllib.loads((ROOT / "core" / "sources.toml").read_text())["sources"]["c"]
    return [tree / "base" / name.replace(".c", ".o") for name in sources]


TREES = [path for path in sorted(BUILD.glob("*-*")) if path.name in ("clang-bench_minimal", "gcc-hardened") and
         all(name.exists() for name in objects(path))]


@pytest.fixture(scope="module", name="archive", params=TREES, ids=[tree.name for tree in TREES])
def made_archive(request, tmp_path_factory):
    """libhakmem.a of a plain build."""
    directory = tmp_path_factory.mktemp("archive")
    ship.ship_archive(objects(request.param), directory)
    return directory / "libhakmem.a"


def run(words, **settings):
    """The finished process of a command; what it wrote is in the message of a failure."""
    result = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=120, check=False,
                            **settings)
    assert result.returncode == 0, f"{' '.join(map(str, words))}\n{result.stdout}{result.stderr}"
    return result


def link_words(compiler, link) -> list:
    """How this compiler spells a kind of link."""
    words = [*COMPILERS[compiler][2], *LINKS[link]]
    return ["-flto=thin" if word == "-flto" and compiler == "clang" else word for word in words]


@pytest.fixture(scope="module")
def units(tmp_path_factory):
    """The programs' objects: (compiler, link, language) -> path. Links of one kind of code share theirs."""
    directory, made = tmp_path_factory.mktemp("units"), {}

    def unit(compiler, link, language):
        code = [word for word in link_words(compiler, link) if not word.startswith(("-static", "-fuse-ld"))]
        key = (compiler, language, *code)
        if key not in made:
            driver = COMPILERS[compiler][language == "cxx"]
            source = ROOT / "tests" / "static" / ("family.c" if language == "c" else "throws.cc")
            made[key] = directory / f"{len(made)}.o"
            run([driver, *(FLAGS if language == "c" else CXX_FLAGS), *code, f"-I{ROOT}/tests", f"-I{ROOT}/include",
                 "-c", source, "-o", made[key]])
        return made[key]
    return unit


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("whole", (False, True), ids=("needed", "whole"))
@pytest.mark.parametrize("language", ("c", "cxx"))
def test_programs_link(archive, units, tmp_path, compiler, link, whole, language):
    """Each kind of link, of a C and of a C++ program, with what is needed of the archive and with all of it."""
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler}")
    library = ["-Wl,--whole-archive", archive, "-Wl,--no-whole-archive"] if whole else [archive]
    run([COMPILERS[compiler][language == "cxx"], "-pthread", *link_words(compiler, link),
         units(compiler, link, language), *library, "-o", tmp_path / "program"])
    run([tmp_path / "program"])


def test_a_static_link_warns_of_nothing(archive, tmp_path):
    """The archive asks for nothing that a static program should not have, such as dlopen."""
    result = run(["gcc", *FLAGS, "-static", f"-I{ROOT}/tests", f"-I{ROOT}/include", ROOT / "tests/static/family.c",
                  archive, "-o", tmp_path / "program"])
    assert result.stderr == ""
