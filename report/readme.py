# SPDX-License-Identifier: MIT
"""The figures of README and of docs/, written from results/ and held to it.

A block of such a page between `<!-- derived: KIND SOURCE -->` and `<!-- end -->` is text that this module makes from
one record of results/: SOURCE names it. `--check` makes each block again and compares; `--update` takes the newest
record of each kind. Numbers that stand outside of such blocks are no results of measurements.
"""

import functools
import re
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

from common import files, records
from common.arguments import Parser
from common.errors import Failure, UserError, given, guard
from common.paths import ROOT
from plan import model
from measure import golden, wall
from gate import ablation, effects, gate
from bench import bench, over_time, proof_table, ranking
from report import report, results

PAGES = (ROOT / "README.md", ROOT / "docs" / "policy-search.md", ROOT / "docs" / "benchmarks.md")
NOT_YET = "none"        # the source of a block of which nothing is on record
BLOCK = re.compile(r"<!-- derived: (\S+) (\S+) -->\n(.*?)<!-- end -->\n", re.DOTALL)
TREE = "clang-bench_minimal"
WIDTH = 128
WHOLE = {"break_long_words": False, "break_on_hyphens": False}
# For whom each variant is; what it compiles in is said by its own file.
FOR_WHOM = {
    "bench_minimal": "**speed**: what `make pgo` ships; nothing that watches, nothing is read from the environment",
    "balanced": "**production**: the same with options from the environment and counters in the slow paths",
    "hardened": "**programs that face an enemy**: misuse ends the program with one line before it can do harm",
    "debug": "**development**: all of hardened, assertions, poison, and the ring of the last events",
    "plugin": "**plug-ins**: for dlopen and LD_AUDIT, with hardly any thread-local storage",
    "learning": "**study**: balanced and the distribution of request sizes",
    "research": "**study**: that and the ring of the last events",
    "minimal": "**study**: every optional feature off, the baseline that costs are measured against",
}


@dataclass(frozen=True)
class Block:
    """One derived piece of a page."""
    kind: str
    source: str
    text: str


@functools.cache
def on_record(directory=records.RESULTS) -> tuple:
    """All runs, ablations and comparisons of variants on record, oldest first."""
    return tuple(records.everything(directory))


@functools.cache
def study(started: str) -> ranking.Study:
    """The ranking that began then."""
    path = ROOT / bench.RESULTS
    samples = bench.read_study(path, started)
    return bench.study_of(bench.load_benchmarks(), samples)


def named(kind: str, source: str) -> dict:
    """The record of this kind whose time (and tree, behind a slash) is the source."""
    when, _slash, tree = source.partition("/")
    found = [record for record in on_record() if record["kind"] == kind and record["time"] == when
             and (not tree or record.get("tree") == tree)]
    if not found:
        raise Failure(f"results/ holds no {kind} of {source}")
    return found[-1]


def percent_less(ratio: float) -> str:
    """`16 % less`, `3 % more`, `as much`."""
    change = round((ratio - 1) * 100)
    if change == 0:
        return "as much"
    return f"{abs(change)} % {'less' if change < 0 else 'more'}"


# the kinds of blocks

def run_block(source: str) -> str:
    """The table that a run prints."""
    lines = report.stage_lines(report.of_record(named("run", source)))
    return "\n".join(["```", *lines, "```"]) + "\n"


def time_against(record: dict, rows, after: str, before: str):
    """Estimate of a subject's time against another's over some workloads, by the record's own seconds."""
    timed = record["wall"]
    weights = results.roles_of(record)
    seconds = {name: timed["seconds"][name] for name in rows}
    return wall.ratio(seconds, [_Row(name, weights[name]["weight"]) for name in rows], after, before, timed["floor"])


@dataclass(frozen=True)
class _Row:
    name: str
    weight: int


def decided(estimate, what: str) -> str:
    """`4 % less time than glibc (0.961 [..., ...])`, or that the noise leaves it open."""
    shown = f"{estimate.ratio:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"
    if not estimate.decided:
        return f"as much time as {what} within the noise ({shown})"
    return f"{percent_less(estimate.ratio)} time than {what} ({shown})"


