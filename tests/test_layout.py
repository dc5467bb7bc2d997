# SPDX-License-Identifier: MIT
"""layout/: the callgrind reader, control flow, symbol order, BOLT profile and artifact checks, on hand-made input."""

import gzip
import random
from pathlib import Path

import pytest
from elftools.elf.constants import P_FLAGS
from elftools.elf.enums import ENUM_DT_FLAGS
from hypothesis import given, settings, strategies

from common.errors import Failure, UserError
from measure import callgrind, counting, elf, flow
from layout import artifact, bolt, fdata, order, placement
from report import heatmap

# A program that calls malloc 10 times and free 8 times. malloc (0x1000) tests and jumps to 0x1010 twice; there it
# calls the slow path (0x2000), which calls mmap through a PLT stub. free tail-calls the slow path once.
CALLGRIND = """# callgrind format
version: 1
creator: callgrind-3.19.0
positions: instr line
events: Ir Dr Dw I1mr D1mr D1mw ILmr DLmr DLmw Bc Bcm Bi Bim
summary: 1000 200 100 10 5 5 1 1 1 50 5 8 1

ob=(1) /tmp/hakmem.abcdefgh/libhakmem.so
fl=(1) ???
fn=(1) malloc
0x1000 0 10 0 0 1
+4 * 10 0 0 0 0 0 0 0 0 10 2
jcnd=2/10 +12 *
* *
+2 * 8 8
+4 * 8 8
0x1010 0 2 0 2
cfn=(2) slow
calls=2 0x2000 0
* * 12 2 4
+5 * 2 2

fn=(2)
0x2000 0 3
+4 0 3 0 3
cob=(2) /lib/libc.so.6
cfi=(2) ./mmap.c
cfn=(3) mmap
calls=3 0x90000 5
* 0 30 3
* 0 3 3 0 0 0 0 0 0 0 0 0 3 1
+5 0 3 3

fn=(4) free
0x3000 0 8 0 0 0 0 0 0 0 0 8
+2 0 7 0 7
jump=7 +6 0
* 0
+6 0 7 7
cfn=(2)
calls=1 0x2000 0
-8 0 6 1 2

ob=(3) ./program
fl=(3) main.c
fn=(5) main
0x500 1 1
cob=(1)
cfi=(1)
cfn=(1)
calls=10 0x1000 0
* 0 70 20 6 1
+5 +1 1
cob=(1)
cfi=(1)
cfn=(4)
calls=8 0x3000 0
* * 28 8
totals: 1000 200 100 10 5 5 1 1 1 50 5 8 1
"""
DISASSEMBLY = """
lib.so:	file format elf64-x86-64

0000000000001000 <malloc>:
    1000:      	leaq	0xf(%rdi), %rcx
    1004:      	je	0x1010 <malloc+0x10>
    1006:      	movq	(%rax), %rsi
    100a:      	retq
    1010:      	callq	0x2000 <slow>
    1015:      	retq

0000000000002000 <slow>:
    2000:      	shrq	$0x4, %rcx
    2004:      	callq	0x4000 <mmap@plt>
    2009:      	retq

0000000000003000 <free>:
    3000:      	je	0x2000 <slow>
    3002:      	jmp	0x3008 <free+0x8>
    3008:      	retq
"""


def run_of():
    """The Run of the text above."""
    return callgrind.parse(CALLGRIND)


def function(name, address, size, binding="STB_GLOBAL"):
    """A function symbol."""
    return elf.Symbol(name, address, size, "STT_FUNC", binding, "STV_DEFAULT", True)


INDEX = elf.FunctionIndex((function("malloc", 0x1000, 0x16), function("slow", 0x2000, 0xa, elf.LOCAL),
                           function("free", 0x3000, 0x9)))


def toy_flow():
    """The Flow of one profile, unscaled."""
    found = run_of()
    edges = dict(flow.fall_throughs(flow.parse_disassembly(DISASSEMBLY), INDEX, found))
    edges.update(found.branches)
    edges.update(found.jumps)
    calls = {key: times for key, times in found.calls.items() if isinstance(key[1], int)}
    entries = {entry.address: entry.count for entry in found.entries.values()}
    return flow.Flow(found.counts, edges, calls, entries, None, INDEX)


def test_totals_of_the_object_and_of_the_process():
    found = run_of()
    assert found.event("Ir") == 10 + 10 + 8 + 8 + 2 + 2 + 3 + 3 + 3 + 3 + 8 + 7 + 7
    assert found.event("I1mr") == 1
    assert found.program_event("Ir") == 1000
    assert found.functions["free"][0] == 22


