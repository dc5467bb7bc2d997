# SPDX-License-Identifier: MIT
"""What ends a tool while its modules are still read, some 0.4 s: Ctrl-C as in the middle of its work (common/errors.py)
and a module that this Python lacks, each by a sentence. Each room's __init__.py imports `common` first, which comes
here when `python -m` looks for a tool of it."""

import os
import signal
import sys

INTERRUPTED = 130       # as a shell reports a program that SIGINT ended
WRONG = 2               # the request, that is the Python that was asked
SENTENCE = "interrupted; the same command goes on from here"


def program_name() -> str:
    """`pgo.train` for `python -m pgo.train`, also before that is found; else the script's file name."""
    words = sys.orig_argv
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is None and is_sought():
        return words[words.index("-m") + 1]
    return spec.name if spec is not None else os.path.basename(sys.argv[0]) or "hakmem"


def is_sought() -> bool:
    """Whether `python -m` looks for the module at this moment: sys.argv[0] is -m until it is found."""
    return sys.argv[:1] == ["-m"]


def leave(_number, _frame):
    """Nothing was begun, so that nothing is to be put in order."""
    os.write(2, f"{program_name()}: {SENTENCE}\n".encode(errors="replace"))
    os._exit(INTERRUPTED)


def lack(kind, error, trace):
    """For sys.excepthook: the first Python on PATH may be one that Debian's modules are not installed for."""
    if not issubclass(kind, ModuleNotFoundError):
        sys.__excepthook__(kind, error, trace)
        return
    os.write(2, f"{program_name()}: {sys.executable} has no module '{error.name}': run it by /usr/bin/python3, for "
                "which `make doctor INSTALL=1` gets what is missing\n".encode(errors="replace"))
    os._exit(WRONG)


def begin():
    """From here on, until common.errors.guard takes over. What is ignored stays so."""
    sys.excepthook = lack
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, leave)
