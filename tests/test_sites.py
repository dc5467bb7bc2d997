# SPDX-License-Identifier: MIT
"""Call sites as people see them (report/sites.py): names, the confusion matrix, and what a watched call costs."""

import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from common.errors import Failure, UserError
from common.paths import BENCH_PROGRAMS
from common.proc import run
from learn.objective import INSTRUCTIONS_A_NS
from measure import elf
from report import sites
from tests.support import Preloaded, label, libraries, needs

NEEDS = ("matrix", "bench", "build/tests/life_sites")
PROGRAM = BENCH_PROGRAMS / "bench_sites"
PAIRS = 4000
MOST_NS = 50            # a call; what the founders allowed
FOUND = sites.Site("a", "MEDIUM", 10, 5, 7, 1, 2, 0, False)


def library(variant):
    """The library of a variant."""
    found = [so for so in libraries() if label(so) == f"clang-{variant}/base"]
    if not found:
        pytest.skip(f"no build of {variant}: run `make all`")
    return found[0]


def test_confusion_is_what_docs_say():
    """The one command. Of the places whose kind is declared nearly all are known for what they are."""
    found = sites.measure(library("learning"), PROGRAM)
    right, everything = found.right(found.sites)
    assert everything == 19 and right / everything >= 0.85
    right, everything = found.right(found.calls)
    assert everything == 40000 and right / everything >= 0.99
    assert sum(sum(row.values()) for row in found.sites.values()) == 19


def test_confusion_as_text_and_json(capsys):
    so = str(library("learning"))
    assert sites.main(["--confusion", "--library", so]) == 0
    text = capsys.readouterr().out
    assert text.splitlines()[0].split() == ["truth,", "sites", "(calls)", *sites.POLICIES]
    assert re.search(r"^right: \d+ of 19 sites, \d+\.\d %$", text, re.MULTILINE)
    assert sites.main(["--confusion", "--json", "--library", so]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"sites", "calls", "wrong"}


def test_confusion_by_hand():
    found = sites.confusion({"a": "MEDIUM", "b": "SMALL_FREQUENT", "never called": "MEDIUM"},
                            [FOUND, sites.Site("b", "MEDIUM", 30, 5, 7, 1, 2, 0, False),
                             sites.Site("other", "MEDIUM", 1, 1, 1, 0, 0, 0, False)])
    assert found.right(found.sites) == (1, 2) and found.right(found.calls) == (10, 40)
    assert found.wrong == [("b", "SMALL_FREQUENT", "MEDIUM", 30)]
    with pytest.raises(Failure, match="none of the places"):
        sites.confusion({"x": "MEDIUM"}, [FOUND])


def page_of(so, program, *words, **settings) -> str:
    """The JSON object that a program writes in its last line."""
    with Preloaded(so) as preloaded:
        return run([program, *words], env=preloaded.environment(**settings)).stdout.splitlines()[-1]


def test_names_come_from_the_file(tmp_path, capsys):
    """A text is read where it lies; an address behind a call gets its function and line."""
    page = page_of(library("learning"), PROGRAM, "truth", "2000", "--json")
    names = [site.name for site in sites.read_page(page)]
    assert "tree node" in names and "json text" in names
    (tmp_path / "page.json").write_text(page)
    assert sites.main([str(tmp_path / "page.json")]) == 0
    assert re.search(r"^tree node +SMALL_FREQUENT +\d+ +48 +48 ", capsys.readouterr().out, re.MULTILINE)
    needs("addr2line", "binutils")
    so = library("learning")
    assert sites.name_of(str(so), offset_of(so, "hakmem_trim") + 1).startswith("hakmem_trim hak.c:")


def offset_of(so: Path, function: str) -> int:
    """Where a function lies in the file."""
    address = next(symbol.address for symbol in elf.read(so).symbols if symbol.name == function)
    with so.open("rb") as file:
        return next(ELFFile(file).address_offsets(address))


def test_names_of_what_is_gone(tmp_path):
    (tmp_path / "no.elf").write_text("text")
    assert sites.name_of(f"{tmp_path}/no.elf", 16) == "no.elf+0x10"
    assert sites.name_of(f"{tmp_path}/gone.so", 255) == "gone.so+0xff"
    assert sites.name_of("", 255) == "?+0xff"


def test_the_page_is_one_object(tmp_path):
    """Whatever the path of the program: quotes, backslashes, bytes that are no ASCII."""
    odd = tmp_path / "a \"b\\c\u00e9\td"
    odd.symlink_to(PROGRAM)
    copy = tmp_path / "x\"y\\z"
    copy.write_bytes(PROGRAM.read_bytes())
    copy.chmod(0o755)
    for program in (odd, copy):
        page = json.loads(page_of(library("learning"), program, "truth", "2000", "--json"))
        assert len(page["sites"]) > 10 and page["site_calls"] == 2000
        assert all(set(row) == {"object", "offset", "calls", "bytes", "average", "most", "ended", "lifetime", "kept",
                                "sampled", "policy"} for row in page["sites"])
    assert page["sites"][0]["object"] == str(copy)
    assert "sites" not in json.loads(page_of(library("balanced"), PROGRAM, "truth", "2000", "--json"))


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"sites": [{"object": 1}]}', '{"sites": 3}'])
def test_what_is_no_page(text, tmp_path):
    """One sentence with the file's name, and none of Python's words."""
    page = tmp_path / "page"
    page.write_text(text)
    with pytest.raises(UserError, match=r"/page is no page of hakmem_stats_print\(fd, 1\): give the one object of JSON "
                       "that it writes$"):
        sites.main([str(page)])
    with pytest.raises(UserError, match=f"{tmp_path} cannot be read: Is a directory"):
        sites.main([str(tmp_path)])


def test_bad_calls():
    for argv in ([], ["page", "--confusion"], ["--confusion", "--library", "/no/such.so"]):
        with pytest.raises(UserError):
            sites.main(argv)


@pytest.fixture(scope="module", name="instructions")
def count_instructions():
    """Of a pair of calls, by what the program does; all of the process, so what the program itself does is in it."""
    tool, so = needs("valgrind", "valgrind"), library("learning")

    def count(work, rounds):
        done = run([tool, "--vgdb=no", "--tool=callgrind", "--callgrind-out-file=/dev/null", PROGRAM, work,
                    str(rounds)], env={**os.environ, "LD_PRELOAD": str(so)})
        return int(re.search(r"Collected : (\d+)", done.stderr)[1])
    works = ("tiny", "tiny-malloc", "turns", "turns-malloc")
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        start = pool.submit(count, "tiny-malloc", 1)
        counts = {work: pool.submit(count, work, PAIRS) for work in works}
        return {work: (found.result() - start.result()) / PAIRS for work, found in counts.items()}


def test_a_watched_call_costs_what_docs_say(instructions):
    """Less than the founders' 50 ns."""
    assert 10 < (instructions["tiny"] - instructions["tiny-malloc"]) / 2 <= MOST_NS * INSTRUCTIONS_A_NS


def test_kept_blocks_pay(instructions):
    """Places that take their large blocks in turns: fewer instructions than malloc, the counting included."""
    assert instructions["turns"] < 0.75 * instructions["turns-malloc"]


@pytest.mark.parametrize("variant", ["bench_minimal", "minimal", "plugin", "balanced", "hardened", "debug"])
def test_elsewhere_it_is_malloc(variant):
    """The same instructions, but for where the frames of a message come from."""
    sizes = {symbol.name: symbol.size for symbol in elf.read(library(variant)).symbols}
    assert abs(sizes["hakmem_alloc_at"] - sizes["hakmem_alloc"]) <= 16
