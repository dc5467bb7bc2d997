# SPDX-License-Identifier: MIT
"""The data that configure.py plans from: variants, features, sources, C tests. Parsed once, then never changed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from common import tables
from common.errors import UserError

TOOLCHAINS = ("clang", "gcc")
DEFAULT_VARIANT = "bench_minimal"       # of configure.py and of make alike
# BENCH_MINIMAL in the environment, when no variant is named: statistics, environment checks and event ring out, or in.
KNOB = {"": DEFAULT_VARIANT, "1": "bench_minimal", "0": "balanced"}
_MODE = re.compile(r'^MODE\("(\w+)", .*, (true|false)\)$', re.MULTILINE)
TEST_KINDS = ("preload", "linked", "unit", "plugin", "fuzz")
NAME = re.compile(r"\w+", re.ASCII)     # of a variant: it goes into names of files and of ninja's variables


@dataclass(frozen=True)
class Feature:
    """A switch that variants set: a 0/1 (or integer) macro that is always passed."""
    name: str
    macro: str
    default: bool | int
    sentence: str


@dataclass(frozen=True)
class Flags:
    """Extra compile flags of a variant."""
    common: tuple[str, ...] = ()
    clang: tuple[str, ...] = ()
    gcc: tuple[str, ...] = ()


@dataclass(frozen=True)
class Variant:
    """One file of variants/, completed with the features' defaults."""
    name: str
    sentence: str
    mode: str
    features: Mapping[str, int]
    flags: Flags
    macros: tuple[str, ...]

    def optimize(self, toolchain: str) -> str:
        """Its own compile flags."""
        return " ".join(self.flags.common + getattr(self.flags, toolchain))

    @property
    def for_size(self) -> str:
        """The compile flag of what runs rarely: where a variant is optimised, that is as small as it can be. (What a
        process has mapped of the library is a tenth of a small program's memory.)"""
        return "-Oz" if "-O2" in self.flags.common else ""


@dataclass(frozen=True)
class Sources:
    """core/sources.toml"""
    c: tuple[str, ...]              # the translation units of the library
    rare: tuple[str, ...] = ()      # those of them that run when a process begins, when it is asked something, or never


@dataclass(frozen=True)
class CTest:
    """A row of tests/tests.toml: how a C program is built and how it is run."""
    name: str
    sources: tuple[str, ...]
    kind: str
    sentence: str
    libs: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    variant: str = DEFAULT_VARIANT      # of the allocator that is compiled into it, where one is
    sanitize: str = ""
    layers: tuple[str, ...] = ()        # of core/ that are compiled into it; none named: all
    callbacks: str = ""     # the library is compiled for this sanitizer, but the test itself is the runtime it calls
    timeout: int = 30
    args: tuple[str, ...] = ()
    program: str = ""       # the row whose program this one runs; nothing is built for it then
    waits: bool = False     # for time to pass, more than it computes: runs beside those that compute

    @property
    def whitebox(self) -> bool:
        """Whether the allocator's sources are compiled into it."""
        return self.kind in ("unit", "fuzz")


@dataclass(frozen=True)
class _VariantFile:
    sentence: str
    mode: str
    features: Mapping[str, bool | int] = field(default_factory=dict)
    flags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def variant_of_knob(environment) -> str:
    """The variant when none is named."""
    value = environment.get("BENCH_MINIMAL", "")
    if value not in KNOB:
        raise UserError(f"BENCH_MINIMAL={value}: must be 1 (the variant {KNOB['1']}) or 0 (the variant {KNOB['0']})")
    return KNOB[value]


def check_variant(root, name: str):
    """UserError for a variant that is none."""
    known = load_variants(root)
    if name not in known:
        raise UserError(f"unknown variant '{name}'; valid variants: {', '.join(known)}")


def load_features(root) -> tuple:
    """variants/features.toml"""
    return tables.load(Path(root) / "variants" / "features.toml", "feature", Feature)


def load_modes(root) -> tuple:
    """(name, whether the learner runs) of each row of core/base/modes.def."""
    text = (Path(root) / "core" / "base" / "modes.def").read_text()
    return tuple((name, learning == "true") for name, learning in _MODE.findall(text))


def load_variants(root) -> dict:
    """name -> Variant, for every file of variants/."""
    features = load_features(root)
    modes = [name for name, learning in load_modes(root) if not learning]
    found = sorted(path for path in (Path(root) / "variants").glob("*.toml") if path.name != "features.toml")
    if not found:
        raise UserError(f"{Path(root) / 'variants'} holds no variant (NAME.toml)")
    for path in found:
        if not NAME.fullmatch(path.stem):
            raise UserError(f"{path}: the name of a variant has letters, digits and underscores alone")
    return {path.stem: _load_variant(path, features, modes) for path in found}


def _load_variant(path, features, modes) -> Variant:
    row = tables.make(_VariantFile, tables.parse(path), str(path))
    if row.mode not in modes:
        raise UserError(f"{path}: unknown mode '{row.mode}'; valid modes: {', '.join(modes)}")
    known = {feature.name: feature for feature in features}
    for name in row.features:
        if name not in known:
            raise UserError(f"{path}: unknown feature '{name}'; valid features: {', '.join(known)}")
    values = {name: int(row.features.get(name, feature.default)) for name, feature in known.items()}
    macros = tuple(f"-D{known[name].macro}={value}" for name, value in values.items())
    macros += (f"-DHAK_VARIANT='\"{path.stem}\"'", f"-DHAK_DEFAULT_MODE='\"{row.mode}\"'")
    return Variant(path.stem, row.sentence, row.mode, values, tables.make(Flags, _lists(row.flags), f"{path}: [flags]"),
                   macros)


def _lists(flags) -> dict:
    return {name: list(words) for name, words in flags.items()}


def load_sources(root) -> Sources:
    """core/sources.toml; every file it names must exist."""
    path = Path(root) / "core" / "sources.toml"
    sources = tables.make(Sources, tables.parse(path).get("sources", {}), f"{path}: [sources]")
    for name in sources.c:
        if not (Path(root) / name).is_file():
            raise UserError(f"{path}: [sources]: {name} does not exist")
    for name in sources.rare:
        if name not in sources.c:
            raise UserError(f"{path}: [sources]: rare: {name} is not in c")
    return sources


def load_tests(root, variants) -> tuple:
    """The rows of tests/tests.toml; nothing where a source tree has no tests."""
    path = Path(root) / "tests" / "tests.toml"
    if not path.exists():
        return ()
    rows = tables.load(path, "ctest", CTest)
    for row in rows:
        if row.kind not in TEST_KINDS:
            raise UserError(f"{path}: test '{row.name}': kind must be one of {', '.join(TEST_KINDS)}")
        if row.variant not in variants:
            raise UserError(f"{path}: test '{row.name}': unknown variant '{row.variant}'; "
                            f"valid variants: {', '.join(variants)}")
    return rows
