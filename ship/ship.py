# SPDX-License-Identifier: MIT
"""Make the shipped directory: the library that the gates chose, stripped, with all that is needed to use, debug,
check and repeat it. It is built beside its final place, checked, and then renamed into it."""

import os
import re
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

from common import files, proc, tools
from common.arguments import Parser
from common.errors import Failure, UserError, guard
from common.machine import machine
from common.paths import EXPORTS, PYTHON, ROOT
from common.tree import LIBRARY, Tree, build_tree
from plan.gate import repeated
from pgo import kinds

EXAMPLE = ("example: python3 -m ship.ship --build build/clang-bench_minimal --toolchain clang "
           "--variant bench_minimal -o dist")
VERSIONED_TOOLS = ("ld.lld", "llvm-bolt", "llvm-strip")
PLACE = "PWD=/proc/self/cwd"    # build.ninja.in: the last word in front of a compiler
MADE = ".made"      # behind the name of a directory that is being filled
# What needs a dynamic linker to find the next definition of a name. With the archive a program has libstdc++'s own
# operator new, which calls malloc.
ONLY_SHARED = ("core/api/new.o", "core/api/deepbind.o", "core/api/kinds.o")
_VERSION = re.compile(r'^#define HAKMEM_VERSION_STRING "([^"]+)"', re.MULTILINE)


def version(root=ROOT) -> str:
    """The project's version, which the library itself also reports."""
    found = _VERSION.search((root / "include" / "hakmem.h").read_text())
    if not found:
        raise Failure('include/hakmem.h: no line `#define HAKMEM_VERSION_STRING "..."`')
    return found[1]


def ship_library(source: Path, directory: Path):
    """The stripped library, its debug file, and the name that the linker recorded.

    GNU strip breaks BOLT's files, and llvm-objcopy --only-keep-debug crashes on them, so the debug file is the whole
    library with its symbols: debuggers take that as well.
    """
    debug, target = directory / f"{LIBRARY}.debug", directory / LIBRARY
    objcopy = tools.require("llvm-objcopy")
    proc.run([objcopy, source, debug])
    proc.run([tools.require("llvm-strip"), "--strip-all", source, "-o", target])
    proc.run([objcopy, f"--add-gnu-debuglink={debug.name}", target.name], cwd=directory)
    target.chmod(0o755)
    debug.chmod(0o644)
    (directory / f"{LIBRARY}.0").symlink_to(LIBRARY)


def ship_archive(objects, directory: Path):
    """One relocatable object in which only the API is visible: internal names cannot clash with a program's."""
    whole = directory / "hakmem.o"
    archived = [name for name in objects if not str(name).endswith(ONLY_SHARED)]
    proc.run([tools.require("ld.lld"), "-r", *archived, "-o", whole])
    proc.run([tools.require("llvm-objcopy"), "--localize-hidden", "--strip-debug", whole])
    proc.run([tools.require("llvm-ar"), "rcsD", "libhakmem.a", whole.name], cwd=directory)
    whole.unlink()


def ship_repeat(tree: Tree, toolchain: str, variant: str, directory: Path):
    """What `configure.py --repeat` repeats this build from. Its record names the present sources, and not the
    instrumented library: gcc's holds the path of the clone, so that two clones would ship different bytes."""
    merged = tree.profile(toolchain).relative_to(tree.root)
    for name in (*repeated(tree.has_policy), merged):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(tree.root / name, directory / name)
    record = kinds.read_record(tree.profile(toolchain))
    record["provenance"]["source"] = files.source_hash(ROOT)
    record["instrumented"] = ""
    files.write_json(kinds.record_path(directory / merged), record)
    files.write_json(directory / "repeat.json", {"schema": 1, "toolchain": toolchain, "variant": variant})


def tool_versions(toolchain: str) -> dict:
    """The version line of each tool that made the library."""
    versions = {toolchain: kinds.compiler_version(toolchain)}
    for name in VERSIONED_TOOLS:
        output = proc.run([tools.require(name), "--version"]).stdout
        versions[name] = next((line.strip() for line in output.splitlines() if any(c.isdigit() for c in line)), "")
    return versions


def build_command(target: str) -> str:
    """How ninja makes a file, without what stands in front of the compiler for all of them."""
    lines = proc.run([tools.require("ninja"), "-t", "commands", "-s", target], cwd=ROOT).stdout.splitlines()
    words = shlex.split(lines[-1].partition(" && ")[0]) if lines else []
    return shlex.join(words[words.index(PLACE) + 1:] if PLACE in words else words)


def chain_of(gates: dict) -> list:
    """The stages whose work is in the library."""
    return ["base", *(stage for stage, gate in gates.items() if gate["accepted"])]


