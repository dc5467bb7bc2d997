# SPDX-License-Identifier: MIT
"""What can be tuned (core/base/policy.def), and policy files: how much of it is set, where from, and what it brought.

A policy file is TOML. `format` and [values] are what the library reads itself (core/base/policy_file.c), in lines
`name = number`; what it refuses is refused here, and other sections are passed over by both: they are for people and
for tools. Whatever is wrong with one is a sentence with the line.
"""

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from common import files
from common.errors import UserError, check_file
from common.tables import TOO_MUCH

TABLE = "core/base/policy.def"
FORMAT = 1
LONGEST = 1 << 20       # bytes that the library reads of a file,
LINE_MOST = 255         # and of a line
MARK = "\ufeff"         # which some editors put in front of a text
HEAD = """\
# What a workload asks of the allocator: HAKMEM_POLICY=FILE for a run, configure.py --policy=FILE for a build.
# docs/policy-search.md tells how to read it.
"""
_ROW = re.compile(r'^POLICY\((\w+),\s*"([^"]*)",' + r"\s*(\w+)," * 6 + r'\s*((?:"[^"]*"\s*)+)\)', re.MULTILINE)
_DEFAULT = re.compile(r'^(POLICY\((\w+),\s*"[^"]*",\s*\w+,\s*\w+,\s*)(\w+)', re.MULTILINE)
_MULTIPLE = re.compile(r"a multiple of (\d+)")     # in a unit
_POWER = "a power of 2"
_STRING = re.compile(r'"([^"]*)"')
_VALUES = re.compile(r"\s*\[\s*values\s*\]\s*(#.*)?")
_ASSIGNMENT = re.compile(r"\s*([a-z0-9_-]+\s*=\s*[0-9]+\s*)?(#.*)?")
_LINE = re.compile(r"\(at line (\d+), column \d+\)|\(at end of document\)")


@dataclass(frozen=True)
class Row:
    """A parameter. `scope` is run (a running program may change it), build (constants of the build alone), or start
    (constants of the build, but the variant that learns takes them from a policy file as well)."""
    name: str
    unit: str
    lowest: int
    highest: int
    default: int
    axis: str
    scope: str
    needs: str      # a feature by its macro without HAK_, or ANY
    sentence: str


@dataclass(frozen=True)
class Policy:
    """A policy file. `parameters` are what each value alone brought, `figures` name -> [before, after]; `notes` are
    sentences for people, which nothing reads back."""
    values: Mapping
    provenance: Mapping = field(default_factory=dict)
    figures: Mapping = field(default_factory=dict)
    parameters: tuple = ()
    notes: tuple = ()


def parse_rows(text: str, where) -> tuple:
    """The rows of a policy.def."""
    rows = []
    for name, unit, *numbers, axis, scope, needs, sentence in _ROW.findall(text):
        try:
            lowest, highest, default = (int(number, 0) for number in numbers)
        except ValueError:
            raise UserError(f"{where}: POLICY({name}): bounds and default must be plain numbers") from None
        if not lowest <= default <= highest:
            raise UserError(f"{where}: POLICY({name}): the default {default} is not within {lowest} to {highest}")
        rows.append(Row(name, unit, lowest, highest, default, axis, scope, needs,
                        "".join(_STRING.findall(sentence))))
    if not rows or len(rows) != len(re.findall(r"^POLICY\(", text, re.MULTILINE)):
        raise UserError(f"{where}: a row is not POLICY(field, unit, lowest, highest, default, axis, scope, needs, "
                        "sentence)")
    return tuple(rows)


