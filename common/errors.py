"""The two ways a tool stops: the user asked for something wrong (exit 2), or the work failed (exit 1)."""

import os
import sys


class UserError(Exception):
    """The request cannot be carried out as given: a wrong name, a wrong file, a missing tool. Exit 2."""


class Failure(Exception):
    """The request was right and the work failed. Exit 1."""


def program_name() -> str:
    """`pgo.train` for `python -m pgo.train`, else the script's file name."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return spec.name if spec is not None else os.path.basename(sys.argv[0]) or "hakmem"


def guard(main, argv) -> int:
    """Run main(argv) and turn the two exceptions above into one sentence on stderr and an exit status."""
    try:
        return main(argv)
    except UserError as error:
        status, message = 2, error
    except Failure as error:
        status, message = 1, error
    print(f"{program_name()}: {message}", file=sys.stderr)
    return status