def test_executions_follow_relative_positions():
    assert run_of().counts == {0x1000: 10, 0x1004: 10, 0x1006: 8, 0x100a: 8, 0x1010: 2, 0x1015: 2,
                               0x2000: 3, 0x2004: 3, 0x2009: 3, 0x3000: 8, 0x3002: 7, 0x3008: 7}


def test_a_stub_is_in_the_totals_and_not_in_the_executions():
    found = run_of()
    assert found.functions["slow"][0] == 12 and found.counts[0x2004] == 3


def test_branches_jumps_and_calls():
    found = run_of()
    assert found.branches == {(0x1004, 0x1010): 2}
    assert found.jumps == {(0x3002, 0x3008): 7}
    assert found.calls == {(0x1010, 0x2000): 2, (0x2004, "mmap"): 3, (0x3000, 0x2000): 1}
    assert found.conditional == {0x1004, 0x3000}


def test_calls_across_the_border():
    found = run_of()
    assert {name: entry.count for name, entry in found.entries.items()} == {"malloc": 10, "free": 8}
    assert found.entries["malloc"].inclusive[:3] == (70, 20, 6)
    assert found.outgoing["mmap"].count == 3 and found.outgoing["mmap"].inclusive[0] == 30


def test_calls_of_one_function_from_several_places_add_up():
    text = CALLGRIND.replace("totals:", "cob=(1)\ncfn=(1)\ncalls=5 0x1000 0\n* * 35 10\ntotals:")
    found = callgrind.parse(text)
    assert found.entries["malloc"].count == 15 and found.entries["malloc"].inclusive[0] == 105


def test_an_absent_object_has_no_counts():
    found = callgrind.parse(CALLGRIND, "other.so")
    assert not found.counts and found.event("Ir") == 0


def test_gzipped_and_plain_files_read_alike(tmp_path):
    (tmp_path / "a").write_text(CALLGRIND)
    (tmp_path / "b.gz").write_bytes(gzip.compress(CALLGRIND.encode()))
    assert callgrind.load(tmp_path / "a") == callgrind.load(tmp_path / "b.gz") == run_of()


@pytest.mark.parametrize("broken, message", [
    ("", "no 'events:' line"),
    ("positions: line\nevents: Ir\n", "line 1"),
    (CALLGRIND.replace("calls=2 0x2000 0", "calls=many 0x2000 0"), "calls=many"),
    (CALLGRIND.replace("+4 * 10 0", "+x * 10 0"), "is not callgrind output"),
    (CALLGRIND.replace("fn=(2)\n", "fn=(99)\n", 1), "fn=(99)"),
])
def test_malformed_output_names_the_line(broken, message):
    with pytest.raises(Failure, match=message.replace("(", r"\(").replace(")", r"\)")):
        callgrind.parse(broken)


def test_a_truncated_file_says_what_to_do(tmp_path):
    path = tmp_path / "x.cg.gz"
    path.write_bytes(gzip.compress(CALLGRIND.encode())[:50])
    with pytest.raises(Failure, match="delete it and measure again"):
        callgrind.load(path)
    with pytest.raises(UserError, match="is missing"):
        callgrind.load(tmp_path / "absent")


def test_a_missing_event_says_which_flag_brings_it():
    with pytest.raises(Failure, match="--cache-sim=yes"):
        callgrind.parse("positions: instr\nevents: Ir\nsummary: 1\n").event("I1mr")


@given(strategies.lists(strategies.tuples(strategies.integers(0, 1 << 20), strategies.integers(1, 1 << 30)),
                        min_size=1, max_size=40))
def test_relative_and_absolute_positions_mean_the_same(rows):
    """Position compression is only a way of writing."""
    head = "positions: instr line\nevents: Ir\nob=libhakmem.so\nfn=f\n"
    absolute = "".join(f"{address:#x} 0 {count}\n" for address, count in rows)
    relative, last = "", 0
    for address, count in rows:
        step = address - last
        relative += f"{'*' if not step else f'{step:+d}'} 0 {count}\n"
        last = address
    one, other = callgrind.parse(head + absolute), callgrind.parse(head + relative)
    assert one.counts == other.counts
    assert one.event("Ir") == sum(count for _address, count in rows)


@settings(max_examples=60)
@given(strategies.integers(0, len(CALLGRIND)), strategies.text(max_size=5))
def test_damage_is_a_failure_or_a_profile_but_never_another_exception(at, junk):
    try:
        callgrind.parse(CALLGRIND[:at] + junk + CALLGRIND[at + len(junk):])
    except Failure:
        pass