def summed(record: dict, metric: str, stage: str) -> int:
    """A metric over the held-out programs that allocate enough to count."""
    material = gate.load_gates().material
    return sum(row["metrics"][metric] for row in results.evidence_in(record, stage).measures.values()
               if row["role"] == "holdout" and row["metrics"]["ir_alloc"] >= material.instructions)


def held_out_names(record: dict) -> list:
    """The programs that judge."""
    material = gate.load_gates().material
    return [name for name, row in sorted(results.evidence_in(record, "base").measures.items())
            if row["role"] == "holdout" and row["metrics"]["ir_alloc"] >= material.instructions]


def claims_block(source: str) -> str:
    """What a run says of time, misses, lines and instructions, in sentences."""
    record = named("run", source)
    shipped, roles = results.shipped_of(record), results.roles_of(record)
    names = record["wall"]["workloads"]
    real = [name for name in names if not roles[name]["loop"]]
    loops = [name for name in names if roles[name]["loop"]]
    material = gate.load_gates().material
    instructions = gate.compare(results.evidence_in(record, "base"), results.evidence_in(record, shipped), "ir_alloc",
                                "holdout", material)[2]
    changes = [f"{title}: {gate.percent(summed(record, metric, shipped) / summed(record, metric, 'base') - 1)}"
               for metric, title in (("i1_miss_alloc", "misses of a simulated instruction cache (32 KiB, fully "
                                      "associative)"), ("lines99", "cache lines that hold 99 % of execution"))]
    against_base = time_against(record, names, shipped, "base") if shipped != "base" else None
    machine = record["machine"]
    lines = [
        f"- What shipped here ({shipped}) takes {decided(time_against(record, real, shipped, wall.GLIBC), 'glibc')} in "
        f"the {len(real)} real programs ({proof_table.listed(real)}), and "
        f"{decided(time_against(record, loops, shipped, wall.GLIBC), 'glibc')} in the {len(loops)} allocation loops "
        f"({proof_table.listed(loops)}). That is how the library is written, not what the stages bring.",
        f"- What the stages bring, in {proof_table.listed(held_out_names(record))}, which training never sees: "
        f"{'; '.join(changes)}; the allocator's instructions: {gate.percent(instructions - 1)}."
        + (f" All {len(names)} programs take {decided(against_base, 'under the base stage')}." if against_base else ""),
        f"- {record['wall']['rounds']} interleaved rounds, median ratios with 95 % intervals; A against A, the noise: "
        f"{record['wall']['floor'] * 100:.1f} %. {machine['cpu']}, {machine['cpus']} CPUs, {machine['libc']}, "
        f"recorded {record['time'][:10]}."]
    return "".join(f"{textwrap.fill(line, WIDTH, subsequent_indent='  ', **WHOLE)}\n" for line in lines)


def ranking_block(source: str) -> str:
    """Means of the contenders over the benchmark set, and where a peer is ahead."""
    found = study(source)
    order = [found.ours, *(name for name in found.contenders if name not in (found.ours, found.reference)),
             found.reference]
    groups = [(f"time, {title}", [row for row in found.benchmarks if (row.threads > 1) == threaded], "seconds")
              for title, threaded in ranking.GROUPS] + [("peak memory", found.benchmarks, "peak_rss_kib")]
    rows = [(title, len(rows), [found.mean(rows, name, field) for name in order]) for title, rows, field in groups]
    lines = [f"| {found.reference} = 1.00 | {' | '.join(order)} |", "| --- |" + " --- |" * len(order)]
    for title, count, values in rows:
        best = min(value for value in values if value is not None)
        cells = [f"**{ranking.number(value)}**" if value == best else ranking.number(value) for value in values]
        lines.append(f"| {title} ({count}) | {' | '.join(cells)} |")
    return "\n".join([*lines, "", textwrap.fill(ranking.behind(found), WIDTH, **WHOLE)]) + "\n"