def manifest(tree: Tree, toolchain: str, variant: str, shipped: dict, objects) -> dict:
    """What was shipped and from what."""
    gates = {stage: files.read_fields(tree.gate(stage), "accepted") for stage in tree.stages[1:]}
    profile = tree.profile(toolchain)
    return {
        "schema": 1, "name": "hakmem", "version": version(), "toolchain": toolchain, "variant": variant,
        "stage": shipped["stage"], "chain": chain_of(gates), "machine": machine().platform,
        "gates": {stage: {key: gate.get(key) for key in ("verdict", "accepted", "sentence")}
                  for stage, gate in gates.items()},
        "tools": tool_versions(toolchain), "source": files.source_hash(ROOT),
        "profile": {"sha256": files.sha256(profile), "factors": kinds.read_record(profile).get("factors")},
        "commands": {"compile": build_command(objects[0]), "link": build_command(str(tree.bolt_input))},
    }


def checksums(directory: Path) -> str:
    """SHA256SUMS, as sha256sum writes and checks it."""
    names = sorted(str(path.relative_to(directory)) for path in directory.rglob("*")
                   if path.is_file() and not path.is_symlink())
    return "".join(f"{files.sha256(directory / name)}  {name}\n" for name in names)


def chosen(tree: Tree) -> tuple:
    """What the gates chose: the stage with its library, and the objects that the library was linked from."""
    listed = tree.select("objects.rsp")
    try:
        objects = listed.read_text().split()
    except UnicodeDecodeError:
        objects = []
    if not objects:
        raise Failure(f"{listed} lists no objects: delete it and build again")
    return files.read_fields(tree.select("ship.json"), "stage", "so"), objects


def fill(tree: Tree, toolchain: str, variant: str, directory: Path):
    """Everything that ships, and the checks on the library."""
    shipped, objects = chosen(tree)
    ship_library(Path(shipped["so"]), directory)
    proc.run([*PYTHON, "-m", "layout.artifact", "--so", directory / LIBRARY, "--map", EXPORTS], cwd=ROOT)
    ship_archive(objects, directory)
    shutil.copyfile(ROOT / "include" / "hakmem.h", directory / "hakmem.h")
    shutil.copyfile(ROOT / "LICENSE", directory / "LICENSE")
    template = (ROOT / "ship" / "hakmem.pc.in").read_text()
    (directory / "hakmem.pc").write_text(template.replace("@version@", version()))
    ship_repeat(tree, toolchain, variant, directory / "repeat")
    files.write_json(directory / "manifest.json", manifest(tree, toolchain, variant, shipped, objects))
    (directory / "SHA256SUMS").write_text(checksums(directory))


def replace(made: Path, directory: Path):
    """Put the new directory in place of the old one; an equal one stays, with its time stamps."""
    sums = directory / "SHA256SUMS"
    if sums.is_file() and sums.read_bytes() == (made / "SHA256SUMS").read_bytes() and \
            checksums_hold(directory, sums.read_text()):
        return
    files.replace_directory(made, directory)


def checksums_hold(directory: Path, sums: str) -> bool:
    """Whether every file is there with its recorded content."""
    rows = [line.split("  ", 1) for line in sums.splitlines()]
    return all((directory / name).is_file() and files.sha256(directory / name) == digest for digest, name in rows)


def parse(argv):
    """Command line."""
    parser = Parser(prog="ship.ship", usage=f"{EXAMPLE}\n\n       %(prog)s [options]",
                    description=__doc__)
    parser.add_argument("--build", required=True, type=build_tree, metavar="B", help="the build tree")
    parser.add_argument("--toolchain", required=True, choices=kinds.KINDS)
    parser.add_argument("--variant", required=True)
    parser.add_argument("-o", dest="out", required=True, type=Path, help="the directory to make")
    return parser.parse_args(argv)


def main(argv) -> int:
    """Ship. Through a link in place of dist, the directory behind it is replaced; what ships may be read by all,
    whatever the umask is."""
    arguments = parse(argv)
    os.umask(0o022)
    choice, out = Tree(arguments.build).select("ship.json"), Path(os.path.realpath(arguments.out))
    if not choice.exists():
        raise UserError(f"{choice} is missing: the gates have not chosen; run `make pgo`")
    if out.exists() and not out.is_dir():
        raise UserError(f"{arguments.out} is not a directory: move it away, it is where the library ships to")
    out.parent.mkdir(parents=True, exist_ok=True)
    for left in out.parent.glob(f".{out.name}.*{MADE}"):      # of a run that was killed
        shutil.rmtree(left, ignore_errors=True)
    made = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=MADE, dir=out.parent))
    made.chmod(0o755)
    try:
        fill(Tree(arguments.build), arguments.toolchain, arguments.variant, made)
        replace(made, out)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
