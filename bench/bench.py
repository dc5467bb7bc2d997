# SPDX-License-Identifier: MIT
"""The benchmark set under the project's library and its peers: `make bench`.

Rounds are interleaved: in every round each contender runs each benchmark once, in an order that rotates, so that
what disturbs the machine disturbs all. Every run appends one row to results/bench.jsonl; all tables are computed
from such rows (--from reads them back).
"""

import dataclasses
import itertools
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from common import backing, files, paths, records, tables, tools, usage
from common.arguments import Parser, at_least, result_file, shared_library
from common.errors import Failure, UserError, given, guard
from common.launch import launch
from common.machine import machine
from common.tree import LIBRARY, Tree
from common.workloads import Workload
from measure import wall
from bench import over_time, ranking
from bench.ranking import Sample, Study

TABLE = Path("bench/benchmarks.toml")
RESULTS = Path("results/bench.jsonl")
REFERENCE = "glibc"
TIMEOUT = 120
# The scenarios last a fifth of a second: a learner that looks once a second would see none of it.
MODES = (("hakmem-baseline", {"HAKMEM_MODE": "minimal"}),
         ("hakmem-evolving", {"HAKMEM_MODE": "evolving", "HAKMEM_LEARN_WINDOW_MS": "10"}))


@dataclass(frozen=True)
class Benchmark:
    """One row of bench/benchmarks.toml."""
    name: str
    program: str
    sentence: str
    args: tuple[str, ...] = ()
    threads: int = 1
    inputs: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    package: str = ""       # Debian package of the program; "" for the project's own
    points: bool = False    # counts in the scenarios' points ranking

    @property
    def workload(self) -> Workload:
        """As common.launch takes it."""
        return Workload(name=self.name, role="holdout", sentence=self.sentence, command=(self.program, *self.args),
                        inputs=self.inputs, env=self.env, package=self.package)


@dataclass(frozen=True)
class Contender:
    """One allocator. Without a library it is the C library's own."""
    name: str
    library: Path | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    points_only: bool = False   # runs the scenarios of the points ranking alone


def load_benchmarks() -> tuple:
    """Every row of the table."""
    return tables.load(paths.ROOT / TABLE, "benchmark", Benchmark)


def peers() -> dict:
    """name -> row of common/tools.toml, of the allocators that users can install, in the order of the tables."""
    return {name: row for name, row in tools.load_tools().items() if row.group == tools.PEERS}


def installed_peers(notice) -> tuple:
    """The peers that are there; the others are named with the command that installs them."""
    found, table = [], peers()
    for name, row in table.items():
        library = tools.find(name, table)
        if library:
            found.append(Contender(name, Path(library)))
        else:
            notice(f"{name} is left out: not installed (apt-get install {row.package})")
    return tuple(found)


def named_library(text: str) -> Contender:
    """NAME=LIB.so from the command line."""
    name, equals, library = text.partition("=")
    if not equals or not name:
        raise UserError(f"'{text}' is not NAME=LIB.so")
    return Contender(name, shared_library(library))


def own_library() -> Path:
    """The library that ships; before that exists, the one that was chosen to ship, or a plain build."""
    candidates = [paths.ROOT / "dist" / LIBRARY]
    for tree in (Tree(paths.BUILD / name) for name in ("clang-bench_minimal", "gcc-bench_minimal")):
        chosen = tree.select("ship.json")
        candidates += [paths.ROOT / files.read_json(chosen)["so"]] if chosen.exists() else []
        candidates.append(tree.library("base"))
    found = next((path for path in candidates if path.exists()), None)
    if found is None:
        raise UserError("there is no libhakmem.so yet: run `make pgo`, or name one by --library PATH")
    return found


def modes(notice) -> tuple:
    """The project's modes as rows of the points ranking: the build of `learning`, which has both."""
    library = next((path for path in (Tree(paths.BUILD / f"{name}-learning").library("base")
                                      for name in ("clang", "gcc")) if path.exists()), None)
    if library is None:
        notice("hakmem-baseline and hakmem-evolving are left out: the variant learning is not built (make all)")
        return ()
    return tuple(Contender(name, library, settings, points_only=True) for name, settings in MODES)


def contenders(options, notice) -> tuple:
    """The C library, ours, the installed peers and those of the command line; names must differ."""
    ours = Contender("hakmem", options.library or own_library())
    everyone = (Contender(REFERENCE), ours, *installed_peers(notice), *map(named_library, options.peer),
                *modes(notice))
    names = [contender.name for contender in everyone]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two contenders are named '{name}'; give --peer another name")
    return everyone


