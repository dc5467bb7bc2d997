# SPDX-License-Identifier: MIT
"""Servers as workloads: each that ships in its shortest form, each way in which one can fail, and nothing left."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from common import ports, proc, serve, tables
from common.errors import Failure, UserError
from common.household import parents
from common.launch import launch
from common.paths import ROOT
from measure import callgrind, counting
from plan import own
from pgo import train
from bench import own as own_table
from tests.programs import wait_until
from tests.shop import BASE, so_of
from tests.test_own import SOURCE, configure, numbers
from tests.test_faults import one_sentence, proc_state, tool

SERVERS = sorted(path.stem for path in (ROOT / "bench" / "servers").glob("*.toml"))
LIBM = "/lib/x86_64-linux-gnu/libm.so.6"      # a library that is everywhere
ECHO = """\
import http.server, os, signal, socket, sys, threading
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == '/end':
            os._exit(3)
        self.send_response(200); self.end_headers(); self.wfile.write(b'x')
    def log_message(self, *arguments): pass
if 'stubborn' in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if 'child' in sys.argv and os.fork() == 0:
    os.setsid(); threading.Event().wait(600)
if 'brief' in sys.argv:
    threading.Timer(1, os._exit, [0]).start()
if 'beside' in sys.argv:
    beside = socket.create_server(('0.0.0.0', 0))
class Server(http.server.HTTPServer):
    address_family = socket.AF_INET6 if 'six' in sys.argv else socket.AF_INET
address = '0.0.0.0' if 'open' in sys.argv else '::1' if 'six' in sys.argv else '127.0.0.1'
Server((address, int(sys.argv[1])), Answer).serve_forever()
"""


def described(tmp_path, **more):
    """A file for a small server of our own, with changes."""
    fields = {"start": ["/usr/bin/python3", "{dir}/echo.py", "{port}", *more.pop("words", ())], "requests": 5,
              "load": ["/usr/bin/python3", "{root}/bench/load.py", "http", "--port", "{port}", "--requests",
                       "{requests}", more.pop("path", "/")], "timeout": 30, "stop_timeout": 20, **more}
    lines = [f"{key} = {value!r}".replace("'", '"') for key, value in fields.items()]
    (tmp_path / "s.toml").write_text("\n".join(lines) + f"\n[files]\n\"echo.py\" = '''\n{ECHO}'''\n")
    return own.workload("user1", str(tmp_path / "s.toml"), 1, SOURCE)


def of_runs() -> list:
    """Processes that work in a run's directory, or have its file among their words."""
    found = []
    for pid in parents():
        try:
            words = open(f"/proc/{pid}/cmdline", "rb").read()
            if b"/hakmem." in words and b"echo.py" in words:
                found.append(pid)
        except OSError:
            pass
    return found


def shortened(place, name, seconds=1) -> str:
    """A shipped file with the shortest load. Rows of a table, which nobody asks for, would take longest."""
    text = (place / "bench" / "servers" / f"{name}.toml").read_text().replace('"pgbench",', '"pgbench", "--empty",')
    text = re.sub(r"^requests = \d+", "requests = 50", text, flags=re.MULTILINE)
    text = re.sub(r"^counted = \d+", "counted = 5", text, flags=re.MULTILINE)
    path = place / "build" / f"{name}.toml"
    path.write_text(re.sub(r"^seconds = \d+", f"seconds = {seconds}", text, flags=re.MULTILINE))
    return str(path)


def held_mallocs(place, name) -> int:
    """Calls of malloc under the held-out load, as callgrind counts them; without the caches, which take half of its
    time. On a busy machine node answers nothing in its first second there."""
    for seconds in (1, 4, 16):
        row = own.workload("held1", shortened(place, name, seconds), 1, own.Source("--train", "holdout", str(ROOT), 60))
        try:
            text = counting.callgrind_output(row, place / BASE, flags=callgrind.INSTRUCTIONS)
            return callgrind.parse(text).entries["malloc"].count
        except Failure as error:
            if "made 0 requests" not in str(error):
                raise
    raise AssertionError(f"{name} answered nothing in 16 s")


