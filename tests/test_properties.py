# SPDX-License-Identifier: MIT
"""Every parser of outside data on mutated and arbitrary input: a valid result, or one of the two errors that end a tool
with a sentence. The examples are always the same ones."""

import gzip
import io
import json
import os
import struct
import tarfile
import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

import configure
from common import files, provenance, records, tables, tools, tree, workloads
from common.errors import Failure, UserError
from plan import model, ninja, own, plan
from plan.project import Config, Project, flag_lines
from pgo import check, clang_profile, gcc_profile, kinds, merge, unpack
from measure import callgrind, counting, elf, flow, golden, wall
from layout import artifact, bolt, fdata
from gate import gate, select
from ship import ship
from bench import bench
from tests.check import SHORT
from tests.mutants import drive
from tests.support import ROOT
from tests.test_layout import CALLGRIND
from tests.test_pgo import DUMP, SHOWN, answer, record

EXAMPLES = 12 if os.environ.get(SHORT) else 60
steady = settings(max_examples=EXAMPLES,
                  suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])

KEYS = st.sampled_from(("name", "sentence", "schema", "features", "weight", "", "x y", "ä"))
LEAVES = st.one_of(st.booleans(), st.integers(), st.floats(), st.text(max_size=5),
                   st.sampled_from(("train", "unit", "debug", "{bench}/x", "$x", "../..", "\n")))
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
                      max_leaves=6)
JSON = VALUES | st.none()


# inputs

def places(node, path=()) -> list:
    """The path of every value inside."""
    inside = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path, *(place for key, value in inside for place in places(value, (*path, key)))]


def changed(node, path, change):
    """A copy in which the container at path[:-1] went through change(container, last key)."""
    copy = dict(node) if isinstance(node, dict) else list(node)
    if len(path) == 1:
        change(copy, path[0])
    else:
        copy[path[0]] = changed(node[path[0]], path[1:], change)
    return copy


@st.composite
def mutated(draw, document, values=VALUES):
    """The document with up to three values replaced, lost, doubled or added."""
    for _ in range(draw(st.integers(1, 3))):
        inner = [path for path in places(document) if path]
        if not inner:
            return document
        value, key = draw(values), draw(KEYS)

        def lose(container, at):
            del container[at]

        def replace(container, at, value=value):
            container[at] = value

        def double(container, at, value=value, key=key):
            if isinstance(container, list):
                container.insert(at, container[at])
            else:
                container[key] = value

        document = changed(document, draw(st.sampled_from(inner)), draw(st.sampled_from((lose, replace, double))))
    return document


@st.composite
def torn(draw, text):
    """The text, or bytes, with a few pieces cut out, doubled or replaced."""
    for _ in range(draw(st.integers(1, 3))):
        low, high = sorted(draw(st.tuples(*[st.integers(0, len(text))] * 2)))
        high = min(high, low + draw(st.integers(0, 40)))
        junk = draw(st.binary(max_size=6) if isinstance(text, bytes) else st.text(max_size=6))
        text = text[:low] + draw(st.sampled_from((junk, text[low:high] * 2, text[:0]))) + text[high:]
    return text


def toml(value) -> str:
    """A value in TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(key)} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value)
    return str(value).lower()


def accepts(function, *arguments, errors=(UserError, Failure)):
    """The result, or None when the input was refused with a sentence."""
    try:
        return function(*arguments)
    except errors as error:
        assert str(error)
        return None


# tables

def plan_with(root) -> str:
    """The graph of the tests and of two variants of a directory, with the project's own workloads."""
    variants = model.load_variants(root)
    configs = tuple(Config(toolchain, name) for toolchain, name in zip(model.TOOLCHAINS, variants))
    project = Project(variants, ("core/a.c",), workloads.load_table(ROOT), workloads.load_inputs(ROOT),
                      ("bench_run.c",), model.load_tests(root, variants), configs)
    return flag_lines(project) + ninja.render("@edges@", {}, plan.plan(project))


def golden_rows(root):
    """Rows that are accepted are written back as they were."""
    rows = golden.load_rows(root / "bench/golden.toml")
    assert len(golden.render(rows)) > 0
    return golden.check(rows, "clang", "v", "base", {"pair64": {"malloc": 1, "free": 1, "together": 2}})


def checked_workloads(root):
    """Workloads that are accepted can be run and weighed."""
    rows = workloads.load_table(root)
    assert all(row.weight >= 1 and row.command and isinstance(row.programs(), tuple) for row in rows)
    return json.dumps([row.as_dict() for row in rows]), workloads.load_inputs(root)


