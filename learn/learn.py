# SPDX-License-Identifier: MIT
"""Learn a policy from your own program: record it, search by replay, say what each parameter brings, write it down."""

import dataclasses
import math
import os
import shlex
import shutil
import sys
import textwrap
import time
from pathlib import Path

from common import files, lock
from common.arguments import Parser, at_least, check_weights, result_file, seconds, shared_library, weights
from common.errors import UserError, check_file, guard
from common.machine import machine
from common.paths import BENCH_PROGRAMS, BUILD, ROOT
from common.scratch import Scratch
from common.workloads import NAME
from learn import attribute, objective, peaks, real, record, replay, search, space, table, verify
from learn.runs import Runs
from plan import own, policy

EXAMPLE = "example: python3 -m learn.learn --train 'python3 app.py small' --name app"
LIBRARY = BUILD / "clang-learning" / "base" / "libhakmem.so"
PLACE = BUILD / "learn"         # recordings and states
POLICIES = ROOT / "policy"      # what was learned: yours, not the build's, so that `make clean` leaves it
GOAL, BUDGET, SEED = "balanced", 180.0, 0
LONGEST_NAME = 100      # of a policy: files are named by it
NAME_LENGTH = 60        # of a command in a sentence
FIRST_SECONDS = 30.0    # a real run may take, at least
WORKERS = 2                     # replays side by side, at most
LARGER_SHARE = 0.25             # of the machine's memory, at most
LOOK_SHARE = 0.3                # of the budget goes to looks at the default, at most
PROGRESS_SECONDS = 10.0         # between lines, where nobody sits in front of it


def parse(argv):
    """Command line."""
    parser = Parser(prog="learn.learn", check=check_request, usage=f"{EXAMPLE}\n\n       %(prog)s [options]",
                    description=__doc__)
    parser.add_argument("--train", action="append", default=[], metavar="CMD",
                        help="a command of your own, run without a shell, or a server's file (repeatable)")
    parser.add_argument("--trace", action="append", default=[], metavar="FILE",
                        help="a trace that HAKMEM_TRACE wrote, in place of a command (repeatable)")
    parser.add_argument("--weights", type=weights, default="", metavar="N,N",
                        help="how much each of them counts, the commands first; without it all count alike")
    parser.add_argument("--name", default="learned", help="the policy becomes policy/NAME.toml (learned)")
    parser.add_argument("--goal", default=GOAL, help=f"what counts most: {', '.join(objective.GOALS)} (balanced)")
    parser.add_argument("--budget", type=seconds(), default=BUDGET, metavar="SECONDS", help="of replaying (180)")
    parser.add_argument("--seed", type=int, default=SEED, help="another search (0)")
    parser.add_argument("--here", default="", metavar="DIR", help="where names in the commands count from (here)")
    parser.add_argument("--timeout", type=seconds(kind=int), default=600, metavar="SECONDS",
                        help="when a command is killed (600)")
    parser.add_argument("--trace-mb", type=at_least(1), default=record.MEGABYTES, metavar="N",
                        help="of a recording, at most")
    parser.add_argument("--so", type=shared_library, default=LIBRARY,
                        help="the library that records and reads policies")
    parser.add_argument("--replay", type=Path, default=BENCH_PROGRAMS / replay.PROGRAM, help="what replays")
    parser.add_argument("-o", dest="out", type=result_file, help="the policy file (policy/NAME.toml)")
    return parser.parse_args(argv)


def check_request(arguments):
    """What can be said before anything is built."""
    objective.check_goal(arguments.goal)
    if not arguments.train and not arguments.trace:
        raise UserError("there is nothing to learn from: give a command, as in make learn TRAIN='myprogram arguments'")
    if not NAME.fullmatch(arguments.name) or len(arguments.name) > LONGEST_NAME:
        raise UserError(f"--name '{arguments.name[:LONGEST_NAME]}': a name has letters, digits, dots, dashes, begins "
                        f"with none of the last two, and has at most {LONGEST_NAME} characters")
    check_weights(arguments.weights, len(arguments.train) + len(arguments.trace))
    workloads_of(arguments)
    given_traces(arguments)
    files.check_place(place_of(arguments))