def test_disassembly_kinds_and_targets():
    kinds = {one.address: (one.kind, one.target) for one in flow.parse_disassembly(DISASSEMBLY)}
    assert kinds[0x1004] == ("cond", 0x1010)
    assert kinds[0x1010] == ("call", 0x2000)
    assert kinds[0x3002] == ("jump", 0x3008)
    assert kinds[0x100a] == ("return", None)
    assert kinds[0x1000] == ("plain", None)


def test_prefixed_instructions_are_recognised():
    text = ("    10:      \tbnd jmp\t0x40 <f>\n    12:      \tlock\n    13:      \trepz retq\n"
            "    15:      \tnotrack jmpq\t*%rax\n")
    assert [one.kind for one in flow.parse_disassembly(text)] == ["jump", "plain", "return", "jump"]


def test_fall_throughs_are_what_was_not_taken():
    found = flow.fall_throughs(flow.parse_disassembly(DISASSEMBLY), INDEX, run_of())
    assert found == {(0x1004, 0x1006): 8, (0x3000, 0x3002): 7}


def test_returns_are_counted():
    assert flow.returns(flow.parse_disassembly(DISASSEMBLY), run_of().counts) == 8 + 2 + 3 + 7


def test_bolt_profile_text():
    assert fdata.lines(toy_flow()) == [
        "0 [unknown] 0 1 free 0 0 8",
        "0 [unknown] 0 1 malloc 0 0 10",
        "1 free 0 1 free 2 0 7",
        "1 free 0 1 slow/1 0 0 1",
        "1 free 2 1 free 8 0 7",
        "1 malloc 10 1 slow/1 0 0 2",
        "1 malloc 4 1 malloc 10 0 2",
        "1 malloc 4 1 malloc 6 0 8",
    ]


def test_local_names_are_numbered_by_address():
    symbols = [function("take", 0x10, 4, elf.LOCAL), function("take", 0x20, 4, elf.LOCAL),
               function("take", 0x30, 4)]
    assert fdata.symbol_names(symbols) == {0x10: "take/1", 0x20: "take/2", 0x30: "take"}


def test_functions_without_counts_are_named():
    assert fdata.uncounted("\n".join(fdata.lines(toy_flow()))) == ("calloc", "realloc")
    assert fdata.uncounted("0 [unknown] 0 1 malloc 0 0 0\n", ("malloc",)) == ("malloc",)
    assert fdata.uncounted("nonsense", ("free",)) == ("free",)


def test_density_order():
    assert order.order(toy_flow(), "density") == ["free", "malloc", "slow"]


def test_c3_appends_a_function_to_its_hottest_caller():
    found = [order.Node("cold", 1, 100, 10), order.Node("caller", 2, 100, 1000), order.Node("callee", 3, 100, 900)]
    assert order.by_c3(found, {(2, 3): 50.0, (1, 3): 2.0}) == ["caller", "callee", "cold"]
    assert order.by_c3(found, {(1, 3): 50.0}) == ["caller", "cold", "callee"]


def test_c3_does_not_grow_a_cluster_past_a_page():
    found = [order.Node("a", 1, 4000, 4000), order.Node("b", 2, 200, 100), order.Node("c", 3, 10, 100)]
    assert order.by_c3(found, {(1, 2): 9.0}) == ["c", "a", "b"]


@given(strategies.lists(strategies.tuples(strategies.integers(1, 5000), strategies.floats(1, 1e9)), min_size=1,
                        max_size=30), strategies.integers(0, 1000))
def test_every_method_lists_each_function_once(rows, seed):
    found = [order.Node(f"f{n}", n, size, weight) for n, (size, weight) in enumerate(rows)]
    calls = {}
    generator = random.Random(seed)
    for _ in range(len(rows)):
        calls[generator.randrange(len(rows)), generator.randrange(len(rows))] = generator.random()
    names = sorted(node.name for node in found)
    assert sorted(order.by_density(found)) == sorted(order.by_c3(found, calls)) == names


def test_lines_are_visited_when_control_comes_from_elsewhere():
    rows = [placement.Transfer(None, 0, 10), placement.Transfer(4, 8, 10), placement.Transfer(60, 64, 6),
            placement.Transfer(70, 16, 3)]
    assert placement.line_visits(rows, 0) == {0: 13, 1: 6}
    assert placement.line_visits(rows, 0x7c) == {1: 10, 2: 3}      # 4 -> 8 and 60 -> 64 stay within line 2


