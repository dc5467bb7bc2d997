# SPDX-License-Identifier: MIT
"""A server as a workload: a small TOML file says how it is started, when it is ready, what loads it and how it stops.

The server and all that it starts run under the library; the load does not. Both live on the loopback interface, in a
directory of their own, and whatever fails, every process is ended. Words may hold {port} (a free one), {dir} (the run's
directory), {root} (the clone), {requests} and {seconds} (how long a load is, from the same file).
"""

import contextlib
import dataclasses
import functools
import glob
import math
import os
import pwd
import re
import resource
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from common import household, paths, ports, proc, tables
from common.errors import Failure, UserError, describe
from common.scratch import PINNED_ENV, Scratch, own_setting

SEARCHED = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
OPEN_FILES = 1024
PORT = "port"       # what `ready` says of a server that is waited for by its port
UNITS = {"ns": 1e-6, "us": 1e-3, "\u00b5s": 1e-3, "ms": 1.0, "s": 1e3}
LOGS = {what: f"{what}.log" for what in ("prepare", "server", "load", "stop")}     # in the run's directory
PLACEHOLDERS = ("port", "dir", "root", "requests", "seconds")
FILLED = ("start", "load", "held", "stop", "prepare", "input", "ready", "directory", "environment", "files")
# Of a shell, make or git, {word} behind one of these signs is their own.
_BRACED = re.compile(r"(?<![$%@#\\{])\{([A-Za-z_]+)\}")
ALIKE = 0.75        # of a word's letters; awk's {print} has two thirds of {port}'s
LEAST = {"requests": 1, "counted": 0, "seconds": 1, "times": 1, "held_times": 1, "timeout": 1, "stop_timeout": 1}