@pytest.mark.parametrize("name", SERVERS)
def test_shipped_servers(shop, name):
    """Trained, with all processes counted, and measured under the held-out load."""
    path = shortened(shop, name)
    assert configure(shop, "--train", path).returncode == 0
    done = tool(shop, "pgo.train", "--workload", "user1", "--so", so_of("clang"), "--toolchain", "clang", "-o",
                shop / "build" / "server.profile")
    processes, mallocs, wanted_processes, wanted = numbers(done)
    assert processes >= wanted_processes / 2 and mallocs > 20 and wanted > 20
    if name in ("nginx", "postgres"):
        assert processes >= 3
    assert held_mallocs(shop, name) > 20


def test_a_server_is_measured(shop):
    """By the tool, as the pipeline does it: the command's held-out load is a row of its own."""
    assert configure(shop, "--train", shortened(shop, "redis")).returncode == 0
    done = tool(shop, "measure.counting", "--workload", "held1", "--so", BASE, "-o", shop / "build" / "m.json")
    assert done.returncode == 0, done.stderr
    assert '"malloc":' in (shop / "build" / "m.json").read_text()


@pytest.mark.parametrize("name", SERVERS)
def test_shipped_servers_tell(shop, name):
    """Requests, CPU time, latencies and memory of a plain run, of both loads."""
    path = shortened(shop, name)
    for role in ("train", "holdout"):
        row = own.workload("user1", path, 1, own.Source("--train", role, str(ROOT), 60))
        found = launch(row, shop / BASE).server
        assert found.requests > 20 and found.cpu_us >= 0 and found.peak_kib > 500
        assert found.p50 is not None and 0 < found.p50 <= found.p99


def test_a_server_of_ones_own(tmp_path):
    """The file that docs/pipeline.md describes."""
    found = launch(described(tmp_path), None).server
    assert found.requests == 5 and found.cpu_seconds > 0 and of_runs() == []


def test_a_server_of_another_user_under_a_private_umask(tmp_path):
    """It may read the files that are made for it."""
    if os.geteuid() != 0:
        pytest.skip("only root may start it as another user")
    row, before = described(tmp_path, user="nobody"), os.umask(0o077)
    try:
        assert launch(row, None).server.requests == 5
    finally:
        os.umask(before)


def test_what_a_file_preloads_stays(tmp_path):
    """LD_PRELOAD in its environment: behind ours."""
    row = described(tmp_path, start=["/bin/sh", "-c", "echo found $LD_PRELOAD >&2; exit 4; : {port}"])
    with open(row.server, "a") as stream:
        stream.write("[environment]\nLD_PRELOAD = \"libdl.so.2:{dir}/mine.so\"\n")
    theirs = r"libdl.so.2:/tmp/hakmem\.\w+/mine.so\n"
    for so, found in ((None, f"found {theirs}"), (LIBM, f"found /.*/libhakmem.so:{theirs}")):
        with pytest.raises(Failure) as failed:
            launch(row, so)
        assert re.search(found, f"{failed.value}\n"), failed.value


@pytest.mark.parametrize("more, words", [
    ({"path": "/end"}, "the server /usr/bin/python3 ended under its load with exit 3"),
    ({"load": ["/bin/false"]}, "load \\(/bin/false\\) failed with exit 1"),
    ({"count": "(\\d+) made"}, "count finds nothing in what the load \\(/usr/bin/python3\\) says"),
    ({"stop": ["/bin/sleep", "0"], "stop_timeout": 1}, "did not end within 1 s of being asked to by /bin/sleep 0"),
    ({"words": ["open"]}, "listens on more than the loopback interface"),
    ({"words": ["beside"]}, "listens on more than the loopback interface, on port "),
    ({"load": ["/bin/echo", "requests 0"]}, "the load \\(/bin/echo\\) made 0 requests, as it says"),
    ({"stop": ["/bin/sleep", "60"], "stop_timeout": 2}, "stop \\(/bin/sleep\\) did not end within 2 s"),
    ({"words": ["stubborn"], "stop_timeout": 1}, "did not end within 1 s of being asked to by SIGTERM"),
    ({"words": ["child"], "stop_timeout": 1}, "did not end within 1 s"),
    ({"ready": "{dir}/never", "timeout": 1}, "was not ready within 1 s"),
    ({"start": ["/bin/sh", "-c", "echo why >&2; exit 4; : {port}"]}, "ended with exit 4 before it was ready(.|\n)*why"),
    ({"load": ["/bin/sleep", "60"], "timeout": 2}, "load \\(/bin/sleep\\) did not end within 2 s"),
    ({"start": ["/bin/sh", "-c", "echo gone; : {port}"]}, "ended with exit 0 before it was ready(.|\n)*gone"),
    ({"words": ["brief"], "load": ["/bin/sleep", "2"]}, "ended under its load with exit 0"),
    ({"p50": "p(50)", "p99": "(p99)"}, "p99 found 'p99' in the load's output, which is no number"),
    ({"p50": "p(50) ([0-9.]+)"}, "p50 found the unit '[0-9.]+' in the load's output; known units: ns, us"),
    ({"prepare": ["/bin/false"]}, "prepare \\(.*false\\) failed with exit 1"),
])
def test_what_fails_is_said_and_ended(tmp_path, more, words):
    """One sentence that names the server or the load, and no process is left."""
    with pytest.raises(Failure, match=words) as failed:
        launch(described(tmp_path, **more), None)
    assert str(failed.value).startswith("workload 'user1' under the C library: ")
    assert of_runs() == []