def memory_block(source: str) -> str:
    """Resident memory over time: what is left of bursts."""
    figures = named(over_time.KIND, source)["figures"]
    peers = list(bench.peers())
    there = sorted(over_time.contenders(figures), key=lambda name: peers.index(name) if name in peers else len(peers))
    others = [name for name in there if name not in (over_time.OURS, over_time.REFERENCE)]
    table = over_time.short_table(figures, [over_time.OURS, *others, over_time.REFERENCE])
    sizes = proof_table.listed([f"{size.sentence} ({size.name})" for size in over_time.words_of("size")])
    said = "Resident 0.5, 2 and 10 s after the last burst of 128 MiB was freed, one where they are equal; means over " \
           f"blocks of {sizes}. {over_time.behind(figures, over_time.LAST)}"
    return "\n".join([*table, "", textwrap.fill(said, WIDTH, **WHOLE)]) + "\n"


def variants_block(source: str) -> str:
    """Which variant is for whom, and what it costs."""
    record = named("variants", source)
    reference = record["figures"][record["reference"]]
    known = model.load_variants(ROOT)
    lines = ["| variant | for whom | instructions of malloc and free | allocator's instructions | peak memory | time |",
             "| --- | --- | --- | --- | --- | --- |"]
    for name, sentence in FOR_WHOM.items():
        if name not in record["figures"] or name not in known:
            continue    # a variant that came or went since; the next comparison has it
        found, timed = record["figures"][name], record["timed"].get(name)
        ratios = [ablation.change(effects.ratio(found, reference, metric)) for metric in ("ir_alloc", "peak_rss_kib")]
        lines.append(f"| `{name}` | {sentence} | {found['pair']:.1f} | {' | '.join(ratios)} | "
                     f"{timed['text'] if timed else '-'} |")
    lines += ["", f"Stage base, {record['toolchain']}, in {proof_table.listed(record['workloads'])}; changes and "
              f"time are against `{record['reference']}`, `-` was not measured."]
    return "\n".join(lines) + "\n"


def markdown(rows) -> list:
    """Lines of a table: the first row is the head."""
    head, *body = rows
    return [f"| {' | '.join(head)} |", "| --- |" + " --- |" * (len(head) - 1),
            *(f"| {' | '.join(row)} |" for row in body)]


def proof_block(source: str) -> str:
    """What learned policies bring, and which goals that meets."""
    if source == NOT_YET:
        return "No proof is on record yet.\n"
    record = named(proof_table.KIND, source)
    machine = record["machine"]
    lines = [f"{machine['cpu']}, {machine['cpus']} CPUs, {machine['libc']}, recorded {record['time'][:10]}; "
             f"{record['budget']:g} s of learning each, goal {record['goal']}.", ""]
    for title, rows in proof_table.tables(record):
        lines += [f"{title[0].upper()}{title[1:]}:", "", *markdown(rows), ""]
    said = [textwrap.fill(f"- {sentence}", WIDTH, subsequent_indent="  ", **WHOLE)
            for sentence in proof_table.statements(record)]
    return "\n".join([*lines, *said]) + "\n"


def ablation_block(source: str) -> str:
    """What each feature costs and brings."""
    if source == NOT_YET:
        return "No ablation with time is on record yet: `make ablation` makes one.\n"
    record = named("ablation", source)
    said = textwrap.fill(f"{ablation.explanation(record)}; recorded {record['time'][:10]}.", WIDTH, **WHOLE)
    return "\n".join([*markdown(ablation.ablation_rows(record)), "", said[0].upper() + said[1:]]) + "\n"


def last_ablation(found):
    """The newest one of all features that has their time; None without."""
    every = {feature.name for feature in model.load_features(ROOT)}
    return records.newest((record for record in found if record["kind"] == "ablation" and
                           {row["feature"] for row in record["features"] if row["time"]} >= every), "ablation")