def snapshot(everyone, directory: Path) -> tuple:
    """The contenders with copies of their libraries, so that a build during the run changes nothing."""
    kept = []
    for contender in everyone:
        if contender.library:
            copy = directory / f"{contender.name}.so"
            shutil.copy2(contender.library.resolve(), copy)
            contender = dataclasses.replace(contender, library=copy)
        kept.append(contender)
    return tuple(kept)


def available(benchmarks, notice) -> tuple:
    """The benchmarks whose programs are installed; the others are named with the command that installs them."""
    kept = []
    for row in benchmarks:
        if row.program.startswith("/") and shutil.which(row.program) is None:
            notice(f"benchmark {row.name} is left out: {row.program} is not installed (apt-get install {row.package})")
        else:
            kept.append(row)
    return tuple(kept)


def select(benchmarks, names) -> tuple:
    """The named rows in the table's order; all without names."""
    known = [row.name for row in benchmarks]
    for name in names:
        if name not in known:
            raise UserError(f"unknown benchmark '{name}'; valid benchmarks: {', '.join(known)}")
    return tuple(row for row in benchmarks if not names or row.name in names)


def run_once(row: Benchmark, contender: Contender, turn: int) -> Sample:
    """One run."""
    kept = {}
    # Redis is linked with jemalloc: preloading the C library puts glibc's malloc in front of it.
    preload = "{preload}" if contender.library else "LD_PRELOAD=libc.so.6"
    try:
        launch(row.workload, contender.library, wrapper=usage.wrapper(preload), timeout=TIMEOUT,
               extra_env=dict(contender.env), keep=lambda scratch: kept.update(usage.read(scratch)))
    except Failure as error:
        reason = str(error).splitlines()[0].rpartition(" failed with ")[2]
        return Sample(row.name, contender.name, turn, failure=reason)
    return Sample(row.name, contender.name, turn, float(kept["seconds"]), int(kept["peak_rss_kib"]))


def run_all(benchmarks, everyone, rounds: int, show, record, back=backing.back) -> tuple:
    """Every round, benchmark and contender, each of whom finds as much memory as any had; a contender that failed a
    benchmark is not asked again."""
    samples, failed, peaks = [], set(), {row.name: 0 for row in benchmarks}
    for turn, (position, row) in itertools.product(range(rounds), enumerate(benchmarks)):
        for contender in wall.order_of(everyone, turn + position):
            if (row.name, contender.name) in failed or contender.points_only and not row.points:
                continue
            show(f"round {turn + 1}/{rounds}, {position + 1}/{len(benchmarks)} {row.name}, {contender.name}")
            back(peaks[row.name])
            sample = run_once(row, contender, turn)
            peaks[row.name] = max(peaks[row.name], sample.peak_rss_kib)
            if sample.failure:
                failed.add((row.name, contender.name))
            record(sample)
            samples.append(sample)
    return tuple(samples)


def progress(stream):
    """A function that shows one line of progress, in place on a terminal and not at all elsewhere."""
    if not stream.isatty():
        return lambda text: None
    return lambda text: print(f"\r\033[K{text}", end="", file=stream, flush=True)