def test_survival_explains_what_was_measured():
    visits = [1000.0, 100.0, 10.0, 1.0]
    survival = placement.fit_survival(visits, 60.0)
    assert sum(placement.misses(times, survival) for times in visits) == pytest.approx(60.0, rel=1e-6)
    assert placement.misses(1000.0, survival) < 1


def test_alignment_shows_in_the_address():
    assert [placement.alignment_of(address) for address in (0x1000, 0x1010, 0x1008, 0x1003)] == [16, 16, 8, 1]


def one_line_function(name, size, times):
    """A function that is entered so many times and touches only its first line."""
    return placement.Function(name, size, 16, ((placement.Transfer(None, 0, times),),))


def test_prediction_knows_who_shares_a_line():
    functions = [one_line_function("a", 32, 10.0), one_line_function("b", 32, 10.0), one_line_function("c", 64, 0.0)]
    model = placement.Model(functions, [placement.Workload(1.0, 10.0)], 0)
    alone, shared = 2 * placement.misses(10.0, 10.0), placement.misses(20.0, 10.0)
    assert model.predict(["a", "b", "c"]) == pytest.approx(shared)
    assert model.predict(["a", "c", "b"]) == pytest.approx(alone)
    assert model.predict([]) == 0


def test_search_finds_the_neighbours():
    functions = [one_line_function("a", 32, 10.0), one_line_function("c", 64, 0.0), one_line_function("b", 32, 10.0)]
    model = placement.Model(functions, [placement.Workload(1.0, 10.0)], 0)
    found = placement.search(model, [["a", "c", "b"]], 100)
    assert model.predict(found) == pytest.approx(placement.misses(20.0, 10.0))
    assert placement.search(model, [["a", "c", "b"]], 100) == found


@given(strategies.lists(strategies.tuples(strategies.integers(1, 300), strategies.floats(0.1, 1e6)), min_size=1,
                        max_size=8), strategies.integers(0, 200))
def test_search_never_loses(rows, budget):
    functions = [one_line_function(f"f{n}", size, times) for n, (size, times) in enumerate(rows)]
    model = placement.Model(functions, [placement.Workload(1.0, 100.0)], 0x1230)
    start = [function.name for function in functions]
    found = placement.search(model, [start], budget)
    assert sorted(found) == sorted(start) and model.predict(found) <= model.predict(start)


def test_transfers_of_a_run():
    found = run_of()
    instructions = flow.parse_disassembly(DISASSEMBLY)
    rows = placement.transfers(instructions, INDEX, found, flow.fall_throughs(instructions, INDEX, found))
    malloc = rows[0x1000]
    assert placement.Transfer(None, 0, 10) in malloc          # entered by the program
    assert placement.Transfer(4, 0x10, 2) in malloc           # taken branch
    assert placement.Transfer(4, 6, 8) in malloc              # fallen through
    assert placement.Transfer(None, 0x15, 2) in malloc        # returned to
    assert [row for row in rows[0x2000] if row.target == 0] == [placement.Transfer(None, 0, 2),
                                                                placement.Transfer(None, 0, 1)]


def test_profile_that_bolt_writes_back():
    yaml = ("header:\n  binary-name: 'x'\nfunctions:\n  - name:            malloc\n    fid:             7\n"
            "    hash:            0x1\n    exec:            22\n    nblocks:         3\n"
            "  - name:            'slow/1'\n    fid:             8\n    hash:            0x2\n    exec:            5\n")
    assert bolt.profiled(yaml) == {"malloc": 22, "slow/1": 5}


def test_any_name_of_a_profiled_function_counts():
    aliases = library(symbols=INDEX.functions + (function("free.localalias", 0x3000, 9, elf.LOCAL),))
    required = ("malloc", "free")
    assert bolt.without_counts(aliases, {"malloc": 22, "free.localalias/1": 5}, required) == []
    assert bolt.without_counts(aliases, {"malloc": 22, "free": 0, "slow/1": 5}, required) == ["free"]
    assert bolt.without_counts(aliases, {"malloc": 22}, ("malloc", "calloc")) == ["calloc"]


VERSION_SCRIPT = """/* comment: global: nothing; */
{
  global:
    malloc; free;   # the family
    hakmem_*;
    extern "C" { "calloc"; };
  local: *;
};
"""

NOW = ENUM_DT_FLAGS["DF_BIND_NOW"]


