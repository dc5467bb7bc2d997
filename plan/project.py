# SPDX-License-Identifier: MIT
"""What all edges are made from: the tables, the configurations, and how a compiler is called for one of them."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from common import paths
from common.tree import Tree, stages_of
from common.workloads import RESOLVED
from plan.model import TOOLCHAINS

STEADY, WITNESS, FORGET, IDLE = (f"build/bench/{name}" for name in (
    paths.STEADY, paths.WITNESS, paths.FORGET, paths.IDLE))

SUMS = "SHA256SUMS"


@dataclass(frozen=True)
class Project:
    """Everything the plan is made from."""
    variants: Mapping
    sources: tuple          # of the library, in C
    workloads: tuple
    inputs: tuple
    programs: tuple         # names of bench/programs/bench_*.c
    tests: tuple
    configs: tuple = ()     # those that are built whole; the first ships to dist/
    repeat: str = ""        # the dist/repeat of an earlier build (`--repeat`), or ""
    policy: str = ""        # a policy file (`--policy`); of a repeated build the table that was made of it; or ""
    compiled: tuple = ()    # of libraries that it is judged by, the values that a build alone sets (plan.policy.builds)
    recordings: tuple = ()  # traces of build/inputs
    rare: tuple = ()        # those of the sources that run rarely

    @property
    def stages(self) -> tuple:
        """The stages whose libraries are built."""
        return stages_of(bool(self.policy))

    def ships_to(self, config) -> Path:
        """The first configuration ships to dist/, any further one below its own tree."""
        return Path("dist") if config == self.configs[0] else config.tree.dist

    def sums(self, config) -> Path:
        """The checksums of what a configuration ships: all of it is there when they are."""
        return self.ships_to(config) / SUMS


@dataclass(frozen=True)
class Config:
    """One toolchain and variant: a build tree."""
    toolchain: str
    variant: str

    @functools.cached_property
    def tree(self) -> Tree:
        """build/<toolchain>-<variant>"""
        return Tree(Path("build") / f"{self.toolchain}-{self.variant}")

    def objects(self, sources, stage) -> tuple:
        """The objects of a stage that compiles."""
        return tuple(self.tree.object(stage, source) for source in sources)

    def profile(self) -> Path:
        """The merged profile."""
        return self.tree.profile(self.toolchain)

    @property
    def names(self) -> dict:
        """The variables by which a tool is told whose files it makes."""
        return {"toolchain": self.toolchain, "variant": self.variant}


LEARNING = Config("clang", "learning")      # whose libraries policies are judged by


def flags_name(config) -> str:
    """The ninja variable with a configuration's compile flags."""
    return f"c_{config.toolchain}_{config.variant}"


def flag_lines(project) -> str:
    """Variables: the macros of each variant, and the flags of each toolchain and variant."""
    lines = []
    for name, variant in project.variants.items():
        lines.append(f"defines_{name} = {' '.join(variant.macros)}")
        for toolchain in TOOLCHAINS:
            lines.append(f"{flags_name(Config(toolchain, name))} = $flags_c $flags_all $flags_{toolchain} "
                         f"{variant.optimize(toolchain)} $defines_{name}")
    return "\n".join(lines)


def compiler(toolchain, language="c") -> str:
    """The ninja variable that names the compiler."""
    return {("clang", "c"): "$clang", ("gcc", "c"): "$gcc", ("gcc", "cxx"): "$gxx"}[toolchain, language]


def language(source) -> str:
    """Of a source, by its suffix."""
    return "c" if PurePosixPath(source).suffix == ".c" else "cxx"


def workload_needs(workload) -> tuple:
    """The files a run needs besides the library."""
    return (f"build/workload/{workload.name}.json", *(f"build/bench/{name}" for name in workload.programs()),
            *(f"build/inputs/{name}" for name in workload.inputs),
            *((RESOLVED.format(name=workload.name), *workload.watch) if workload.own else ()),
            *((FORGET,) if workload.server else ()))
