# SPDX-License-Identifier: MIT
"""The two ways a tool stops: the user asked for something wrong (exit 2), or the work failed (exit 1)."""

import contextlib
import errno
import os
import resource
import signal
import stat
import sys
import threading

from common import early
from common.early import program_name

UNREAD = 141            # as a shell reports a program that SIGPIPE ended
ENDINGS = (signal.SIGTERM, signal.SIGHUP)
LIFT_FILE_LIMIT = "`ulimit -f unlimited`, or as much as is allowed"


class UserError(Exception):
    """The request cannot be carried out as given: a wrong name, a wrong file, a missing tool. Exit 2."""


class Failure(Exception):
    """The request was right and the work failed. Exit 1."""


def file_limit():
    """Bytes that a file may have by the user's limit; None without one."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def limited() -> str:
    """The user's limit for files, for who came to it."""
    limit = file_limit()
    return "" if limit is None else f" (files may have {limit:,} bytes here: {LIFT_FILE_LIMIT})"


def describe(error: OSError) -> str:
    """What the system refused: a full disk, a directory that may not be written, a file that is gone."""
    reason = (error.strerror or str(error) or type(error).__name__) + (limited() if error.errno == errno.EFBIG else "")
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, (str, bytes))]
    return f"{' -> '.join(names)}: {reason}" if names else reason


def tell(text: str):
    """A line on stderr for whoever waits, or who should know; not an error."""
    print(f"{program_name()}: {text}", file=sys.stderr, flush=True)


def check_file(path):
    """UserError for a pipe or a device: nobody knows whether that ends. What is missing is said by who opens it."""
    with contextlib.suppress(OSError, ValueError):
        kind = os.stat(path).st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
            raise UserError(f"{path} is a pipe or a device: give a file")


@contextlib.contextmanager
def given(path):
    """Context manager for reading a file that the user named: one that cannot be read, or is none of its kind, is a
    wrong request, whatever a reader makes of the build's own files."""
    check_file(path)
    try:
        yield
    except Failure as error:
        raise UserError(error) from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no text: byte {error.start} is not of UTF-8") from None
    except OSError as error:
        raise UserError(describe(error)) from None


@contextlib.contextmanager
def naming(path):
    """Context manager: what the system refuses is of this file. It names those that it opens, none that it writes."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None


@contextlib.contextmanager
def endings_interrupt():
    """Who ends a tool by SIGTERM, or closes its terminal, is answered as Ctrl-C is: what the tool has started ends with
    it, and its directories go. What was ignored (nohup) stays so."""
    def interrupt(_number, _frame):
        raise KeyboardInterrupt

    own = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *ENDINGS) if own}
    changed = [number for number, handler in before.items() if handler in (signal.SIG_DFL, early.leave)]
    for number in changed:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in changed:
            signal.signal(number, before[number])


def _flush():
    """What was printed is out, or the system says why not."""
    if sys.stdout is not None:
        try:
            sys.stdout.flush()
        except OSError as error:
            raise OSError(error.errno, error.strerror, "standard output") from None


def _drop_unprinted():
    """What cannot be printed any more would be complained of by the interpreter, at its end."""
    with contextlib.suppress(OSError, ValueError):
        try:
            _flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def guard(main, argv, *, name="", usage=2, failure=1) -> int:
    """Run main(argv) and turn the two exceptions above, and what the system refuses, into one sentence on stderr and
    an exit status."""
    try:
        with endings_interrupt():
            status = main(argv)
            _flush()
            return status
    except UserError as error:
        status, message = usage, error
    except Failure as error:
        status, message = failure, error
    except BrokenPipeError:     # who reads has enough, as in `... | head`
        _drop_unprinted()
        return UNREAD
    except OSError as error:
        status, message = failure, f"{describe(error)}; put that right and run the same command again"
    except KeyboardInterrupt:
        status, message = early.INTERRUPTED, early.SENTENCE
    _drop_unprinted()
    print(f"{name or program_name()}: {message}", file=sys.stderr)
    return status