@dataclass(frozen=True)
class Server:
    """One file; docs/pipeline.md explains the keys."""
    start: tuple[str, ...]
    load: tuple[str, ...]
    ready: str = PORT               # that, or the name of a file
    ready_text: str = ""            # what the file must hold
    held: tuple[str, ...] = ()      # the held-out load
    stop: tuple[str, ...] | str = "SIGTERM"
    prepare: tuple[str, ...] = ()   # run once before the start, without the library
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: str = ""             # working directory of the server
    input: str = ""                 # a file for the load's standard input
    user: str = ""                  # whom the server runs as, where root starts it
    files: Mapping[str, str] = field(default_factory=dict)      # name -> content, written into {dir}
    requests: int = 1000            # what a load makes
    counted: int = 0                # what it makes under valgrind; 0: a twentieth
    seconds: int = 2                # for loads that run for a time
    times: int = 1                  # how often the load makes so many requests
    held_times: int = 1
    count: str = r"requests (\d+)"  # where the load's output says how many there were; unmatched: {requests} * times
    p50: str = r"p50 ([\d.]+) (us|ms|s)"
    p99: str = r"p99 ([\d.]+) (us|ms|s)"
    timeout: int = 600              # seconds from the start to the end of the load
    stop_timeout: int = 60          # seconds that it may take to end
    sentence: str = ""
    packages: tuple[str, ...] = ()

    def length(self, counting: bool) -> dict:
        """The values of {requests} and {seconds}."""
        requests = (self.counted or max(1, self.requests // 20)) if counting else self.requests
        return {"requests": str(requests), "seconds": str(self.seconds)}


@dataclass(frozen=True)
class Run:
    """What one run of a server showed. Latencies in milliseconds; None where the load does not say them."""
    requests: int
    cpu_seconds: float
    p50: float | None
    p99: float | None
    peak_kib: int
    faults: int = 0
    idle_kib: int = 0       # what was resident `idle` seconds behind the load; 0 if nobody waited
    stderr: str = ""

    @property
    def cpu_us(self) -> float:
        """CPU time of a request."""
        return self.cpu_seconds / max(1, self.requests) * 1e6


def load(path) -> Server:
    """The file, checked."""
    server = tables.make(Server, tables.parse(path), str(path))
    for wrong in (*_wrong_values(server), *_wrong_patterns(server), *_wrong_names(server),
                  *_misspelt(server, Path(path).read_text()), *_untold(server),
                  *_wrong_input(server, Path(path).parent)):
        raise UserError(f"{path}: {wrong}")
    return server


def _wrong_values(server: Server):
    """What no server can be run with."""
    for key in ("start", "load", "stop", "ready"):
        if not getattr(server, key):
            yield f"{key} is empty"
    if isinstance(server.stop, str) and server.stop not in signal.Signals.__members__:
        yield f"stop must be a signal's name, as \"SIGTERM\", or a command, not '{server.stop}'"
    for key, least in LEAST.items():
        if getattr(server, key) < least:
            yield f"{key} must be at least {least}, not {getattr(server, key)}"


def _wrong_patterns(server: Server):
    """Regular expressions that find nothing, or not by a group."""
    for key in ("count", "p50", "p99"):
        try:
            groups = re.compile(getattr(server, key)).groups
        except re.error as error:
            yield f"{key} is no regular expression: {error}"
        else:
            if groups < 1:
                yield f"{key} must have a group around the number, as in \"requests (\\\\d+)\""


def _wrong_names(server: Server):
    """A file outside of the run's directory; a user who is not."""
    for name in server.files:
        if not name or os.path.isabs(name) or ".." in Path(name).parts or not Path(name).parts:
            yield f"files: '{name}' must be a name below {{dir}}"
        elif name in LOGS.values():
            yield f"files: '{name}' is the name of a log of the run; take another one"
        elif name == server.ready.removeprefix("{dir}/") and server.ready_text in server.files[name]:
            yield f"ready: '{name}' is one of the files, which are there before the server is started"
    if wrong := own_setting(server.environment):
        yield f"environment: {wrong}"
    if server.user:
        try:
            pwd.getpwnam(server.user)
        except KeyError:
            yield f"user: there is no user '{server.user}'"


def _texts(value):
    """All strings of a key's value."""
    return (value,) if isinstance(value, str) else value.values() if isinstance(value, Mapping) else value


def _nearest(word: str) -> str:
    """The placeholder that a word is a misspelling of, by the letters that it shares in their order, or all of them in
    another one; "" when it is of none."""
    import difflib
    alike = {name: difflib.SequenceMatcher(None, word, name).ratio() + (sorted(word) == sorted(name))
             for name in PLACEHOLDERS}
    near = max(alike, key=alike.get)
    return near if alike[near] >= ALIKE else ""


def _misspelt(server: Server, text: str):
    """A {word} that is nearly one of ours: it would be handed on as it stands. `text` is that of the file."""
    lines = ["" if line.lstrip().startswith("#") else line for line in text.splitlines()]
    for key in FILLED:
        for word in _BRACED.findall("\n".join(_texts(getattr(server, key)))):
            near = _nearest(word.lower())
            if near and word not in PLACEHOLDERS:
                number = next((at for at, line in enumerate(lines, 1) if f"{{{word}}}" in line), 0)
                yield f"line {number}: {key}: {{{word}}} stands for nothing; write {{{near}}}, or put the line into " \
                      "a script if the program is to get it as it is"


def _wrong_input(server: Server, here: Path):
    """A file that is to be there before anything is run, unless it has a place where something may make it."""
    if server.input and "{" not in server.input and not os.path.isabs(server.input) and \
            (wrong := no_file(here / server.input)):
        yield f"input: {wrong}"


def no_file(path: Path) -> str:
    """Why it cannot be a load's input; "" when it can. A pipe would be waited for."""
    return "" if path.is_file() else f"{path} is {'no file' if path.exists() else 'missing'}"


def _untold(server: Server):
    """A port that is waited for in vain."""
    told = (*server.start, *server.prepare, *server.environment.values(), *server.files.values())
    if server.ready == PORT and not any("{port}" in text for text in told):
        yield "ready is \"port\", but nothing tells the server which one: put {port} into start or files"


def newest(names):
    """The last by name, where numbers count as such: 15 comes behind 9.6. None of none."""
    return max(names, default=None, key=lambda name: [
        int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)])


def find_program(word: str, server: Server) -> str:
    """The absolute path of a program; of a pattern, the program that matches and is the newest."""
    if "/" in word and not os.path.isabs(word):
        raise UserError(f"{word}: a server runs in a directory of its own; give the whole name of the program")
    found = newest(filter(shutil.which, glob.glob(word))) if "*" in word else shutil.which(word, path=SEARCHED)
    if found is None:
        install = f"; install it with: apt-get install {' '.join(server.packages)}" if server.packages else ""
        raise UserError(f"no such program: {word}{install}")
    return found


def _stat_sum(pids, first: int) -> int:
    """Four fields of proc(5)'s stat, counted from behind the name, of each process: minor, its children's, major and
    theirs, or user, system and both of the children."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += sum(map(int, fields[first:first + 4]))
    return total


def cpu_seconds(pids) -> float:
    """Processor time of processes and of their children that have ended."""
    return _stat_sum(pids, 11) / os.sysconf("SC_CLK_TCK")


def precise_seconds(pids) -> float:
    """The same of the processes alone, in nanoseconds; 0 where the kernel does not tell."""
    total = 0
    for pid in pids:
        for task in glob.glob(f"/proc/{pid}/task/*/schedstat"):
            with contextlib.suppress(OSError):
                total += int(Path(task).read_text().split()[0])
    return total / 1e9


def peak_kib(pids) -> int:
    """Peak resident memory of the processes, without what they have in common by files."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
            sizes = {key: int(fields[key].split()[0]) for key in ("VmHWM", "RssFile", "RssShmem") if key in fields}
            total += max(0, sizes.get("VmHWM", 0) - sizes.get("RssFile", 0) - sizes.get("RssShmem", 0))
    return total


def confine(file_limit):
    """In the child: as proc.confine, and with the usual number of files. Under valgrind a program cannot set another
    one, and memcached ends when it cannot set this."""
    proc.confine(file_limit)
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, hard))


