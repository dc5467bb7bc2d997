# SPDX-License-Identifier: MIT
"""The table of what can be tuned: its page, and libraries with other constants than the default ones."""

import ast
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

NEEDS = ("build/clang-balanced/base/libhakmem.so", "build/clang-learning/base/libhakmem.so")
BALANCED = BUILD / "clang-balanced" / "base" / "libhakmem.so"
LEARNING = BUILD / "clang-learning" / "base" / "libhakmem.so"
TABLE = ROOT / policy.TABLE
# What a build may ask for; each row of scope `build` is in one of these.
GEOMETRIES = ({"tiny_step": 32}, {"tiny_max": 512}, {"tiny_max": 2048, "tiny_step": 64},
              {"mid_steps": 16, "mid_dyn1": 2064}, {"mid_dyn1": 5312, "mid_dyn2": 3120},
              {"mid_dyn1": 3120, "mid_dyn2": 3136}, {"mid_steps": 4, "mid_max_kb": 8, "class_max_kb": 64},
              {"sweep_classes": 0}, {"mid_dyn1": 1504},
              {"mid_dyn1": 20016, "class_max_kb": 512, "large_max_kb": 1008, "mid_steps": 4})
IMPOSSIBLE = (({"tiny_step": 48}, "no power of 2"), ({"large_max_kb": 500}, "no multiple of 16"),
              ({"class_max_kb": 512, "large_max_kb": 256}, "large_max_kb below class_max_kb"),
              ({"mid_dyn1": 1500}, "mid_dyn1"), ({"mid_dyn1": 512}, "mid_dyn1"), ({"mid_dyn2": 32768}, "mid_dyn2"),
              ({"mid_dyn1": 3120, "mid_dyn2": 3120}, "mid_dyn2"))
# One value of each that differs from the default, all of them in one library; and what tells that it does something,
# with the default and with this value. Each figure is another one than a library has that lacks this value alone.
TURNED = {"sweep_classes": 0, "tiny_step": 64, "tiny_max": 512, "mid_steps": 4, "mid_dyn1": 7008, "mid_dyn2": 5008,
          "mid_max_kb": 8, "class_max_kb": 512, "large_max_kb": 1008}
