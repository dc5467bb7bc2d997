# SPDX-License-Identifier: MIT
"""Which module knows a toolchain's profiles, and the record that stands beside every profile."""

from pathlib import Path

from common import files, proc, provenance, tools
from common.errors import Failure, UserError
from common.machine import machine
from common.paths import ROOT
from pgo import clang_profile, gcc_profile

KINDS = {"clang": clang_profile, "gcc": gcc_profile}


def kind_of(toolchain: str):
    """The module for a toolchain's name."""
    if toolchain not in KINDS:
        raise UserError(f"unknown toolchain '{toolchain}'; valid toolchains: {', '.join(KINDS)}")
    return KINDS[toolchain]


def compiler_version(toolchain: str) -> str:
    """The first line of the compiler's --version."""
    return proc.run([tools.require(toolchain), "--version"]).stdout.splitlines()[0].strip()


def record_path(profile) -> Path:
    """merged.profdata -> merged.profdata.json"""
    return Path(f"{profile}.json")


def read_record(profile) -> dict:
    """What stands beside a profile. A profile without it is of nobody knows what."""
    path = record_path(profile)
    try:
        return files.read_fields(path, "provenance", "instrumented")
    except FileNotFoundError:
        raise Failure(f"{profile} has no record {path.name} beside it: train again with `ninja pgo`") from None


def make_record(toolchain: str, variant: str, workload: str, so, **more) -> dict:
    """What the profile is of. `instrumented` is the digest of the library that was run."""
    made = provenance.Provenance(source=files.source_hash(ROOT), toolchain=toolchain,
                                 compiler=compiler_version(toolchain), variant=variant, stage="train",
                                 workload=workload, flags="", machine=machine().platform)
    return {"schema": 1, "provenance": provenance.as_dict(made), "instrumented": files.sha256(so), **more}