def idle_kib(pids) -> int:
    """Resident memory of the processes now, without files."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            _size, resident, shared, *_rest = map(int, Path(f"/proc/{pid}/statm").read_text().split())
            total += max(0, resident - shared) * os.sysconf("SC_PAGE_SIZE") // 1024
    return total


def page_faults(pids) -> int:
    """Of processes and of their children that have ended."""
    return _stat_sum(pids, 7)


class Session:
    """One server from its start to its end."""

    def __init__(self, workload, scratch: Path, counting: bool, timeout=None):
        self.server = load(workload.server)
        self.workload, self.scratch = workload, scratch
        self.port = ports.free_port()
        self.counting = counting
        self.values = {"port": str(self.port), "dir": str(scratch), "root": str(paths.ROOT),
                       **self.server.length(counting)}      # of each of PLACEHOLDERS
        self.as_user = {"user": self.server.user, "group": pwd.getpwnam(self.server.user).pw_gid,
                        "extra_groups": []} if self.server.user and os.geteuid() == 0 else {}
        self.log = scratch / LOGS["server"]
        self.seconds = min(self.server.timeout, math.inf if timeout is None else timeout)
        self.deadline = time.monotonic() + self.seconds
        self.process = None

    def fill(self, text: str) -> str:
        """Placeholders replaced."""
        for name, value in self.values.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    def words(self, words) -> list:
        """A command of the file."""
        return [find_program(self.fill(words[0]), self.server), *map(self.fill, words[1:])]

    def environment(self) -> dict:
        """Of everything in the session."""
        return {**PINNED_ENV, "PATH": SEARCHED, "HOME": str(self.scratch),
                **{key: self.fill(value) for key, value in self.server.environment.items()}}

    def prepare(self):
        """Files, and the command before the start. The server's user may read them, whatever the umask is."""
        for name, content in self.server.files.items():
            path = self.scratch / name
            if path.exists():
                raise UserError(f"{self.workload.server}: files: '{name}' is the name of a file of the run's own; take "
                                "another one")
            for directory in [*reversed(path.relative_to(self.scratch).parents)][1:]:
                (self.scratch / directory).mkdir(exist_ok=True)
                (self.scratch / directory).chmod(0o755)
            path.write_text(self.fill(content))
            path.chmod(0o644)
        if self.as_user:
            shutil.chown(self.scratch, self.as_user["user"], self.as_user["group"])
        if self.server.prepare:
            self._command(self.server.prepare, "prepare", **self.as_user)

    def _start(self, what: str, words, file_limit, **more) -> subprocess.Popen:
        """A process of the file's."""
        try:
            return proc.start(words, functools.partial(confine, file_limit), **more)
        except OSError as error:
            who = f" as {more['user']}" if "user" in more else ""
            raise UserError(f"{self.workload.server}: {what}: {words[0]} cannot be run{who} ({describe(error)}); a "
                            "script needs its interpreter, and a user the right to enter TMPDIR") from None

    def _command(self, words, what: str, source=os.devnull, seconds=None, **more) -> str:
        """One of the file's commands to its end; its output. Without `seconds` it has what is left of the run's."""
        words = self.words(words)
        left, allowed = (seconds, seconds) if seconds else (max(1.0, self.deadline - time.monotonic()), self.seconds)
        with open(source, "rb") as stdin, open(self.scratch / LOGS[what], "w+b") as output:
            process = self._start(what, words, proc.LARGEST_FILE, cwd=self.scratch, env=self.environment(), stdin=stdin,
                                  stdout=output, stderr=subprocess.STDOUT, **more)
            try:
                process.wait(left)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise Failure(f"{what} ({words[0]}) did not end within {allowed:.0f} s") from None
            text = proc.ends(output)
        if process.returncode != 0:
            beyond = proc.beyond(process.returncode, proc.LARGEST_FILE, self.scratch / LOGS[what])
            raise Failure(f"{what} ({words[0]}) failed with {proc.describe_status(process.returncode)}{beyond}"
                          f"{proc.tail(text)}{self.server_tail()}")
        return text

    def server_said(self) -> str:
        """Its log."""
        with open(self.log, "rb") as stream:
            return proc.ends(stream)

    def server_tail(self) -> str:
        """What the server wrote last."""
        text = self.server_said() if self.log.exists() else ""
        return f"\n    the server's log:{proc.tail(text)}" if text.strip() else ""

    def start(self, wrapper, environment):
        """Start it and wait until it answers."""
        words = [*wrapper, *self.words(self.server.start)]
        place = self.scratch / self.fill(self.server.directory)
        if not place.is_dir():
            raise UserError(f"{self.workload.server}: directory: {place} is no directory")
        if self.server.ready != PORT and self.ready():
            raise UserError(f"{self.workload.server}: ready: {self.fill(self.server.ready)} is as the server would "
                            "leave it before that is started; remove it, or name a file that only the server makes")
        with open(self.log, "wb") as log:
            self.process = self._start("start", words, None, cwd=place, env={**self.environment(), **environment},
                                       stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self.as_user)

    def ready(self) -> bool:
        """Whether it can be talked to."""
        if self.server.ready == PORT:
            return ports.answers(self.port)
        path = self.scratch / self.fill(self.server.ready)
        with contextlib.suppress(OSError):
            return path.exists() and (not self.server.ready_text or path.is_file() and
                                      self.server.ready_text in path.read_text(errors="replace"))
        return False

    def wait(self, pids):
        """Until it is ready. A start that ends with 0 has put the server into the background."""
        while not self.ready():
            status = self.process.poll()
            if status not in (None, 0) or status == 0 and not pids():
                raise Failure(f"the server {self.server.start[0]} ended with {proc.describe_status(status)} before it "
                              f"was ready{self.server_tail()}")
            if time.monotonic() > self.deadline:
                raise Failure(f"the server {self.server.start[0]} was not ready within {self.seconds:.0f} s"
                              f"{self.server_tail()}")
            time.sleep(0.01)
        self.check_listeners(pids())

    def check_listeners(self, pids):
        """That who answers is the server, and that it answers nobody else than this machine."""
        mine, found = ports.sockets_of(pids), ports.listeners()
        here = [one for one in found if one.port == self.port]
        if self.server.ready == PORT and here and mine is not None and not any(one.link in mine for one in here):
            holders = [pid for pid in household.parents() if here[0].link in (ports.sockets_of([pid]) or ())]
            name = household.name_of(holders[0]) if holders else "another process"
            raise Failure(f"port {self.port} is answered by {name}, which the server {self.server.start[0]} did not "
                          f"start: no library is preloaded there{self.server_tail()}")
        for one in found:
            if one.exposed and (one.port == self.port or one.link in (mine or ())):
                raise Failure(f"the server {self.server.start[0]} listens on more than the loopback interface, on port "
                              f"{one.port}: bind it to 127.0.0.1")

    def check_alive(self, pids):
        """That the load has not ended it."""
        if self.process.poll() not in (None, 0) or not pids:
            raise Failure(f"the server {self.server.start[0]} ended under its load with "
                          f"{proc.describe_status(self.process.returncode)}{self.server_tail()}")

    def load(self, pids, idle: float) -> Run:
        """Make the load and read what it says; then wait."""
        held = self.workload.role == "holdout" and bool(self.server.held)
        words, times = (self.server.held, self.server.held_times) if held else (self.server.load, self.server.times)
        source = Path(self.workload.server).parent / (self.fill(self.server.input) or os.devnull)
        if self.server.input and (wrong := no_file(source)):
            raise UserError(f"{self.workload.server}: input: {wrong}")
        before = cpu_seconds(pids()), precise_seconds(pids())
        try:
            text = self._command(words, "load", source)
        except Failure:
            time.sleep(0.1)     # a server that is about to end is why its load fails
            self.check_alive(pids())
            raise
        self.check_alive(pids())
        left = pids()
        spent = cpu_seconds(left) - before[0]
        precise = precise_seconds(left) - before[1]
        if abs(precise - spent) < max(0.2 * spent, 0.05):
            spent = precise     # no process ended meanwhile: ticks of 10 ms are too coarse
        found = re.search(self.server.count, text, re.MULTILINE)
        if not found and self.server.count != Server.count:
            raise Failure(f"count finds nothing in what the load ({words[0]}) says{proc.tail(text)}")
        requests = _number("count", found[1], int) if found else int(self.values["requests"]) * times
        if requests < 1:
            raise Failure(f"the load ({words[0]}) made {requests} requests, as it says{proc.tail(text)}")
        found = Run(requests, spent, _latency("p50", self.server.p50, text), _latency("p99", self.server.p99, text),
                    peak_kib(left), page_faults(left))
        if idle:
            time.sleep(idle)
            found = dataclasses.replace(found, idle_kib=idle_kib(pids()))
        return found

    def stop(self, pids):
        """Ask it to end and wait until all of it has."""
        number_alone = isinstance(self.server.stop, str)
        if number_alone:
            number = signal.Signals[self.server.stop]
            household.send([self.process.pid] if self.process.poll() is None else pids(), number)
        else:
            number = signal.SIGTERM
            self._command(self.server.stop, "stop", seconds=self.server.stop_timeout, **self.as_user)
        deadline = time.monotonic() + self.server.stop_timeout
        while (self.process.poll() is None or pids()) and time.monotonic() < deadline:
            household.reap(pids() - {self.process.pid})
            time.sleep(0.01)
        status = self.process.poll()
        if status is None or pids():
            raise Failure(f"the server {self.server.start[0]} did not end within {self.server.stop_timeout} s "
                          f"of being asked to by {self.server.stop if number_alone else shlex.join(self.server.stop)}"
                          f"{self.server_tail()}")
        if status not in (0, -number, 128 + number):
            raise Failure(f"the server {self.server.start[0]} ended with {proc.describe_status(status)}"
                          f"{self.server_tail()}")


