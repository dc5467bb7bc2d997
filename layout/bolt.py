# SPDX-License-Identifier: MIT
"""Run llvm-bolt on the library with exact counts, and refuse a result whose hot functions it did not profile.

BOLT skips a function that it cannot analyse without failing, and a skipped malloc is a stage that did nothing.
So it also writes the profile as it understood it (-w), and each of malloc, free, calloc, realloc must be there.
"""

import sys
import tempfile
from pathlib import Path

import yaml

from common import files, proc, tools
from common.arguments import Parser
from common.errors import Failure, UserError, guard
from measure import elf
from layout.fdata import REQUIRED

# Why each: docs/pipeline.md. No -hugify and no -use-gnu-stack; -icf=safe keeps function pointers distinct.
FLAGS = ("-reorder-blocks=ext-tsp", "-reorder-functions=cdsort", "-split-functions", "-split-all-cold",
         "-icf=safe", "-use-old-text", "--no-huge-pages", "--align-text=64", "-update-debug-sections",
         "--bolt-info=0", "-dyno-stats")


def profiled(text: str) -> dict:
    """Function name -> times entered, from the profile that BOLT writes back."""
    try:
        return {row["name"]: int(row["exec"]) for row in yaml.load(text, yaml.CSafeLoader)["functions"]}
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise Failure(f"what BOLT wrote back is no profile ({error})") from None


def without_counts(library: elf.Elf, counted: dict, required=REQUIRED) -> list:
    """Required functions that BOLT did not profile under any of their names: gcc adds `free.localalias` to free,
    and BOLT puts /N behind the names of local symbols."""
    addresses = {symbol.name: symbol.address for symbol in library.symbols if symbol.is_function}
    profiled_at = {addresses.get(name.partition("/")[0]) for name, times in counted.items() if times}
    return [name for name in required if addresses.get(name) is None or addresses[name] not in profiled_at]


def check_input(library: elf.Elf):
    """Failure when BOLT could not do its work on this library, or would do it silently wrong."""
    if not any(section.name == ".rela.text" for section in library.sections):
        raise Failure(f"{library.path} has no relocations for its text: link it with -Wl,--emit-relocs")
    if library.tag("DT_INIT") is None and library.tag("DT_INIT_ARRAY") is None:
        raise Failure(f"{library.path} has neither DT_INIT nor DT_INIT_ARRAY: link it with the compiler's start files")


def optimise(source: Path, fdata: Path, output: Path, flags=FLAGS):
    """Write the optimised library and its log; content-stable."""
    if not fdata.exists():
        raise UserError(f"{fdata} is missing: make it with `python3 -m layout.fdata`")
    library = elf.read(source)
    check_input(library)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="hakmem-bolt.") as scratch:
        made, profile = Path(scratch) / "out.so", Path(scratch) / "profile.yaml"
        proc.run([tools.require("llvm-bolt"), str(source), "-data", str(fdata), "-w", str(profile), "-o", str(made),
                  *flags], log=output.with_suffix(".log"), timeout=120)
        missing = without_counts(library, profiled(profile.read_text()))
        if missing:
            raise Failure(f"BOLT has no counts for {', '.join(missing)} of {source}: build its input without sibling "
                          f"calls and without -fno-plt; log: {output.with_suffix('.log')}")
        files.write_atomic(output, made.read_bytes(), 0o755)


def main(argv) -> int:
    parser = Parser(
        prog="layout.bolt",
        description="example: python3 -m layout.bolt --in B/bolt/input.so --fdata B/bolt/profile.fdata "
                    "-o B/bolt/libhakmem.so\n\nOptimise a library with BOLT, and check that it was profiled.")
    parser.add_argument("--in", dest="source", type=Path, required=True, help="library linked with --emit-relocs")
    parser.add_argument("--fdata", type=Path, required=True, help="profile of layout.fdata")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args(argv)
    optimise(arguments.source, arguments.fdata, arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
