# SPDX-License-Identifier: MIT
"""A run of one of the project's own programs, and what it printed."""

from common.launch import STDOUT, launch
from common.workloads import Workload


def program(name: str, *words) -> Workload:
    """One of the project's own programs as a workload."""
    return Workload(name=f"{name} {' '.join(words)}", role="holdout", sentence="",
                    command=(f"{{bench}}/{name}", *words))


def output_of(row, contender, extra_env=None, wrapper=()) -> tuple:
    """(standard output, standard error) of a run."""
    kept = {}
    done = launch(row, contender.library, extra_env={**contender.env, **(extra_env or {})}, wrapper=wrapper,
                  keep=lambda scratch: kept.update(text=(scratch / STDOUT).read_text()))
    return kept["text"], done.stderr
