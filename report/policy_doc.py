# SPDX-License-Identifier: MIT
"""core/base/policy.def -> docs/policy.md, so that the page cannot differ from what the library reads."""

import sys

from common.errors import guard
from common.paths import ROOT
from plan import policy
from report import generated

PAGE = ROOT / "docs" / "policy.md"
HEAD = """# What can be tuned

Each row is a parameter of the allocator, with the value that suits most programs as its default. This page is
generated from [core/base/policy.def](../core/base/policy.def) by `python3 -m report.policy_doc`; the struct, the parser
of policy files, the environment variables and the search of [make learn](policy-search.md) come from the same table.

Parameters of scope `run` can be set for one run, in variants that read options; those of scope `build` are compiled
into tables and fast paths, so that a build alone sets them. Those of scope `start` are compiled in as well; the variant
`learning`, which tries them, takes them when the program starts:

```sh
HAKMEM_BORROW=0 LD_PRELOAD=build/clang-balanced/base/libhakmem.so ls
HAKMEM_POLICY=my.toml LD_PRELOAD=build/clang-balanced/base/libhakmem.so ls
HAKMEM_STATS=options LD_PRELOAD=build/clang-balanced/base/libhakmem.so ls
```

- `HAKMEM_` and a parameter's name in capitals sets it alone, and wins over a file. Precedence: default, `HAKMEM_MODE`,
  policy file, single variable.
- `HAKMEM_POLICY=FILE` reads a policy file when the program starts: `format = 1`, then a section `[values]` with a line
  `name = number` a parameter; other sections are for people and tools. A file that is bad in any line is named once on
  stderr, with the line, and none of its values is used. One that asks for another value of scope `build` (or `start`)
  than was compiled in is such a file, and one with a line of more than 255 bytes, unless that is a comment's end or in
  a section for people. What is not of this form is refused by configure.py as well.
- `HAKMEM_POLICY_OUT=FILE` writes the policy in force, each value with its origin, when the program exits and whenever
  it gets SIGUSR1, unless it handles that signal itself. The file takes its name when it is whole. Programs that it
  starts write to the same file: the last one to exit is what is left.
- `HAKMEM_STATS=options` prints all options with their origin (default, mode, file, environment, program: mallopt,
  or learner) when the program exits.
- A build gets its policy by `./configure.py --policy=FILE` ([how](policy-search.md)).

| parameter | values | default | axis | scope | needs | meaning |
| --- | --- | --- | --- | --- | --- | --- |
"""
AXES = """
The axes: `pages` is how the system backs memory, `stock` how much free memory is kept and where, `shape` how large
blocks, slabs and steps are, `count` how many sizes of blocks there are, `threshold` where one kind of block ends and
the next begins. What a row needs is a feature ([list](../variants/features.toml)): in a variant without it the row
changes nothing, and a value from the environment is answered so.
"""


def line(row) -> str:
    """One row of the table."""
    words = row.unit.split("|")
    if len(words) > 1:
        values = ", ".join(f"{number} ({word})" for number, word in enumerate(words))
    else:
        values = f"{row.lowest} to {row.highest} {row.unit}"
    needs = generated.feature(row.needs)
    return f"| `{row.name}` | {values} | {row.default} | {row.axis} | {row.scope} | {needs} | {row.sentence} |\n"


def page(rows) -> str:
    """The whole page."""
    return HEAD + "".join(map(line, rows)) + AXES


def main(argv) -> int:
    """Command line."""
    return generated.keep(argv, "report.policy_doc", "core/base/policy.def", PAGE, page(policy.load_rows(ROOT)))


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
