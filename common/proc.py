# SPDX-License-Identifier: MIT
"""The one process runner: an argv list, a timeout, a log file, and the log's tail when it fails."""

import contextlib
import ctypes
import functools
import os
import re
import resource
import select
import signal
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass

from common import files
from common.errors import Failure, UserError, limited

TAIL_LINES, LONGEST_LINE = 20, 400
LARGEST_FILE = 2 << 30      # a workload that writes without end must not fill the disk
SHOWN_BYTES = 1 << 20       # of each end of an output that may come to so much
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
BEYOND = (-signal.SIGXFSZ, 128 + signal.SIGXFSZ)
GRACE_SECONDS = 2.0     # between asking a process to end and ending it
LONGEST_POLL = 2 ** 31 - 1      # milliseconds
LEAST_ROOM = 1 << 20
EXPIRED = "did not end within"
PR_SET_PDEATHSIG = 1
STARTING = threading.Lock()     # held from a fork until the child is among those of its thread
of_threads = {}     # process id -> the thread that started it, of those that may run
_LIBC = ctypes.CDLL(None)


@dataclass(frozen=True)
class Result:
    """What one process did. `stdout` is empty when it went to a file."""
    argv: tuple
    returncode: int
    stdout: str
    stderr: str
    seconds: float
    server: object = None       # of a server: common.serve.Run


def full() -> str:
    """That there is no room where runs have their directories, which may end a program that writes there in any way; ""
    while there is some."""
    room = tempfile.gettempdir()
    found = os.statvfs(room)
    return f"; {room} is full: make room, or set TMPDIR to another directory" \
        if found.f_bavail * found.f_frsize < LEAST_ROOM else ""


def _shown(line: str) -> str:
    """A line of a program's, which may be binary, for a terminal."""
    line = _COLOURS.sub("", line[:LONGEST_LINE]) + " ..." * (len(line) > LONGEST_LINE)
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", line)


def tail(text: str, lines: int = TAIL_LINES) -> str:
    """The last lines of an output, indented for an error message."""
    return "".join(f"\n    {_shown(line)}" for line in text.rstrip().splitlines()[-lines:])


def ends(stream) -> str:
    """What was written to a file; of more than can be looked at, the beginning and the end."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    data = stream.read(2 * SHOWN_BYTES)
    if size > len(data):
        stream.seek(-SHOWN_BYTES, os.SEEK_END)
        data = data[:SHOWN_BYTES] + b"\n" + stream.read()
    return data.decode(errors="replace")


def beyond(returncode: int, file_limit, stdout) -> str:
    """That it was ended by, or met, the limit of a file's size; "" when it was not."""
    met = returncode in BEYOND or stdout and os.path.exists(stdout) and \
        os.path.getsize(stdout) >= file_limit
    return f"; its output, or a file that it wrote, came to the limit of {file_limit >> 20:,} MiB, or to its own" \
        if met else ""


def describe_status(returncode: int) -> str:
    """`exit 1` or `signal SIGSEGV`."""
    if returncode >= 0:
        return f"exit {returncode}"
    try:
        return f"signal {signal.Signals(-returncode).name}"
    except ValueError:
        return f"signal {-returncode}"


def _await(process, timeout) -> bool:
    """Until the process ends; False when that takes too long. Not until its output does: a child that it left in the
    background may hold that for ever. By a file descriptor, since Popen.wait would poll, up to 50 ms too late."""
    try:
        handle = os.pidfd_open(process.pid)
    except OSError:
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return True
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        return bool(poll.poll(None if timeout is None else min(timeout * 1000, LONGEST_POLL)))
    finally:
        os.close(handle)


def confine(file_limit):
    """In the child: the kernel kills it when we die, even by SIGKILL, since a workload has no one else to end it; and
    no file of its own grows without end."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})     # see interrupts_wait
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if file_limit is not None:
        _soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        limit = file_limit if hard == resource.RLIM_INFINITY else min(file_limit, hard)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


@contextlib.contextmanager
def interrupts_wait():
    """Ctrl-C is heard at the end: Python runs hooks when it forks, and of a KeyboardInterrupt in one of them only says
    that it was ignored."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start(argv, confined, **more) -> subprocess.Popen:
    """The process, in a session of its own, with `confined` called in it, which calls confine."""
    with interrupts_wait(), STARTING:
        process = subprocess.Popen(argv, start_new_session=True, preexec_fn=confined, **more)
        of_threads[process.pid] = threading.get_ident()
        return process


def _signal_group(process, number):
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass


def _end_group(process, asked):
    """Ask the process and its group to end, then make them: ninja passes on what it is asked, and takes what it has
    started with it, which are groups of their own."""
    _signal_group(process, asked)
    try:
        _await(process, GRACE_SECONDS)
    finally:
        _signal_group(process, signal.SIGKILL)


def _read(stream) -> str:
    """What was written to a temporary file."""
    stream.seek(0)
    return stream.read().decode(errors="replace")


def _sink(stdout):
    """Where the output goes: the named file, or a temporary one."""
    return open(stdout, "wb") if stdout else tempfile.TemporaryFile()


def _started(argv, name, file_limit, **more) -> subprocess.Popen:
    """The process, confined; one that cannot be started is the user's to mend."""
    try:
        return start(argv, functools.partial(confine, file_limit), **more)
    except OSError as error:
        raise UserError(f"cannot run {name}: {error.strerror}; `make doctor` lists how to get each tool") from None


def _reap(process):
    """Once it has ended, nobody's."""
    process.wait()
    of_threads.pop(process.pid, None)


def run(argv, *, cwd=None, env=None, timeout=600, log=None, check=True, stdin=None, stdout=None,
        file_limit=None, name="") -> Result:
    """Run argv to its end. `stdin` and `stdout` are paths (or None: no input, captured output). No file that it writes
    may exceed `file_limit` bytes. Messages call it `name`.

    With `log`, what it wrote goes to that file as well. With `check`, a status other than 0 is a Failure.
    A timeout ends the whole process group and is always a Failure.
    """
    argv = [os.fspath(word) for word in argv]
    name = name or argv[0]
    with open(stdin or os.devnull, "rb") as source, _sink(stdout) as out, tempfile.TemporaryFile() as err:
        process = _started(argv, name, file_limit, cwd=cwd, env=env, stdin=source, stdout=out, stderr=err)
        begun = time.monotonic()        # after the exec: the fork of this interpreter is not the program's time
        try:
            expired = not _await(process, timeout)
            seconds = time.monotonic() - begun
        except BaseException:
            _end_group(process, signal.SIGINT)
            _reap(process)
            raise
        if expired:
            _end_group(process, signal.SIGTERM)
        _reap(process)
        result = Result(tuple(argv), process.returncode, "" if stdout else _read(out), ends(err), seconds)
    if log:
        files.write_atomic(log, f"$ {' '.join(argv)}\n{result.stdout}{result.stderr}")
    where = f"; log: {log}" if log else ""
    if file_limit is not None:
        where = beyond(result.returncode, file_limit, stdout) + where
    elif result.returncode in BEYOND:
        where = f"; a file that it wrote came to the limit{limited()}{where}"
    shown = tail(result.stderr or result.stdout)
    if expired:
        raise Failure(f"{name} {EXPIRED} {timeout:g} s and was killed{where}{full()}{shown}")
    if check and result.returncode != 0:
        raise Failure(f"{name} failed with {describe_status(result.returncode)}{where}{full()}{shown}")
    return result