def load_rows(root) -> tuple:
    """The rows of the table."""
    path = Path(root) / TABLE
    try:
        return parse_rows(path.read_text(), path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing") from None


def line_of(text: str, section: str, key: str = "") -> int:
    """Where a section begins, or a key in it stands; 1 when it is written in some other way."""
    inside, found = section == "", 1
    for number, line in enumerate(text.splitlines(), 1):
        if re.match(r"\s*\[", line):
            inside = line.strip().strip("[]").strip() == section
            found = number if inside and not key else found
        elif inside and key and re.match(rf"""\s*["']?{re.escape(key)}["']?\s*=""", line):
            return number
    return found


def _document(path, text: str) -> dict:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = _LINE.search(str(error))
        line = match[1] if match and match[1] else len(text.splitlines()) or 1
        raise UserError(f"{path}:{line}: not valid TOML: {_LINE.sub('', str(error)).strip()}") from None
    except (ValueError, RecursionError):
        raise UserError(f"{path}:1: not valid TOML: {TOO_MUCH}") from None


def check_form(document, text: str, complain):
    """What is TOML, but not of the form that the library reads. `complain(section, key, sentence)`."""
    for name, content in document.items():
        rows = content if isinstance(content, list) else [content]
        if name != "format" and not all(isinstance(row, dict) for row in rows):
            complain("", name, f"only format stands before the sections, not {name}")
    lines = text.split("\n")
    head = next((number for number, line in enumerate(lines) if _VALUES.fullmatch(line)), None)
    if head is None:
        complain("values", "", "no section holds values, which is written [values]")
    for line in lines[head + 1:]:
        if re.match(r"\s*\[", line):
            break
        if not _ASSIGNMENT.fullmatch(line):
            complain("values", line.partition("=")[0].strip(), f"not of the form name = number: {line.strip()}")


def check_lengths(text: str, path):
    """Nothing too long for the library, but comments and lines of sections for people."""
    for_people = False
    for number, line in enumerate(text.split("\n"), 1):
        begin = line.encode()[:LINE_MOST].strip(b" \t")
        if begin.startswith(b"["):
            for_people = not _VALUES.fullmatch(line)
        counts = b"#" not in begin and (not for_people or begin[:1] in (b"", b"["))
        if counts and len(line.encode()) > LINE_MOST:
            raise UserError(f"{path}:{number}: longer than {LINE_MOST} bytes, which the library does not read")


def check_values(values, rows, complain):
    """`complain(key, sentence)` for the first value that cannot be."""
    known = {row.name: row for row in rows}
    for name, value in values.items():
        if name not in known:
            complain(name, f"unknown parameter '{name}'; valid parameters: {', '.join(known)}")
        row = known[name]
        if isinstance(value, bool) or not isinstance(value, int):
            complain(name, f"{name} must be a whole number, not {json.dumps(value, default=str)}")
        if not row.lowest <= value <= row.highest:
            complain(name, f"{name} = {value} is not within {row.lowest} to {row.highest}")
        step = _MULTIPLE.search(row.unit)
        if step and value % int(step[1]):
            complain(name, f"{name} = {value} is not {step[0]}")
        if _POWER in row.unit and value.bit_count() != 1:
            complain(name, f"{name} = {value} is not {_POWER}")
    check_together(values, {row.name: values.get(row.name, row.default) for row in rows}, complain)


def check_together(given, every, complain):
    """What the compiler would refuse of values that are good alone (core/base/classes.h). `given` are in the file."""
    if "large_max_kb" in every and every["large_max_kb"] < every["class_max_kb"]:
        complain("large_max_kb" if "large_max_kb" in given else "class_max_kb",
                 f"large_max_kb = {every['large_max_kb']} is below class_max_kb = {every['class_max_kb']}")
    for name in ("mid_dyn1", "mid_dyn2"):
        more = every.get(name, 0)
        if more and (more % 16 or not every["tiny_max"] < more < every["mid_max_kb"] * 1024):
            complain(name, f"{name} = {more} is no multiple of 16 above tiny_max = {every['tiny_max']} and below "
                     f"mid_max_kb = {every['mid_max_kb']}")
    if every.get("mid_dyn1", 0) == every.get("mid_dyn2", 0) != 0:
        complain("mid_dyn2", f"mid_dyn2 = {every['mid_dyn2']} is the mid_dyn1")


def can_be(values, rows) -> bool:
    """Whether a build can have these values together."""
    def complain(_key, sentence):
        raise UserError(sentence)

    try:
        check_values(values, rows, complain)
    except UserError:
        return False
    return True


def compiled(values, rows) -> dict:
    """Those that a build alone sets, where they are not the defaults anyway."""
    defaults = {row.name: row.default for row in rows if row.scope == "build"}
    return {name: value for name, value in values.items() if value != defaults.get(name, value)}


def builds(values, rows) -> tuple:
    """What libraries must have compiled in that are to run under a policy, and under it without each of its parameters:
    each such set of values once, beside none. What cannot be together is left out."""
    every = [values, *({other: values[other] for other in values if other != name} for name in values)]
    found = [compiled(one, rows) for one in every if can_be(one, rows)]
    return tuple(one for number, one in enumerate(found) if one and one not in found[:number])


def parse(text: str, path, rows) -> Policy:
    """A policy file's text; one that cannot be used is a UserError: FILE:LINE: sentence."""
    document = _document(path, text)

    def complain(section, key, sentence):
        raise UserError(f"{path}:{line_of(text, section, key)}: {sentence}")

    if "format" not in document:
        raise UserError(f"{path}:1: no format: it is not a policy file; `make learn` writes one")
    if document["format"] != FORMAT or isinstance(document["format"], bool):
        complain("", "format", f"format {document['format']} is not known here, only {FORMAT}")
    for name in ("values", "provenance", "figures"):
        if not isinstance(document.get(name, {}), dict):
            complain("", name, f"'{name}' must be a section, written [{name}]")
    parameters = document.get("parameter", [])
    if not isinstance(parameters, list) or not all(isinstance(row, dict) for row in parameters):
        complain("parameter", "", "'parameter' must be rows, written [[parameter]]")
    values = document.get("values", {})
    check_values(values, rows, lambda key, sentence: complain("values", key, sentence))
    check_form(document, text, complain)
    check_lengths(text, path)
    return Policy(values, document.get("provenance", {}), document.get("figures", {}), tuple(parameters))


def read(path, rows) -> Policy:
    """A policy file."""
    check_file(path)
    try:
        content = Path(path).read_bytes()
        text = content.decode()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}: give a policy file, such as `make learn` writes") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}:1: it is no text: give a policy file, such as `make learn` writes") from None
    if len(content) > LONGEST:
        raise UserError(f"{path}:1: it is longer than 1 MiB, which the library does not read")
    if text.startswith(MARK):
        raise UserError(f"{path}:1: it begins with a byte order mark: save it without one")
    return parse(text, path, rows)


