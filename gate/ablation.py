# SPDX-License-Identifier: MIT
"""Each feature off in turn (on, where the variant lacks it): what it costs and brings. And the variants side by side.

A copy of the sources in build/ab/features is configured with one variant more for each feature; nothing of the running
build is touched. `--variants` compares the variants of variants/ instead. Both append one record to results/.
"""

import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

from common import files, lock, proc, records
from common.arguments import Parser, seconds
from common.columns import columns
from common.errors import Failure, UserError, guard
from common.paths import BUILD, PYTHON, ROOT
from common.steps import Steps
from common.tree import Tree
from plan import model
from gate import ab, effects, gate

BASE = "balanced"
# What core/base/build.h refuses to compile without.
NEEDS = {"histogram": ("stats",), "checks": ("harden",), "harden": ("tls_bins",), "learner": ("histogram", "options"),
         "record": ("histogram", "options"), "call_sites": ("stats", "options"), "sampling": ("stats", "options")}
WATCHING = ("record", "call_sites", "sampling")     # what it does not compile together with harden
# What turns a feature off that is compiled in; a feature without such a setting is part of every call.
OFF = {
    "purge": {"HAKMEM_RETAIN_MB": "1048576", "HAKMEM_PURGE_DELAY_MS": "3600000"},
    "big_cache": {"HAKMEM_DISABLE_BIGCACHE": "1"},
    "stats": {"HAKMEM_STATS": "off"},
    "histogram": {"HAKMEM_SIZE_HIST": "0"},
    "trace": {"HAKMEM_MEM_TRACE": "0"},
    "record": {"HAKMEM_TRACE": ""},
    "learner": {"HAKMEM_LEARN": "0"},
    "call_sites": {"HAKMEM_SITE_RULES": "0"},
    "sampling": {"HAKMEM_PROF": "0"},
}
OVERHEAD = 0.001        # the most that a feature may cost which is compiled in and off
LINE = 100
WITH, WITHOUT, SWITCHED_OFF = "with", "without", "off"
SHOWN = (("instructions", "ir_alloc"), ("page faults", "page_faults"), ("peak memory", "peak_rss_kib"))


@dataclass(frozen=True)
class Pair:
    """A feature, and the two sets of features that differ by it alone."""
    feature: str
    having: dict
    lacking: dict
    compiled_in: bool   # by the base variant


def needed_by(name: str) -> list:
    """What a feature needs, and what that needs."""
    return [found for need in NEEDS.get(name, ()) for found in (need, *needed_by(need))]


def pairs(base: model.Variant, features) -> tuple:
    """A Pair for each feature; what it needs is on, and what needs it or cannot be beside it is off, on both sides."""
    found = []
    for name in features:
        on = {name, *needed_by(name)}
        off = {other for other in base.features if name in needed_by(other)}
        off |= {*WATCHING} if "harden" in on else {"harden", "checks"} if on.intersection(WATCHING) else set()
        common = {**base.features, **dict.fromkeys(on, 1), **dict.fromkeys(off, 0)}
        found.append(Pair(name, {**common, name: 1}, {**common, name: 0}, bool(base.features[name])))
    return tuple(found)


def variant_text(base: model.Variant, values) -> str:
    """A file of variants/ with these features."""
    lines = ['sentence = "made by gate.ablation"', f'mode = "{base.mode}"', "", "[features]"]
    lines += [f"{name} = {'true' if value else 'false'}" for name, value in values.items()]
    words = ", ".join(f'"{word}"' for word in base.flags.common)
    return "\n".join([*lines, "", "[flags]", f"common = [{words}]", ""])