def place_of(arguments) -> Path:
    """Where the policy is written."""
    return arguments.out or POLICIES / f"{arguments.name}.toml"


def check(arguments):
    """What can be said before anything is run."""
    check_request(arguments)
    for path in (arguments.so, arguments.replay):
        if not path.exists():
            raise UserError(f"{path} is missing: build it first (`make learn` does)")


def alone(directory: Path, wait=False):
    """Context manager: one learner a name; the second waits or says so."""
    def busy():
        if not wait:
            raise UserError(f"another learner is at work on '{directory.name}': wait for it, or give another NAME"
                            ) from None

    return lock.taken(directory / "lock", busy)


def say(text: str):
    """A line for whoever waits."""
    print(f"learn: {text}", file=sys.stderr, flush=True)


class Progress:
    """A line that is written over on a terminal, and a line now and then elsewhere."""

    def __init__(self, budget: float, clock=time.monotonic, stream=None):
        self.budget, self.clock, self.stream = budget, clock, stream or sys.stderr
        self.shown = clock()

    def __call__(self, one):
        live = self.stream.isatty()
        if not live and self.clock() - self.shown < PROGRESS_SECONDS:
            return
        self.shown = self.clock()
        best, runs = one.best, one.runs
        changes = one.objective.change(one.figures(best.policy)) if best.policy else {}
        gains = ", ".join(f"{name} {table.percent(changes[key])}" for name, key in
                          (("time", "time_us"), ("peak", "peak_bytes"), ("over time", "byte_operations"),
                           ("at the end", "end_bytes")) if changes)
        text = f"learn: {runs.spent:.0f} of {self.budget:.0f} s, {len(runs.known)} replays, {gains or 'no gain yet'}"
        width = max(2, shutil.get_terminal_size().columns) - 1      # a line that goes on below cannot be written over
        self.stream.write(f"\r\x1b[K{text[:width]}" if live else f"{text}\n")
        self.stream.flush()

    def end(self):
        """Behind the line."""
        if self.stream.isatty():
            self.stream.write("\n")


def workloads_of(arguments) -> list:
    """The commands as workloads."""
    source = own.Source("--train", "train", arguments.here or os.getcwd(), arguments.timeout)
    return [own.workload(f"user{number}", command, 1, source) for number, command in enumerate(arguments.train, 1)]


def given_traces(arguments) -> dict:
    """Name -> path of those that are given."""
    given = {}
    for number, word in enumerate(arguments.trace, 1):
        path = Path(arguments.here or os.getcwd(), word)
        check_file(path)
        if not path.is_file():
            raise UserError(f"--trace {word}: {'it is a directory: give a file' if path.is_dir() else 'no such file'}")
        given[f"trace{number}"] = path
    return given


def traces_of(arguments, workloads, directory: Path) -> dict:
    """Name -> path: given ones, and those of the commands."""
    made = record.recorded(workloads, arguments.so, arguments.trace_mb, directory, say) if workloads else {}
    return {**made, **given_traces(arguments)}


def names_of(arguments, traces) -> dict:
    """Trace name -> what people call it."""
    commands = {f"user{number}": command for number, command in enumerate(arguments.train, 1)}
    commands |= {f"trace{number}": path for number, path in enumerate(arguments.trace, 1)}
    found = {}
    for name in traces:
        of, _dot, number = name.partition(".")
        several = sum(other.partition(".")[0] == of for other in traces) > 1
        found[name] = commands[of] + (f" (process {number})" if several else "")
    return found


