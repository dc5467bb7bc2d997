# SPDX-License-Identifier: MIT
"""Find out which program an own command really runs, by running it once on the C library.

A version manager puts a shell script where the program would be, which looks for the right one and becomes it by exec.
Such a script is no part of what is trained and measured: the program that it became, with its arguments, is.
"""

import contextlib
import os
import shutil
import sys
from pathlib import Path

from common import files, workloads
from common.arguments import Parser, result_file
from common.errors import Failure, UserError, guard, tell
from common.paths import BENCH_PROGRAMS, ROOT, WITNESS
from common.scratch import SETTING
from pgo import counters, train

EXAMPLE = "example: python3 -m pgo.resolve --workload user1 -o build/workload/user1.run.json"
MADE_BY_BUILD = ("build.ninja", "compile_commands.json")     # in the clone, perhaps at the same time
UNNAMEABLE = frozenset("|:;<>*?`^&()[]\n\r")     # ninja reads a depfile as make's; what is watched it knows anyhow
# What only starts other programs, when it becomes one of them.
LAUNCHERS = frozenset(("sh", "bash", "dash", "zsh", "ksh", "mksh", "busybox", "env"))


def innermost(processes, given) -> tuple:
    """The command without the launchers in front of it."""
    if not processes:
        return tuple(given)
    images = [process for process in processes if process.pid == processes[0].pid and not process.forked]
    first, last = images[0], images[-1]
    if os.path.basename(first.program) not in LAUNCHERS or len(images) == 1 or not last.arguments:
        return tuple(given)
    if os.path.basename(last.program) in LAUNCHERS:
        return tuple(given)
    name = last.arguments[0]
    program = name if os.path.isabs(name) else shutil.which(name) or last.program
    if os.path.realpath(program) != os.path.realpath(last.program) and os.path.isfile(last.program):
        program = last.program      # a longer name than a record holds is cut off
    return (program, *last.arguments[1:])


def seen_files(row, processes) -> list:
    """What a change of it changes the run: every program that took part."""
    return sorted({process.program for process in processes if os.path.isfile(process.program)} | set(row.watch))


def state_of(row) -> dict:
    """Path -> size and time of the files where a command was given, and of those that its words name."""
    found = {}
    for path in (*(Path(row.here).iterdir() if row.here else ()), *map(Path, row.watch)):
        with contextlib.suppress(OSError):
            if path.is_file() and path.name not in MADE_BY_BUILD:
                found[path] = path.stat().st_size, path.stat().st_mtime_ns
    return found


def tell_changes(row, before: dict, after: dict):
    """A run works on the files themselves, by links: who changes or removes them should know that there are many."""
    changed = sorted(path for path, state in before.items()
                     if (after[path] != state if path in after else str(path) in row.watch))
    names = [path.name if str(path.parent) == row.here else str(path) for path in changed]
    if names:
        tell(f"workload '{row.name}' changes {', '.join(names)} in {row.here}: each run finds what the one before it "
             "left; let the command work on a copy")


def tell_lost(row, processes):
    """A program that was started without LD_PRELOAD is seen by nobody: its starter is named."""
    lost = sum(process.counts[train.LOST] for process in processes)
    if lost:
        starters = train.programs_of([process for process in processes if process.counts[train.LOST]])
        tell(f"workload '{row.name}': {lost} program{'s were' if lost > 1 else ' was'} started without LD_PRELOAD by "
             f"{', '.join(starters)}: what they do is neither trained on nor measured; hand the variable on, or give "
             "the program itself")


def tell_unseen(row, processes):
    """One that was handed the library and did not take it; a run with more processes than there are records says
    nothing of it."""
    begun = sum(not process.forked for process in processes)
    unseen = sum(process.counts[train.STARTED] for process in processes) - (begun - 1)
    if processes and unseen > 0 and len(processes) < counters.SLOTS:
        starters = train.programs_of([process for process in processes if process.counts[train.STARTED]])
        tell(f"workload '{row.name}': {unseen} program{'s' if unseen > 1 else ''} that {', '.join(starters)} started "
             "did not load the library, as a static or 32-bit one, or one with another user's rights: what they do is "
             "neither trained on nor measured")


def tell_settings(row, processes):
    """A script may set what the library obeys: the libraries that are compared would not differ in it."""
    told = [process for process in processes if process.counts[train.TOLD]]
    if told:
        tell(f"workload '{row.name}': {SETTING}... is set for {', '.join(train.programs_of(told))}: that decides in "
             "the library what is to be learned, built in and compared; leave it out of the command")


def escape(name: str) -> str:
    """A path in a depfile."""
    return name.replace("\\", "\\\\").replace(" ", "\\ ").replace("#", "\\#").replace("$", "$$")


def main(argv) -> int:
    """Resolve one row."""
    parser = Parser(prog="pgo.resolve", usage=f"{EXAMPLE}\n\n       %(prog)s [options]",
                    description=__doc__)
    parser.add_argument("--workload", required=True, help="one of your own (user1)")
    parser.add_argument("-o", dest="out", required=True, type=result_file,
                        help="JSON; OUT.d beside it names the programs")
    arguments = parser.parse_args(argv)
    recorded = ROOT / "build" / "workload" / f"{arguments.workload}.json"
    try:
        row = workloads.from_record(files.read_json(recorded), recorded)
    except FileNotFoundError:
        raise UserError(f"{recorded} is missing: run ./configure.py with --train") from None
    before = state_of(row)
    processes, _answers = train.run(row, BENCH_PROGRAMS / WITNESS)
    tell_changes(row, before, state_of(row))
    for told in (tell_lost, tell_unseen, tell_settings):
        told(row, processes)
    if not processes:
        raise Failure(f"{row.command[0]} cannot be preloaded: it is a static or 32-bit program, or one that runs with "
                      "another user's rights; no library can take the place of its malloc")
    if not any(process.counts[train.REQUESTED] for process in processes):
        raise Failure(f"{row.command[0]} makes no malloc call: there is nothing that the library could do for it")
    seen = seen_files(row, processes)
    files.write_json(arguments.out, {
        "given": list(row.command), "command": list(row.command if row.server else innermost(processes, row.command)),
        "files": {name: files.sha256(name) for name in seen}})
    found = [escape(name) for name in seen if name not in row.watch and not set(name) & UNNAMEABLE]
    files.write_atomic(f"{arguments.out}.d", f"{arguments.out}: {' '.join(found)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
