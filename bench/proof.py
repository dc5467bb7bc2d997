# SPDX-License-Identifier: MIT
"""What a policy that was learned on one input brings on another: `make proof`, on a machine that does nothing else.

Each program of bench/proof.toml is recorded and learned from, the policy is compiled into a library of its own
(`configure.py --policy`, in a copy of the clone), and the held-out run is made under that library and under the same
one without a policy, in interleaved rounds. A third library has the defaults from before anything was learned: it
shows what those of today bring, which were learned as well. Programs that are done are kept until all are, so that an
interrupted proof goes on; then a record is appended to results/. bench/proof_table.py says what the figures mean.
"""

import dataclasses
import shutil
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from common import backing, files, idle, proc, records, tables, usage
from common.arguments import Parser, at_least, result_file, seconds
from common.errors import Failure, UserError, guard
from common.launch import launch
from common.machine import machine
from common.paths import BUILD, IDLE, PYTHON, ROOT
from common.scratch import Scratch
from common.steps import Steps
from common.tree import GIVEN, Tree
from learn import judge, learn, objective
from measure import counting, wall
from plan import own, policy
from gate import ab
from bench import proof_table
from bench.proof_table import AGAIN, GENERIC, TAILORED, UNTAUGHT

EXAMPLE = "example: python3 -m bench.proof --only perl,git --budget 20 --seconds 5"
TABLE, HERE, PLACE = ROOT / "bench" / "proof.toml", ROOT / "bench" / "proof", BUILD / "proof"
LABEL = "clang-bench_minimal"       # of the libraries that are compared
FIRST_DEFAULTS = {"thp_from_kb": 0, "retain_mb": 16, "bigcache_mb": 64, "bigcache_part": 0}     # of commit 5360db3
BUDGET, SECONDS, IDLE_SECONDS = 50.0, 10.0, 2.0
LEAST_ROUNDS, IDLE_RUNS = 12, 3
CALL_RUNS = 5           # of lua equal ones make 335 to 389 calls: its hashes begin with addresses
TIMEOUT = 600


@dataclass(frozen=True)
class Program:
    """A row of the table."""
    name: str
    train: str
    sentence: str
    held: str = ""          # "": the server's file has it
    package: str = ""

    def workload(self, role: str):
        """What is run to learn from (train) or to judge by (holdout)."""
        source = own.Source(f"bench/proof.toml, {self.name}", role, str(HERE), TIMEOUT)
        return own.workload(self.name, self.held if role == "holdout" and self.held else self.train, 1, source)


@dataclass(frozen=True)
class Options:
    """The command line."""
    programs: tuple
    budget: float
    goal: str
    seconds: float
    idle: float
    results: Path | None


# what is compared

def build(mirror: Path, out: Path, given: Path | None) -> Path:
    """The library with a policy compiled in, or without, as the clone is now."""
    ab.mirror_working_tree(mirror)
    words = [f"--variant={LABEL.partition('-')[2]}", *([f"--policy={given}"] if given else [])]
    proc.run([*PYTHON, str(mirror / "configure.py"), *words], cwd=mirror, timeout=60)
    library = Tree(Path("build") / LABEL).library(GIVEN if given else "base")
    proc.run(["ninja", str(library)], cwd=mirror, timeout=ab.BUILD_SECONDS)
    out.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(mirror / library, out)
    return out


def fixed_libraries(say) -> dict:
    """Those that are the same for all programs."""
    say("building the generic library, and the one with the first defaults")
    first = PLACE / f"{UNTAUGHT}.toml"
    policy.write(first, policy.Policy(FIRST_DEFAULTS))
    mirror = BUILD / "ab" / "proof"
    return {GENERIC: build(mirror, PLACE / "generic.so", None),
            UNTAUGHT: build(mirror, PLACE / f"{UNTAUGHT}.so", first)}


def learned(row: Program, options: Options, say) -> Path:
    """The policy file of a program; what was learned before is not learned again (learn/runs.py)."""
    say(f"learning, {options.budget:g} s")
    out = PLACE / row.name / "policy.toml"
    out.parent.mkdir(parents=True, exist_ok=True)
    words = ["--train", row.train, "--here", HERE, "--name", f"proof-{row.name}", "--budget", f"{options.budget:g}",
             "--goal", options.goal, "-o", out]
    proc.run([*PYTHON, "-m", "learn.learn", *words], cwd=ROOT, timeout=10 * options.budget + TIMEOUT)
    return out


# a run

