# SPDX-License-Identifier: MIT
"""Find the tools of tools.toml on this machine, without running any of them."""

import glob
import importlib.util
import shutil
from dataclasses import dataclass
from pathlib import Path

from common import tables
from common.errors import UserError
from common.paths import ROOT

TABLE = ROOT / "common" / "tools.toml"
PEERS = "peers"
GROUPS = ("build", "test", "programs", PEERS)


@dataclass(frozen=True)
class Tool:
    """One row of tools.toml; the file explains the keys."""
    name: str
    need: str
    package: str
    group: str
    commands: tuple[str, ...] = ()
    beside: str = ""
    files: tuple[str, ...] = ()
    python_module: str = ""
    consequence: str = ""


def load_tools(path=TABLE) -> dict:
    """name -> Tool."""
    rows = tables.load(path, "tool", Tool)
    names = [row.name for row in rows]
    for row in rows:
        if row.group not in GROUPS:
            raise UserError(f"{path}: tool '{row.name}': group must be one of {', '.join(GROUPS)}")
        if row.beside and row.beside not in names:
            raise UserError(f"{path}: tool '{row.name}': beside names no tool '{row.beside}'; "
                            f"valid tools: {', '.join(names)}")
    return {row.name: row for row in rows}


def _search_path(tool, tools):
    """None for PATH; else the directory of the tool it must stand beside, which may be missing too."""
    if not tool.beside:
        return None
    neighbour = find(tool.beside, tools)
    return str(Path(neighbour).resolve().parent) if neighbour else ""


def find(name: str, tools: dict) -> str:
    """Where the tool is: a path, a module name, or "" when it is missing."""
    tool = tools[name]
    where = _search_path(tool, tools)
    if where == "":
        return ""
    if tool.python_module:
        return tool.python_module if importlib.util.find_spec(tool.python_module) else ""
    prefix = Path(where).parent if where else Path("/")
    for pattern in tool.files:
        found = sorted(glob.glob(str(prefix / pattern)))
        if found:
            return found[0]
    for command in tool.commands:
        found = shutil.which(command, path=where)
        if found:
            return found
    return ""


def require(name: str, tools: dict | None = None) -> str:
    """The path of a tool, or a UserError that says why it is needed and how to get it."""
    tools = tools or load_tools()
    if name not in tools:
        raise UserError(f"unknown tool '{name}'; valid tools: {', '.join(tools)}")
    found = find(name, tools)
    if not found:
        tool = tools[name]
        raise UserError(f"{name} is missing: it {tool.need}; install it with `apt-get install {tool.package}`, "
                        "or everything that is missing with `make doctor INSTALL=1`")
    return found
