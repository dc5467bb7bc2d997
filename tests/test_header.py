# SPDX-License-Identifier: MIT
"""include/hakmem.h: it compiles by itself in every language, declares what the library exports, and keeps its word on
the statistics."""

import json
import re
import subprocess
import sys

import pytest

from layout import artifact
from tests.support import ROOT, Preloaded, label, libraries, needs

NEEDS = ("matrix",)
HEADER = (ROOT / "include" / "hakmem.h").read_text()
PROTOTYPES = dict(re.findall(r"^[a-z][\w *]*?\*?(\w+)\(([^()]*)\);", HEADER, re.MULTILINE))
DECLARED = list(PROTOTYPES)
LIBRARIES = [pytest.param(so, id=label(so)) for so in libraries()]
FLAGS = ("-Wall", "-Wextra", "-Werror", "-pedantic", f"-I{ROOT}/include", "-S", "-o", "/dev/null")
LANGUAGES = {"c90": ("c", "-std=c90"), "c99": ("c", "-std=c99"), "c17": ("c", "-std=c17"),
             "c++98": ("c++", "-std=c++98"), "c++11": ("c++", "-std=c++11"), "c++20": ("c++", "-std=c++20")}


def compiled(text, compiler, language, *flags):
    """The finished compiler."""
    return subprocess.run([needs(compiler, compiler), *FLAGS, "-x", language, *flags, "-"], input=text, text=True,
                          capture_output=True, check=False)


@pytest.mark.parametrize("compiler", ["gcc", "clang-22"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_it_compiles_alone(compiler, language):
    done = compiled("#include <hakmem.h>\nint main(void) { return HAKMEM_VERSION == 0; }\n", compiler,
                    *LANGUAGES[language])
    assert done.returncode == 0, done.stderr


def test_a_lost_block_is_a_warning():
    """What the attributes are for; without them nothing is said."""
    lost = "#include <hakmem.h>\nint main(void) { hakmem_alloc(5); return 0; }\n"
    assert "-Werror=unused-result" in compiled(lost, "gcc", "c").stderr
    assert compiled("#define HAKMEM_NO_ATTRIBUTES\n" + lost, "gcc", "c").returncode == 0


@pytest.mark.parametrize("compiler", ["gcc", "clang-22"])
def test_a_program_may_have_macros_of_other_names(compiler):
    """One that is moved to hakmem by macros has them in front of the header; the attributes' words are nobody's."""
    macros = {"malloc": "hakmem_alloc", "calloc": "hakmem_alloc_zeroed", "free": "hakmem_free"}
    words = set(re.findall("[a-z_]+", "".join(re.findall(r"^HAKMEM_ATTRIBUTES\(\((.*)\)\)", HEADER, re.MULTILINE))))
    assert "__malloc__" in words and all(re.fullmatch("__[a-z_]+__", word) for word in words)
    done = compiled("#include <hakmem.h>\nint main(void) { free(malloc(5)); return 0; }\n", compiler, "c",
                    *(f"-D{name}={own}" for name, own in macros.items()))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", DECLARED)
@pytest.mark.parametrize("compiler", ["gcc", "clang-22"])
def test_none_throws(compiler, name):
    """C++ knows it: it makes no way out of the call by which an object would still be destroyed."""
    arguments = {"size_t": "1", "int": "1", "void *": "nullptr", "void": ""}
    types = [one if one == "void" else re.sub(r"^const |\w+$", "", one).strip() for one in PROTOTYPES[name].split(", ")]
    text = "#include <hakmem.h>\nstruct object { ~object(); };\n" \
           f"void use() {{ object one; {name}({', '.join(arguments[one] for one in types)}); }}\n"
    words = [needs(compiler, compiler), *"-x c++ -std=c++11 -O1 -w -S -o - -".split(), f"-I{ROOT}/include"]
    shown = [subprocess.run([*words, *more], input=text, text=True, capture_output=True, check=True).stdout
             for more in ((), ("-DHAKMEM_NO_ATTRIBUTES",))]
    assert ["_Unwind_Resume" in one for one in shown] == [False, True]


@pytest.mark.parametrize("language", LANGUAGES)
def test_call_sites_are_constants(language):
    """The macros are expressions of their types in each language, also in a constant initialiser."""
    text = ("#include <hakmem.h>\nstatic const void *const here = HAK_CALLSITE();\n"
            "int use(void);\nint use(void) { void *p = hak_alloc_cs(5 + 3); if (p == here) return 1; "
            "hak_free_cs(p, 8); p = hakmem_alloc_at(9, HAK_CALLSITE()); hakmem_free_at(p, 9); return 0; }\n")
    done = compiled(text, "gcc", *LANGUAGES[language])
    assert done.returncode == 0, done.stderr


def test_it_declares_what_is_exported():
    exported = artifact.version_script_globals((ROOT / "core" / "api" / "hakmem.map").read_text())
    assert sorted(DECLARED) == sorted(name for name in exported if name.startswith("hakmem_")) != []
    assert not [name for name in exported if name.startswith("hak_")]


@pytest.mark.parametrize("so", LIBRARIES)
def test_its_version_is_the_librarys(so):
    numbers = [re.search(rf"define HAKMEM_VERSION_{part}\s+(\d+)", HEADER)[1] for part in ("MAJOR", "MINOR", "PATCH")]
    assert re.search(r'define HAKMEM_VERSION_STRING "(.*)"', HEADER)[1] == ".".join(numbers)
    said = in_process(so, "library.hakmem_version.restype = ctypes.c_char_p; print(library.hakmem_version().decode())")
    assert said.split()[0] == ".".join(numbers)


@pytest.mark.parametrize("so", LIBRARIES)
def test_the_stable_statistics_are_there(so):
    """One flat object of integers; what the header calls stable is in every variant."""
    found = json.loads(in_process(so, "library.hakmem_stats_print(1, 1)"))
    part = HEADER[HEADER.index("   stable "):HEADER.index("   may go ")]
    stable = [name for name in re.findall(r'"(\w+)"', part) if name.islower()]
    assert len(stable) == 7 and set(stable) <= set(found)
    assert all(isinstance(value, int) for value in found.values())


def in_process(so, script) -> str:
    """What a Python under the library writes; `library` is all that is loaded."""
    with Preloaded(so) as preloaded:
        words = [sys.executable, "-c", f"import ctypes; library = ctypes.CDLL(None); {script}"]
        return subprocess.run(words, env=preloaded.environment(), capture_output=True, text=True, check=True).stdout
