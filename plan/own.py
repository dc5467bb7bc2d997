# SPDX-License-Identifier: MIT
"""The user's own commands: what `--train` and `--holdout` take, as rows of the workload table.

A command is words, as a shell would split them, and no more: nothing is expanded, piped or redirected. Assignments in
front of it, with or without `env`, set its environment. It runs in a directory of its own that shows the files of the
directory where it was given, by links, so that its words stay as they are and mean what they mean here; only a name
that leaves that directory by `../` becomes absolute, also in `--option=../name` and in the environment.
"""

import os
import re
import shlex
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError
from common.scratch import own_setting
from common.workloads import Workload

# Of a word without quotes. ">=3" is an argument more often than a file's name.
_OPERATOR = re.compile(r"([^'\"\\]*[;|&][^'\"\\]*|\d*>>?([^=\s].*)?|\d*<<?<?|\d*<[^\s].*)")
UNNAMEABLE = frozenset("|\n\r")     # ninja cannot name such a file
OF_THE_KERNEL = ("/proc/", "/sys/")    # files that are new each time they are looked at
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)


@dataclass(frozen=True)
class Source:
    """An option and the place it was given in."""
    option: str
    role: str
    here: str
    timeout: int


def operator_in(command: str) -> str:
    """The first word that a shell would take for itself, "" without. Quoted, it is a word like any other."""
    lexer = shlex.shlex(command, posix=False, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        return next((word for word in lexer if _OPERATOR.fullmatch(word)), "")
    except ValueError:
        return ""       # a backslash before a quote: the words themselves are read by shlex.split


def split(command: str, source: Source) -> list:
    """Its words."""
    if "\n" in command:
        raise UserError(f"{source.option}: a command is one line; put a longer one into a script")
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UserError(f"{source.option} '{command}': {error}; quote as for a shell") from None
    if found := operator_in(command):
        raise UserError(f"{source.option} '{command}': a command runs without a shell, to which alone '{found}' means "
                        "something; put the line into a script, or quote the word if the program is to get it")
    return words


def take_environment(words, command: str, source: Source) -> tuple:
    """(environment, the words behind it): NAME=VALUE in front, and what `env` in front of that says."""
    environment, rest = {}, list(words)
    while rest:
        if match := _ASSIGNMENT.fullmatch(rest[0]):
            environment[match[1]] = match[2]
        elif os.path.basename(rest[0]) != "env":
            break
        elif len(rest) > 1 and rest[1].startswith("-"):
            if rest[1] in ("-u", "--unset") and len(rest) > 2:
                environment.pop(rest[2], None)
                rest[1:3] = []
            elif rest[1] in ("-i", "-", "--ignore-environment", "--"):
                rest[1:2] = []
            else:
                raise UserError(f"{source.option} '{command}': env's option {rest[1]} is not followed; a run has a "
                                "small environment of its own, to which NAME=VALUE adds")
            continue
        rest.pop(0)
    return environment, rest


def wrong_first_line(program: str) -> str:
    """Why a script cannot be run by its first line; "" for what can, and for what is no script."""
    try:
        with open(program, "rb") as stream:
            line = stream.readline(256)
    except OSError:
        return ""
    if not line.startswith(b"#!"):
        return "" if b"\0" in line or line.startswith(b"\x7fELF") else \
            "does not say what runs it: begin it with #!/bin/sh, or give the interpreter in front of it"
    if line.endswith(b"\r\n"):
        return "ends as lines do in Windows; run `sed -i 's/\\r$//'` on it"
    name = re.split(rb"[ \t]", line[2:].strip(b" \t\n"))[0]
    return "" if os.path.exists(name) or not name.startswith(b"/") else \
        f"names {os.fsdecode(name)}, which is not there"


def find_program(word: str, command: str, source: Source, searched: str) -> str:
    """The absolute path of the program; `searched` is its PATH."""
    name = os.path.join(source.here, word) if "/" in word else word
    found = shutil.which(name, path=":".join(os.path.join(source.here, place) for place in searched.split(":")))
    if found is None:
        if "/" in word and os.path.isfile(name):
            raise UserError(f"{source.option} '{command}': {word} is not executable; run it by its interpreter, or "
                            f"chmod +x it")
        if "/" in word and os.path.isdir(name):
            raise UserError(f"{source.option} '{command}': {word} is a directory; name the program in it")
        raise UserError(f"{source.option} '{command}': no such program; give a command that runs from {source.here}, "
                        "without a shell")
    if wrong := wrong_first_line(found):
        raise UserError(f"{source.option} '{command}': the first line of {word} {wrong}")
    if os.stat(found).st_mode & (stat.S_ISUID | stat.S_ISGID):
        raise UserError(f"{source.option} '{command}': {word} runs as another user or group (set-user-id), which can "
                        "neither be preloaded nor counted; give what it starts, or a copy without that bit")
    return os.path.abspath(found)


def from_here(name: str, here: str) -> str:
    """A name that leaves the directory by `../` becomes absolute, where something is there."""
    found = os.path.abspath(os.path.join(here, name))
    return found if name.startswith("../") and os.path.exists(found) else name


def local_word(word: str, here: str) -> str:
    """A name, or an option with one, as --file=../name."""
    option, equals, name = word.partition("=")
    return f"{option}={from_here(name, here)}" if equals and option.startswith("-") else from_here(word, here)


def local_path(value: str, here: str) -> str:
    """A name in the environment, or a list of them."""
    return ":".join(from_here(name, here) for name in value.split(":"))


def watched(program: str, words, here: str) -> tuple:
    """Files whose change changes the run: the program, what it is linked to, and what its words name."""
    named = (os.path.join(here, part) for word in words for part in (word, word.partition("=")[2]) if part)
    found = [program, os.path.realpath(program), *(os.path.abspath(name) for name in named)]
    return tuple(dict.fromkeys(name for name in found if os.path.isfile(name) and not set(name) & UNNAMEABLE
                               and not name.startswith(OF_THE_KERNEL)))


def server(name: str, path: str, command: str, weight: int, source: Source) -> Workload:
    """A row for a server's file. Its programs are looked up when it runs; those that are here now are watched."""
    from common import serve
    described = serve.load(path)
    try:
        found = [serve.find_program(words[0], described) for words in (described.start, described.load, described.held)
                 if words and "{" not in words[0]]
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return Workload(name=name, role=source.role, weight=weight, timeout=described.timeout,
                    command=tuple(described.start), sentence=f"your own server: {command}", own=True, server=path,
                    watch=tuple(dict.fromkeys([path, *map(os.path.realpath, found), *filter(os.path.isfile, [
                        os.path.join(os.path.dirname(path), described.input)])])))


def workload(name: str, command: str, weight: int, source: Source) -> Workload:
    """A row for a command, or for a server's file."""
    words = split(command, source)
    if len(words) == 1 and words[0].endswith(".toml"):
        path = os.path.abspath(os.path.join(source.here, words[0]))
        return server(name, path, command, weight, source)
    environment, rest = take_environment(words, command, source)
    if rest and rest[0].endswith(".toml"):
        raise UserError(f"{source.option} '{command}': a server's file stands alone; its environment and the words of "
                        "its programs are in it")
    if not rest:
        raise UserError(f"{source.option} '{command}': no such program; give a command that runs from {source.here}, "
                        "without a shell")
    if wrong := own_setting(environment):
        raise UserError(f"{source.option} '{command}': {wrong}")
    environment = {key: local_path(value, source.here) for key, value in environment.items()}
    environment.setdefault("PATH", os.environ.get("PATH", os.defpath))
    program = find_program(rest[0], command, source, environment["PATH"])
    return Workload(name=name, role=source.role, weight=weight, wall=True, timeout=source.timeout, env=environment,
                    command=(program, *(local_word(word, source.here) for word in rest[1:])),
                    sentence=f"your own command: {command}",
                    own=True, here=str(Path(source.here)), watch=watched(program, rest[1:], source.here))