def test_a_run_has_variables_and_a_limit_of_its_own(tmp_path):
    """As a command's: so a policy is tried on a server, and no longer than there is time."""
    shown = {}

    def keep(scratch):
        shown["log"] = (scratch / "server.log").read_text()

    row = described(tmp_path, start=["/bin/sh", "-c", "echo $OTHER >&2; exec /usr/bin/python3 {dir}/echo.py {port}"])
    launch(row, None, extra_env={"OTHER": "{scratch}/mine"}, keep=keep, timeout=20)
    assert shown["log"].startswith("/tmp/hakmem.") and shown["log"].strip().endswith("/mine")
    with pytest.raises(Failure, match="load \\(/bin/sleep\\) did not end within 1 s"):
        launch(described(tmp_path, load=["/bin/sleep", "60"]), None, timeout=1)
    assert of_runs() == []


@pytest.mark.parametrize("text, words", [
    ("start = ['a']\n", "key 'load' is missing"), ("load = ['a']\nstart = []\n", "start is empty"),
    ("start = ['/bin/ls']\nload = ['/bin/ls']\nstop = 'SIGNOTHING'\n", "stop must be a signal's name"),
    ("start = ['/bin/ls']\nload = ['/bin/ls']\np50 = '('\n", "p50 is no regular expression"),
    ("start = ['/bin/ls']\nload = ['/bin/ls']\ncolour = 1\n", "unknown key 'colour'"),
    ("start = ['no-such-server', '{port}']\nload = ['/bin/ls']\npackages = ['p']\n", "apt-get install p"),
    ("start = ['no-such-server', '{port}']\nload = ['/bin/ls']\n", "s.toml: no such program: no-such-server"),
    ("start = ['./app', '{port}']\nload = ['/bin/ls']\n", "./app: a server runs in a directory of its own"),
    ("= =", "is not valid TOML"), (f"a = {'9' * 5000}", "a number of too many digits"),
    (f"a = {'[' * 9000}", "too deep"), ("\udcd0", "is no text: byte 0 is not of UTF-8"),
    ("start = ['/bin/ls']\nload = ['/bin/ls']\n", "nothing tells the server which one"),
    *((f"start = ['/bin/ls', '{{port}}']\nload = ['/bin/ls']\n{line}\n", words) for line, words in (
        ("p99 = 'p99'", "p99 must have a group"), ("count = '(?:x)'", "count must have a group"),
        ("stop = []", "stop is empty"),
        ("requests = 0", "requests must be at least 1, not 0"), ("counted = -1", "counted must be at least 0"),
        ("times = 0", "times must be"), ("held_times = 0", "held_times must be"), ("seconds = 0", "seconds must be"),
        ("timeout = 0", "timeout must be"), ("stop_timeout = -5", "stop_timeout must be"),
        ("ready = ''", "ready is empty"), ("ready = '{dir}/a'\n[files]\na = ''", "'a' is one of the files, which are"),
        ("user = 'no-such-user'", "there is no user 'no-such-user'"), ("requests = '5'", "key 'requests' must be int"),
        ("environment = { HAKMEM_THP = 'on' }", "s.toml: environment: HAKMEM_THP decides in the library"),
        ("input = 'gone'", "input: .*/gone is missing"), ("input = '.'", "input: .* is no file"),
        ("[files]\n'load.log' = ''", "'load.log' is the name of a log of the run"),
        ("[files]\n'/etc/x' = ''", "'/etc/x' must be a name below {dir}"), ("[files]\n'../x' = ''", "'../x' must be"),
        ("environment = { A = 1 }", "key 'environment' must be a table of str, not"),
        ("held = 'x'", "key 'held' must be a list of str, as"),
        ("stop = 9", "'stop' must be a list of str.* or str, "))),
])
def test_wrong_files(tmp_path, text, words):
    """Refused before anything runs."""
    (tmp_path / "s.toml").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UserError, match=words):
        own.workload("user1", str(tmp_path / "s.toml"), 1, SOURCE)