def build(variants: dict, toolchain: str) -> dict:
    """name -> library, of variant files name -> text, or None for one that the project has."""
    tree = BUILD / "ab" / "features"
    wanted = {name: Tree(Path("build") / f"{toolchain}-{name}").library("base") for name in variants}
    with lock.alone():
        ab.mirror_working_tree(tree)
        for name, text in variants.items():
            if text is not None:
                files.write_atomic(tree / "variants" / f"{name}.toml", text)
        proc.run([*PYTHON, str(tree / "configure.py"), f"--variant={','.join(variants)}",
                  f"--toolchain={toolchain}"], cwd=tree, timeout=60)
        proc.run(["ninja", *map(str, wanted.values())], cwd=tree, timeout=900)
    return {name: tree / path for name, path in wanted.items()}


def ablate(pair: Pair, libraries, rows, seconds: float, say) -> dict:
    """One feature: figures with, without, and with but switched off; time of with against without."""
    subjects = [effects.Subject(WITH, libraries[f"with_{pair.feature}"]),
                effects.Subject(WITHOUT, libraries[f"without_{pair.feature}"])]
    timed = times(subjects, rows, WITHOUT, seconds, say)
    if pair.feature in OFF and pair.having["options"]:
        subjects.append(effects.Subject(SWITCHED_OFF, libraries[f"with_{pair.feature}"], OFF[pair.feature]))
    return {"feature": pair.feature, "compiled_in": pair.compiled_in, "time": timed.get(WITH),
            "figures": figures(subjects, rows, say)}


def times(subjects, rows, reference: str, seconds: float, say) -> dict:
    """As of effects; it is said."""
    if seconds > 0:
        say(f"time, {seconds:g} s")
    return effects.times(subjects, rows, reference, seconds)


def figures(subjects, rows, say) -> dict:
    """As of effects; it is said."""
    say(f"instructions, memory and page faults of {len(rows)} programs under {len(subjects)} libraries")
    return effects.figures(subjects, rows)


def change(value) -> str:
    """A ratio as a change."""
    return "-" if value is None else gate.percent(value - 1)


def overhead(row: dict, metric="ir_total"):
    """Instructions of the feature compiled in and off against compiled out, as a ratio; None without a switch."""
    found = row["figures"]
    return effects.ratio(found[SWITCHED_OFF], found[WITHOUT], metric) if SWITCHED_OFF in found else None


def ablation_rows(record: dict) -> list:
    """Cells, under a head: a row a feature, its price and its gain, with against without."""
    body = [("feature", "has it", "instr/op", *(title for title, _metric in SHOWN), "time", "off: allocator",
             "off: program")]
    for row in record["features"]:
        one, other = row["figures"][WITH], row["figures"][WITHOUT]
        off = overhead(row)
        body.append((row["feature"], "yes" if row["compiled_in"] else "no", f"{one['pair'] - other['pair']:+.2f}",
                     *(change(effects.ratio(one, other, metric)) for _title, metric in SHOWN),
                     row["time"]["text"] if row["time"] else "-",
                     "no switch" if off is None else change(overhead(row, "ir_alloc")),
                     "-" if off is None else change(off) + (" !" if off - 1 > OVERHEAD else "")))
    return body


def explanation(record: dict) -> str:
    """What the cells are."""
    return (f"with the feature against without, of {record['base']} ({record['toolchain']}), in "
            f"{', '.join(record['workloads'])}; `has it`: the variant does; `off`: instructions of the allocator, and "
            "of the whole program, when the feature is compiled in and the environment turns it off, against compiled "
            f"out; ! is above {OVERHEAD:.1%}")


def ablation_table(record: dict) -> str:
    """For a terminal."""
    return "\n".join([*columns(ablation_rows(record)), *textwrap.wrap(explanation(record), LINE)])


def variants_table(record: dict) -> str:
    """A line a variant, against the reference."""
    reference = record["figures"][record["reference"]]
    body = [("variant", "instr/op", *(title for title, _metric in SHOWN), "time")]
    for name, found in record["figures"].items():
        timed = record["timed"].get(name)
        changes = [change(effects.ratio(found, reference, metric)) for _title, metric in SHOWN]
        body.append((name, f"{found['pair']:.1f}", *changes, timed["text"] if timed else "-"))
    return "\n".join([*columns(body), f"against {record['reference']} ({record['toolchain']}), stage base, in "
                      f"{', '.join(record['workloads'])}"])