def taken(workload, library: Path) -> dict:
    """CPU time (of a request, where a server is loaded), peak memory and page faults of one run."""
    if workload.server:
        found = launch(workload, library).server
        return {"cpu": found.cpu_us, "peak": found.peak_kib, "faults": found.faults}
    kept = {}
    launch(workload, library, wrapper=usage.wrapper(), keep=lambda scratch: kept.update(usage.read(scratch)))
    return {"cpu": usage.cpu_seconds(kept) * 1e6, "peak": int(kept["peak_rss_kib"]), "faults": int(kept["faults"])}


def idle_memory(workload, library: Path, seconds: float):
    """KiB that are resident so long behind the work, of the process that then had most; None where none said it."""
    if workload.server:
        return launch(workload, library, idle=seconds).server.idle_kib
    found = []
    launch(workload, library, companion=IDLE, extra_env=idle.environment(seconds),
           keep=lambda scratch: found.extend(idle.read(scratch)))
    return max(found).later_kib if found else None


def rounds(workload, libraries: dict, seconds: float, clock=time.monotonic, run=taken, back=backing.back) -> dict:
    """subject -> metric -> a figure a round; interleaved, another subject begins each round, and the memory that a run
    touches is there."""
    peak = run(workload, libraries[GENERIC])["peak"]
    begun, done = clock(), 0
    found = {name: {} for name in libraries}
    while done < LEAST_ROUNDS or clock() - begun < seconds * done / (done + 1):
        for name in wall.order_of(libraries, done):
            back(peak)
            for metric, value in run(workload, libraries[name]).items():
                found[name].setdefault(metric, []).append(value)
        done += 1
    return found


def counted(workload, library: Path) -> dict:
    """System calls of the program, and the instructions of the library in it."""
    calls = [counting.syscall_metrics(workload, library)["syscalls"] for _run in range(CALL_RUNS)]
    return {"instructions": [counting.instructions(workload, library)], "syscalls": calls}


def figures(workload, libraries: dict, options: Options, say) -> dict:
    """subject -> metric -> values. What is no time is made two at a time, by processes of their own: a run of an own
    command ends whatever its process has started (common/household.py)."""
    say(f"rounds, {options.seconds:g} s")
    found = rounds(workload, {**libraries, AGAIN: libraries[GENERIC]}, options.seconds)
    say("idle memory, system calls and instructions")
    with ProcessPoolExecutor(learn.WORKERS) as pool:
        later = {name: [pool.submit(idle_memory, workload, library, options.idle) for _ in range(IDLE_RUNS)]
                 for name, library in libraries.items()}
        counts = {name: pool.submit(counted, workload, libraries[name]) for name in libraries if name != UNTAUGHT}
        for name, jobs in later.items():
            found[name]["idle"] = [job.result() for job in jobs]
        for name, job in counts.items():
            found[name].update(job.result())
    return found


def replayed(row: Program, given: policy.Policy) -> dict:
    """What the policy and each of its parameters change in the replay of the held-out run."""
    with Scratch() as scratch:
        return judge.judge([row.workload("holdout")], given.values, row.name, learn.LIBRARY, PLACE / row.name, scratch)


def room(row: Program) -> dict:
    """Bytes of the held-out run's largest process at its peak, as it is replayed under the default: all, those of the
    program's files (a server's are not known), and those of blocks that live."""
    workload = row.workload("holdout")
    with Scratch() as scratch:
        replayer = judge.replayer_of([workload], learn.LIBRARY, PLACE / row.name, scratch)
        found = {name: replayer({}, name) for name in replayer.traces}
    largest = max(found, key=lambda name: found[name]["peak_bytes"])
    return {"peak": found[largest]["peak_bytes"], "live": found[largest]["live_bytes"],
            "files": replayer.beside[largest]["files"], "server": bool(workload.server)}


def prove(row: Program, fixed: dict, options: Options, say) -> dict:
    """All figures of one program."""
    made = learned(row, options, say)
    table = policy.load_rows(ROOT)
    given = policy.read(made, table)
    libraries = dict(fixed)
    by_replay = judge.NOTHING
    if given.values:
        say("building the tailored library, and replaying what it is judged by")
        libraries[TAILORED] = build(BUILD / "ab" / "proof", PLACE / row.name / "tailored.so", made)
        by_replay = replayed(row, given)
    return {"policy": dict(given.values), "parameters": list(given.parameters), "replay": by_replay, "train": row.train,
            "room": room(row),
            "defaults": {part.name: part.default for part in table if part.name in given.values},
            "held": row.held or "held-out load of the same file", "sentence": row.sentence,
            "figures": figures(row.workload("holdout"), libraries, options, say)}


# all programs

def what_it_is_of(row: Program, options: Options) -> dict:
    """With anything else a kept program is measured anew."""
    return {"program": dataclasses.asdict(row), "budget": options.budget, "goal": options.goal,
            "seconds": options.seconds, "idle": options.idle, "source": files.source_hash(ROOT),
            "costs": files.sha256(objective.COSTS), "machine": machine().sentence}