TABLES = {
    "variants/features.toml": plan_with,
    "variants/balanced.toml": plan_with,
    "tests/tests.toml": plan_with,
    "core/sources.toml": model.load_sources,
    "bench/workloads.toml": checked_workloads,
    "bench/benchmarks.toml": lambda root: tables.load(root / "bench/benchmarks.toml", "benchmark", bench.Benchmark),
    "gate/gates.toml": lambda root: gate.load_gates(root / "gate/gates.toml"),
    "bench/golden.toml": golden_rows,
    "common/tools.toml": lambda root: tools.load_tools(root / "common/tools.toml"),
    "tests/mutants/mutants.toml": lambda root: drive.load_mutants(root / "tests/mutants/mutants.toml"),
}


@pytest.fixture(params=TABLES)
def table(request, tmp_path):
    """(path of a copy of a table, its content, what reads it)"""
    for name in ("variants", "tests/mutants", "core", "bench", "gate", "common"):
        (tmp_path / name).mkdir(parents=True)
    for path in (ROOT / "core").iterdir():
        if path.is_dir():
            (tmp_path / "core" / path.name).symlink_to(path)
    for variant in (ROOT / "variants").glob("*.toml"):
        (tmp_path / "variants" / variant.name).write_text(variant.read_text())
    path = tmp_path / request.param
    content = (ROOT / request.param).read_text()
    path.write_text(content)
    assert TABLES[request.param](tmp_path) is not None
    return path, content, lambda: TABLES[request.param](tmp_path)


@steady
@given(data=st.data())
def test_tables_with_other_values(table, data):
    """Valid TOML of another shape: accepted as a whole, or a UserError."""
    path, content, load = table
    short = {key: value[:4] if isinstance(value, list) else value for key, value in tomllib.loads(content).items()}
    document = data.draw(mutated(short))
    path.write_text("".join(f"{toml(key)} = {toml(value)}\n" for key, value in document.items()))
    accepts(load, errors=UserError)


@steady
@given(data=st.data())
def test_tables_with_damage(table, data):
    """Bytes lost, doubled or replaced: accepted as a whole, or a UserError."""
    path, content, load = table
    path.write_bytes(data.draw(torn(content.encode()) | st.binary(max_size=30)))
    accepts(load, errors=UserError)


# records of a build

MEASURE = {"workload": "w", "role": "holdout", "weight": 2, "gate": True, "digest": "d",
           "metrics": {"ir_alloc": 200000, "i1_miss_alloc": 3}, "provenance": record()["provenance"]}
VERDICT = {"accepted": True, "verdict": "GO"}
COSTS = {"malloc": 13, "free": 15, "together": 32, "loads": 12, "stores": 6, "branches": 6}
GOLDEN = {"kind": "golden", "patterns": {"pair64": COSTS}}
GATES = gate.load_gates()
SAMPLE = {"started": "t", "round": 1}


def verdict_chain(root, value):
    """gate.select writes its files by what the gates said; then whole ones stand there, or none."""
    for stage in tree.STAGES[1:]:
        files.write_json(root / "gate" / f"{stage}.json", VERDICT)
    files.write_atomic(tree.Tree(root).tuned_table(tree.GIVEN), "POLICY(...)\n")
    files.write_atomic(root / "layout" / "order.txt", "malloc\nfree\n")
    files.write_json(root / "gate" / "layout.json", value)
    try:
        for step in select.STEPS:
            select.main([step, "--build", str(root), "--objects", "a.o"])
    finally:
        for path in (root / "select").iterdir():
            assert path.suffix != ".json" or files.read_json(path)["stage"]
            assert not path.name.startswith(".")


def judged(root, value):
    """A measurement on one side of a gate, judged by its rows."""
    files.write_json(root / "a.json", MEASURE)
    files.write_json(root / "b.json", value)
    before, after = gate.evidence_from([root / "a.json"]), gate.evidence_from([root / "b.json"])
    gate.table(gate.judge("pgo", before, after, GATES))


def golden_of(root, value):
    """The costs that a stage was counted at: judged, shown, and compared with the committed ones."""
    files.write_json(root / "m.json", MEASURE)
    files.write_json(root / "a.json", GOLDEN)
    files.write_json(root / "b.json", value)
    before, after = (gate.evidence_from([root / "m.json", root / name]) for name in ("a.json", "b.json"))
    gate.judge("pgo", before, after, GATES)
    place = tree.Tree(root / "clang-bench_minimal")
    files.write_json(place.golden("base"), value)
    golden.stages_table(place)
    golden.judge_trees([place], golden.TABLE, None)