@pytest.mark.parametrize("line, words", [
    ("load = ['/bin/ls', '-p{prot}']", "line 3: load: {prot} stands for nothing; write {port}, or put"),
    ("load = ['/bin/ls']\nprepare = ['ls',\n # {Requests}\n '{Requests}']", "line 6: prepare: .* write {requests}"),
    ("load = ['/bin/ls']\n[files]\na = \"\"\"\nx\n{dirs}/y\"\"\"", "line 7: files: {dirs} .* write {dir}, or"),
    ("load = ['/bin/ls']\n[environment]\nA = '{second}'", "line 5: environment: .*write {seconds}"),
])
def test_misspelt_placeholders(tmp_path, line, words):
    """With the file, the line and the right word, before anything runs."""
    (tmp_path / "s.toml").write_text(f"# {{prot}}\nstart = ['/bin/ls', '{{port}}']\n{line}\n")
    with pytest.raises(UserError, match=f"s.toml: {words}"):
        own.workload("user1", str(tmp_path / "s.toml"), 1, SOURCE)


def test_braces_of_others(tmp_path):
    """What awk, a shell or git means by them is handed on."""
    words = ["{print}", "${ports}", "@{upstream}", "{a,b}", "{}", "{host}", "{{ports}}"]
    (tmp_path / "s.toml").write_text(f"start = ['/bin/ls', '{{port}}']\nload = ['/bin/ls', '{' '.join(words)}']\n")
    assert serve.load(tmp_path / "s.toml").load[1].split() == words
    assert {*serve.Session(own.workload("user1", str(tmp_path / "s.toml"), 1, SOURCE), tmp_path, False).values} == {
        *serve.PLACEHOLDERS}


def test_a_directory_is_no_file(tmp_path):
    (tmp_path / "s.toml").mkdir()
    with pytest.raises(UserError, match="s.toml cannot be read: Is a directory"):
        own.workload("user1", str(tmp_path / "s.toml"), 1, SOURCE)


@pytest.mark.parametrize("more, words", [({"directory": "absent"}, "directory: .*/absent is no directory"),
                                         ({"ready": "/etc/passwd", "ready_text": "root"}, "ready: /etc/passwd is as"),
                                         ({"start": ["{script}", "{port}"]}, "start: .*/script cannot be run .*No "),
                                         ({"prepare": ["{script}"]}, "prepare: .*/script cannot be run "),
                                         ({"input": "{dir}/absent"}, "input: .*/absent is missing"),
                                         ({"input": "{dir}"}, "input: .* is no file"),
                                         ({"prepare": ["/bin/mkfifo", "pipe"], "input": "{dir}/pipe"}, "is no file")])
def test_what_is_missing_is_said(tmp_path, more, words):
    """A directory below the run's, a file beside the description, what runs a script."""
    script = tmp_path / "script"
    script.write_text("#!/no/such/shell\n")
    script.chmod(0o755)
    more = {key: [word.replace("{script}", str(script)) for word in value] if isinstance(value, list) else value
            for key, value in more.items()}
    with pytest.raises(UserError, match=words):
        launch(described(tmp_path, **more), None)
    assert of_runs() == []


def test_a_server_of_the_other_kind_of_address(tmp_path):
    """It listens on ::1 alone."""
    load = ("import http.client, sys; c = http.client.HTTPConnection('::1', int(sys.argv[1])); c.request('GET', '/'); "
            "print('requests', len(c.getresponse().read()))")
    row = described(tmp_path, words=["six"], load=["/usr/bin/python3", "{dir}/load.py", "{port}"])
    with open(row.server, "a") as stream:
        stream.write(f"\"load.py\" = \"{load}\"\n")
    assert launch(row, None).server.requests == 1