def run_ablation(arguments, rows) -> dict:
    """The record of an ablation."""
    variants = model.load_variants(ROOT)
    known = [feature.name for feature in model.load_features(ROOT)]
    base = variants[arguments.base]
    chosen = pairs(base, arguments.feature or known)
    texts = {}
    for pair in chosen:
        texts[f"with_{pair.feature}"] = variant_text(base, pair.having)
        texts[f"without_{pair.feature}"] = variant_text(base, pair.lacking)
    say = Steps("ablation", len(chosen))
    say(f"building {len(texts)} libraries")
    libraries, found = build(texts, arguments.toolchain), []
    for number, pair in enumerate(chosen, 1):
        say.begin(number, pair.feature)
        found.append(ablate(pair, libraries, rows, arguments.seconds, say))
    return {**records.common_fields("ablation", time.time()), "base": base.name, "toolchain": arguments.toolchain,
            "workloads": [row.name for row in rows], "features": found}


def run_variants(arguments, rows) -> dict:
    """The record of a comparison of the variants."""
    names = list(model.load_variants(ROOT))
    say = Steps("variants", len(names))
    say(f"building {len(names)} libraries")
    libraries = build(dict.fromkeys(names), arguments.toolchain)
    subjects = [effects.Subject(name, libraries[name]) for name in names]
    return {**records.common_fields("variants", time.time()), "reference": "bench_minimal",
            "toolchain": arguments.toolchain, "workloads": [row.name for row in rows],
            "timed": times(subjects, rows, "bench_minimal", arguments.seconds, say),
            "figures": figures(subjects, rows, say)}


def parse(argv):
    """Command line."""
    parser = Parser(
        prog="gate.ablation",
        description="example: python3 -m gate.ablation --feature stats --seconds 0\n"
                    "         python3 -m gate.ablation --variants\n\n"
                    "What each feature costs and brings, or each variant.")
    parser.add_argument("--variants", action="store_true", help="compare the variants instead of the features")
    parser.add_argument("--feature", action="append", default=[], help="only this one; repeatable")
    parser.add_argument("--base", default=BASE, help="the variant that features are taken from (default: %(default)s)")
    parser.add_argument("--toolchain", default="clang", choices=model.TOOLCHAINS)
    parser.add_argument("--workload", action="append", default=[], help="(default: the held-out ones); repeatable")
    parser.add_argument("--seconds", type=seconds(0), default=15, help="of timing for each comparison (default "
                        "%(default)g; 0: no timing)")
    parser.add_argument("--strict", action="store_true",
                        help=f"exit 1 when a feature costs more than {OVERHEAD:.1%}% while it is off")
    parser.add_argument("--results", type=Path, help="file to append to (default: results/<year>.jsonl)")
    arguments = parser.parse_args(argv)
    model.check_variant(ROOT, arguments.base)
    known = [feature.name for feature in model.load_features(ROOT)]
    for name in arguments.feature:
        if name not in known:
            raise UserError(f"unknown feature '{name}'; valid features: {', '.join(known)}")
    return arguments


def main(argv) -> int:
    arguments = parse(argv)
    rows = effects.held_out(arguments.workload)
    ab.prepare(rows, arguments.toolchain, BASE)
    record = run_variants(arguments, rows) if arguments.variants else run_ablation(arguments, rows)
    print(variants_table(record) if arguments.variants else ablation_table(record), flush=True)
    records.append(arguments.results or records.year_file(time.time()), record)
    over = [] if arguments.variants else [row["feature"] for row in record["features"]
                                          if (overhead(row) or 1) - 1 > OVERHEAD]
    if arguments.strict and over:
        raise Failure(f"compiled in and off, these cost more than {OVERHEAD:.1%}: {', '.join(over)}")
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