def manifested(root, value):
    """What the gates chose to ship."""
    files.write_json(root / "select" / "ship.json", value)
    files.write_atomic(root / "select" / "objects.rsp", "a.o\n")
    shipped, objects = ship.chosen(tree.Tree(root))
    assert Path(shipped["so"]) and objects == ["a.o"]


def listed(root, value):
    """What it is linked from: a list of names, as text."""
    files.write_json(root / "select" / "ship.json", {"stage": "pgo", "so": "x"})
    (root / "select" / "objects.rsp").write_bytes(json.dumps(value).encode()[::2] + b"\xff" * isinstance(value, str))
    ship.chosen(tree.Tree(root))


def chosen(root, value):
    """A stage that was selected."""
    files.write_json(root / "select" / "compile.json", value)
    return tree.Tree(root).chosen("compile")


def recorded(root, value):
    """A profile's record, as a merge and a check read it."""
    files.write_json(root / "p.json", value)
    found = kinds.read_record(root / "p")
    merge.merged_record([found, record()], [1, 2])
    return check.check_record(found, "clang", "v", None)


def own_rows(root, value):
    """What configure.py was told to run."""
    files.write_json(root / "build/workloads.json", value)
    (root / "bench").mkdir(exist_ok=True)
    (root / "bench/workloads.toml").write_text('[[workload]]\nname="a"\nrole="train"\ncommand=["b"]\nsentence="c"\n')
    return workloads.load_workloads(root)


def repeated(root, value):
    """A shipped profile's description."""
    files.write_json(root / "repeat.json", value)
    return configure.repeated(str(root), (Config("clang", "v"),))


def result_lines(root, value):
    """Lines of results."""
    (root / "r.jsonl").write_text(json.dumps({"schema": 1}) + "\n" + json.dumps(value) + "\n")
    return records.read(root / "r.jsonl")


def bench_lines(root, value):
    """Lines of benchmark results."""
    (root / "b.jsonl").write_text(json.dumps(value) + "\n" + json.dumps(value) + "\n")
    return bench.read_last(root / "b.jsonl")


RECORDS = {
    "verdict": (verdict_chain, VERDICT),
    "measurement": (judged, MEASURE),
    "costs": (golden_of, GOLDEN),
    "shipped": (manifested, {"stage": "pgo", "so": "x"}),
    "linked": (listed, "a.o b.o"),
    "choice": (chosen, {"stage": "pgo", "so": "x"}),
    "profile": (recorded, record()),
    "workloads": (own_rows, {"selected": ["a"], "own": [
        {"name": "user1", "role": "train", "command": ["x"], "sentence": "y", "weight": 2}]}),
    "given": (repeated, {"toolchain": "clang", "variant": "v"}),
    "result": (result_lines, {"schema": 1, "kind": "run"}),
    "sample": (bench_lines, SAMPLE),
}


@pytest.fixture
def known_compiler(monkeypatch):
    """No compiler is asked for its version."""
    monkeypatch.setattr(kinds, "compiler_version", lambda toolchain: "c 1")
    monkeypatch.setattr(files, "source_hash", lambda root: "s")


@pytest.mark.parametrize("name", RECORDS)
@steady
@given(data=st.data())
def test_records_with_other_values(name, known_compiler, tmp_path, data):
    """JSON of another shape: accepted, or one of the two errors."""
    read, document = RECORDS[name]
    accepts(read, tmp_path, data.draw(mutated(document, JSON) | JSON))


def test_a_field_of_another_shape_is_named(tmp_path):
    """One sentence says which."""
    files.write_json(tmp_path / "m.json", {**MEASURE, "weight": "2"})
    with pytest.raises(Failure, match="m.json does not say weight as it should: .*delete it and build again"):
        gate.read_measures([tmp_path / "m.json"])


@steady
@given(data=st.data())
def test_json_with_damage(tmp_path, data):
    """Text that is no JSON, or no text."""
    path = tmp_path / "x.json"
    path.write_bytes(data.draw(torn(json.dumps(MEASURE).encode()) | st.binary(max_size=30)))
    accepts(files.read_json, path)
    accepts(gate.read_measures, [path])
    accepts(records.read, path)
    accepts(bench.read_last, path)


@steady
@given(st.dictionaries(KEYS | st.sampled_from(("source", "stage", "machine")), JSON) | JSON)
def test_provenance_of_anything(fields):
    """Its eight fields, or a Failure."""
    accepts(provenance.from_dict, fields)


# what other tools print

