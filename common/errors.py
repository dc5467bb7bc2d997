# SPDX-License-Identifier: MIT
"""The two ways a tool stops: the user asked for something wrong (exit 2), or the work failed (exit 1)."""

import os
import sys

INTERRUPTED = 130       # as a shell reports a program that SIGINT ended


class UserError(Exception):
    """The request cannot be carried out as given: a wrong name, a wrong file, a missing tool. Exit 2."""


class Failure(Exception):
    """The request was right and the work failed. Exit 1."""


def program_name() -> str:
    """`pgo.train` for `python -m pgo.train`, else the script's file name."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return spec.name if spec is not None else os.path.basename(sys.argv[0]) or "hakmem"


def describe(error: OSError) -> str:
    """What the system refused: a full disk, a directory that may not be written, a file that is gone."""
    reason = error.strerror or str(error) or type(error).__name__
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, (str, bytes))]
    return f"{' -> '.join(names)}: {reason}" if names else reason


def guard(main, argv, *, name="", usage=2, failure=1) -> int:
    """Run main(argv) and turn the two exceptions above, and what the system refuses, into one sentence on stderr and
    an exit status."""
    try:
        return main(argv)
    except UserError as error:
        status, message = usage, error
    except Failure as error:
        status, message = failure, error
    except OSError as error:
        status, message = failure, f"{describe(error)}; put that right and run the same command again"
    except KeyboardInterrupt:
        status, message = INTERRUPTED, "interrupted; the same command goes on from here"
    print(f"{name or program_name()}: {message}", file=sys.stderr)
    return status
