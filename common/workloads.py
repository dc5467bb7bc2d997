# SPDX-License-Identifier: MIT
"""The workload table: bench/workloads.toml, and the user's own commands that `configure.py --train` recorded."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from common import files, tables
from common.errors import UserError

ROLES = ("train", "holdout")
RESOLVED = "build/workload/{name}.run.json"     # which program an own command really runs (pgo/resolve.py)
CHOICE = "build/workloads.json"    # what configure.py was told: {"selected": names, "own": rows}


@dataclass(frozen=True)
class Workload:
    """One program run. `command` is an argv; {bench}, {inputs} and {root} stand for directories."""
    name: str
    role: str
    command: tuple[str, ...]
    sentence: str
    weight: int = 1                 # in the profile merge and in geometric means
    inputs: tuple[str, ...] = ()    # files of build/inputs
    env: Mapping[str, str] = field(default_factory=dict)
    package: str = ""               # Debian package that brings the program; "" for the project's own
    gate: bool = True               # read by the gate when held out
    wall: bool = False              # part of the wall-clock comparison
    timeout: int = 600              # seconds after which a run is killed; valgrind makes it some fifty times longer
    own: bool = False               # given with --train or --holdout
    here: str = ""                  # own: the directory in which it was given; its files are shown to the program
    watch: tuple[str, ...] = ()     # own: files whose change makes all of its runs anew
    server: str = ""                # own: the file that says how a server is run (common/serve.py)

    def as_dict(self) -> dict:
        """For JSON."""
        return dataclasses.asdict(self)

    def programs(self) -> tuple[str, ...]:
        """Names of the project's own benchmark programs in the command."""
        return tuple(word.removeprefix("{bench}/") for word in self.command if word.startswith("{bench}/"))


@dataclass(frozen=True)
class Input:
    """One generated file or directory of build/inputs: `python -m bench.inputs GENERATOR OUT`."""
    name: str
    generator: str


def _check(row: Workload, where: str) -> Workload:
    if row.role not in ROLES:
        raise UserError(f"{where}: workload '{row.name}': role must be one of {', '.join(ROLES)}, not '{row.role}'")
    if row.weight < 1:
        raise UserError(f"{where}: workload '{row.name}': weight must be at least 1, not {row.weight}")
    if row.timeout < 1:
        raise UserError(f"{where}: workload '{row.name}': timeout must be at least 1 s, not {row.timeout}")
    if not row.command:
        raise UserError(f"{where}: workload '{row.name}': command is empty")
    return row


def load_table(root) -> tuple:
    """The rows of bench/workloads.toml alone."""
    path = Path(root) / "bench" / "workloads.toml"
    return tuple(_check(row, path) for row in _rows(path, "workload", Workload))


def load_inputs(root) -> tuple:
    """The [[input]] rows of bench/workloads.toml."""
    return _rows(Path(root) / "bench" / "workloads.toml", "input", Input)


def _rows(path, key, cls):
    for name in tables.parse(path):
        if name not in ("workload", "input"):
            raise UserError(f"{path}: unknown table '{name}'; valid tables: input, workload")
    return tables.load(path, key, cls)


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


def select(workloads, names) -> tuple:
    """The named workloads, in the table's order; every one when `names` is empty."""
    known = [row.name for row in workloads]
    for name in names or ():
        if name not in known:
            raise UserError(f"unknown workload '{name}'; valid workloads: {', '.join(known)}")
    return tuple(row for row in workloads if not names or row.name in names)