def goal_block(_source: str) -> str:
    """The size of the benchmark set; of the table itself."""
    rows = bench.load_benchmarks()
    return f"{len(rows)} benchmarks, {sum(row.threads > 1 for row in rows)} of them with threads; " \
           f"goals of `together`, as measure/golden.py has them: {golden.GOALS['pair64']} instructions for pair64.\n"


KINDS = {"run": run_block, "claims": claims_block, "ranking": ranking_block, "memory": memory_block,
         "variants": variants_block, "ablation": ablation_block, "proof": proof_block, "set": goal_block}


# What a page may say is not on record yet: kind -> its newest record.
MAY_LACK = {proof_table.KIND: lambda found: records.newest(found, proof_table.KIND), "ablation": last_ablation}


def newest(kind: str, source: str) -> str:
    """The source of the newest record of a kind; of runs, of the same tree."""
    if kind == "set":
        return source
    if kind in MAY_LACK:
        found = MAY_LACK[kind](on_record())
        return found["time"] if found else NOT_YET
    if kind == "ranking":
        return bench.last_full_study(ROOT / bench.RESULTS)
    if kind == "memory":
        found = over_time.newest(on_record())
        if found is None:
            raise UserError("results/ holds no resident memory over time yet: run `make bench` first")
        return found["time"]
    tree = source.partition("/")[2] or TREE
    wanted = "run" if kind in ("run", "claims") else kind
    found = [record for record in on_record() if record["kind"] == wanted and
             (wanted != "run" or record["tree"] == tree and record["wall"])]
    if not found:
        raise UserError(f"results/ holds no {wanted} yet")
    return f"{found[-1]['time']}/{tree}" if wanted == "run" else found[-1]["time"]


def blocks(text: str) -> list:
    """All derived pieces of a page."""
    if text.count("<!-- derived:") != len(BLOCK.findall(text)):
        raise Failure("a `<!-- derived: KIND SOURCE -->` has no `<!-- end -->`")
    return [Block(*found) for found in BLOCK.findall(text)]


def render(block: Block) -> str:
    """What the block should say."""
    if block.kind not in KINDS:
        raise UserError(f"unknown kind of block '{block.kind}'; valid kinds: {', '.join(KINDS)}")
    return _made(block.kind, block.source)


@functools.cache
def _made(kind: str, source: str) -> str:
    """What the records say: intervals are drawn from thousands of samples, which takes seconds for a page."""
    return KINDS[kind](source)


def check(text: str) -> list:
    """One sentence for each block that says anything else than its source."""
    wrong = []
    for block in blocks(text):
        expected = render(block)
        if expected != block.text:
            line = next((new for new, old in zip(expected.splitlines(), block.text.splitlines() + [""] * 99)
                         if new != old), "it is longer")
            wrong.append(f"the block '{block.kind} {block.source}' is not what results/ says, from: {line}")
    return wrong


def updated(text: str, keep=False) -> str:
    """The page with every block made again, from the newest records or from the same ones."""
    def replace(match):
        kind, source = match[1], match[2]
        source = source if keep else newest(kind, source)
        return f"<!-- derived: {kind} {source} -->\n{render(Block(kind, source, ''))}<!-- end -->\n"
    blocks(text)
    return BLOCK.sub(replace, text)


def main(argv) -> int:
    parser = Parser(
        prog="report.readme",
        description="example: python3 -m report.readme --check\n\nWrite the pages' figures from results/.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a figure is not what results/ "
                        "says")
    parser.add_argument("--update", action="store_true", help="take the newest record of each kind")
    parser.add_argument("--keep", action="store_true", help="with --update: make the text again from the same records")
    parser.add_argument("--page", type=Path, action="append", help="(default: README, policy-search.md, benchmarks.md)")
    arguments = parser.parse_args(argv)
    wrong = []
    for page in arguments.page or PAGES:
        with given(page):
            text = page.read_text()
        if arguments.update:
            files.write_atomic(page, updated(text, arguments.keep))
        else:
            wrong += check(text)
    if wrong:
        raise Failure("; ".join(wrong) + "; python3 -m report.readme --update writes them")
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
