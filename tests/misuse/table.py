# SPDX-License-Identifier: MIT
"""What each variant makes of each misuse, measured, as the table in docs/reliability.md."""

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from common import files
from common.arguments import Parser
from common.errors import Failure, UserError, guard
from common.paths import BUILD, ROOT
from common.pool import Pool
from plan import model

PAGE = ROOT / "docs" / "reliability.md"
PROGRAM = BUILD / "tests" / "misuse"
BEGIN = "<!-- begin: python3 -m tests.misuse.table -->\n"
END = "<!-- end -->\n"
# One line; behind it the ring of events, in variants that have it.
LINE = re.compile(r"hakmem: fatal: [^\n]*\n(hakmem: trace: [^\n]*\n)*")
FEATURES = ("link_checks", "harden", "checks", "big_cache")      # that decide over misuse
DETECTED, STOPPED, HARMLESS, UNDETECTED = "detected", "stopped", "harmless", "**undetected**"
STOPPED_STATUS = 4                                  # of tests/misuse/misuse.c
SIZES = (8, 4096, 256 << 10, 5 << 20)              # bytes of the blocks that are misused
SAFE = {"HAKMEM_SAFE_FREE": "1"}
SAFE_HEAD = "`balanced` with `HAKMEM_SAFE_FREE=1`"
TIMEOUT = 60


@dataclass(frozen=True)
class Misuse:
    """One argument of tests/misuse/misuse.c."""
    name: str
    sentence: str
    sizes: tuple


@dataclass(frozen=True)
class Target:
    """A library, and the variables that are set for it: pairs."""
    so: Path
    environment: tuple = ()


@dataclass(frozen=True)
class End:
    """How a run ended: its status, as subprocess has it, and what was on stderr."""
    status: int
    said: str

    def outcome(self) -> str:
        """Detected is one line and SIGABRT; stopped that the program's access faults; harmless that the program goes on
        and finds nothing wrong."""
        if self.status == -signal.SIGABRT and LINE.fullmatch(self.said):
            return DETECTED
        if self.status == STOPPED_STATUS and not self.said:
            return STOPPED
        return HARMLESS if self.status == 0 else UNDETECTED


def misuses() -> list:
    """All of them, in the program's order."""
    if not PROGRAM.exists():
        raise UserError(f"{PROGRAM} is missing: run `make tests`")
    listed = subprocess.run([PROGRAM, "list"], capture_output=True, text=True, check=True, timeout=TIMEOUT).stdout
    rows = [line.split("\t") for line in listed.splitlines()]
    return [Misuse(name, sentence, SIZES if sized == "1" else SIZES[:1]) for name, sentence, sized in rows]


def run(target: Target, name: str, size: int) -> End:
    """One misuse under one library. Its path must hold neither space nor colon: LD_PRELOAD splits there."""
    done = subprocess.run([PROGRAM, name, str(size)], stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT,
                          env={**os.environ, **dict(target.environment), "LD_PRELOAD": str(target.so)})
    return End(done.returncode, done.stderr.decode(errors="replace"))


def groups(variants) -> dict:
    """The variants that treat misuse alike: features -> names, the fewest checks first."""
    found = {}
    for name, variant in variants.items():
        found.setdefault(tuple(variant.features[feature] for feature in FEATURES), []).append(name)
    return dict(sorted(found.items()))


def measure(targets, kinds) -> dict:
    """(target, misuse's name, size) -> End. Two at a time: most of each is start-up."""
    jobs = [(target, kind.name, size) for kind in kinds for size in kind.sizes for target in targets]
    with Pool(2) as pool:
        return dict(zip(jobs, pool.map(lambda job: run(*job), jobs)))


def cell(outcomes) -> str:
    """What comes of a misuse of blocks of each size: one word where that is the same for all."""
    return outcomes[0] if len(set(outcomes)) == 1 else ", ".join(outcomes)


def outcomes_of(text: str, count: int) -> list:
    """The outcomes that a cell stands for."""
    words = text.split(", ")
    return words if len(words) == count else words * count


def render(heads, rows) -> str:
    """The table: a row is a Misuse and its outcomes."""
    lines = [f"| misuse | what is done | {' | '.join(heads)} |", f"| --- | --- |{' --- |' * len(heads)}"]
    lines += [f"| {kind.name} | {kind.sentence} | {' | '.join(outcomes)} |" for kind, outcomes in rows]
    return "\n".join(lines) + "\n"


def measured_table(toolchain="clang") -> str:
    """The table of the libraries as they are built: one of each group."""
    together = groups(model.load_variants(ROOT)).values()
    targets = {", ".join(f"`{name}`" for name in names): Target(library(toolchain, names[0])) for names in together}
    targets[SAFE_HEAD] = Target(library(toolchain, "balanced"), tuple(SAFE.items()))
    kinds = misuses()
    ends = measure(targets.values(), kinds)
    rows = [(kind, [cell([ends[target, kind.name, size].outcome() for size in kind.sizes])
                    for target in targets.values()]) for kind in kinds]
    return render(list(targets), rows)


def library(toolchain, variant) -> Path:
    """That of a variant; it must be built."""
    so = BUILD / f"{toolchain}-{variant}" / "base" / "libhakmem.so"
    if not so.exists():
        raise UserError(f"{so} is missing: run `make all`")
    return so


def read(page: str) -> dict:
    """(misuse, sentence) -> variant, or SAFE_HEAD -> cell, as the page says."""
    heads, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")]
                       for line in page.split(BEGIN)[1].split(END)[0].strip().splitlines()]
    return {(name, sentence): {variant: outcome for head, outcome in zip(heads[2:], outcomes)
                               for variant in ([head] if head == SAFE_HEAD else re.findall("`(.*?)`", head))}
            for name, sentence, *outcomes in rows}


def replaced(page: str, table: str) -> str:
    """The page with another table between its marks."""
    try:
        before, rest = page.split(BEGIN)
        _, after = rest.split(END)
    except ValueError:
        raise UserError(f"{PAGE} must have one line '{BEGIN.strip()}' and one line '{END.strip()}'") from None
    return before + BEGIN + "\n" + table + "\n" + END + after


def main(argv) -> int:
    parser = Parser(
        prog="tests.misuse.table",
        description="example: python3 -m tests.misuse.table\n\nRun every misuse under every kind of variant and write "
                    "the table in docs/reliability.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the page says otherwise")
    parser.add_argument("--toolchain", default="clang", choices=model.TOOLCHAINS)
    arguments = parser.parse_args(argv)
    page = PAGE.read_text()
    text = replaced(page, measured_table(arguments.toolchain))
    if not arguments.check:
        files.write_atomic(PAGE, text)
    elif text != page:
        differ = [line for line in text.splitlines() if line not in page.splitlines()]
        raise Failure(f"{PAGE.relative_to(ROOT)} does not say what was measured (python3 -m tests.misuse.table): "
                      + "; ".join(differ))
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