def _text(text: str) -> str:
    """A TOML string: JSON's, but for one character; what is no text (a file's odd name) becomes a question mark."""
    clean = text.encode(errors="replace").decode()
    return json.dumps(clean, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value) -> str:
    """In TOML, on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, str):
        return _text(value)
    return repr(value)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _text(name)


def _section(head: str, content) -> str:
    return "".join([f"\n{head}\n", *(f"{_key(name)} = {_value(value)}\n" for name, value in content.items())])


def render(policy: Policy) -> str:
    """The text of the file."""
    notes = [f"# {' '.join(note.split())}\n" for note in policy.notes]
    parts = [HEAD, *notes, f"format = {FORMAT}\n", _section("[values]", policy.values)]
    for name in ("provenance", "figures"):
        if getattr(policy, name):
            parts.append(_section(f"[{name}]", getattr(policy, name)))
    return "".join([*parts, *(_section("[[parameter]]", row) for row in policy.parameters)])


def write(path, policy: Policy) -> bool:
    """Whole or not at all. False when it was there already."""
    return files.write_atomic(path, render(policy))


def bake(text: str, values) -> str:
    """The text of the table with these values as the defaults; nothing else of it changes."""
    def tune(found):
        return found[1] + str(values.get(found[2], found[3]))

    return _DEFAULT.sub(tune, text)
