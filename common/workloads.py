# SPDX-License-Identifier: MIT
"""The workload table: bench/workloads.toml, and the user's own commands that `configure.py --train` recorded."""

import dataclasses
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from common import files, tables
from common.errors import UserError

ROLES = ("train", "holdout")
RESOLVED = "build/workload/{name}.run.json"     # which program an own command really runs (pgo/resolve.py)
REPLAY = "{bench}/bench_replay"
CHOICE = "build/workloads.json"    # what configure.py was told: {"selected": names, "own": rows}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")   # of a row: it goes into names of files and into commands


@dataclass(frozen=True)
class Workload:
    """One program run. `command` is an argv; {bench}, {inputs} and {root} stand for directories. In its place there may
    be a trace (docs/trace.md), which bench_replay executes: a recording of the table, or a path."""
    name: str
    role: str
    command: tuple[str, ...] = ()
    sentence: str = ""
    trace: str = ""
    weight: int = 1                 # in the profile merge and in geometric means
    inputs: tuple[str, ...] = ()    # files of build/inputs
    env: Mapping[str, str] = field(default_factory=dict)
    package: str = ""               # Debian package that brings the program; "" for the project's own
    gate: bool = True               # read by gates, held out or as what over-fit compares with
    wall: bool = False              # part of the wall-clock comparison
    timeout: int = 600              # seconds after which a run is killed; valgrind makes it some fifty times longer
    own: bool = False               # given with --train or --holdout
    here: str = ""                  # own: the directory in which it was given; its files are shown to the program
    watch: tuple[str, ...] = ()     # own: files whose change makes all of its runs anew
    server: str = ""                # own: the file that says how a server is run (common/serve.py)

    def as_dict(self) -> dict:
        """For JSON."""
        return dataclasses.asdict(self)

    @property
    def program(self) -> str:
        """What people call an own command or server; a row of the table has a name."""
        return os.path.basename(self.command[0]) if self.own else self.name

    def programs(self) -> tuple[str, ...]:
        """Names of the project's own benchmark programs in the command."""
        return tuple(word.removeprefix("{bench}/") for word in self.command if word.startswith("{bench}/"))


@dataclass(frozen=True)
class Input:
    """One generated file or directory of build/inputs: `python3 -m bench.inputs GENERATOR OUT`."""
    name: str
    generator: str


@dataclass(frozen=True)
class Recording:
    """One trace of build/inputs: a program run under the variant that records."""
    name: str
    command: tuple[str, ...]
    sentence: str
    inputs: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    package: str = ""

    def workload(self) -> Workload:
        """As something that is run."""
        return Workload(self.name, ROLES[0], self.command, self.sentence, inputs=self.inputs, env=self.env)


def _with_command(row: Workload, recordings, where) -> Workload:
    """A row whose trace is a command."""
    if not row.trace:
        return row
    if row.command:
        raise UserError(f"{where}: workload '{row.name}' has a command and a trace, whose command is bench_replay")
    if "/" in row.trace:
        return dataclasses.replace(row, command=(REPLAY, row.trace))
    if row.trace not in recordings:
        raise UserError(f"{where}: workload '{row.name}': no [[recording]] makes '{row.trace}'; valid recordings: "
                        f"{', '.join(recordings) or 'none'}; a file is given with its directory")
    return dataclasses.replace(row, command=(REPLAY, f"{{inputs}}/{row.trace}"), inputs=(*row.inputs, row.trace))


def _check(row: Workload, where: str) -> Workload:
    if row.role not in ROLES:
        raise UserError(f"{where}: workload '{row.name}': role must be one of {', '.join(ROLES)}, not '{row.role}'")
    if row.weight < 1:
        raise UserError(f"{where}: workload '{row.name}': weight must be at least 1, not {row.weight}")
    if row.timeout < 1:
        raise UserError(f"{where}: workload '{row.name}': timeout must be at least 1 s, not {row.timeout}")
    if not row.command:
        raise UserError(f"{where}: workload '{row.name}': command is empty")
    if not row.sentence:
        raise UserError(f"{where}: workload '{row.name}': sentence is empty")
    return row


def load_table(root) -> tuple:
    """The rows of bench/workloads.toml alone."""
    path = Path(root) / "bench" / "workloads.toml"
    recordings = [row.name for row in load_recordings(root)]
    return tuple(_check(_with_command(row, recordings, path), path) for row in _rows(path, "workload", Workload))


def load_recordings(root) -> tuple:
    """The [[recording]] rows of bench/workloads.toml."""
    path = Path(root) / "bench" / "workloads.toml"
    rows = _rows(path, "recording", Recording)
    for row in rows:
        if not row.command:
            raise UserError(f"{path}: recording '{row.name}': command is empty")
    return rows


def load_inputs(root) -> tuple:
    """The [[input]] rows of bench/workloads.toml."""
    return _rows(Path(root) / "bench" / "workloads.toml", "input", Input)


def _rows(path, key, cls):
    for name in tables.parse(path):
        if name not in ("workload", "input", "recording"):
            raise UserError(f"{path}: unknown table '{name}'; valid tables: input, recording, workload")
    rows = tables.load(path, key, cls)
    for row in rows:
        if not NAME.fullmatch(row.name):
            raise UserError(f"{path}: [[{key}]] '{row.name}': a name has letters, digits, dots, dashes and "
                            "underscores, and begins with a letter or a digit")
    return rows


def load_workloads(root) -> tuple:
    """The rows of this configuration: those of the table that were selected, then the user's own."""
    path = Path(root) / CHOICE
    choice = files.read_fields(path, "selected", "own") if path.exists() else {"selected": [], "own": []}
    if not all(isinstance(choice[key], list) for key in ("selected", "own")):
        raise UserError(f"{path} does not list workloads: run ./configure.py again")
    known = load_table(root)
    selected = [row.name for row in known if row.name in choice["selected"]]
    return select(known, selected) + tuple(resolved(root, tables.make(Workload, row, f"{path}: row {number}"))
                                           for number, row in enumerate(choice["own"], 1))


def from_record(fields, where) -> Workload:
    """A row as configure.py wrote it."""
    return _check(tables.make(Workload, fields, str(where)), where)


def resolved(root, row: Workload) -> Workload:
    """The row with the program behind a script that only finds and starts it."""
    path = Path(root) / RESOLVED.format(name=row.name)
    if not path.exists():
        return row
    found = files.read_fields(path, "given", "command")
    return dataclasses.replace(row, command=tuple(found["command"])) if tuple(found["given"]) == row.command else row


def titles(rows) -> dict:
    """Name of a row -> what tables, which are of one role, call it: for own ones the program, with the row where
    another one of that role has that, too."""
    of_roles = [(row.role, row.program) for row in rows]
    return {row.name: f"{row.program} ({row.name})" if row.own and of_roles.count((row.role, row.program)) > 1
            else row.program for row in rows}


def select(workloads, names) -> tuple:
    """The named workloads, in the table's order; every one when `names` is empty."""
    known = [row.name for row in workloads]
    for name in names or ():
        if name not in known:
            raise UserError(f"unknown workload '{name}'; valid workloads: {', '.join(known)}")
    return tuple(row for row in workloads if not names or row.name in names)
