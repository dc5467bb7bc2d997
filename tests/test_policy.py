# SPDX-License-Identifier: MIT
"""The table of what can be tuned: its page, and libraries with other constants than the default ones."""

import contextlib
import itertools
import os

import pytest

from common import tools
from common.errors import UserError
from common.proc import run
from plan import model, policy
from report import policy_doc
from tests.support import BUILD, ROOT

NEEDS = ("build/clang-balanced/base/libhakmem.so",)
BALANCED = BUILD / "clang-balanced" / "base" / "libhakmem.so"
TABLE = ROOT / policy.TABLE
# What a build may ask for; each row of scope `build` is in one of these.
GEOMETRIES = ({"tiny_step": 32}, {"tiny_max": 512}, {"tiny_max": 2048, "tiny_step": 64},
              {"mid_steps": 16, "mid_dyn1": 2064}, {"mid_steps": 4, "mid_max_kb": 8, "class_max_kb": 64},
              {"sweep_classes": 0}, {"mid_dyn1": 1504},
              {"mid_dyn1": 20016, "class_max_kb": 512, "large_max_kb": 1008, "mid_steps": 4})
IMPOSSIBLE = (({"tiny_step": 48}, "no power of 2"), ({"large_max_kb": 500}, "no multiple of 16"),
              ({"class_max_kb": 512, "large_max_kb": 256}, "large_max_kb below class_max_kb"),
              ({"mid_dyn1": 1500}, "mid_dyn1"), ({"mid_dyn1": 512}, "mid_dyn1"))
# What the library says of a block: the size that it has for one of 1100 bytes, and so on.
SIZES = """
import ctypes
hakmem = ctypes.CDLL(None)
hakmem.malloc.restype = ctypes.c_void_p
hakmem.malloc_usable_size.argtypes = [ctypes.c_void_p]
for size in (17, 600, 1100, 1500, 9000, 20000, 400000):
    print(hakmem.malloc_usable_size(hakmem.malloc(size)))
"""


def test_page_is_up_to_date():
    assert policy_doc.main(["--check"]) == 0


def test_an_old_page_is_named(tmp_path, capsys):
    page = tmp_path / "policy.md"
    page.write_text("old")
    assert policy_doc.guard(policy_doc.main, ["--check", "-o", str(page)]) == 1
    assert "out of date" in capsys.readouterr().err


def test_lines():
    row = policy.Row("a", "off|on", 0, 1, 1, "pages", "run", "ANY", "one")
    assert policy_doc.line(row) == "| `a` | 0 (off), 1 (on) | 1 | pages | run | - | one |\n"
    row = policy.Row("b", "KiB", 0, 9, 1, "stock", "run", "BIGCACHE", "two")
    assert policy_doc.line(row) == "| `b` | 0 to 9 KiB | 1 | stock | run | `big_cache` | two |\n"


def test_every_constant_of_a_build_is_tried():
    tried = set(itertools.chain.from_iterable(GEOMETRIES))
    assert {row.name for row in policy.load_rows(ROOT) if row.scope == "build"} == tried


FILES = {
    "": True, "[mine]\nx = 'y'\n[[mine2]]\n": True, "# only words\n  thp =  1 # and more\n": True, "thq = 1\n": False,
    "thp = 9\n": False, "thp = 0x1\n": False, "thp = 1_0\n": False, "thp = +1\n": False, "thp = '1'\n": False,
    "thp = 01\n": False, "thp = 00\n": False, "thp = 0\n": True, "#\n" * 600_000: False,
    "thp = 1\r\n# a\r\n": True, "thp = 1\r# a\r": False, "# a\u2028b\u0085c\n": True,
    "'thp' = 1\n": False, "thp.x = 1\n": False, "thp = 1\nthp = 1\n": False, "[values]\n": False,
}
WHOLE = {"format = 1\nthp = 1\n[values]\n": False, "format = 1\nvalues = {thp = 1}\n": False, "format = 1\n": False,
         "format = 1\n[[values]]\nthp = 1\n": False, "format = 1\n[mine]\nthp = 1\n": False, "[values]\n": False,
         "format = 1\n[ values ]\nthp = 1\n": True, "format = 1\n[mine]\nx = 1\n[values]\nthp = 1\n": True,
         "format = 2\n[values]\n": False, "\ufeffformat = 1\n[values]\n": False,
         "format = 1\r[values]\rthp = 1\r": False, "format = 1\r\n[values]\r\nthp = 1\r\n": True,
         **{f"format = 1\n[values]\n{text}": fine for text, fine in FILES.items()}}