def kept_path(row: Program) -> Path:
    """Where a program that is done waits for the others."""
    return PLACE / row.name / "done.json"


def kept(row: Program, options: Options) -> dict | None:
    """The figures of an interrupted proof, if they are of the same."""
    try:
        found = files.read_fields(kept_path(row), "of", "found")
    except (FileNotFoundError, Failure):
        return None
    return found["found"] if found["of"] == what_it_is_of(row, options) else None


def prove_all(options: Options, say) -> dict:
    """Program -> figures; {"failure": sentence} of one that could not be run."""
    found, fixed = {}, None
    for number, row in enumerate(options.programs, 1):
        say.begin(number, row.name)
        found[row.name] = kept(row, options)
        if found[row.name]:
            say("was measured before the interruption")
            continue
        try:
            fixed = fixed or fixed_libraries(say)
            found[row.name] = prove(row, fixed, options, say)
        except Failure as error:
            found[row.name] = {"failure": str(error).splitlines()[0]}
            say(found[row.name]["failure"])
            continue
        files.write_json(kept_path(row), {"of": what_it_is_of(row, options), "found": found[row.name]})
    return found


def record(found: dict, options: Options) -> dict:
    """Append it; what was kept goes, so that the next proof measures again."""
    now = time.time()
    made = {**records.common_fields(proof_table.KIND, now), "budget": options.budget, "goal": options.goal,
            "seconds": options.seconds, "idle": options.idle, "label": LABEL, "programs": found}
    records.append(options.results or records.year_file(now), made)
    for row in options.programs:
        kept_path(row).unlink(missing_ok=True)
    return made


def there(row: Program) -> bool:
    """Whether its program is installed; else it is named."""
    try:
        row.workload("train")
    except UserError as error:
        print(f"proof: {row.name} is left out: {error} (apt-get install {row.package})", file=sys.stderr)
        return False
    return True


def select(rows, names) -> tuple:
    """The named rows in the table's order."""
    for name in names:
        if name not in [row.name for row in rows]:
            raise UserError(f"unknown program '{name}'; valid programs: {', '.join(row.name for row in rows)}")
    return tuple(row for row in rows if not names or row.name in names)


def asked(given) -> tuple:
    """The rows that are asked for."""
    objective.check_goal(given.goal)
    return select(tables.load(TABLE, "program", Program), [name for name in given.only.split(",") if name])


def parse(argv) -> Options:
    """Command line."""
    parser = Parser(prog="bench.proof", check=asked, usage=f"{EXAMPLE}\n\n       %(prog)s [options]",
                    description=__doc__)
    parser.add_argument("--only", default="", metavar="NAMES", help="programs, separated by commas (all)")
    parser.add_argument("--budget", type=seconds(), default=BUDGET, metavar="S", help="of learning, each (%(default)g)")
    parser.add_argument("--goal", default=learn.GOAL, help=f"of learning: {', '.join(objective.GOALS)} (%(default)s)")
    parser.add_argument("--seconds", type=seconds(0), default=SECONDS, metavar="S",
                        help="of rounds, each (%(default)g)")
    parser.add_argument("--idle", type=at_least(0, float, 60), default=IDLE_SECONDS, metavar="S",
                        help="how long behind the work memory is looked at (%(default)g)")
    parser.add_argument("--results", type=result_file, metavar="FILE", help="what to append to (results/<year>.jsonl)")
    parser.add_argument("--show", action="store_true", help="run nothing; print the last one on record")
    arguments = parser.parse_args(argv)
    rows = asked(arguments)
    if arguments.show:
        return Options((), 0, "", 0, 0, arguments.results)
    if not (rows := tuple(row for row in rows if there(row))):
        raise UserError("none of these programs is installed")
    return Options(rows, arguments.budget, arguments.goal, arguments.seconds, arguments.idle, arguments.results)


def main(argv) -> int:
    """Prove, or show what was proven."""
    options = parse(argv)
    if not options.programs:
        made = records.newest(records.read(options.results) if options.results else records.everything(),
                              proof_table.KIND)
        if made is None:
            raise UserError("no proof is on record: run `make proof` first")
        print(proof_table.render(made))
        return 0
    if not learn.LIBRARY.exists():
        raise UserError(f"{learn.LIBRARY} is missing: build it first (`make proof` does)")
    with learn.alone(PLACE):
        made = record(prove_all(options, Steps("proof", len(options.programs))), options)
    print(proof_table.render(made))
    return 1 if any("failure" in found for found in made["programs"].values()) else 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
