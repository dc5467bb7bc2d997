# SPDX-License-Identifier: MIT
"""What one run of a program took, by bench/programs/bench_run.c, the wrapper that alone sees the program's own time and
memory."""

from common.paths import BENCH_PROGRAMS

NAME = "usage"      # in the run's directory


def wrapper(preload="{preload}", *more) -> list:
    """For common.launch; `more` are NAME=VALUE for the program alone."""
    return [str(BENCH_PROGRAMS / "bench_run"), f"{{scratch}}/{NAME}", preload, *more]


def parse(text: str) -> dict:
    """The fields of its line, as they stand there."""
    return dict(word.split("=", 1) for word in text.split())


def read(scratch) -> dict:
    """Those of the run in this directory."""
    return parse((scratch / NAME).read_text())


def cpu_seconds(fields: dict) -> float:
    """User and system time, all threads."""
    return float(fields["user"]) + float(fields["system"])