def library(**changes):
    """A library in which all is right."""
    fields = {
        "path": Path("lib.so"), "sections": (), "soname": artifact.SONAME, "symbols": INDEX.functions,
        "segments": (elf.Segment("PT_LOAD", P_FLAGS.PF_X), elf.Segment("PT_GNU_STACK", P_FLAGS.PF_W),
                     elf.Segment("PT_GNU_RELRO", 0)),
        "dynamic": (("DT_FLAGS", NOW),),
        "exported": tuple(function(name, 1, 1) for name in ("malloc", "free", "calloc", "hakmem_trim")),
    }
    return elf.Elf(**{**fields, **changes})


def test_functions_without_a_size_are_in_no_order():
    start = function("register_tm_clones", 0x10, 0, elf.LOCAL)
    assert artifact.check_order(library(symbols=INDEX.functions + (start,)), ["malloc", "slow", "free"]) == []
    assert artifact.check_order(library(symbols=INDEX.functions + (start,)), ["malloc", start.name, "free"]) == []


def test_version_script():
    assert artifact.version_script_globals(VERSION_SCRIPT) == ("malloc", "free", "hakmem_*", "calloc")


def test_a_right_library_has_no_complaint():
    wanted = artifact.version_script_globals(VERSION_SCRIPT)
    assert artifact.check(library(), exports=wanted, order=["malloc", "slow", "free"]) == []


@pytest.mark.parametrize("changes, order_names, message", [
    ({"exported": (function("malloc", 1, 1),)}, None, "does not export calloc, free"),
    ({"exported": library().exported + (function("leak", 1, 1),)}, None, "exports leak"),
    ({"segments": library().segments[:1] + library().segments[2:]}, None, "no PT_GNU_STACK"),
    ({"segments": library().segments + (elf.Segment("PT_GNU_STACK", P_FLAGS.PF_X),)}, None, "executable stack"),
    ({"segments": library().segments[:2]}, None, "no RELRO"),
    ({"segments": library().segments + (elf.Segment("PT_LOAD", P_FLAGS.PF_X | P_FLAGS.PF_W),)}, None,
     "writable and executable"),
    ({"dynamic": ()}, None, "binds lazily"),
    ({"dynamic": (("DT_FLAGS", NOW | ENUM_DT_FLAGS["DF_TEXTREL"]),)}, None, "text relocations"),
    ({"soname": "x.so"}, None, "soname 'x.so'"),
    ({"sections": (elf.Section(".gnu.version_d", "SHT_GNU_verdef", 0, 0, 0),)}, None, "symbol versions"),
    ({}, ["free", "malloc", "slow"], "malloc before free"),
    ({}, ["a", "b", "c", "malloc"], "order is of other objects"),
])
def test_what_is_wrong_is_said(changes, order_names, message):
    wanted = artifact.version_script_globals(VERSION_SCRIPT)
    found = artifact.check(library(**changes), exports=wanted, order=order_names)
    assert len(found) == 1 and message in found[0]


@settings(max_examples=100)
@given(strategies.binary(max_size=200))
def test_elf_reader_on_junk(junk):
    for data in (junk, b"\x7fELF\x02\x01" + junk):
        with pytest.raises(Failure, match="not a well-formed ELF"):
            elf.parse(data, "junk.so")


def test_elf_reader_on_the_c_library():
    path = Path("/lib/x86_64-linux-gnu/libc.so.6")
    if not path.exists():
        pytest.skip("no /lib/x86_64-linux-gnu/libc.so.6 on this machine")
    found = elf.read(path)
    assert found.soname == "libc.so.6" and counting.text_bytes(found) > 100_000
    assert {"malloc", "free"} <= {symbol.name for symbol in found.exported}


def test_function_index():
    assert INDEX.find(0x1015).name == "malloc"
    assert INDEX.find(0x1016) is None and INDEX.find(0) is None
    unsized = elf.FunctionIndex((function("a", 0x10, 0), function("b", 0x20, 4)))
    assert unsized.find(0x1f).name == "a"


def test_stale_profile_is_refused():
    small = library(symbols=(function("malloc", 0x1000, 0x20),))
    with pytest.raises(Failure, match="the profile is stale"):
        fdata.check_same_functions(library(), small)


def test_heat_map_grid():
    shares = heatmap.line_shares([run_of()])
    assert sum(shares.values()) == pytest.approx(1)
    pages = heatmap.grid({0: 0.5, 65: 0.25, 64: 0.25})
    assert [page for page, _row in pages] == [0, 1]
    assert pages[1][1][:3] == [0.25, 0.25, 0.0]
