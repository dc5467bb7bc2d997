"""A run's own directory and environment, the same length and content for every stage, clone and machine.

Instruction counts depend on both: 3 KB more of environment costs hundreds of instructions in ld.so.
"""

import shutil
import tempfile
from pathlib import Path

PINNED_ENV = {
    "PATH": "/usr/bin:/bin",
    "HOME": ".",
    "LC_ALL": "C",
    "TZ": "UTC",
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PERL_HASH_SEED": "0",
    "PERL_PERTURB_KEYS": "0",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CEILING_DIRECTORIES": "/tmp",
    "GIT_PAGER": "cat",
}


class Scratch:
    """Context manager: /tmp/hakmem.XXXXXXXX, removed at the end. Always this path length."""

    def __init__(self):
        self.path = None

    def __enter__(self) -> Path:
        self.path = Path(tempfile.mkdtemp(prefix="hakmem.", dir="/tmp"))
        return self.path

    def __exit__(self, *_exception):
        shutil.rmtree(self.path, ignore_errors=True)
