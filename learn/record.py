# SPDX-License-Identifier: MIT
"""Run the user's own commands under the library that records, and keep their traces.

Each process of a command writes a trace; those with the most in them are kept. What a recording is of stands beside
it, so that the same command with the same files is not run again.
"""

import os
import shutil
import time
from pathlib import Path

from common import files, idle
from common.errors import Failure, UserError, tell
from common.launch import launch
from common.paths import IDLE
from common.scratch import SETTING

TRACE, PLACE, RECORD = "trace", "hakmem-traces", "record.json"
FRESH = "fresh"         # where recordings lie until all of them are there
MEGABYTES = 16          # of a trace: some four million events, which a replay goes through in a second or two
SCHEMA = 4
KEPT = 4                # traces of a command at most
ENDLESS = " (one that ends by a signal alone needs a server's file, or a TRACE that was recorded where it runs)"
BARE = " (it runs without a terminal, with no input, and with a small environment of its own; its names count from {})"
SETTINGS = 2            # names that tell the library to record, in `wrapper`
LEAST_SHARE = 0.1       # of the largest one of the command, in bytes


def largest(traces) -> list:
    """Those that say most, the largest first; equal ones by name."""
    sized = sorted(((path.stat().st_size, path.name, path) for path in traces), key=lambda row: (-row[0], row[1]))
    return [path for size, _name, path in sized[:KEPT] if size > 0 and size >= LEAST_SHARE * sized[0][0]]


def wrapper(megabytes: int) -> list:
    """What is put in front of a command: the library, and where it writes."""
    return ["/usr/bin/env", f"HAKMEM_TRACE={{scratch}}/{PLACE}/{TRACE}", f"HAKMEM_TRACE_MB={megabytes}", "{preload}"]


def make_place(scratch: Path):
    """The directory of the traces, which every user may write, as a program may become another one."""
    (scratch / PLACE).mkdir()
    (scratch / PLACE).chmod(0o1777)


def tell_settings(workload, shown):
    """A script may set what the library obeys, and a policy would find nothing to decide."""
    if max((one.settings for one in shown), default=0) > SETTINGS:
        tell(f"workload '{workload.name}' sets {SETTING}... for its programs: that decides in the library what is to "
             "be learned; leave it out of the command")


def record(workload, so, megabytes: int, into: Path) -> tuple:
    """(trace name -> path, what the trace does not say), of one command: `files`, bytes of files that the program has
    resident, `calls` of the system to read and write, and `seconds` that it took. Of a server none is known: its files
    do not count when it is measured either (common/serve.py), and it waits for its load. `whole` is seconds of it all,
    a server's start, load and end. Its failure is the user's to put right."""
    kept, shown, begun = {}, [], time.monotonic()

    def keep(scratch):
        shown.extend(idle.read(scratch))
        tell_settings(workload, shown)
        for number, path in enumerate(largest((scratch / PLACE).glob(f"{TRACE}*")), 1):
            name = f"{workload.name}.{number}"
            shutil.copyfile(path, into / name)
            kept[name] = into / name

    try:
        done = launch(workload, so, wrapper=wrapper(megabytes), keep=keep, beside=(make_place,), companion=IDLE,
                      extra_env=idle.environment(0))
    except Failure as error:
        what, *tail = str(error).split("\n", 1)
        advice = ENDLESS if "did not end within" in what else ""
        if "failed with exit" in what and not workload.server:
            advice = BARE.format(workload.here)
        raise UserError("\n".join([f"{what}{advice}; nothing was learned, and what was learned before is as it was",
                                   *tail])) from None
    if not kept:
        raise UserError(f"'{workload.sentence.partition(': ')[2]}' left no trace: it makes no malloc call, is a static "
                        "or 32-bit program, or runs with another user's rights; there is nothing to learn from")
    return kept, {"files": max(shown).files_kib * 1024 if shown else 0, "calls": max(shown).calls if shown else 0,
                  "seconds": 0 if workload.server else round(done.seconds, 3),
                  "whole": round(time.monotonic() - begun, 3)}


def what_it_is_of(workload, so, megabytes: int) -> dict:
    """What decides about a recording."""
    return {"schema": SCHEMA, "command": list(workload.command), "environment": dict(workload.env),
            "here": workload.here, "server": workload.server, "megabytes": megabytes, "library": files.sha256(so),
            "files": {name: files.sha256(name) for name in workload.watch if os.path.isfile(name)}}


def known(directory: Path, of) -> dict | None:
    """The traces of an earlier recording of the same, if all of them are whole."""
    try:
        found = files.read_fields(directory / RECORD, "of", "traces", "beside")
        traces = {name: directory / name for name in found["traces"]}
        whole = found["of"] == of and all(files.sha256(traces[name]) == digest
                                          for name, digest in found["traces"].items())
    except (FileNotFoundError, Failure, AttributeError, TypeError):
        return None
    return traces if whole and traces else None


def recorded(workloads, so, megabytes: int, directory: Path, tell) -> dict:
    """Trace name -> path, of all commands; `tell(sentence)` before each that is run. One that fails leaves the earlier
    recordings as they are."""
    of = [what_it_is_of(row, so, megabytes) for row in workloads]
    traces = known(directory, of)
    if traces is not None:
        return traces
    fresh = directory / FRESH
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    made, beside = {}, {}
    for row in workloads:
        tell(f"recording '{row.sentence.partition(': ')[2]}'")
        named, untold = record(row, so, megabytes, fresh)
        made |= named
        beside |= dict.fromkeys(named, untold)
    (directory / RECORD).unlink(missing_ok=True)
    traces = {name: path.replace(directory / name) for name, path in made.items()}
    fresh.rmdir()
    files.write_json(directory / RECORD, {"of": of, "beside": beside, "traces": {
        name: files.sha256(path) for name, path in traces.items()}})
    return traces


def beside(directory: Path) -> dict:
    """Trace name -> what `record` says that the trace does not."""
    return files.read_fields(directory / RECORD, "beside")["beside"] if (directory / RECORD).exists() else {}
