"""The one process runner: an argv list, a timeout, a log file, and the log's tail when it fails."""

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from common.errors import Failure, UserError

TAIL_LINES = 20


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
        return process.communicate(), True
    except BaseException:
        _kill_group(process)
        process.wait()
        raise


def _kill_group(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def run(argv, *, cwd=None, env=None, timeout=600, log=None, check=True, stdin=None, stdout=None) -> Result:
    """Run argv to its end. `stdin` and `stdout` are paths (or None: no input, captured output).

    With `log`, what it wrote goes to that file as well. With `check`, a status other than 0 is a Failure.
    A timeout kills the whole process group and is always a Failure.
    """
    argv = [os.fspath(word) for word in argv]
    started = time.monotonic()
    with open(stdin or os.devnull, "rb") as source, open(stdout or os.devnull, "wb") as sink:
        try:
            process = subprocess.Popen(argv, cwd=cwd, env=env, stdin=source, start_new_session=True,
                                       stdout=sink if stdout else subprocess.PIPE, stderr=subprocess.PIPE)
        except (FileNotFoundError, PermissionError) as error:
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