class Recorder:
    """Appends one JSON row a run. The time stamp of the start groups the rows of one study."""

    def __init__(self, path, everyone):
        self._path = path
        self._common = {"started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "machine": machine().sentence}
        self._digests = {row.name: files.sha256(row.library) if row.library else "" for row in everyone}

    def __call__(self, sample: Sample):
        row = {**self._common, "library": self._digests[sample.contender], **dataclasses.asdict(sample)}
        files.append_line(self._path, json.dumps(row, sort_keys=True))


def measure_memory(everyone, path: Path, show) -> dict:
    """Resident memory over time; one record in the year's file beside the rows of the ranking."""
    now = time.time()
    figures = over_time.run_all([one for one in everyone if not one.points_only], 1.0, show)
    records.append(path.with_name(records.year_file(now).name),
                   {**records.common_fields(over_time.KIND, now), "scale": 1.0, "figures": figures})
    return figures


def last_full_study(path: Path) -> str:
    """When the last study began that ran the whole set, but for programs of others that may be missing."""
    wanted = {row.name for row in load_benchmarks() if not row.package}
    present = {}
    for began, benchmark in records.rows(path, lambda row: (row["started"], row["benchmark"])):
        present.setdefault(began, set()).add(benchmark)
    found = [started for started, names in present.items() if wanted <= names]
    if not found:
        raise UserError(f"{path} holds no study of the whole benchmark set: run `make bench` first")
    return max(found)


def read_last(path: Path) -> tuple:
    """The samples of the last study in a results file."""
    return read_study(path, "")


def read_study(path: Path, started: str) -> tuple:
    """The samples of the study that began then; of the last one without a time."""
    names = [each.name for each in dataclasses.fields(Sample)]
    try:
        rows = records.rows(path, lambda row: (row["started"], Sample(**{name: row[name] for name in names})))
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run `make bench` first") from None
    if not rows:
        raise UserError(f"{path} is empty: run `make bench` first")
    wanted = started or rows[-1][0]
    samples = tuple(sample for began, sample in rows if began == wanted)
    if not samples:
        raise UserError(f"{path} holds no study that began at {started}")
    return samples


def study_of(benchmarks, samples) -> Study:
    """The study that the samples make, with benchmarks and contenders in table and running order."""
    present = {row.benchmark for row in samples}
    names = {REFERENCE: None, "hakmem": None, **dict.fromkeys(row.contender for row in samples)}
    extras = tuple(name for name, _settings in MODES if name in names)
    everywhere = tuple(name for name in names if name not in extras)
    return Study(tuple(row for row in benchmarks if row.name in present), everywhere, "hakmem", REFERENCE, samples,
                 extras)


def chosen_of(options) -> tuple:
    """The benchmarks that are asked for; what can be said of the options before anything is built."""
    for peer in options.peer:
        named_library(peer)
    return select(load_benchmarks(), [name for name in options.only.split(",") if name])


def parse_arguments(argv):
    parser = Parser(
        prog="bench.bench", check=chosen_of,
        description="example: python3 -m bench.bench --rounds 3 --only larson,xmalloc --peer new=./libnew.so\n\n"
                    "Runs the benchmark set under hakmem, glibc and the installed peers, and ranks them.")
    parser.add_argument("--library", type=shared_library, metavar="PATH",
                        help="the hakmem library (default: the one in dist/)")
    parser.add_argument("--peer", metavar="NAME=LIB.so", action="append", default=[], help="one more contender")
    parser.add_argument("--only", metavar="NAMES", default="", help="benchmarks, separated by commas")
    parser.add_argument("--rounds", "--runs", type=at_least(1), default=7, help="interleaved rounds (default 7)")
    parser.add_argument("--warmup", type=at_least(0), default=0, help="rounds before that are not recorded (default 0)")
    parser.add_argument("--results", "--output", type=result_file, default=RESULTS,
                        help="file to append rows to (default %(default)s)")
    parser.add_argument("--from", dest="source", type=Path, metavar="FILE",
                        help="run nothing; print the last study of this results file")
    parser.add_argument("--skip-memory", action="store_true",
                        help="leave out resident memory over time, 4 minutes; --only does so, too")
    parser.add_argument("--list", action="store_true", help="print the benchmarks and what they do")
    options = parser.parse_args(argv)
    return options


def show_last(options, chosen):
    """The tables of the last study of a file, and of the newest record of memory over time beside it."""
    with given(options.source):
        samples = read_last(options.source)
    print(ranking.summary(study_of(chosen, samples)), end="")
    kept = over_time.newest(records.everything(options.source.parent))
    if kept and not options.only:
        print(f"\n{over_time.summary(kept['figures'])}", end="")


def show_new(study: Study, figures: dict) -> int:
    """The tables of what was run; the exit status."""
    print(ranking.summary(study), end="")
    if figures:
        print(f"\n{over_time.summary(figures)}", end="")
    failed = [row.failure for row in study.samples if row.contender == study.ours]
    return 1 if any(failed + [of[over_time.OURS].get("failure") for of in figures.values()]) else 0


def main(argv) -> int:
    """Command line."""
    options = parse_arguments(argv)
    chosen = chosen_of(options)
    if options.list:
        print("\n".join(f"{row.name:18} {row.threads}  {row.sentence}" for row in chosen))
        return 0
    if options.source:
        show_last(options, chosen)
        return 0

    def notice(text):
        print(f"bench: {text}", file=sys.stderr)

    everyone = contenders(options, notice)
    rows = available(chosen, notice)
    options.results.parent.mkdir(parents=True, exist_ok=True)
    show = progress(sys.stderr)
    with tempfile.TemporaryDirectory() as directory:
        everyone = snapshot(everyone, Path(directory))
        run_all(rows, everyone, options.warmup, show, lambda sample: None)
        try:
            samples = run_all(rows, everyone, options.rounds, show, Recorder(options.results, everyone))
        finally:
            if options.results == RESULTS and RESULTS.exists():
                records.seal(RESULTS)
        whole = not (options.only or options.skip_memory)
        figures = measure_memory(everyone, options.results, show) if whole else {}
    show("")
    return show_new(study_of(rows, samples), figures)


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
