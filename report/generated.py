# SPDX-License-Identifier: MIT
"""The command line of what writes a page of docs/ from a table of core/, or checks that it is as the table says."""

import functools
from pathlib import Path

from common import files
from common.arguments import Parser
from common.errors import Failure
from common.paths import ROOT
from plan.model import load_features


def feature(needs: str) -> str:
    """What a row needs, by its name in variants/features.toml."""
    return "-" if needs == "ANY" else f"`{names()[f'HAK_{needs}']}`"


@functools.cache
def names() -> dict:
    """Macro -> name of a feature."""
    return {row.macro: row.name for row in load_features(ROOT)}


def keep(argv, module: str, table: str, page: Path, text: str) -> int:
    """Write the page, or with --check only compare. `module` is the program's name, `table` the source."""
    parser = Parser(
        prog=module,
        description=f"example: python3 -m {module}\n\nWrite docs/{page.name} from {table}.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the page is out of date")
    parser.add_argument("-o", "--output", type=Path, default=page)
    arguments = parser.parse_args(argv)
    if not arguments.check:
        files.write_atomic(arguments.output, text)
    elif not arguments.output.exists() or arguments.output.read_text() != text:
        raise Failure(f"{arguments.output} is out of date: run python3 -m {module}")
    return 0
