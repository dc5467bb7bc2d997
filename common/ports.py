# SPDX-License-Identifier: MIT
"""Ports of the loopback interface: a free one, whether somebody answers there, and who listens on what."""

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

LOOPBACKS = ("127.0.0.1", "::1")
_LISTENS = "0A"
_LOOPBACK = re.compile(r"[0-9A-F]{6}7F|0{24}01000000|0{16}FFFF0000[0-9A-F]{6}7F")


@dataclass(frozen=True)
class Listener:
    """A socket that accepts connections, as /proc/net has it."""
    address: str
    port: int
    link: str       # what /proc/PID/fd shows of it

    @property
    def exposed(self) -> bool:
        """Whether other machines reach it."""
        return not _LOOPBACK.fullmatch(self.address)


def listeners(text=None) -> list:
    """All of them, or those of such a text."""
    if text is None:
        text = "".join(path.read_text() for path in map(Path, ("/proc/net/tcp", "/proc/net/tcp6")) if path.exists())
    found = []
    for fields in map(str.split, text.splitlines()):
        if len(fields) > 9 and fields[3] == _LISTENS:
            address, _colon, port = fields[1].partition(":")
            found.append(Listener(address, int(port, 16), f"socket:[{fields[9]}]"))
    return found


def _links(directory) -> set:
    """Where the links of a directory lead, but for those that are gone."""
    found = set()
    for name in os.listdir(directory):
        with contextlib.suppress(FileNotFoundError):
            found.add(os.readlink(f"{directory}/{name}"))
    return found


def sockets_of(pids):
    """The sockets of these processes, as links; None when one does not show what it has."""
    found = set()
    for pid in pids:
        try:
            found |= _links(f"/proc/{pid}/fd")
        except (FileNotFoundError, ProcessLookupError):
            pass        # it has ended
        except PermissionError:
            return None
    return found


def free_port() -> int:
    """One that nobody listens on, of either kind of address."""
    import socket
    while True:
        with socket.socket() as probe:
            probe.bind((LOOPBACKS[0], 0))
            port = probe.getsockname()[1]
        if all(one.port != port for one in listeners()):
            return port


def answers(port: int) -> bool:
    """Whether somebody listens."""
    import socket
    for address in LOOPBACKS:
        with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=5):
            return True
    return False
