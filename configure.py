#!/usr/bin/python3 -Xutf8
# SPDX-License-Identifier: MIT
"""Write build.ninja: load the tables, plan the edges, then write atomically. It builds and runs nothing."""

import argparse
import os
import shlex
import sys
import time
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from common import early  # noqa: E402

if __name__ == "__main__":
    early.begin()

from common import files, tools, workloads  # noqa: E402
from common.arguments import Parser, check_weights, seconds, weights  # noqa: E402
from common.errors import UserError, guard  # noqa: E402
from common.paths import EXPORTS, PLACES, PYTHON, ROOT  # noqa: E402
from plan import model, ninja, own, plan, policy  # noqa: E402
from plan.gate import REPEATED_POLICY  # noqa: E402
from plan.project import Config, Project, flag_lines  # noqa: E402

TEMPLATE = "build.ninja.in"
LONGEST_OPTIONS = 100_000       # bytes; the system takes 128 KiB for a word, and a shell gets all of them in one
CLOCK_SLACK = 60        # seconds that a file may be ahead of the clock; ninja tries for ten
EXAMPLE = """example: ./configure.py --variant=bench_minimal                    one variant, clang
         ./configure.py --variant=minimal,debug --toolchain=all     two variants, both compilers
         ./configure.py --variant=bench_minimal --train 'redis-server --version'"""
# What the graph is made from: when one changes, ninja runs configure.py again before anything else.
INPUT_PATTERNS = ("configure.py", TEMPLATE, "plan/*.py", "common/paths.py", "common/serve.py", "common/tree.py",
                  "common/workloads.py", "common/tools.toml", "variants", "variants/*.toml",
                  "core/sources.toml", "bench/workloads.toml", "gate/gates.toml", "bench/programs", "tests/tests.toml")


def parse(argv):
    """Command line."""
    parser = Parser(
        prog="configure.py", usage=f"{EXAMPLE}\n\n       %(prog)s [options]", description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--variant", action="append", metavar="NAME", default=[],
                        help="a file of variants/ (repeatable, or a comma list, or `all`; without any "
                        f"{model.DEFAULT_VARIANT}, or what BENCH_MINIMAL=1 or 0 in the environment says)")
    parser.add_argument("--toolchain", default="clang", metavar="clang|gcc|all", help="compilers, or a comma list")
    parser.add_argument("--train", action="append", metavar="CMD", default=[],
                        help="a command of your own to train on, run without a shell (repeatable)")
    parser.add_argument("--weights", type=weights, default="", metavar="N,N",
                        help="how much each --train counts, in their order; without it all count alike")
    parser.add_argument("--holdout", action="append", metavar="CMD", default=[],
                        help="a command of your own to judge by, which is not trained on (repeatable)")
    parser.add_argument("--here", default="", metavar="DIR",
                        help="where relative names in these commands count from (where configure.py is called)")
    parser.add_argument("--timeout", type=seconds(kind=int), default=600, metavar="SECONDS",
                        help="when a run of such a command is killed; valgrind makes it some fifty times longer")
    parser.add_argument("--workloads", default="", metavar="A,B", help="only these rows of bench/workloads.toml")
    parser.add_argument("--launcher", default="", metavar="CMD", help="put before each compile, as in 'ccache'")
    parser.add_argument("--policy", default="", metavar="FILE",
                        help="a policy, such as `make learn` writes: a stage of its own, used if it pays")
    parser.add_argument("--repeat", default="", metavar="DIR",
                        help="a shipped dist/repeat to build with, in place of training, measuring and gating")
    return parser.parse_args(argv)


def choose(words, valid, what) -> tuple:
    """Names out of comma lists; `all` is every one; an unknown one, or none, is an error that lists the valid ones."""
    names = [name for word in words for name in word.split(",") if name]
    for name in names or [""]:
        if name not in valid and name != "all":
            raise UserError(f"unknown {what} '{name}'; valid {what}s: {', '.join(valid)}, all")
    return tuple(valid) if "all" in names else tuple(dict.fromkeys(names))


def what_runs(row) -> tuple:
    """Of an own row, what makes two of them the same."""
    return row.command, row.env, row.server


def has_held_load(row) -> bool:
    """Whether it is a server whose file has a load to judge by."""
    if not row.server:
        return False
    from common import serve
    return bool(serve.load(row.server).held)