@steady
@given(torn(CALLGRIND) | st.text(max_size=40))
def test_callgrind_output(text):
    """A figure for each event, in the totals and of every function."""
    found = accepts(callgrind.parse, text)
    if found:
        assert len(found.totals) == len(found.events)
        assert all(len(row) == len(found.events) for row in found.functions.values())


@steady
@given(torn(gzip.compress(CALLGRIND.encode(), mtime=0)))
def test_compressed_callgrind_output(tmp_path, content):
    """Damaged archives as well."""
    (tmp_path / "x.cg.gz").write_bytes(content)
    accepts(callgrind.load, tmp_path / "x.cg.gz")


@steady
@given(torn(SHOWN) | st.text(max_size=40))
def test_clang_profile_listing(text):
    """llvm-profdata's listing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clang_profile.proc, "run", answer(text))
        patch.setattr(clang_profile.tools, "require", lambda name: name)
        found = accepts(clang_profile.functions, "x") or {}
    accepts(check.api_counts, found)
    assert all(count >= 0 for count in found.values())


@steady
@given(torn(DUMP) | st.text(max_size=40))
def test_gcc_profile_listing(text):
    """gcov-dump's listing."""
    assert all(count >= 0 for count in (accepts(gcc_profile._counts, text) or {}).values())


def archive(names) -> bytes:
    """A tar of one byte each."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as made:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 1
            made.addfile(member, io.BytesIO(b"x"))
    return stream.getvalue()


@steady
@given(st.data())
def test_gcc_profile_archive(tmp_path_factory, data):
    """Nothing is written outside, and nothing when the archive is refused."""
    root = tmp_path_factory.mktemp("archive")
    names = data.draw(st.lists(st.sampled_from(("a.gcda", "core/b.gcda", "../c.gcda", "/d.gcda", "e", "", ".gcda"))))
    content = archive(names)
    (root / "x.tar").write_bytes(data.draw(st.just(content) | torn(content)))
    (root / "into").mkdir()
    if accepts(unpack.main, ["--into", str(root / "into"), "-o", str(root / "out.json"), str(root / "x.tar")]) is None:
        assert not list((root / "into").rglob("*.gcda")) and not (root / "out.json").exists()
    assert {path.name for path in root.iterdir()} <= {"x.tar", "into", "out.json"}


@steady
@given(st.data())
def test_libraries(data):
    """An ELF file with damage."""
    library = Path(elf.__file__).resolve().parent.parent / "x.so"
    content = minimal_elf()
    accepts(elf.parse, data.draw(torn(content)), library)
    accepts(elf.with_one_text, data.draw(torn(content)), library)


def minimal_elf() -> bytes:
    """A header with three sections: none, .text, and their names."""
    names = b"\0.text\0.shstrtab\0"
    sections = ((0,) * 10, (1, 1, 6, 0x1000, 0, 16, 0, 0, 16, 0), (7, 3, 0, 0, 64, len(names), 0, 0, 1, 0))
    head = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01" + bytes(10), 3, 62, 1, 0, 0, 64 + len(names), 0, 64, 56,
                       0, 64, 3, 2)
    return head + names + b"".join(struct.pack("<IIQQQQIIQQ", *row) for row in sections)


TEXTS = {
    "order": (lambda text: fdata.uncounted(text), "0 [unknown] 0 1 malloc 0 0 7\n1 malloc 4 1 free 0 0 9\n"),
    "fdata": (lambda text: bolt.profiled(text), "0 [unknown] 0 1 malloc 0 0 7\n1 malloc 4 1 free 0 0 9\n"),
    "exports": (artifact.version_script_globals, (ROOT / "core/api/hakmem.map").read_text()),
    "disassembly": (flow.parse_disassembly, "    1040: e8 callq\t0x2000 <slow>\n    1045: jne\t0x1000 <malloc>\n"),
    "strace": (counting.parse_strace, " 50.00    0.000001           1         3           mmap\n"),
    "weighted": (merge.parse_part, "2:profile.profdata"),
    "peers": (lambda text: wall.parse_peers([text]), "glibc=/lib/x.so"),
    "train": (lambda text: own.workload("user1", text, 1, own.Source("--train", "train", str(ROOT), 600)),
              "sh -c 'exit 0' \"x y\""),
    "variants": (lambda text: configure.choose([text], ("a", "b"), "variant"), "a,b,all"),
}


@pytest.mark.parametrize("name", TEXTS)
@steady
@given(data=st.data())
def test_texts(name, data):
    """Lines and words that people and tools write."""
    read, text = TEXTS[name]
    accepts(read, data.draw(torn(text) | st.text(max_size=40)))