def _number(key: str, text: str, kind):
    """What a pattern of the file found."""
    try:
        return kind(text)
    except (TypeError, ValueError):
        raise Failure(f"{key} found '{text}' in the load's output, which is no number") from None


def _latency(key: str, pattern: str, text: str):
    """Milliseconds."""
    found = re.search(pattern, text, re.MULTILINE)
    if not found:
        return None
    unit = (found[2] if found.re.groups > 1 else None) or "ms"
    if unit not in UNITS:
        raise Failure(f"{key} found the unit '{unit}' in the load's output; known units: {', '.join(UNITS)}")
    return _number(key, found[1], float) * UNITS[unit]


def run(workload, preload, *, wrapper=(), keep=None, beside=(), counting=False, idle=0.0, extra_env=None,
        timeout=None) -> Run:
    """Start, load and stop the workload's server. `preload(scratch, what the file itself preloads)` is the word
    LD_PRELOAD=...; `keep(scratch)`, `beside`, `idle` and `extra_env`, which the server alone has, are as for
    common.launch. With a `timeout` it has no longer than that, whatever its file allows."""
    with Scratch() as scratch, household.Guardian(scratch):
        for prepare in beside:
            prepare(scratch)
        home = household.Household(scratch)
        session = Session(workload, scratch, counting, timeout)
        word = preload(scratch, session.fill(session.server.environment.get("LD_PRELOAD", "")))
        environment = {} if "{preload}" in wrapper else dict([word.split("=", 1)]) if word.partition("=")[2] else {}
        environment |= {key: value.replace("{scratch}", str(scratch)) for key, value in (extra_env or {}).items()}
        wrapper = [word if part == "{preload}" else part.replace("{scratch}", str(scratch)) for part in wrapper]
        with home:
            session.prepare()
            home.set_aside()
            session.start(wrapper, environment)
            pids = home.remaining
            session.wait(pids)
            found = session.load(pids, idle)
            session.stop(pids)
        if keep is not None:
            keep(scratch)
        return Run(**{**found.__dict__, "stderr": session.server_said()})
