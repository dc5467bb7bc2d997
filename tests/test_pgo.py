# SPDX-License-Identifier: MIT
"""pgo/ and ship/: discovery, the doctor, the weighted merge, the checks on a profile, the shipped directory."""

import io
import tarfile

import pytest

from common import doctor, files, proc, tools
from common.errors import Failure, UserError, guard
from common.workloads import Workload
from pgo import check, clang_profile, gcc_profile, kinds, merge, unpack
from ship import ship, verify_repro

SHOWN = """\
Counters:
  malloc:
    Hash: 0x0bb9fb612b3061e1
    Counters: 4
    Block counts: [0, 578, 1580, 1531]
  core/mem/malloc_slow.c;refill:
    Hash: 0x09a4e9b7989cccf7
    Counters: 2
    Block counts: [16155, 49]
  free:
    Hash: 0x1
    Counters: 0
    Block counts: []
Instrumentation level: IR  entry_first = 0
Total functions: 3
"""

DUMP = """\
x.gcda:data:magic `gcda':version `B22*'
x.gcda:  01000000:  12:FUNCTION ident=2062125074, lineno_checksum=0x28a2da7e, cfg_checksum=0x4462b650
x.gcda:    01a10000:  24:COUNTERS arcs 3 counts
x.gcda:                   0: 228 1434 1055
x.gcda:  01000000:  12:FUNCTION ident=7, lineno_checksum=0x1, cfg_checksum=0x2
x.gcda:    01a10000:  72:COUNTERS arcs 9 counts
x.gcda:                   0: 1 1 1 1 1 1 1 1
x.gcda:                   8: 5
"""


def record(toolchain="clang", variant="v", workload="w", instrumented="abc", compiler="c 1"):
    """A profile's record."""
    return {"schema": 1, "instrumented": instrumented,
            "provenance": {"source": "s", "toolchain": toolchain, "compiler": compiler, "variant": variant,
                           "stage": "train", "workload": workload, "flags": "", "machine": "m"}}


def answer(text):
    """A process runner that always prints this."""
    return lambda argv, **_: proc.Result(tuple(argv), 0, text, "", 0.0)


def test_clang_counts(monkeypatch):
    """Block counts are summed by function."""
    monkeypatch.setattr(clang_profile.proc, "run", answer(SHOWN))
    monkeypatch.setattr(clang_profile.tools, "require", lambda name: name)
    assert clang_profile.functions("x") == {"malloc": 3689, "core/mem/malloc_slow.c;refill": 16204, "free": 0}
    assert clang_profile.total("x") == 3689 + 16204


def test_gcc_counts():
    """Arc counts are summed by function, over several rows."""
    assert gcc_profile._counts(DUMP) == {"2062125074": 2717, "7": 13}


def test_weights_normalise_the_length():
    """A run a thousand times as long as another counts as its weight says."""
    parts = [merge.Part("a", 1, 1_000_000_000), merge.Part("b", 1, 1_000_000), merge.Part("c", 3, 77_777)]
    scaled = [part.total * factor / part.weight for part, factor in zip(parts, merge.scale_factors(parts))]
    assert max(scaled) / min(scaled) < 1.04
    assert min(merge.scale_factors(parts)) >= merge.SCALE / 2


def test_merge_refuses_a_mixture():
    """Profiles of two libraries are never added."""
    with pytest.raises(Failure, match="are of different libraries"):
        merge.merged_record([record(), record(workload="x", instrumented="def")], [1, 1])
    made = merge.merged_record([record(), record(workload="x")], [16, 32])
    assert made["factors"] == {"w": 16, "x": 32} and made["provenance"]["workload"] == "w,x"


@pytest.mark.parametrize("word", ["python.profdata", "0:a", "-1:a", "x:a", ":a"])
def test_merge_wants_weights(word):
    """WEIGHT:PROFILE or exit 2."""
    with pytest.raises(UserError, match="is not WEIGHT:PROFILE"):
        merge.parse_part(word)


