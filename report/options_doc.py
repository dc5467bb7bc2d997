# SPDX-License-Identifier: MIT
"""core/base/options.def -> docs/options.md, so that the page cannot differ from what the library reads."""

import re
import sys
from dataclasses import dataclass

from common.errors import UserError, guard
from common.paths import ROOT
from plan import model
from report import generated

TABLE = ROOT / "core" / "base" / "options.def"
NAMES = ROOT / "core" / "base" / "names.def"
PAGE = ROOT / "docs" / "options.md"
_STRING = r'"((?:[^"\\]|\\.)*)"'
_OPTION = re.compile(rf'^OPTION\(\w+,\s*{_STRING},\s*(\d+),\s*(\d+),\s*(\d+),\s*{_STRING},\s*(\w+),\s*{_STRING}\)',
                     re.MULTILINE)
_CHOICE = re.compile(rf'^CHOICE\(\w+,\s*{_STRING},\s*{_STRING},\s*(\d+),\s*(\w+),\s*{_STRING}\)', re.MULTILINE)
_TEXT = re.compile(rf'^TEXT\(\w+,\s*{_STRING},\s*(\w+),\s*{_STRING}\)', re.MULTILINE)
_NAME = re.compile(rf'^NAME\({_STRING},\s*{_STRING}\)', re.MULTILINE)
_ROW = re.compile(r"^(?:OPTION|CHOICE|TEXT)\(", re.MULTILINE)
_SEAM = re.compile(r'"\n\s*"')  # between two pieces of one string

HEAD = """# Options

Environment variables that the library reads once, before the first allocation. Variants without the feature
`options` (`minimal`, `bench_minimal`, `plugin`) read none: there the defaults are constants. A value that is wrong is
named once on stderr and ignored. Precedence: default, then `HAKMEM_MODE`, then the single option. What is tuned rather
than switched has variables, too, and files: [policy.md](policy.md) lists them. What an option needs is a feature
([list](../variants/features.toml)). This page is generated from [core/base/options.def](../core/base/options.def) by
`python3 -m report.options_doc`.

| variable | values | default | needs | meaning |
| --- | --- | --- | --- | --- |
| `HAKMEM_MODE` | MODES | the variant's | - | what of it runs; evolving is learning and `HAKMEM_LEARN=1` |
"""


OTHERS = """
## Names that set nothing

A variable that begins with `HAKMEM_` and is no option is answered once, on stderr, with its name; a mode or an option
whose feature the variant lacks is answered with the variants that have it. Programs that run with more rights than
their caller (set-user-id) read none of these variables and say nothing. These names were read by earlier designs; `*`
stands for any ending:

| name | what took its place |
| --- | --- |
"""


@dataclass(frozen=True)
class Option:
    """One row of the page."""
    at: int         # where it stands in the table
    name: str
    values: str
    default: str
    needs: str      # a feature, or ANY
    sentence: str


def parse(text: str) -> list:
    """All rows of the table, in its order; a row that cannot be read is an error."""
    text, found = _SEAM.sub("", text), []
    for match in _OPTION.finditer(text):
        name, low, high, default, unit, needs, sentence = match.groups()
        values = f"{low} to {high} {unit}".rstrip()
        if unit == "thousandths":  # in the table; people write parts of 1
            values, default = "0 to 1", f"{int(default) / 1000:g}"
        found.append(Option(match.start(), name, values, default, needs, sentence))
    for match in _CHOICE.finditer(text):
        name, words, default, needs, sentence = match.groups()
        words = words.split("|")
        found.append(Option(match.start(), name, ", ".join(words), words[int(default)], needs, sentence))
    for match in _TEXT.finditer(text):
        found.append(Option(match.start(), match.group(1), "a text", "-", *match.groups()[1:]))
    if len(found) != len(_ROW.findall(text)):
        raise UserError(f"{TABLE.name} has a row that is no OPTION, CHOICE or TEXT of the documented form")
    return sorted(found, key=lambda option: option.at)


def parse_names(text: str) -> list:
    """(name, sentence) of all rows of names.def."""
    found = _NAME.findall(text)
    if len(found) != len(re.findall(r"^NAME\(", text, re.MULTILINE)):
        raise UserError(f"{NAMES.name} has a row that is no NAME(name, sentence)")
    return found


def page(options, names) -> str:
    """The whole page."""
    rows = "".join(f"| `{o.name}` | {o.values} | {o.default} | {generated.feature(o.needs)} | {o.sentence} |\n"
                   for o in options)
    head = HEAD.replace("MODES", ", ".join(name for name, _learning in model.load_modes(ROOT)))
    return head + rows + OTHERS + "".join(f"| `{name}` | {sentence} |\n" for name, sentence in names)


def main(argv) -> int:
    """Command line."""
    text = page(parse(TABLE.read_text()), parse_names(NAMES.read_text()))
    return generated.keep(argv, "report.options_doc", "core/base/options.def", PAGE, text)


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
