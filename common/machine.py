# SPDX-License-Identifier: MIT
"""What this machine is, as far as results depend on it. Never the host's name."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Machine:
    """`platform` is what counts and profiles depend on; times depend on the rest as well."""
    architecture: str
    libc: str
    cpu: str
    cpus: int
    kernel: str

    @property
    def platform(self) -> str:
        """Architecture and C library, one line."""
        return f"{self.architecture} {self.libc}".strip()

    @property
    def sentence(self) -> str:
        """What times depend on, one line."""
        return ", ".join(word for word in (self.architecture, self.cpu, f"{self.cpus} CPUs", self.libc) if word)

    def as_dict(self) -> dict:
        """For the records of results/, with the load of the moment."""
        return {"cpu": self.cpu, "cpus": self.cpus, "kernel": self.kernel, "libc": self.libc,
                "load": round(os.getloadavg()[0], 2)}


def cpu_model() -> str:
    """The processor's own name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def machine() -> Machine:
    """This one."""
    import platform
    return Machine(platform.machine(), " ".join(platform.libc_ver()).strip(), cpu_model(), os.cpu_count() or 1,
                   platform.release())
