# SPDX-License-Identifier: MIT
"""Other programs' records become traces that say the same."""

import subprocess

import pytest
from hypothesis import given, settings, strategies

from bench import convert
from common.errors import UserError
from tests import trace_reader
from tests.support import needs

MTRACE = """= Start
@ ./a.out:[0x401136] + 0x4052a0 0x10
@ /lib/libc.so.6:(strdup+0x1a)[0x9a12] + 0x4052c0 0x20
@ ./a.out:[0x401150] < 0x4052a0
@ ./a.out:[0x401150] > 0x4053c0 0x100
@ ./a.out:[0x401160] - 0x4052c0
@ ./a.out:[0x401160] - 0xdead
@ ./a.out:[0x401170] ! 0x4053c0 0x7fffffffffff
@ [0x1] - 0x4053c0
= End
"""
ANDROID = """100: malloc 0x10 48
100: calloc 0x20 32 8
200: memalign 0x30 64 100
200: realloc 0x40 0x10 200
200: free 0x20
200: thread_done 0x0
200: malloc 0x50 7
100: free 0x40
100: realloc 0x0 0x50 0
"""
CSV = """time, thread, call, address, size, old
1, a, malloc, 0x10, 48,
2, b, realloc, 0x20, 90, 0x10
3, b, calloc, 64, 10,
4, a, free, 0x20, ,
"""
HEAD = "thread,call,address,size,old\n"


def read(tmp_path, form, text):
    """The trace of a text, by the format's own page."""
    source, out = tmp_path / "text", tmp_path / "made.trace"
    source.write_text(text)
    assert convert.main([form, str(source), "-o", str(out)]) == 0
    return trace_reader.read(out)


def calls(trace):
    """(kind, thread, size or block)"""
    return [(kind, thread, row.get("size", row.get("block"))) for kind, thread, row in trace.events
            if kind in ("malloc", "calloc", "aligned", "realloc", "free")]


def test_mtrace(tmp_path, capsys):
    trace = read(tmp_path, "mtrace", MTRACE)
    assert calls(trace) == [("malloc", 1, 16), ("malloc", 1, 32), ("realloc", 1, 256), ("free", 1, 1), ("free", 1, 0)]
    assert [row["path"] for row in trace.objects] == ["./a.out", "/lib/libc.so.6"]
    assert [(row["object"], row["offset"]) for row in trace.sites] == [(1, 0x401136), (2, 0x9a12), (1, 0x401150)]
    assert trace.lost == 1 and "1 blocks had been taken before" in capsys.readouterr().err


def test_android(tmp_path):
    trace = read(tmp_path, "android", ANDROID)
    assert calls(trace) == [("malloc", 1, 48), ("calloc", 1, 256), ("aligned", 2, 100), ("realloc", 2, 200),
                            ("free", 2, 1), ("malloc", 3, 7), ("free", 1, 0), ("free", 1, 1)]
    assert trace.of("aligned")[0]["align"] == 6 and len(trace.of("end")) == 1 and trace.live == {2: (100, 2)}


def test_csv(tmp_path):
    trace = read(tmp_path, "csv", CSV)
    assert calls(trace) == [("malloc", 1, 48), ("realloc", 2, 90), ("calloc", 2, 10), ("free", 1, 0)]


@pytest.mark.parametrize("form, text", [
    ("android", "1: malloc 0x0 99999999999999999\n1: calloc 0x0 1 8\n1: memalign 0x0 64 8\n1: malloc 0x10 5\n"
     "1: realloc 0x0 0x10 7\n1: free 0x0\n"),
    ("csv", f"\ufeff{HEAD}1,malloc,0,99999999999999999,\r\n1,calloc,0,8,\r\n1,memalign,0,8,64\r\n1,malloc,0x10,5,\r\n"
     "1,realloc,0,7,0x10\r\n1,free,0,,\r\n"),
    ("mtrace", "@ a:[0x1] + (nil) 0xffffffffffffffff\n@ a:[0x1] + 0x10 0x5\n@ a:[0x1] - (nil)\n")])
def test_refused_requests_are_no_blocks(tmp_path, form, text):
    """An address of 0 is no block, however much was asked for; a mark before the text and ends of lines as in Windows
    do no harm."""
    assert calls(read(tmp_path, form, text)) == [("malloc", 1, 5)]


