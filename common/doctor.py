# SPDX-License-Identifier: MIT
"""Show every tool, its version, what it is needed for and how to get it; install what is missing."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from common import proc, tools as discovery, workloads
from common.arguments import Parser
from common.errors import LIFT_FILE_LIMIT, Failure, UserError, file_limit, guard
from common.paths import ROOT

# Another apt-get may run, that of a `make` that was killed among them: wait for it.
INSTALL = ["apt-get", "install", "-y", "--no-install-recommends", "-qq", "-o", "DPkg::Lock::Timeout=600"]
APT_TIMEOUT = 1800
LEAST_FILE = 128 << 20      # the counters of a training run have 65 MiB, without what a workload writes
DEBIANS = "/usr/bin/python3"
EXAMPLE = """example: python3 -m common.doctor                      show the table
         python3 -m common.doctor --install --group build   install what `make pgo` lacks (as root)"""


@dataclass(frozen=True)
class Need:
    """One thing the machine must have, and where it is ("" when missing)."""
    name: str
    found: str
    need: str
    package: str
    consequence: str = ""

    @property
    def lacking(self) -> bool:
        """True when work stops without it."""
        return not self.found and not self.consequence


def workload_needs(rows) -> list:
    """The programs that the workloads run, one Need a package and program."""
    seen = {}
    for row in rows:
        if row.package:
            program = row.command[0]
            need = Need(os.path.basename(program), shutil.which(program) or "", "", row.package)
            seen.setdefault((need.name, row.package), (need, []))[1].append(row.name)
    return [Need(need.name, need.found, f"runs the workload{'s' if len(names) > 1 else ''} {', '.join(names)}",
                 need.package) for need, names in seen.values()]


def gather(groups) -> list:
    """All needs of the groups."""
    table = discovery.load_tools()
    needs = [Need(tool.name, discovery.find(tool.name, table), tool.need, tool.package, tool.consequence)
             for tool in table.values() if tool.group in groups]
    return needs + workload_needs(workloads.load_table(ROOT))


VERSION = re.compile(r"\d+(\.\d+)+|version v?\d+", re.IGNORECASE)
NO_ANSWER = re.compile(r"unrecogni[sz]ed|unknown (option|argument)|invalid option|illegal option|usage:|error|"
                       r"not found|unsupported|no such", re.IGNORECASE)
ASK = ("--version", "-version", "-V", "-v")     # ghostscript, java and tmux know others than the first


def version_line(status: int, text: str) -> str:
    """The first line with a number that looks like a version, unless the tool did not understand the question."""
    lines = [line.strip() for line in text.splitlines()]
    if status != 0 or any(NO_ANSWER.search(line) for line in lines[:3]):
        return ""
    lines = [line for line in lines if line and not line.startswith(("Copyright", "License"))]
    return next((line for line in lines if VERSION.search(line)), lines[0] if lines else "")[:48]


def ask(program: str, word: str, room: str) -> str:
    """What it answers; "" when it does not know the question."""
    try:
        output = proc.run([program, word], timeout=20, check=False, cwd=room)
    except (Failure, UserError):
        return "does not run"
    return version_line(output.returncode, output.stdout + output.stderr)


def version_of(need: Need) -> str:
    """What the program says of its version, the module's version, or what is known without running."""
    if not need.found:
        return "missing"
    if os.path.isabs(need.found) and os.access(need.found, os.X_OK):
        with tempfile.TemporaryDirectory(prefix="hakmem-ask.") as room:     # cc1 compiles its empty input as well
            return next(filter(None, (ask(need.found, word, room) for word in ASK)), "present")
    if os.path.isabs(need.found):
        return "present"
    module = __import__(need.found)
    return str(getattr(module, "__version__", "present"))


def print_table(needs, stream):
    """tool, version, what it is for, and the package where it is missing."""
    with ThreadPoolExecutor(max_workers=4) as pool:
        versions = list(pool.map(version_of, needs))
    widths = max(len(need.name) for need in needs), max(len(version) for version in versions)
    for need, version in zip(needs, versions):
        line = f"{need.name:{widths[0]}}  {version:{widths[1]}}  {need.need}"
        if not need.found:
            line += f" [apt-get install {need.package}]"
            if need.consequence:
                line += f" (optional: without it, {need.consequence})"
        print(line, file=stream)


def _apt(argv, label):
    print(f"doctor: {label}", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(argv, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=APT_TIMEOUT, text=True, check=False)
    except subprocess.TimeoutExpired:
        raise Failure(f"{argv[0]} {argv[1]} did not end within {APT_TIMEOUT} s") from None
    return done.returncode, done.stdout


def install(packages):
    """apt-get install, with one apt-get update when a package is not known yet."""
    command = f"apt-get install --no-install-recommends {' '.join(packages)}"
    if shutil.which("apt-get") is None:
        raise UserError(f"this machine has no apt-get; install what provides: {', '.join(packages)}")
    if os.geteuid() != 0:
        raise UserError(f"missing packages; run: sudo {command}")
    status, output = _apt([*INSTALL, *packages], f"installing {len(packages)} packages: {' '.join(packages)}")
    if status != 0:
        _apt(["dpkg", "--configure", "-a"], "finishing an installation that was interrupted")
        _apt(["apt-get", "update", "-qq"], "apt-get update")
        status, output = _apt([*INSTALL, *packages], "installing again")
    if status != 0:
        raise Failure(f"`{command}` failed with exit {status}{proc.tail(output)}")


def parse(argv):
    """Command line."""
    parser = Parser(prog="common.doctor", usage=f"{EXAMPLE}\n\n       %(prog)s [options]",
                    description=__doc__)
    parser.add_argument("--check", action="store_true", help="say nothing when all is there, else list what is not")
    parser.add_argument("--install", action="store_true", help="install what is missing (root), or print the command")
    parser.add_argument("--optional", action="store_true", help="--install takes the optional tools as well")
    parser.add_argument("--group", action="append", choices=discovery.GROUPS, default=None,
                        help="only the tools of this group (repeatable; all)")
    return parser.parse_args(argv)


def check_limits():
    """UserError where a compiler would end with pages of its own stack."""
    limit = file_limit()
    if limit is not None and limit < LEAST_FILE:
        raise UserError(f"a file may have {limit:,} bytes here, and a build writes some of {LEAST_FILE >> 20} MiB: "
                        f"{LIFT_FILE_LIMIT}")


def main(argv) -> int:
    """0 when every required tool is there; --install makes it so."""
    arguments = parse(argv)
    groups = arguments.group or discovery.GROUPS
    needs = gather(groups)
    if arguments.install:
        check_limits()
    if not (arguments.check or arguments.install):
        print_table(needs, sys.stdout)
    lacking = [need for need in needs if need.lacking]
    wanted = [need for need in needs if not need.found] if arguments.optional else lacking
    if arguments.install and wanted:
        install(sorted({need.package for need in wanted}))
        lacking = [need for need in gather(groups) if need.lacking]
        if lacking:
            own = os.path.realpath(sys.executable) == os.path.realpath(DEBIANS)
            why = "" if own else f"; Debian's modules are those of {DEBIANS}, and this is {sys.executable}"
            raise Failure(f"still missing after the installation: {', '.join(need.name for need in lacking)}{why}")
    if lacking:
        packages = " ".join(sorted({need.package for need in lacking}))
        raise UserError(f"missing: {', '.join(need.name for need in lacking)}; "
                        f"run: apt-get install --no-install-recommends {packages}")
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