def own_rows(arguments, chosen) -> tuple:
    """The rows of --train and --holdout. Together those of a role weigh as much as all others of that role, or more
    where their own weights need it."""
    check_weights(arguments.weights, len(arguments.train))
    rows = []
    for option, role, name in (("--train", "train", "user"), ("--holdout", "holdout", "held")):
        commands = list(getattr(arguments, option[2:]))
        if role == "holdout" and not commands:
            commands = [row.sentence.partition(": ")[2] for row in rows if has_held_load(row)]
        counts = role == "train" and arguments.weights or [1] * len(commands)
        others = max(sum(row.weight for row in chosen if row.role == role), sum(counts))
        shares = [-(-others * count // sum(counts)) for count in counts]
        source = own.Source(option, role, arguments.here or str(ROOT), arguments.timeout)
        rows += [own.workload(f"{name}{number}", command, share, source)
                 for number, (command, share) in enumerate(zip(commands, shares), 1)]
    for row in rows:
        if row.role == "holdout" and not has_held_load(row) and any(
                other.role == "train" and what_runs(other) == what_runs(row) for other in rows):
            raise UserError(f"--holdout: {row.sentence.partition(': ')[2]} is trained on as well; give another "
                            f"{'file, or a load as `held` in it' if row.server else 'command'}, or leave --holdout out")
    return tuple(rows)


def all_workloads(arguments) -> tuple:
    """(rows of the table, own rows)"""
    table = workloads.load_table(ROOT)
    chosen = workloads.select(table, [name for name in arguments.workloads.split(",") if name])
    rows = own_rows(arguments, chosen)
    if not any(row.role == "train" for row in chosen + rows):
        raise UserError("--workloads leaves nothing to train on; add a row with role \"train\" of "
                        "bench/workloads.toml")
    return chosen, rows


def repeated(directory, configs) -> str:
    """The absolute name of a directory that repeats this one configuration."""
    if not directory:
        return ""
    path = Path(directory).resolve()
    if not (path / "repeat.json").is_file():
        raise UserError(f"--repeat {directory}: it holds no repeat.json; give the repeat/ directory of a dist/")
    of = files.read_fields(path / "repeat.json", "toolchain", "variant")
    label = f"{of['toolchain']}-{of['variant']}"
    if [f"{config.toolchain}-{config.variant}" for config in configs] != [label]:
        raise UserError(f"--repeat {directory}: it is of {label}; configure exactly --variant={of['variant']} "
                        f"--toolchain={of['toolchain']}")
    return str(path)


def given_policy(arguments, repeat: str) -> str:
    """The absolute name of the policy file, which must be a good one; of a repeated build the table made of it."""
    if repeat:
        if arguments.policy:
            raise UserError("--policy and --repeat: what is repeated has its policy, or none; leave --policy out")
        table = Path(repeat) / REPEATED_POLICY[0]
        return str(table) if table.is_file() else ""
    if not arguments.policy:
        return ""
    path = Path(arguments.here or ROOT, arguments.policy).absolute()
    found = policy.read(path, policy.load_rows(ROOT))
    if not found.values:
        print(f"configure.py: {arguments.policy} sets nothing, as the defaults are best: there is no stage policy",
              file=sys.stderr)
        return ""
    learned_from = found.provenance.get("source", "")
    if learned_from and learned_from != files.source_hash(ROOT):
        print(f"configure.py: {arguments.policy} was learned with another source of the library; `make learn` learns "
              "it again", file=sys.stderr)
    return str(path)


def compiled(path: str, repeat: str, rows) -> tuple:
    """What the libraries must have compiled in by which a policy is judged; no command of the user's, no judge."""
    if not path or repeat or not rows:
        return ()
    table = policy.load_rows(ROOT)
    return policy.builds(policy.read(path, table).values, table)


def leftovers(project) -> tuple:
    """What an earlier configuration with a policy left, which would be taken for this one's."""
    return () if project.policy else tuple(path for config in project.configs for path in (
        config.tree.select("policy.json"), config.tree.library("policy"), config.tree.gate("policy")))


def load(arguments):
    """(Project, the user's own rows)"""
    variants = model.load_variants(ROOT)
    names = choose(arguments.variant, variants, "variant")
    toolchains = choose([arguments.toolchain], model.TOOLCHAINS, "toolchain")
    configs = tuple(Config(toolchain, name) for toolchain in toolchains for name in names)
    chosen, rows = all_workloads(arguments)
    inputs, recordings = workloads.load_inputs(ROOT), workloads.load_recordings(ROOT)
    needed = {name for row in (*chosen, *recordings) for name in row.inputs}
    for name in sorted(needed - {row.name for row in (*inputs, *recordings)}):
        raise UserError(f"bench/workloads.toml: no [[input]] makes '{name}'; valid inputs: "
                        f"{', '.join(row.name for row in inputs)}")
    programs = tuple(sorted(path.name for path in (ROOT / "bench" / "programs").glob("bench_*.c")))
    repeat = repeated(arguments.repeat, configs)
    sources, given = model.load_sources(ROOT), given_policy(arguments, repeat)
    project = Project(variants=variants, sources=sources.c, rare=sources.rare, workloads=chosen + rows, inputs=inputs,
                      recordings=recordings,
                      programs=programs, configs=configs,
                      tests=tuple(row for row in model.load_tests(ROOT, variants) if not row.program),
                      repeat=repeat, policy=given, compiled=compiled(given, repeat, rows))
    return project, rows


def template_values(project, argv) -> dict:
    """What the template's @names@ stand for. Both columns are linked by lld, which stands beside clang; of what no rule
    of this configuration is sure to run, the bare name will do."""
    table = tools.load_tools()
    needed = {"clang", "ld.lld", *(("gcc",) if any(config.toolchain == "gcc" for config in project.configs) else ())}
    found = {name: tools.require(name, table) if name in needed else tools.find(name, table) or name
             for name in ("clang", "ld.lld", "gcc", "g++", "ninja")}
    words = {"ninja": found["ninja"], "clang": found["clang"], "gcc": found["gcc"], "gxx": found["g++"],
             "llvm_bin": Path(found["clang"]).resolve().parent}
    values = {name: ninja.escape_value(shlex.quote(str(word))) for name, word in words.items()}
    return values | {
        "exports": EXPORTS, "places": PLACES, "python": ninja.escape_value(shlex.join(PYTHON)),
        "launcher": ninja.escape_value(parse(argv).launcher),
        "flags": f"configure_args = {ninja.escape_value(shlex.join(argv))}\n\n{flag_lines(project)}",
    }


def graph_inputs() -> tuple:
    """Files and directories whose change makes a new build.ninja."""
    return tuple(sorted(str(path.relative_to(ROOT)) for pattern in INPUT_PATTERNS for path in ROOT.glob(pattern)))


def written_files(project, rows) -> dict:
    """Small files of the build tree that follow from the configuration: name -> object."""
    made = {f"build/workload/{row.name}.json": row.as_dict() for row in project.workloads}
    made[workloads.CHOICE] = {"selected": [row.name for row in project.workloads if row not in rows],
                              "own": [row.as_dict() for row in rows]}
    made["build/configured.json"] = [{**config.names, "tree": str(config.tree)} for config in project.configs]
    return made


def check_surroundings(argv):
    """What would make a build.ninja that ninja cannot read, or never takes for new."""
    if any("\n" in word for word in argv):
        raise UserError("an option has a line's end in it, which build.ninja cannot hold; call it from another "
                        "directory, or leave it out")
    length = len(os.fsencode(shlex.join(argv)))
    if length > LONGEST_OPTIONS:
        raise UserError(f"the options have {length:,} bytes, more than {LONGEST_OPTIONS:,}, which ninja could not hand "
                        "on; put a long command into a script")
    for name in graph_inputs():
        ahead = (ROOT / name).stat().st_mtime - time.time()
        if ahead > CLOCK_SLACK:
            raise UserError(f"{name} is {ahead:,.0f} s newer than now: the clock was set back, or another one made it; "
                            f"set the clock, or run `touch {name}`")


def main(argv) -> int:
    """Configure. Options are kept in build.ninja, which calls this with the same ones."""
    if not parse(argv).variant:     # build.ninja keeps the choice, whatever the environment says later
        argv = [*argv, f"--variant={model.variant_of_knob(os.environ)}"]
    arguments = parse(argv)
    project, rows = load(arguments)
    check_surroundings(argv)
    made = written_files(project, rows)
    edges = [ninja.Edge(("build.ninja",), "configure", implicit=graph_inputs(), implicit_outputs=tuple(made)),
             *plan.plan(project)]
    text = ninja.render((ROOT / TEMPLATE).read_text(), template_values(project, argv), edges)
    for name, value in made.items():
        files.write_json(ROOT / name, value)
    for path in leftovers(project):
        (ROOT / path).unlink(missing_ok=True)
    files.write_atomic(ROOT / "build.ninja", text + "default all\n")
    return 0


def with_place(argv) -> list:
    """The arguments, with the present directory if it is not the clone: ninja calls again from there."""
    try:
        place = os.getcwd()
    except FileNotFoundError:
        raise UserError("the directory that it was called in is gone; call it from another one") from None
    return argv if place == str(ROOT) or any(word.startswith("--here") for word in argv) else [*argv, f"--here={place}"]


def from_anywhere(argv) -> int:
    """main, from the root of the clone."""
    argv = with_place(argv)
    os.chdir(ROOT)
    return main(argv)


if __name__ == "__main__":
    sys.exit(guard(from_anywhere, sys.argv[1:]))