def look(runs, names: dict, budget: float) -> tuple:
    """What replay.look says of what was recorded, and of what stands for larger inputs, as far as the machine has the
    memory and the budget the time. These get their names."""
    recorded = replay.look(runs, list(names))
    check_events(recorded[0], names)
    most = os.sysconf("SC_PHYS_PAGES") * objective.PAGE * LARGER_SHARE
    larger, each = {}, runs.each
    for copies, words in objective.LARGER.items():
        rows = {objective.larger(name, copies): f"{names[name]}, {words}"
                for name, figures in recorded[0].items() if copies * figures["peak_bytes"] <= most}
        missing = len(runs.missing([({}, (name, number)) for name in rows for number in range(replay.LOOKS)]))
        if missing and runs.spent + each * copies * missing > budget * LOOK_SHARE:
            say(f"{budget:g} s are too few to look at {words}, which stands for larger inputs; give more BUDGET")
            break
        larger |= rows
        replay.look(runs, list(rows))
    names.update(larger)
    beyond = replay.look(runs, list(larger))
    return tuple(old | new for old, new in zip(recorded, beyond))


def what_figures_are_of(arguments, traces, beside, rows) -> dict:
    """What the state file is of: with anything else it is begun anew."""
    return {"traces": {name: files.sha256(path) for name, path in traces.items()}, "beside": beside,
            "goal": arguments.goal, "weights": list(arguments.weights), "library": files.sha256(arguments.so),
            "replay": files.sha256(arguments.replay),
            "costs": files.sha256(objective.COSTS), "seed": arguments.seed, "machine": machine().sentence,
            "search": {path.name: files.sha256(path) for path in sorted((ROOT / "learn").glob("*.py"))},
            "space": [[row.name, row.lowest, row.highest, row.default, row.axis] for row in rows]}


def check_events(before: dict, names: dict):
    """A trace without a call says nothing."""
    for name, figures in before.items():
        if not figures["events"]:
            raise UserError(f"'{names[name]}' makes no malloc call: there is nothing to learn from")


def warn_of_few(runs, budget: float, parameters: int):
    """A search that cannot look at each parameter alone is not worth much."""
    if runs.each * search.PROBES * parameters > budget * search.SHARE:
        say(f"a replay takes {runs.each:.1f} s, so that {budget:g} s are too few for {parameters} parameters: give "
            "more BUDGET, or a shorter run of the program")


def command_of(workload: str) -> str:
    """The name of the command or trace that it is of: processes of one, and what stands for larger inputs, have it in
    common."""
    return objective.recorded(workload).partition(".")[0]


def given_weights(arguments) -> dict:
    """Of each command and trace, by its name, how much it counts; {} when all count alike."""
    commands = [f"user{number}" for number, _command in enumerate(arguments.train, 1)]
    return dict(zip([*commands, *given_traces(arguments)], arguments.weights))


def weights_of(before: dict, of_commands=None) -> dict:
    """Commands count as they are given, or alike; the processes of one share by their events, and what stands for
    larger inputs counts as much less as it is larger."""
    events = {name: figures["events"] for name, figures in before.items() if objective.copies_of(name) == 1}
    shares = {name: number / sum(other for key, other in events.items() if command_of(key) == command_of(name))
              for name, number in events.items()}
    return {name: shares[objective.recorded(name)] * (of_commands or {}).get(command_of(name), 1)
            / objective.copies_of(name) for name in before}


def sizes_of(program: Path, traces: dict, before: dict, weights: dict, rows) -> tuple:
    """Sizes that are worth a class of their own, the best first."""
    parts = [(peaks.read(program, path), before[name]["live_bytes"], weights[name]) for name, path in traces.items()]
    return tuple(peaks.found(peaks.shares(parts), {row.name: row.default for row in rows}))