def test_a_profile_must_count_the_api():
    """The four functions have counts, or a sentence names those that have none."""
    counts = {"malloc": 1, "free": 2, "calloc": 0}
    with pytest.raises(Failure, match="no counts for calloc, realloc"):
        check.api_counts(counts)
    assert check.api_counts(counts | {"calloc": 3, "realloc": 4, "x": 0})["realloc"] == 4


def test_a_stale_profile_is_refused(monkeypatch, tmp_path):
    """Another toolchain, compiler or library is named."""
    monkeypatch.setattr(kinds, "compiler_version", lambda _toolchain: "c 1")
    so = tmp_path / "x.so"
    so.write_bytes(b"library")
    good = record(instrumented=files.sha256(so))
    check.check_record(good, "clang", "v", so)
    for wrong, sentence in ((record(toolchain="gcc"), "its toolchain is 'gcc', not 'clang'"),
                            (record(compiler="c 0"), "its compiler is 'c 0', not 'c 1'"),
                            (record(variant="u"), "its variant is 'u', not 'v'"),
                            (record(instrumented="old"), "it is not of the present")):
        with pytest.raises(Failure, match=sentence):
            check.check_record(wrong, "clang", "v", so)


def test_gcc_tar_is_deterministic(tmp_path):
    """Names sorted, no times, no owners; unpacking removes what is not in it any more."""
    for name in ("b/y.gcda", "a.gcda"):
        (tmp_path / "one" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "one" / name).write_bytes(name.encode())
    packed = gcc_profile.pack(tmp_path / "one")
    assert packed == gcc_profile.pack(tmp_path / "one")
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        assert [(m.name, m.mtime, m.uid) for m in archive.getmembers()] == [("a.gcda", 0, 0), ("b/y.gcda", 0, 0)]
    (tmp_path / "x.tar").write_bytes(packed)
    into = tmp_path / "two"
    (into / "b").mkdir(parents=True)
    (into / "b" / "old.gcda").write_bytes(b"")
    assert unpack.main(["--into", str(into), "-o", str(into / "all.json"), str(tmp_path / "x.tar")]) == 0
    assert (into / "b" / "y.gcda").read_bytes() == b"b/y.gcda" and not (into / "b" / "old.gcda").exists()
    assert sorted(files.read_json(into / "all.json")) == ["a.gcda", "b/y.gcda"]


def test_tool_table_is_sound():
    """Every row is found somehow, and says what it is for."""
    table = tools.load_tools()
    for tool in table.values():
        assert tool.commands or tool.files or tool.python_module, tool.name
        assert tool.package and tool.need, tool.name
    with pytest.raises(UserError, match="unknown tool 'nope'; valid tools: ninja, clang"):
        tools.require("nope")


def test_a_missing_tool_is_explained(tmp_path, monkeypatch):
    """Why it is needed and how to get it. What stands beside a missing tool is missing too."""
    monkeypatch.setenv("PATH", str(tmp_path))
    table = tools.load_tools()
    assert tools.find("llvm-bolt", table) == ""
    with pytest.raises(UserError, match="ninja is missing: it runs the build graph; .*apt-get install ninja-build"):
        tools.require("ninja", table)


def test_llvm_tools_are_the_compilers_own(tmp_path):
    """An older LLVM on PATH is never picked."""
    table = tools.load_tools()
    clang = tools.find("clang", table)
    if not clang:
        pytest.skip("clang-22 is missing (apt-get install clang-22)")
    assert "llvm-22" in tools.find("llvm-profdata", table)


def test_doctor_prints_one_command(monkeypatch, capsys):
    """Not root: the command, and exit 2."""
    monkeypatch.setattr(doctor, "gather", lambda _groups: [
        doctor.Need("a", "", "is needed", "pkg-a"), doctor.Need("b", "", "is not", "pkg-b", "nothing is lost"),
        doctor.Need("c", "", "is needed", "pkg-c")])
    monkeypatch.setattr(doctor.shutil, "which", lambda _name: "/usr/bin/apt-get")
    monkeypatch.setattr(doctor.os, "geteuid", lambda: 1000)
    assert guard(doctor.main, ["--install"]) == 2
    assert "run: sudo apt-get install --no-install-recommends pkg-a pkg-c\n" in capsys.readouterr().err
    assert guard(doctor.main, ["--check"]) == 2
    assert "missing: a, c; run: apt-get install" in capsys.readouterr().err


