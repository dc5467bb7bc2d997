# SPDX-License-Identifier: MIT
"""TOML tables to frozen dataclasses: an unknown key, a missing key or a wrong type is a sentence, not a traceback."""

import dataclasses
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path

from common.errors import UserError, check_file


TOO_MUCH = "it has a number of too many digits, or is nested too deep"      # for tomllib, which does not say it


def parse(path) -> dict:
    """The content of a TOML file."""
    check_file(path)
    try:
        return tomllib.loads(Path(path).read_bytes().decode())
    except FileNotFoundError:
        raise UserError(f"{path} is missing") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no text: byte {error.start} is not of UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path} is not valid TOML: {error}") from None
    except (ValueError, RecursionError):
        raise UserError(f"{path} is not valid TOML: {TOO_MUCH}") from None


def _type_name(kind) -> str:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        return f"a list of {_type_name(arguments[0])}, as [...]"
    if origin in (dict, Mapping):
        return f"a table of {_type_name(arguments[1])}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(_type_name, arguments))
    return kind.__name__


def _convert(value, kind):
    """value as the declared type, or None when it is of another type."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        if isinstance(value, list) and all(_convert(item, arguments[0]) is not None for item in value):
            return tuple(value)
        return None
    if origin in (dict, Mapping):
        if isinstance(value, dict) and all(_convert(item, arguments[1]) is not None for item in value.values()):
            return dict(value)
        return None
    if origin in (typing.Union, types.UnionType):
        return next((made for made in (_convert(value, option) for option in arguments) if made is not None), None)
    if isinstance(value, bool) and kind is not bool:
        return None
    if kind is float and isinstance(value, int):
        return float(value)
    return value if isinstance(value, kind) else None


def make(cls, row: dict, where: str):
    """One dataclass instance from one table; `where` names it in an error."""
    if not isinstance(row, dict):
        raise UserError(f"{where}: expected a table, not {row!r}")
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for key in row:
        if key not in fields:
            raise UserError(f"{where}: unknown key '{key}'; valid keys: {', '.join(sorted(fields))}")
    values = {}
    for name, field in fields.items():
        if name in row:
            values[name] = _convert(row[name], hints[name])
            if values[name] is None:
                raise UserError(f"{where}: key '{name}' must be {_type_name(hints[name])}, not {row[name]!r}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise UserError(f"{where}: key '{name}' is missing; valid keys: {', '.join(sorted(fields))}")
    return cls(**values)


def load(path, key, cls) -> tuple:
    """The [[key]] rows of a TOML file as a tuple of cls. A row's `name`, where cls has one, must be unique."""
    rows = parse(path).get(key, [])
    if not isinstance(rows, list):
        raise UserError(f"{path}: '{key}' must be an array of tables, written [[{key}]]")
    made = []
    for number, row in enumerate(rows, 1):
        label = f" '{row['name']}'" if isinstance(row, dict) and isinstance(row.get("name"), str) else ""
        made.append(make(cls, row, f"{path}: [[{key}]] row {number}{label}"))
    names = [getattr(row, "name", None) for row in made]
    for name in names:
        if name is not None and names.count(name) > 1:
            raise UserError(f"{path}: two [[{key}]] rows are named '{name}'; names must differ")
    return tuple(made)