def judge_of(values: dict, aim, runs, repetitions: dict, limit: float = math.inf) -> attribute.Judge:
    """Who attributes: with the noise of the policy itself, as huge pages are not always to be had, and repeated, if
    there is time for that."""
    looks = [(values, (name, number)) for number in range(replay.LOOKS) for name in aim.before]
    if not runs.afford(looks, limit):
        return attribute.Judge(aim, runs, search.jobs_of(aim.weights, repetitions), limit)
    _figures, noise, again = replay.look(runs, list(aim.before), values)
    larger = {name: {figure: max(aim.noise[name].get(figure, 0.0), share) for figure, share in row.items()}
              for name, row in noise.items()}
    jobs = search.jobs_of(aim.weights, {name: max(repetitions[name], again[name]) for name in again})
    return attribute.Judge(dataclasses.replace(aim, noise=larger), runs, jobs, limit)


def verifier_of(arguments, workloads, beside, scratch: Path, path: Path, of) -> verify.Verifier:
    """Who judges by real runs, for a part of the budget. One at a time: a run of an own command ends whatever its
    process has started (common/household.py)."""
    budget = arguments.budget * verify.SHARE
    seconds_of = {row.name: beside[f"{row.name}.1"]["whole" if row.server else "seconds"] for row in workloads}
    runs = Runs(real.Real(arguments.so, workloads, scratch, max(FIRST_SECONDS, budget)), path, of, 1)
    names = {row.name: textwrap.shorten(command, NAME_LENGTH, placeholder=" ...")
             for row, command in zip(workloads, arguments.train)}
    servers = frozenset(row.name for row in workloads if row.server)
    return verify.Verifier(runs, seconds_of, budget, real.kinds() if workloads else {}, names, servers)


def notes_of(workloads, made: verify.Verified, dropped: dict, untold=()) -> tuple:
    """What real runs have shown, and what nothing has, in sentences."""
    unseen = [] if workloads else ["only a trace was given, so that no program could be run"]
    return (*(f"verified: {note}" for note in made.seen), *(f"not verified: {note}" for note in made.unseen + unseen),
            *(f"not attributed: {name}: the time was up before it was replayed without it; give more BUDGET"
              for name in untold), *(f"dropped: {name}: {why}" for name, why in dropped.items()))


def result(arguments, traces, before, found, rows, runs) -> policy.Policy:
    """The policy with where it is from."""
    defaults = {row.name: row.default for row in rows}
    provenance = {
        "program": "; ".join((*arguments.train, *arguments.trace)), "goal": arguments.goal, "seed": arguments.seed,
        **({"weights": list(arguments.weights)} if arguments.weights else {}),
        "trace": [files.sha256(path) for path in traces.values()], "source": files.source_hash(ROOT),
        "library": files.sha256(arguments.so), "machine": machine().sentence, "replays": len(runs.known),
        "events": sum(int(figures["events"]) for name, figures in before.items() if objective.copies_of(name) == 1)}
    figures = {f"{workload}.{name}": [before[workload][name], found.figures[workload][name]]
               for workload in before for name in objective.names_of(before[workload])}
    parameters = tuple({**attribute.as_row(part), "default": defaults[part.name]} for part in found.parts)
    return policy.Policy(found.policy, provenance, figures, parameters)


def refusal_of(one, rows, names: dict) -> str:
    """What the best policy that is not allowed would bring and cost; "" where none gains."""
    if one.near is None or one.near.score.value > -one.objective.floor:
        return ""
    return table.refused(one.objective, one.near.policy, one.figures(one.near.policy), rows, names)


def next_step(arguments, found, out: Path, tried: int, parameters: int) -> str:
    """One sentence on what to run now."""
    if not found.policy and tried < parameters:
        return f"next: the same with more BUDGET; {tried} policies say little about {parameters} parameters"
    if not found.policy:
        return "next: nothing; this program runs well under the library as it is"
    words = f"TRAIN={quoted(arguments.train[0])} HOLDOUT='the same on another input'" if arguments.train else \
        "TRAIN='...'"
    words += "" if out == (POLICIES / "learned.toml").relative_to(ROOT) else f" POLICY={quoted(out)}"
    program = arguments.train[0] if arguments.train and not arguments.train[0].endswith(".toml") else "your program"
    return (f"next: `make pgo {words}` judges {out} on what it has not seen, and compiles it in if it pays\n"
            f"try:  HAKMEM_POLICY={in_shell(out)} LD_PRELOAD={in_shell(arguments.so)} {program}")