EFFECTS = {
    "sweep_classes": ("refills_of_an_idle_bin() > 25", True, False),
    "tiny_step": ("usable(17)", 32, 64),
    "tiny_max": ("usable(650)", 656, 768),
    "mid_steps": ("usable(1100)", 1152, 1280),
    "mid_dyn1": ("usable(7000)", 7168, 7008),
    "mid_dyn2": ("usable(5000)", 5120, 5008),
    "mid_max_kb": ("begin_slices(9000)", False, True),
    "class_max_kb": ("usable(400000)", 409600, 458752),
    "large_max_kb": ("usable(800000)", 851968, 802816),
}
PROBE = """
import ctypes, os, re, sys
hakmem = ctypes.CDLL(None)
hakmem.malloc.restype = ctypes.c_void_p
hakmem.free.argtypes = hakmem.malloc_usable_size.argtypes = [ctypes.c_void_p]

def usable(size):
    return hakmem.malloc_usable_size(hakmem.malloc(size))

def begin_slices(size):
    return all(hakmem.malloc(size) % 16384 == 0 for _ in range(8))

def refills():
    source, sink = os.pipe()
    hakmem.hakmem_stats_print(sink, 0)
    os.close(sink)
    with os.fdopen(source) as page:
        return int(re.search(r"\\brefills = (\\d+)", page.read())[1])

def refills_of_rounds(between):
    before = refills()
    for _ in range(50):
        between()
        for _ in range(600):
            hakmem.malloc(1000)
    return refills() - before

# Of a bin that is used once in a while: one for each time that it was emptied meanwhile.
def refills_of_an_idle_bin():
    return refills_of_rounds(lambda: hakmem.free(hakmem.malloc(8000))) - refills_of_rounds(lambda: None)

for expression in sys.argv[1:]:
    print(eval(expression))
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


def test_every_constant_of_a_build_is_tried_and_turned():
    defaults = {row.name: row.default for row in policy.load_rows(ROOT) if row.scope != "run"}
    assert set(defaults) == set(itertools.chain.from_iterable(GEOMETRIES)) == set(EFFECTS) == set(TURNED)
    assert [name for name, value in TURNED.items() if value == defaults[name]] == []
    assert [name for name, (_figure, before, after) in EFFECTS.items() if before == after] == []


FILES = {
    "": True, "[mine]\nx = 'y'\n[[mine2]]\n": True, "# only words\n  thp =  1 # and more\n": True, "thq = 1\n": False,
    "thp = 9\n": False, "thp = 0x1\n": False, "thp = 1_0\n": False, "thp = +1\n": False, "thp = '1'\n": False,
    "thp = 01\n": False, "thp = 00\n": False, "thp = 0\n": True, "#\n" * 600_000: False,
    "thp = 1\r\n# a\r\n": True, "thp = 1\r# a\r": False, "# a\u2028b\u0085c\n": True,
    "thp = 1" + " " * 248 + "\n": True, "thp = 1" + " " * 249 + "\n": False, "thp = 1" + " " * 247 + "\r\n": True,
    "thp = 1" + " " * 248 + "\r\n": False, "thp = " + " " * 250 + "1\n": False, "thp = 1 #" + "a" * 300 + "\n": True,
    "# " + "a" * 300 + "\n": True, " " * 256 + "\n": False, " " * 256 + "[mine]\n": False,
    "[mine]\nx = '" + "a" * 300 + "'\n": True, "[mine]\nx = 1\n" + " " * 256 + "[mine2]\n": False,
    "[mine." + "a" * 300 + "]\n": False, "thp = 1\nborrow = 1 #" + "ä" * 200 + "\n": True,
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


@pytest.mark.parametrize("values", GEOMETRIES, ids=str)
def test_the_learner_knows_which_sizes_have_bins(values, tmp_path):
    """Hits are requests of such sizes less refills; where other sizes are counted the rate means nothing."""
    program = tmp_path / "tune"
    sources = ["tests/unit/tune.c", *sorted(ROOT.glob("core/learn/*.c"))]
    run([*compiler_words(values, tmp_path), "-DHAK_OVERRIDE=0", *sources, "-lcmocka", "-o", program], cwd=ROOT)
    run([program])


SIZES = (({}, 3328, 5632), ({"MID_DYN1": "3120"}, 3120, 5632), ({"MID_DYN2": "5312"}, 3328, 5312),
         ({"MID_DYN1": "5312", "MID_DYN2": "3120"}, 3120, 5312))


@pytest.mark.parametrize("given,one,other", SIZES, ids=str)
def test_what_learns_takes_sizes_when_it_starts(given, one, other, tmp_path):
    """From the environment and from a file: so candidates of a search are replayed and need no build."""
    if not LEARNING.exists():
        pytest.skip("no build of `learning`: run `make learn` or `make all`")
    path = tmp_path / "a.toml"
    policy.write(path, policy.Policy({name.lower(): int(value) for name, value in given.items()}))
    for settings in ({f"HAKMEM_{name}": value for name, value in given.items()}, {"HAKMEM_POLICY": str(path)}):
        result = run(["/usr/bin/python3", "-c", PROBE, "usable(3100)", "usable(5300)", "usable(262144)"],
                     env={**os.environ, "LD_PRELOAD": str(LEARNING), "HAKMEM_BORROW": "0", **settings})
        assert (result.stdout.split(), result.stderr) == ([str(one), str(other), "262144"], "")


@pytest.mark.parametrize("values", ({"mid_dyn1": 3100}, {"mid_dyn2": 1024},
                                    {"mid_dyn1": 3120, "mid_dyn2": 3120}), ids=str)
def test_a_file_with_sizes_that_cannot_be_is_none(values, tmp_path):
    if not LEARNING.exists():
        pytest.skip("no build of `learning`: run `make learn` or `make all`")
    path = tmp_path / "a.toml"
    policy.write(path, policy.Policy({**values, "borrow": 3}))
    result = run(["/bin/true"], env={"LD_PRELOAD": str(LEARNING), "HAKMEM_POLICY": str(path)})
    assert result.stderr.count("hakmem: ") == 1 and "no value of the file is used" in result.stderr


@pytest.mark.parametrize("given", ({"MID_DYN1": "3100"}, {"MID_DYN1": "512"}, {"MID_DYN2": "32768"},
                                   {"MID_DYN1": "3120", "MID_DYN2": "3120"}), ids=str)
def test_sizes_that_cannot_be_are_named_once(given):
    if not LEARNING.exists():
        pytest.skip("no build of `learning`: run `make learn` or `make all`")
    result = run(["/bin/true"], env={"LD_PRELOAD": str(LEARNING), **{f"HAKMEM_{k}": v for k, v in given.items()}})
    assert result.stderr.count("hakmem: ") == 1 and result.stderr.endswith("using 0 and 0\n")


@pytest.mark.parametrize("values,sentence", IMPOSSIBLE, ids=str)
def test_what_cannot_be_is_refused_by_the_compiler(values, sentence, tmp_path):
    result = run([*compiler_words(values, tmp_path), "-fsyntax-only", "tests/unit/classes.c"], cwd=ROOT, check=False)
    assert result.returncode != 0
    assert sentence in result.stderr


@pytest.mark.parametrize("values,sentence", IMPOSSIBLE, ids=str)
def test_what_cannot_be_is_a_line_of_the_file(values, sentence, tmp_path):
    """Before anything is compiled."""
    path = tmp_path / "a.toml"
    policy.write(path, policy.Policy(values))
    with pytest.raises(UserError, match=rf"a\.toml:\d+: .*({sentence}|{'|'.join(values)}.* is )"):
        policy.read(path, policy.load_rows(ROOT))


@pytest.mark.parametrize("values", GEOMETRIES, ids=str)
def test_what_can_be_is_read(values, tmp_path):
    policy.write(tmp_path / "a.toml", policy.Policy(values))
    assert policy.read(tmp_path / "a.toml", policy.load_rows(ROOT)).values == values


def library(values, tmp_path):
    """A whole library with these constants, that can be preloaded."""
    made = tmp_path / "libhakmem.so"
    run([*compiler_words(values, tmp_path, "purge", "big_cache", "remote_batch", "options", "stats", "tls_bins"),
         "-fPIC", "-shared", "-pthread", "-fvisibility=hidden", "-ftls-model=initial-exec", "-fno-builtin-malloc",
         "-fno-builtin-calloc", "-fno-builtin-realloc", "-fno-builtin-free", "-Wl,-z,initfirst", "-o", made,
         *model.load_sources(ROOT).c], cwd=ROOT)
    return made


def probe(so) -> dict:
    """What tells of each row under a library. Only refills empty bins: time has no part in it."""
    settings = {"LD_PRELOAD": str(so), "HAKMEM_BORROW": "0", "HAKMEM_PURGE_DELAY_MS": "3600000"}
    result = run(["/usr/bin/python3", "-c", PROBE, *(figure for figure, _before, _after in EFFECTS.values())],
                 env={**os.environ, **settings})
    assert result.stderr == ""
    return dict(zip(EFFECTS, map(ast.literal_eval, result.stdout.split())))


@pytest.fixture(scope="module")
def turned(tmp_path_factory):
    """What tells of each row where all are turned."""
    return probe(library(TURNED, tmp_path_factory.mktemp("turned")))


@pytest.fixture(scope="module")
def as_shipped():
    """And by default."""
    if not BALANCED.exists():
        pytest.skip("no build of `balanced`: run `make all`")
    return probe(BALANCED)


@pytest.mark.parametrize("name", EFFECTS)
def test_a_library_does_what_was_compiled_in(name, as_shipped, turned):
    assert (as_shipped[name], turned[name]) == EFFECTS[name][1:]
