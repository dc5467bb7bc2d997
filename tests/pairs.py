# SPDX-License-Identifier: MIT
"""Which C program runs under which library: pairwise covering.

A library is a variant by one compiler. Not every program runs under every library, but of the three things that can
matter - program, variant, compiler - each two meet:

- every program runs under every variant, by one of the compilers - but of two variants that share the code which it is
  about (tests/test_c.py has them), under one;
- every program runs under both compilers;
- every variant of every compiler runs half of the programs, every second one.

What ships by itself, `bench_minimal`, runs every program by both compilers, and so does a library that is no plain
build (dist/, and what HAK_SO names). A variant that one compiler alone has built runs every program.

    HAK_ALL_PAIRS=1 /usr/bin/python3 -m tests.run tests/test_c.py      every program under every library
"""

import os

ALL = "HAK_ALL_PAIRS"
SHIPS = "bench_minimal"


def split(label: str) -> tuple:
    """`gcc-balanced/base` -> (gcc, balanced); of anything else ("", label)."""
    toolchain, dash, variant = label.removesuffix("/base").partition("-")
    return (toolchain, variant) if dash and label.endswith("/base") else ("", label)


def is_everything() -> bool:
    """Whether every pair was asked for, or libraries by name."""
    return bool(os.environ.get(ALL) or os.environ.get("HAK_SO"))


def is_left_out(number: int, variant: str, twins: tuple) -> bool:
    """Whether the program with this number runs under the other one of two variants that share their code. Two programs
    in a row go to one of them, so that each gets programs by both compilers."""
    return variant in twins and twins[number // 2 % 2] != variant


def chosen(number: int, labels) -> list:
    """Those of the labels under which the program with this number runs; the order stays."""
    if is_everything():
        return list(labels)
    having = {}
    for label in labels:
        toolchain, variant = split(label)
        having.setdefault(variant, []).append(toolchain)
    variants = sorted(having)

    def runs(label) -> bool:
        toolchain, variant = split(label)
        toolchains = sorted(having[variant])
        return variant == SHIPS or toolchain == toolchains[(number + variants.index(variant)) % len(toolchains)]
    return [label for label in labels if runs(label)]


def sentence(count: int, of: int) -> str:
    """What a run says of it."""
    return f"{count} of {of} pairs of a C program and a library run: each program under each kind of variant and " \
           f"each compiler (tests/pairs.py; {ALL}=1 for all)"
