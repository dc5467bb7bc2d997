"""What each variant makes of each misuse, measured, as the table in docs/reliability.md."""

import argparse
import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from common import files, model
from common.errors import Failure, UserError, guard
from common.paths import BUILD, ROOT

PAGE = ROOT / "docs" / "reliability.md"
PROGRAM = BUILD / "tests" / "misuse"
BEGIN = "<!-- begin: python3 -m tests.misuse.table -->\n"
END = "<!-- end -->\n"
# One line; behind it the ring of events, in variants that have it.
LINE = re.compile(r"hakmem: fatal: [^\n]*\n(hakmem: trace: [^\n]*\n)*")
FEATURES = ("link_checks", "harden", "checks")      # that decide over misuse
DETECTED, HARMLESS, UNDETECTED = "detected", "harmless", "**undetected**"
TIMEOUT = 60


@dataclass(frozen=True)
class Misuse:
    """One argument of tests/misuse/misuse.c."""
    name: str
    sentence: str


@dataclass(frozen=True)
class End:
    """How a run ended: its status, as subprocess has it, and what was on stderr."""
    status: int
    said: str

    def outcome(self) -> str:
        """Detected is one line and SIGABRT; harmless that the program goes on and finds nothing wrong."""
        if self.status == -signal.SIGABRT and LINE.fullmatch(self.said):
            return DETECTED
        return HARMLESS if self.status == 0 else UNDETECTED


def misuses() -> list:
    """All of them, in the program's order."""
    if not PROGRAM.exists():
        raise UserError(f"{PROGRAM} is missing: run `make tests`")
    listed = subprocess.run([PROGRAM, "list"], capture_output=True, text=True, check=True, timeout=TIMEOUT).stdout
    return [Misuse(*line.split("\t")) for line in listed.splitlines()]


def run(so: Path, misuse: Misuse) -> End:
    """One misuse under one library. Its path must hold neither space nor colon: LD_PRELOAD splits there."""
    done = subprocess.run([PROGRAM, misuse.name], env={**os.environ, "LD_PRELOAD": str(so)}, timeout=TIMEOUT,
                          stdin=subprocess.DEVNULL, capture_output=True)
    return End(done.returncode, done.stderr.decode(errors="replace"))


def groups(variants) -> dict:
    """The variants that treat misuse alike: features -> names, the fewest checks first."""
    found = {}
    for name, variant in variants.items():
        found.setdefault(tuple(variant.features[feature] for feature in FEATURES), []).append(name)
    return dict(sorted(found.items()))


def measure(libraries, kinds) -> dict:
    """(library, misuse) -> End. Two at a time: most of each is start-up."""
    jobs = [(so, kind) for kind in kinds for so in libraries]
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(jobs, pool.map(lambda job: run(*job), jobs)))


def render(heads, rows) -> str:
    """The table: a row is a Misuse and its outcomes."""
    lines = [f"| misuse | what is done | {' | '.join(heads)} |", f"| --- | --- |{' --- |' * len(heads)}"]
    lines += [f"| {kind.name} | {kind.sentence} | {' | '.join(outcomes)} |" for kind, outcomes in rows]
    return "\n".join(lines) + "\n"


def measured_table(toolchain="clang") -> str:
    """The table of the libraries as they are built: one of each group."""
    together = groups(model.load_variants(ROOT)).values()
    libraries = [BUILD / f"{toolchain}-{names[0]}" / "base" / "libhakmem.so" for names in together]
    for so in libraries:
        if not so.exists():
            raise UserError(f"{so} is missing: run `make all`")
    kinds = misuses()
    ends = measure(libraries, kinds)
    rows = [(kind, [ends[so, kind].outcome() for so in libraries]) for kind in kinds]
    return render([", ".join(f"`{name}`" for name in names) for names in together], rows)


def read(page: str) -> dict:
    """(misuse, sentence) -> variant -> outcome, as the page says."""
    heads, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")]
                       for line in page.split(BEGIN)[1].split(END)[0].strip().splitlines()]
    return {(name, sentence): {variant: outcome for head, outcome in zip(heads[2:], outcomes)
                               for variant in re.findall("`(.*?)`", head)}
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
    parser = argparse.ArgumentParser(
        prog="tests.misuse.table", formatter_class=argparse.RawDescriptionHelpFormatter,
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