def quoted(word) -> str:
    """For a shell, in quotes whether it needs them or not."""
    text = str(word)
    return shlex.quote(text) if "'" in text else f"'{text}'"


def in_shell(path: Path) -> str:
    """A file, as a command names it that may run anywhere."""
    path = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    return f"{'' if path.is_absolute() else '$PWD/'}{shlex.quote(str(path))}"


def tell_of_ends(replayer, names):
    """Which traces are not whole."""
    for name in sorted(replayer.cut):
        say(f"the trace of '{names[name]}' is cut: its process was ended in the middle; what is there is used")
    for name, where in sorted(replayer.short.items()):
        say(f"the trace of '{names[name]}' ends {where}: what its program does behind that is not looked at")


def learn(arguments, directory: Path, scratch: Path) -> int:
    """All of it, once it is alone."""
    every = policy.load_rows(ROOT)
    rows = space.searched(every)
    workloads = workloads_of(arguments)
    traces = traces_of(arguments, workloads, directory)
    names = names_of(arguments, traces)
    beside = record.beside(directory) if arguments.train else {}
    replayer = replay.Replayer(arguments.so, traces, scratch, arguments.replay, beside)
    of = what_figures_are_of(arguments, traces, beside, rows)
    runs = Runs(replayer, directory / f"state-{arguments.goal}.json", of, min(WORKERS, os.cpu_count() or 1))
    if runs.resumed:
        say(f"going on with {len(runs.known)} replays of an earlier run, {runs.spent:.0f} s of {arguments.budget:g}")
    before, noise, repetitions = look(runs, names, arguments.budget)
    tell_of_ends(replayer, names)
    replayer.allow(runs.each * WORKERS)
    aim = objective.Objective(arguments.goal, before, weights_of(before, given_weights(arguments)), noise)
    where = space.Space(rows, sizes_of(arguments.replay, traces, before, aim.weights, every))
    warn_of_few(runs, arguments.budget, len(where.rows))
    progress = Progress(arguments.budget)
    verifier = verifier_of(arguments, workloads, beside, scratch, directory / f"real-{arguments.goal}.json", of)
    limit = arguments.budget * (1 - verify.SHARE if verifier.seconds else 1)
    one = search.Search(where, aim, runs, search.jobs_of(aim.weights, repetitions), limit, arguments.seed,
                        progress)
    best = one.run()
    progress.end()
    judge = judge_of(best.policy, aim, runs, repetitions, limit)
    verifier.budget = max(verifier.budget, arguments.budget - runs.spent)
    found, made, dropped = attribute.proven(judge, best.policy, verifier.verify)
    notes = notes_of(workloads, made, dropped, found.untold)
    out = place_of(arguments)
    policy.write(out, dataclasses.replace(result(arguments, traces, before, found, rows, runs), notes=notes))
    shown = out.relative_to(ROOT) if out.is_relative_to(ROOT) else out
    print(table.table(f"learned for {arguments.goal}: {len(runs.known)} replays, {runs.spent:.0f} s; {one.ended}",
                      names, before, found, rows, runs.tried, refusal_of(one, rows, names)))
    for sentence in replayer.failures[:1]:
        print(f"{len(replayer.failures)} replays failed, and their policies were not taken: {sentence}")
    print("", *notes, sep="\n")
    print(f"\nwritten: {shown}\n{next_step(arguments, found, shown, runs.tried, len(where.rows))}")
    return 0


def main(argv) -> int:
    """Learn."""
    arguments = parse(argv)
    check(arguments)
    directory = PLACE / arguments.name
    with alone(directory), Scratch() as scratch:
        return learn(arguments, directory, scratch)


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
