# SPDX-License-Identifier: MIT
"""The command line of every tool: a wrong option is a wrong request like any other, one sentence and exit 2."""

import argparse
import re
import sys
from pathlib import Path

from common import files
from common.errors import UserError, given

ELF_MAGIC = b"\x7fELF"
LONGEST_WAIT = 2_000_000        # seconds, 23 days: the system waits for 2^31 milliseconds at most
MOST_WEIGHT = 1_000_000


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that does not print its whole usage for a mistyped word, and prints descriptions as they are
    written. Every tool has the option --no-run: make asks with it before it builds what the tool needs. `check` is then
    called with what was given: it says what can be said without that."""

    def __init__(self, *, check=None, formatter_class=argparse.RawDescriptionHelpFormatter, **more):
        super().__init__(formatter_class=formatter_class, **more)
        self.check = check
        self.add_argument("--no-run", action="store_true", help="see whether these options are right, and do nothing")

    def parse_known_args(self, args=None, namespace=None):
        found, rest = super().parse_known_args(args, namespace)
        if found.no_run and not rest:
            if self.check is not None:
                self.check(found)
            self.exit()
        return found, rest

    def error(self, message):
        raise UserError(f"{message}; see --help")


def at_least(least, kind=int, most=sys.float_info.max):
    """The type of an option that is a number within bounds; neither an infinite one nor none."""
    what = "a whole number" if kind is int else "a number"
    bounds = f"{what} of at least {least}" + (f" and at most {most}" if most < sys.float_info.max else "")

    def convert(word: str):
        try:
            value = kind(word)
        except ValueError:
            value = None
        if value is None or not least <= value <= most:
            raise argparse.ArgumentTypeError(f"must be {bounds}, not '{word}'")
        return value

    return convert


def weights(word: str) -> tuple:
    """The type of an option that is a list of weights, with commas or spaces between them."""
    return tuple(at_least(1, most=MOST_WEIGHT)(part) for part in re.split(r"[,\s]+", word.strip()) if part)


def check_weights(given_weights, number: int):
    """UserError when there is not one for each of so many commands."""
    if given_weights and len(given_weights) != number:
        raise UserError(f"--weights {','.join(map(str, given_weights))}: {len(given_weights)} for {number} "
                        f"command{'s' * (number != 1)}; give one for each, in their order")


def shared_library(word: str) -> Path:
    """The type of an option that is a shared library. ld.so leaves out what is none with a warning, and a run would
    measure the C library's malloc under its name."""
    with given(word):
        try:
            with open(word, "rb") as stream:
                magic = stream.read(len(ELF_MAGIC))
        except FileNotFoundError:
            raise UserError(f"{word} is missing: build it first, or give another library") from None
    if magic != ELF_MAGIC:
        raise UserError(f"{word} is no shared library: give a .so")
    return Path(word)


def result_file(word: str) -> Path:
    """The type of an option that is a file to write, behind work that would be lost."""
    files.check_place(word)
    return Path(word)


def seconds(least=1, kind=float):
    """The type of an option that is a time to wait."""
    return at_least(least, kind, LONGEST_WAIT)