def test_what_glibc_writes(tmp_path):
    """A real log, by the library that glibc has for it."""
    source = tmp_path / "a.c"
    source.write_text("#include <mcheck.h>\n#include <stdlib.h>\n"
                      "int main(void) { mtrace(); void *a = malloc(7001), *b = calloc(1, 7002);"
                      "a = realloc(a, 7003); free(a); free(b); muntrace(); return a == b; }\n")
    subprocess.run([needs("gcc", "gcc"), "-O0", "-fno-builtin", "-w", source, "-o", tmp_path / "a"], check=True)
    subprocess.run([tmp_path / "a"], check=True, env={"MALLOC_TRACE": str(tmp_path / "log"),
                                                      "LD_PRELOAD": "libc_malloc_debug.so.0"})
    trace = read(tmp_path, "mtrace", (tmp_path / "log").read_text())
    assert [(kind, size) for kind, _thread, size in calls(trace) if kind != "free"] == [
        ("malloc", 7001), ("malloc", 7002), ("realloc", 7003)]
    assert trace.live == {}


@pytest.mark.parametrize("form, text, sentence", [
    ("mtrace", "@ a:[0x1] + 0x10\n", "line 1: no size"), ("mtrace", "= Start\nwhat\n", "line 2: no line of mtrace"),
    ("android", "malloc\n", "line 1: no thread"), ("android", "1: grab 0x1 2 3\n", "line 1: 'grab' is no call"),
    ("android", "1: malloc 0x10\n", "line 1: words are missing"),
    ("android", "1: memalign 0x10 3 3\n", "no power of two"),
    ("android", "1: malloc 0x10 99999999999999999\n", "a size that no malloc meets"),
    ("android", "1:\n", "line 1: words are missing"),
    ("android", "1: malloc 0x10 010e\n", "line 1: '010e' is no number"),
    ("android", "1: malloc 18446744073709551616 1\n", "line 1: 18446744073709551616 is beyond 64 bits"),
    ("csv", "a,b\n", "line 1: the head has no column thread, call, address, size, old; it must have thread"),
    ("csv", f"{HEAD}1,malloc,x,1,\n", "line 2: 'x' is no number, such as 48 or 0x30$"),
    ("csv", f"{HEAD}\n\n1,malloc,1,1,\n1,grab,1,1,\n", "line 5: 'grab' is no call$"),
    ("csv", f"{HEAD}1,malloc\n", "line 2: 2 columns, and the head has 5$"),
    ("csv", f"{HEAD}1,malloc,{'1' * 5000},1,\n", "line 2: '1{40}[.]{3}' is no number"),
    ("csv", f"{HEAD}1,malloc,{'1' * 200000},1,\n", "line 2: field larger than field limit"),
    ("csv", f'{HEAD}1,malloc,"1,1,\n', "line 2: unexpected end of data"),
    *((form, "", "text is empty$") for form in convert.FORMATS)])
def test_what_cannot_be_read(tmp_path, form, text, sentence):
    """One sentence, with the line."""
    source = tmp_path / "text"
    source.write_text(text)
    with pytest.raises(UserError, match=sentence):
        convert.convert(source, form)


@settings(max_examples=200)
@given(strategies.lists(strategies.tuples(strategies.sampled_from("abc"), strategies.sampled_from(
    ("malloc", "calloc", "memalign", "realloc", "free", "end")), strategies.integers(1, 6), strategies.integers(1, 6))))
def test_any_order_of_calls_is_a_trace(steps):
    """Also one in which addresses come twice or never came."""
    writer = convert.Writer()
    for thread, call, address, other in steps:
        if call == "end":
            writer.end_thread(thread)
            continue
        writer.use_thread(thread)
        if call == "free":
            writer.give(address)
        elif call == "realloc":
            writer.resize(other, address, 10)
        else:
            writer.take({"memalign": convert.ALIGNED}.get(call) or convert.TAKES[call], address, 10, 5)
    data = writer.bytes("x")
    trace, _first = trace_reader.read_header(data)
    assert trace.end == 1
    assert len(trace_reader.parse(data).live) == len(writer.blocks)