def test_a_server_on_a_socket_file(tmp_path):
    """It is ready when that is there, which nobody can read as a file."""
    row = described(tmp_path, start=["/usr/bin/python3", "{dir}/server.py", "{dir}/s.sock"], ready="{dir}/s.sock",
                    load=["/usr/bin/python3", "{dir}/load.py", "{dir}/s.sock"])
    begin = "import socket, sys; s = socket.socket(socket.AF_UNIX); s."
    with open(row.server, "a") as stream:
        stream.write(f"\"server.py\" = \"{begin}bind(sys.argv[1]); s.listen(); c = s.accept()[0]; c.send(b'x'); "
                     "s.accept()\"\n"
                     f"\"load.py\" = \"{begin}connect(sys.argv[1]); print('requests', len(s.recv(9)))\"\n")
    assert launch(row, None).server.requests == 1


def test_what_was_prepared_may_run_on(tmp_path):
    """Another server, say, that the server asks: it is not waited for, and ends with the run."""
    sleep = f"sleep 618.{os.getpid()}"
    assert launch(described(tmp_path, prepare=["/bin/sh", "-c", f"{sleep} & sleep 0"], stop_timeout=5), None).server
    assert sleep not in proc.run(["ps", "-eo", "args="]).stdout.splitlines()


def test_somebody_else_answers(tmp_path, monkeypatch):
    """A process that was there before has the port: no library is in it, and the load would be its."""
    source = ("import socket, time; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); "
              "time.sleep(600)")
    other = subprocess.Popen(["/usr/bin/python3", "-c", source], stdout=subprocess.PIPE)
    try:
        port = int(other.stdout.readline())
        monkeypatch.setattr(ports, "free_port", lambda: port)
        with pytest.raises(Failure, match=f"port {port} is answered by python3, which the server /bin/sleep did not"):
            launch(described(tmp_path, start=["/bin/sleep", "60", "{port}"]), None)
    finally:
        other.kill()
        other.communicate()


def test_a_server_that_does_not_load_the_library(tmp_path):
    """What ld.so says in its log, as of a command."""
    (tmp_path / "none.so").write_bytes(b"\x7fELF")
    with pytest.raises(Failure, match="ld.so does not preload the library: "):
        launch(described(tmp_path), tmp_path / "none.so")


def test_a_log_of_gigabytes(tmp_path):
    """Its ends are looked at; the beginning, for what ld.so says."""
    with open(tmp_path / "log", "w+b") as stream:
        stream.write(b"first\n")
        stream.truncate(40 << 30)
        stream.seek(0, os.SEEK_END)
        stream.write(b"\nlast\n")
        text = proc.ends(stream)
    assert text.startswith("first\n") and text.endswith("\nlast\n") and len(text) < 3 << 20