def test_the_library_and_the_build_read_the_same(tmp_path):
    """A file is a policy for both or for neither."""
    path, rows = tmp_path / "p.toml", policy.load_rows(ROOT)
    for text, fine in WHOLE.items():
        path.write_bytes(text.encode())
        warned = run(["/bin/true"], env={"LD_PRELOAD": str(BALANCED), "HAKMEM_POLICY": str(path)}).stderr
        assert ("no value of the file is used" in warned) != fine, text[:99] + warned
        with contextlib.nullcontext() if fine else pytest.raises(UserError):
            policy.read(path, rows)


def compiler_words(values, tmp_path, *features) -> list:
    """A compiler that finds the table with these values."""
    made = tmp_path / "base" / "policy.def"
    made.parent.mkdir(exist_ok=True)
    made.write_text(policy.bake(TABLE.read_text(), values))
    switches = [f"-D{feature.macro}={int(feature.name in features)}" for feature in model.load_features(ROOT)]
    clang = tools.find("clang", tools.load_tools())
    return [clang, "-iquote", str(tmp_path), "-std=gnu11", "-O1", "-Icore", "-Iinclude", "-Itests", *switches]


@pytest.mark.parametrize("values", GEOMETRIES, ids=str)
def test_classes_of_any_geometry(values, tmp_path):
    program = tmp_path / "classes"
    run([*compiler_words(values, tmp_path), "-DHAK_OVERRIDE=0", "tests/unit/classes.c", "-lcmocka", "-o", program],
        cwd=ROOT)
    run([program])


@pytest.mark.parametrize("values,sentence", IMPOSSIBLE, ids=str)
def test_what_cannot_be_is_refused_by_the_compiler(values, sentence, tmp_path):
    result = run([*compiler_words(values, tmp_path), "-fsyntax-only", "tests/unit/classes.c"], cwd=ROOT, check=False)
    assert result.returncode != 0
    assert sentence in result.stderr


def library(values, tmp_path):
    """A whole library with these constants, that can be preloaded."""
    made = tmp_path / "libhakmem.so"
    run([*compiler_words(values, tmp_path, "purge", "big_cache", "remote_batch", "options", "stats", "tls_bins"),
         "-fPIC", "-shared", "-pthread", "-fvisibility=hidden", "-ftls-model=initial-exec", "-fno-builtin-malloc",
         "-fno-builtin-calloc", "-fno-builtin-realloc", "-fno-builtin-free", "-Wl,-z,initfirst", "-o", made,
         *model.load_sources(ROOT)], cwd=ROOT)
    return made


def sizes(so) -> list:
    """Of blocks under a library."""
    result = run(["/usr/bin/python3", "-c", SIZES], env={**os.environ, "LD_PRELOAD": str(so), "HAKMEM_BORROW": "0"})
    assert result.stderr == ""
    return [int(word) for word in result.stdout.split()]


def test_a_library_of_another_geometry_works(tmp_path):
    if not BALANCED.exists():
        pytest.skip("no build of `balanced`: run `make all`")
    assert sizes(BALANCED) == [32, 608, 1152, 1536, 9216, 20480, 409600]
    other = library({"tiny_step": 64, "tiny_max": 512, "mid_steps": 4, "mid_dyn1": 20016, "mid_max_kb": 32,
                     "class_max_kb": 512}, tmp_path)
    assert sizes(other) == [64, 640, 1280, 1536, 10240, 20016, 458752]