def test_doctor_knows_the_workloads_programs():
    """Their packages come from the workload table."""
    rows = [Workload("w", "train", ("/bin/sh",), "s", package="dash"), Workload("x", "train", ("/bin/sh",), "s",
                                                                                package="dash"),
            Workload("own", "train", ("{bench}/x",), "s")]
    needs = doctor.workload_needs(rows)
    assert [(need.package, need.need) for need in needs] == [("dash", "runs the workloads w, x")] and needs[0].found


@pytest.mark.parametrize("module", [doctor, merge, check, unpack, ship, verify_repro])
def test_help_opens_with_an_example(module, capsys):
    """House style."""
    with pytest.raises(SystemExit) as stop:
        module.main(["--help"])
    assert stop.value.code == 0 and capsys.readouterr().out.startswith("usage: example: ")


def test_chain_leaves_out_what_was_refused():
    """The manifest's chain is of the stages that their gates let through."""
    gates = {"pgo": {"accepted": False}, "layout": {"accepted": True}, "bolt": {"accepted": True}}
    assert ship.chain_of(gates) == ["base", "layout", "bolt"]


def test_equal_directory_is_left_alone(tmp_path):
    """Shipping the same again keeps the directory; a damaged or different one is replaced."""
    for name in ("dist", "made"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_text("content")
        (tmp_path / name / "SHA256SUMS").write_text(ship.checksums(tmp_path / name))
    inode = (tmp_path / "dist").stat().st_ino
    ship.replace(tmp_path / "made", tmp_path / "dist")
    assert (tmp_path / "dist").stat().st_ino == inode
    (tmp_path / "dist" / "f").write_text("damaged")
    ship.replace(tmp_path / "made", tmp_path / "dist")
    assert (tmp_path / "dist" / "f").read_text() == "content" and not (tmp_path / "made").exists()


def test_differences_are_named(tmp_path):
    """What two builds do not share."""
    for name, sums in (("a", "1  x\n2  y\n"), ("b", "1  x\n3  y\n4  z\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "SHA256SUMS").write_text(sums)
    assert verify_repro.differences(tmp_path / "a", tmp_path / "b") == ["y", "z"]
    for name, text in (("a", b"1\n22\n3\n"), ("b", b"1\n2\n3\n")):
        (tmp_path / name / "y").write_bytes(text)
        (tmp_path / name / "z").write_bytes(text + b"\xff")
    assert verify_repro.told(tmp_path / "a", tmp_path / "b") == "y (line 2: `22` and `2`), z"


@pytest.mark.parametrize("other, status", [("1", 0), ("2", 1)])
def test_clones_that_train_for_themselves_are_compared(monkeypatch, capsys, other, status):
    """`make verify-repro CLONES=1`, without the pipelines: two places of other names, and the file that differs."""
    made = []

    def build(place, toolchain, _arguments):
        made.append((toolchain, place.name))
        dist = place / toolchain
        dist.mkdir(parents=True)
        (dist / "libhakmem.so").write_text("same")
        (dist / "SHA256SUMS").write_text(f"0  libhakmem.so\n{other if len(made) % 2 == 0 else 1}  hakmem.h\n")
        return dist

    monkeypatch.setattr(verify_repro, "build_anew", build)
    assert verify_repro.guard(verify_repro.main, ["--clones", "--toolchain", "all"]) == status
    said = capsys.readouterr()
    assert len(set(made)) == 4 and said.err.count("training with ") == 4
    assert said.err.count("differ in hakmem.h") == 2 if status else "each trained for itself" in said.out
