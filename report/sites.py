# SPDX-License-Identifier: MIT
"""The call sites of the statistics with their names, and how often the library's inference is right where the truth is
known (docs/call-sites.md).

A page names a place by file and offset in it. In code that is the address behind a call, whose function and line
addr2line tells; elsewhere it is a text that names the place (HAK_CALLSITE), which is read there.
"""

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.constants import P_FLAGS
from elftools.elf.elffile import ELFFile

from common.arguments import Parser, shared_library
from common.columns import columns
from common.errors import Failure, UserError, check_file, guard
from common.paths import BENCH_PROGRAMS, BUILD
from common.proc import run

EXAMPLE = """examples: HAKMEM_STATS_DUMP=1 prints text; a program that calls hakmem_stats_print(fd, 1) writes the page
          python3 -m report.sites page.json
          python3 -m report.sites --confusion"""
LIBRARIES = tuple(BUILD / f"{toolchain}-learning" / "base" / "libhakmem.so" for toolchain in ("clang", "gcc"))
POLICIES = ("GATHERING", "SMALL_FREQUENT", "MEDIUM", "LARGE_INFREQUENT")
TEXT_MOST = 200         # bytes of a text that names a place


@dataclass(frozen=True)
class Site:
    """One row of the page."""
    name: str
    policy: str
    calls: int
    average: int        # bytes
    most: int           # bytes
    ended: int
    lifetime: int       # calls
    kept: int           # calls served by what the site kept
    sampled: bool       # figures are estimates


def place_in(path: Path, offset: int) -> tuple:
    """(what, whether it is code): the text at an offset of a file, or the address there as the linker gave it."""
    with path.open("rb") as file:
        for segment in ELFFile(file).iter_segments("PT_LOAD"):
            at = offset - segment["p_offset"]
            if not 0 <= at < segment["p_filesz"]:
                continue
            if segment["p_flags"] & P_FLAGS.PF_X:
                return segment["p_vaddr"] + at, True
            file.seek(offset)
            text = file.read(TEXT_MOST).partition(b"\0")[0].decode(errors="replace")
            return (text if text.isprintable() else ""), False
    return "", False


def name_of(obj: str, offset: int) -> str:
    """What a person calls the place; file and offset when nothing else is known."""
    plain = f"{Path(obj).name or '?'}+{offset:#x}"
    try:
        place, is_code = place_in(Path(obj), offset)
    except (OSError, ELFError):
        return plain
    if not is_code:
        return place or plain
    # the byte before is of the call itself
    found = run(["addr2line", "-Cfe", obj, hex(place - 1)], check=False).stdout.splitlines()
    if len(found) < 2 or found[0] == "??":
        return plain
    line = found[1].rpartition("/")[2]
    return f"{found[0]} {line}" if not line.startswith("??") else f"{found[0]} {plain}"


def read_page(text: str, whence="the page") -> list:
    """The sites of a page, most bytes first."""
    try:
        rows = json.loads(text).get("sites", [])
        sites = [(row["bytes"], Site(name_of(row["object"], row["offset"]), row["policy"], row["calls"],
                                     row["average"], row["most"], row["ended"], row["lifetime"], row["kept"],
                                     bool(row["sampled"]))) for row in rows]
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise UserError(f"{whence} is no page of hakmem_stats_print(fd, 1): give the one object of JSON that it "
                        "writes") from error
    return [site for _bytes, site in sorted(sites, key=lambda pair: -pair[0])]


def read_named(name: str) -> list:
    """The sites of a page by the name of its file; - is standard input."""
    if name == "-":
        return read_page(sys.stdin.read(), "standard input")
    check_file(name)
    try:
        return read_page(Path(name).read_text(errors="replace"), name)
    except OSError as error:
        raise UserError(f"{name} cannot be read: {error.strerror}") from None


