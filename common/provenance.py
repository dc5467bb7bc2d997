# SPDX-License-Identifier: MIT
"""What an artifact was made of. Profiles and measurements carry it, so that a stale one is never used."""

import dataclasses
from dataclasses import dataclass

from common.errors import Failure


@dataclass(frozen=True)
class Provenance:
    """`source` is a digest of what was run or compiled; the other fields name how."""
    source: str
    toolchain: str
    compiler: str       # name and version, one line
    variant: str
    stage: str
    workload: str
    flags: str
    machine: str        # common.machine: architecture and C library


def as_dict(provenance: Provenance) -> dict:
    """For JSON."""
    return dataclasses.asdict(provenance)


def from_dict(fields: dict) -> Provenance:
    """The inverse of as_dict; keys that it does not know, and values that are no text, are a Failure."""
    try:
        made = Provenance(**fields)
    except TypeError as error:
        raise Failure(f"not a provenance record: {error}") from None
    for name, value in as_dict(made).items():
        if not isinstance(value, str):
            raise Failure(f"not a provenance record: its {name} is {value!r}, not a text")
    return made


def require_same(have: Provenance, want: Provenance, fields, what="profile", rebuild="ninja pgo"):
    """Failure when one of the named fields differs: what is stale, how, and what to rebuild."""
    for name in fields:
        if getattr(have, name) != getattr(want, name):
            raise Failure(f"stale {what}: its {name} is '{getattr(have, name)}', not '{getattr(want, name)}': "
                          f"rebuild with `{rebuild}`")
