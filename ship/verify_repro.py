# SPDX-License-Identifier: MIT
"""Build the shipped directory again from its own profile, twice, in directories of different names and lengths, and
compare the bytes with each other and with what was shipped. With --clones without any profile: each of the two trains,
measures and judges for itself."""

import itertools
import sys
import tempfile
from pathlib import Path

from common import clone, files, proc
from common.arguments import Parser
from common.errors import Failure, UserError, guard, tell
from common.paths import PYTHON, ROOT
from plan import model

EXAMPLE = "example: python3 -m ship.verify_repro --dist dist"
PLACES = ("a", "a-second-place/with a longer name")
LEFT_OUT = ("results",)     # of the sources: what ships does not depend on it
ALL = "all"
SHOWN = 80                  # characters of a line


def build(place: Path, dist: Path) -> Path:
    """A clean copy of the sources in `place`, built from the shipped profile. Returns its dist."""
    tell(f"building in '{place.name}' from the profile in {dist}")
    clone.copy(place, LEFT_OUT)
    first = files.read_fields(dist / "repeat" / "repeat.json", "toolchain", "variant")
    proc.run([*PYTHON, "configure.py", f"--variant={first['variant']}",
              f"--toolchain={first['toolchain']}", f"--repeat={dist / 'repeat'}"], cwd=place)
    proc.run(["ninja", "ship"], cwd=place, timeout=1800)
    return place / "dist"


def build_anew(place: Path, toolchain: str, arguments) -> Path:
    """A clean copy of the sources in `place`, trained and built there. Returns its dist."""
    clone.copy(place, LEFT_OUT)
    proc.run([*PYTHON, "configure.py", f"--variant={arguments.variant}", f"--toolchain={toolchain}",
              f"--workloads={arguments.workloads}"], cwd=place)
    proc.run(["ninja", "ship"], cwd=place, timeout=3600)
    return place / "dist"


def sums_of(directory: Path) -> dict:
    """Name -> digest, by its SHA256SUMS."""
    found = {}
    for number, line in enumerate((directory / "SHA256SUMS").read_text(errors="replace").splitlines(), 1):
        digest, gap, name = line.partition("  ")
        if not gap:
            raise UserError(f"{directory}/SHA256SUMS line {number} is not of sha256sum: ship again by `make pgo`")
        found[name] = digest
    return found


def differences(one: Path, other: Path) -> list:
    """Names in SHA256SUMS whose content differs, or that only one side has."""
    sums = [sums_of(directory) for directory in (one, other)]
    return sorted(name for name in sums[0].keys() | sums[1].keys() if sums[0].get(name) != sums[1].get(name))


def first_difference(one: Path, other: Path, name: str) -> str:
    """The name of a file, and of text the first lines that differ."""
    try:
        sides = [(place / name).read_text().splitlines() for place in (one, other)]
    except (UnicodeDecodeError, FileNotFoundError):
        return name
    pairs = enumerate(itertools.zip_longest(*sides, fillvalue=""), 1)
    return next((f"{name} (line {number}: `{old.strip()[:SHOWN]}` and `{new.strip()[:SHOWN]}`)"
                 for number, (old, new) in pairs if old != new), name)


def told(one: Path, other: Path) -> str:
    """What differs, for a sentence; "" when nothing does."""
    return ", ".join(first_difference(one, other, name) for name in differences(one, other))


def parse(argv):
    """Command line."""
    parser = Parser(prog="ship.verify_repro", usage=f"{EXAMPLE}\n\n       %(prog)s [options]",
                    description=__doc__)
    parser.add_argument("--dist", type=Path, default=ROOT / "dist", help="the shipped directory (default: dist)")
    parser.add_argument("--clones", action="store_true", help="two clones that share no profile, instead of dist")
    parser.add_argument("--toolchain", default="clang", choices=(*model.TOOLCHAINS, ALL), help="of the clones")
    parser.add_argument("--variant", default="bench_minimal", help="of the clones")
    parser.add_argument("--workloads", default="", metavar="A,B", help="only these rows, in the clones")
    return parser.parse_args(argv)


def report(dist: Path, how: str):
    """What was shown."""
    count = len((dist / "SHA256SUMS").read_text().splitlines())
    print(f"reproduced: {count} files in {len(PLACES)} directories, {how}; libhakmem.so "
          f"{files.sha256(dist / 'libhakmem.so')}")


def compare_clones(toolchain: str, arguments) -> str:
    """Two clones that know nothing of each other ship the same; else the sentence that says what differs."""
    with tempfile.TemporaryDirectory(prefix="hakmem-repro.") as scratch:
        built = []
        for place in PLACES:
            tell(f"training with {toolchain} and building in '{place}'")
            built.append(build_anew(Path(scratch) / place, toolchain, arguments))
        if wrong := told(*built):
            return f"two clones that trained with {toolchain}, each for itself, differ in {wrong}"
        report(built[0], f"each trained for itself with {toolchain}")
        return ""


def main(argv) -> int:
    """0 when every byte is the same."""
    arguments = parse(argv)
    model.check_variant(ROOT, arguments.variant)
    if arguments.clones:
        chosen = model.TOOLCHAINS if arguments.toolchain == ALL else (arguments.toolchain,)
        wrong = [sentence for toolchain in chosen if (sentence := compare_clones(toolchain, arguments))]
        if wrong:
            raise Failure("; ".join(wrong))
        return 0
    dist = arguments.dist.resolve()
    if not (dist / "SHA256SUMS").exists():
        raise UserError(f"{dist} holds no SHA256SUMS: run `make pgo` first")
    sums_of(dist)
    with tempfile.TemporaryDirectory(prefix="hakmem-repro.") as scratch:
        built = [build(Path(scratch) / place, dist) for place in PLACES]
        for label, one, other in (("two clean builds", built[0], built[1]), ("a clean build and dist", built[0], dist)):
            if wrong := told(one, other):
                raise Failure(f"{label} differ in {wrong}")
    report(dist, "each byte as shipped")
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