def test_the_newest_of_a_pattern(tmp_path):
    """15 is newer than 9.6, and what cannot be run is none."""
    for name in ("9.6", "15", "16"):
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(0o644 if name == "16" else 0o755)
    assert serve.find_program(f"{tmp_path}/*", None) == f"{tmp_path}/15"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_server_ends_with_its_tool(tmp_path, number):
    """Whatever ends the tool, by Ctrl-C or SIGKILL: the server and its children end too."""
    described(tmp_path, words=["child"], load=["/bin/sleep", "60"], timeout=60)
    source = ("from plan import own; from common.launch import launch; from tests.test_own import SOURCE; "
              f"launch(own.workload('user1', '{tmp_path}/s.toml', 1, SOURCE), None)")
    runner = subprocess.Popen([sys.executable, "-c", source], cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        pids = wait_until(lambda: len(of_runs()) >= 2 and of_runs(), "the server's start")
    finally:
        runner.send_signal(number)
        runner.wait(timeout=30)
    wait_until(lambda: all(proc_state(pid) == "Z" for pid in pids), "the server's end")
    assert of_runs() == []


@pytest.mark.parametrize("address, open_", [
    ("0100007F", False), ("00000000", True), ("0F02000A", True), ("0200007F", False),
    ("00000000000000000000000001000000", False), ("00000000000000000000000000000000", True),
    ("0000000000000000FFFF00000100007F", False),
])
def test_who_listens_where(address, open_):
    """Lines of /proc/net/tcp and tcp6; one that listens, and one that is connected."""
    line = f"  0: {address}:1F90 00000000:0000 %s 00000000:00000000 00:00000000 00000000  0  0 4711 1 0"
    assert ports.listeners(f"{line % '0A'}\n{line % '01'}") == [ports.Listener(address, 8080, "socket:[4711]")]
    assert ports.Listener(address, 8080, "").exposed is open_


def test_a_slower_server_is_asked_less():
    """The load lasts two seconds: half the answers, half the requests for memory."""
    row = own.Workload("user1", "train", ("x",), "s", own=True)
    train.check_seen(row, train.Seen(3, 50_000, (), 500), train.Seen(3, 100_000, (), 1000))
    with pytest.raises(Failure):
        train.check_seen(row, train.Seen(3, 50_000, (), 1000), train.Seen(3, 100_000, (), 1000))


def test_every_shipped_file_has_a_held_out_load():
    """One command: TRAIN=bench/servers/NAME.toml judges by it."""
    for name in SERVERS:
        path = ROOT / "bench" / "servers" / f"{name}.toml"
        found = tables.make(serve.Server, tables.parse(path), name)
        assert found.held and found.held != found.load and found.packages and found.sentence
    assert {"redis", "nginx", "postgres", "memcached", "http", "node"} <= set(SERVERS)


def line(subject, time_="1.000", **more):
    """A row of a command's table."""
    return {"subject": subject, "time": time_, "peak_kib": 2048, "faults": 1234, "share": 0.137, **more}


def test_the_load_that_trains_does_not_judge(shop, tmp_path):
    """A file without a held-out load, given for both."""
    row = described(tmp_path)
    one_sentence(configure(shop, "--train", row.server, "--holdout", row.server), 2,
                 "s.toml is trained on as well; give another file, or a load as `held` in it")


def test_the_table_of_a_command():
    """Whole strings."""
    entry = {"role": "train", "command": "lua app.lua", "seconds": 0.25, "rounds": 7, "floor": 0.021,
             "lines": [line("glibc"), line("tailored", "0.900 [0.880, 0.920]", peak_kib=None, faults=None)]}
    assert own_table.render({"label": "t", "stage": "bolt", "commands": [entry]}) == """\
t: your program, on the C library (glibc), on the library as it is built for everybody (generic)
and as it was tailored and ships (tailored: bolt)
  TRAIN    lua app.lua  (0.25 s, 7 rounds, A against A within 2.1 %)
                     time vs glibc  peak memory  page faults  of its instructions
    glibc                    1.000      2.0 MiB        1,234               13.7 %
    tailored  0.900 [0.880, 0.920]            -            -               13.7 %
  judged on what it was trained on: give HOLDOUT='another command' to see it on something new"""
    held = own_table.render({"label": "t", "stage": "bolt", "commands": [entry, {**entry, "role": "holdout"}]})
    assert "judged on" not in held and "  HOLDOUT  lua app.lua" in held


def test_the_table_of_a_server():
    """Whole strings."""
    entry = {"role": "holdout", "command": "s.toml", "server": True, "rounds": 3, "floor": 0.04, "lines": [
        {"subject": "glibc", "time": "1.000", "cpu_us": 3.14, "p50": 0.1, "p99": None, "peak_kib": 6144}]}
    assert own_table.render({"label": "t", "stage": "pgo", "commands": [entry]}).splitlines()[2:] == [
        "  HOLDOUT  s.toml, held-out load  (3 rounds, A against A within 4.0 %)",
        "           CPU a request  vs glibc       p50  p99  peak memory",
        "    glibc         3.1 us     1.000  0.100 ms    -      6.0 MiB"]


def test_rounds_are_interleaved():
    """Another subject begins each round."""
    order = []

    def run(_row, library):
        order.append(library)
        return type("Done", (), {"server": serve.Run(1, 1.0, None, None, 1)})

    found = own_table.server_rounds({"a": "A", "b": "B"}, None, 0, clock=time.monotonic, run=run)
    assert order == ["A", "B", "B", "A", "A", "B"] and len(found["a"]) == len(found["b"]) == 3