def table(sites) -> str:
    """As text."""
    rows = [["place", "policy", "calls", "average", "most", "ends seen", "lifetime", "kept"]]
    rows += [[site.name, site.policy + (" ~" if site.sampled else ""), str(site.calls), str(site.average),
              str(site.most), str(site.ended), str(site.lifetime), str(site.kept)] for site in sites]
    return "\n".join(columns(rows, left=(0, 1))) + "\n"


# --- the confusion matrix ---

@dataclass(frozen=True)
class Confusion:
    """What was inferred for places whose truth is declared."""
    sites: dict         # truth -> inferred -> sites
    calls: dict         # truth -> inferred -> calls
    wrong: list         # (name, truth, inferred, calls)

    def right(self, counts) -> tuple:
        """(right, all)"""
        return (sum(row.get(truth, 0) for truth, row in counts.items()),
                sum(sum(row.values()) for row in counts.values()))


def confusion(truth: dict, sites) -> Confusion:
    """truth: name -> policy. A place that the page does not have was never called, and does not count."""
    by_sites, by_calls, wrong = {}, {}, []
    for site in sites:
        if site.name not in truth:
            continue
        meant = truth[site.name]
        for counts, value in ((by_sites, 1), (by_calls, site.calls)):
            row = counts.setdefault(meant, {})
            row[site.policy] = row.get(site.policy, 0) + value
        if meant != site.policy:
            wrong.append((site.name, meant, site.policy, site.calls))
    if not by_sites:
        raise Failure("the page has none of the places whose truth is known")
    return Confusion(by_sites, by_calls, sorted(wrong))


def matrix(found: Confusion) -> str:
    """As text: rows are the truth, columns what was inferred, in sites and calls."""
    rows = [["truth, sites (calls)", *POLICIES]]
    for truth in POLICIES[1:]:
        rows.append([truth, *(f"{found.sites.get(truth, {}).get(policy, 0)} "
                              f"({found.calls.get(truth, {}).get(policy, 0)})" for policy in POLICIES)])
    lines = columns(rows)
    for what, counts in (("sites", found.sites), ("calls", found.calls)):
        right, everything = found.right(counts)
        lines.append(f"right: {right} of {everything} {what}, {100 * right / everything:.1f} %")
    lines += [f"wrong: {name!r} is {meant}, taken for {policy} ({calls} calls)"
              for name, meant, policy, calls in found.wrong]
    return "\n".join(lines) + "\n"


def measure(library: Path, program: Path) -> Confusion:
    """Runs the program whose places are known."""
    if not library.exists() or not program.exists():
        raise UserError(f"{library} or {program} is not built; run: ninja {library} bench")
    done = run([str(program), "truth", "--json"],
               env={**os.environ, "LD_PRELOAD": str(library.resolve()), "HAKMEM_SITE_RULES": "1"})
    *rows, page = done.stdout.splitlines()
    return confusion(dict(row.split("\t") for row in rows), read_page(page))


def main(argv) -> int:
    """Command line."""
    parser = Parser(prog="python3 -m report.sites", description=__doc__, epilog=EXAMPLE)
    parser.add_argument("page", nargs="?", help="what hakmem_stats_print(fd, 1) wrote; - is standard input")
    parser.add_argument("--confusion", action="store_true", help="how often the inference is right")
    parser.add_argument("--library", type=shared_library, help="of the variant learning or research")
    parser.add_argument("--json", action="store_true", help="as JSON")
    given = parser.parse_args(argv)
    if given.confusion == (given.page is not None):
        raise UserError("name a page, or --confusion")
    if given.confusion:
        library = given.library or next((so for so in LIBRARIES if so.exists()), LIBRARIES[0])
        found = measure(library, BENCH_PROGRAMS / "bench_sites")
        print(json.dumps(asdict(found)) if given.json else matrix(found), end="\n" if given.json else "")
        return 0
    sites = read_named(given.page)
    print(json.dumps([asdict(site) for site in sites]) if given.json else table(sites), end="\n" if given.json else "")
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
