"""The one process runner: an argv list, a timeout, a log file, and the log's tail when it fails."""

import ctypes
import functools
import os
import resource
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from common.errors import Failure, UserError

TAIL_LINES = 20
PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)
LEAVE_SECONDS = 2       # for what a killed group wrote; a process that left the group may hold the pipe for ever


@dataclass(frozen=True)
class Result:
    """What one process did. `stdout` is empty when it went to a file."""
    argv: tuple
    returncode: int
    stdout: str
    stderr: str
    seconds: float


def tail(text: str, lines: int = TAIL_LINES) -> str:
    """The last lines of an output, indented for an error message."""
    return "".join(f"\n    {line}" for line in text.rstrip().splitlines()[-lines:])


def describe_status(returncode: int) -> str:
    """`exit 1` or `signal SIGSEGV`."""
    if returncode >= 0:
        return f"exit {returncode}"
    try:
        return f"signal {signal.Signals(-returncode).name}"
    except ValueError:
        return f"signal {-returncode}"


def _communicate(process, timeout):
    """Collect the output; on timeout, or when we are interrupted, the whole process group dies with it."""
    try:
        return process.communicate(timeout=timeout), False
    except subprocess.TimeoutExpired:
        _kill_group(process)
    except BaseException:
        _kill_group(process)
        process.wait()
        raise
    try:
        return process.communicate(timeout=LEAVE_SECONDS), True
    except subprocess.TimeoutExpired as expired:
        return (expired.stdout, expired.stderr), True


def _confine(file_limit):
    """In the child: the kernel kills it when we die, even by SIGKILL, since a workload has no one else to end it; and
    no file of its own grows without end."""
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if file_limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))


def _kill_group(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def run(argv, *, cwd=None, env=None, timeout=600, log=None, check=True, stdin=None, stdout=None,
        file_limit=None) -> Result:
    """Run argv to its end. `stdin` and `stdout` are paths (or None: no input, captured output). No file that it writes
    may exceed `file_limit` bytes.

    With `log`, what it wrote goes to that file as well. With `check`, a status other than 0 is a Failure.
    A timeout kills the whole process group and is always a Failure.
    """
    argv = [os.fspath(word) for word in argv]
    with open(stdin or os.devnull, "rb") as source, open(stdout or os.devnull, "wb") as sink:
        try:
            process = subprocess.Popen(argv, cwd=cwd, env=env, stdin=source, start_new_session=True,
                                       preexec_fn=functools.partial(_confine, file_limit),
                                       stdout=sink if stdout else subprocess.PIPE, stderr=subprocess.PIPE)
            started = time.monotonic()      # after the exec: the fork of this interpreter is not the program's time
        except OSError as error:
            raise UserError(f"cannot run {argv[0]}: {error.strerror}; `make doctor` lists how to get each tool"
                            ) from None
        (out, err), expired = _communicate(process, timeout)
    seconds = time.monotonic() - started
    result = Result(tuple(argv), process.returncode, (out or b"").decode(errors="replace"),
                    (err or b"").decode(errors="replace"), seconds)
    if log:
        Path(log).parent.mkdir(parents=True, exist_ok=True)
        Path(log).write_text(f"$ {' '.join(argv)}\n{result.stdout}{result.stderr}")
    where = f"; log: {log}" if log else ""
    shown = tail(result.stderr or result.stdout)
    if expired:
        raise Failure(f"{argv[0]} did not end within {timeout:g} s and was killed{where}{shown}")
    if check and result.returncode != 0:
        raise Failure(f"{argv[0]} failed with {describe_status(result.returncode)}{where}{shown}")
    return result
