# SPDX-License-Identifier: MIT
"""Servers that the tests run: each on a socket or a free port of its own, with the few words of its protocol."""

import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from common.ports import answers, free_port
from tests.programs import program, wait_until


class Server:
    """One server process. `ready` says when it can be talked to; what it wrote is in its log."""

    def __init__(self, words, directory, environment, **more):
        self.log = Path(directory) / "server.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(words, cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, start_new_session=True, **more)

    def output(self) -> str:
        """What it wrote."""
        return self.log.read_text(errors="replace")

    def wait_for(self, ready):
        """Until it is ready; an end before that is a failure with its output."""
        wait_until(lambda: self.process.poll() is not None or ready(), "the server's start")
        assert self.process.poll() is None, self.output()

    def uses(self, so) -> bool:
        """Whether the library is really mapped into it."""
        return f"/{Path(so).name}" in Path(f"/proc/{self.process.pid}/maps").read_text()

    def stop(self, number=signal.SIGTERM) -> int:
        """Ask it to end; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=60)


class Redis(Server):
    """redis-server on a socket file."""

    def __init__(self, directory, environment):
        path = str(directory / "redis.sock")
        super().__init__([program("redis-server"), "--port", "0", "--unixsocket", path, "--dir", str(directory),
                          "--save", "", "--appendonly", "no", "--enable-debug-command", "local", "--io-threads", "2"],
                         directory, environment)
        self.wait_for(lambda: os.path.exists(path))
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.settimeout(60)
        self.connection.connect(path)
        self.stream = self.connection.makefile("rb")

    def send(self, *commands):
        """Send all commands, then read one reply each."""
        self.connection.sendall(b"".join(
            b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)
            for words in ([str(w).encode() for w in command] for command in commands)))
        return [self.reply() for _ in commands]

    def reply(self):
        """One reply; an error is an assertion."""
        line = self.stream.readline().rstrip(b"\r\n")
        assert line[:1] not in (b"-", b""), line.decode()
        if line[:1] == b"$":
            return None if line == b"$-1" else self.stream.read(int(line[1:]) + 2)[:-2].decode()
        if line[:1] == b"*":
            return [self.reply() for _ in range(int(line[1:]))]
        return line[1:].decode()

    def shut_down(self) -> int:
        """SHUTDOWN and the exit status."""
        self.connection.sendall(b"*2\r\n$8\r\nSHUTDOWN\r\n$6\r\nNOSAVE\r\n")
        return self.process.wait(timeout=60)


class Memcached(Server):
    """memcached on a socket file, two threads."""

    def __init__(self, directory, environment):
        path = str(directory / "memcached.sock")
        user = ["-u", "root"] if os.geteuid() == 0 else []
        super().__init__([program("memcached"), "-s", path, "-t", "2", "-m", "64", *user], directory, environment)
        self.wait_for(lambda: os.path.exists(path))
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.settimeout(60)
        self.connection.connect(path)
        self.stream = self.connection.makefile("rb")

    def send(self, lines, ends=(b"END", b"STORED", b"DELETED", b"NOT_FOUND")) -> list:
        """Send commands; the replies, each up to the line that ends it."""
        found = []
        for start in range(0, len(lines), 100):     # the server stops reading while nobody reads its answers
            part = lines[start:start + 100]
            self.connection.sendall(b"".join(part))
            for _ in part:
                reply = [self.stream.readline().rstrip(b"\r\n")]
                while reply[-1] not in ends:
                    assert reply[-1] and not reply[-1].startswith((b"SERVER_ERROR", b"CLIENT_ERROR", b"ERROR")), reply
                    reply.append(self.stream.readline().rstrip(b"\r\n"))
                found.append(b"\n".join(reply))
        return found


NGINX = """\
daemon off;
worker_processes 2;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
{user}
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    gzip on;
    gzip_types *;
    gzip_min_length 0;
    ssi on;
    default_type text/html;
    server {{
        listen 127.0.0.1:{port};
        root {directory}/www;
        location /again/ {{ proxy_pass http://127.0.0.1:{port}/; proxy_buffers 4 4k; }}
    }}
}}
"""


class Nginx(Server):
    """nginx with two workers on a free port: files, compression, server-side includes, a proxy to itself."""

    def __init__(self, directory, environment):
        self.port = free_port()
        (directory / "nginx.conf").write_text(NGINX.format(
            directory=directory, port=self.port, user="user root;" if os.geteuid() == 0 else ""))
        super().__init__([program("nginx"), "-e", str(directory / "error.log"), "-p", str(directory), "-c",
                          str(directory / "nginx.conf")], directory, environment)
        self.wait_for(lambda: answers(self.port))

    def get(self, path, **headers):
        """(status, body) of one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path, headers={"Connection": "close", **headers})
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()

    def reload(self):
        """New workers; the old ones end when their last request has."""
        self.process.send_signal(signal.SIGHUP)

    def errors(self) -> str:
        """Lines of the error log that tell of a fault."""
        text = (Path(self.log).parent / "error.log").read_text()
        return "\n".join(line for line in text.splitlines() if re.search(r"\[(alert|crit|emerg|error)\]", line))


class Postgres:
    """A cluster of its own, below a directory that the unprivileged user can enter; the library is copied there too."""

    def __init__(self, so=None):
        self.directory = Path(tempfile.mkdtemp(prefix="hakmem.", dir="/tmp"))
        self.as_user = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
        self.environment = {"PATH": "/usr/bin:/bin", "HOME": str(self.directory), "LC_ALL": "C", "TZ": "UTC",
                            "PGHOST": str(self.directory), "PGUSER": "tester", "PGDATABASE": "postgres"}
        if so is not None:
            library = self.directory / "libhakmem.so"
            shutil.copyfile(so, library)
            library.chmod(0o755)
            self.environment["LD_PRELOAD"] = str(library)
        self.bin = Path(program("postgres")).parent
        self.server = None

    def run(self, name, *words, stdin="") -> str:
        """One of PostgreSQL's programs to its end; its output."""
        done = subprocess.run([str(self.bin / name), *words], env=self.environment, cwd=self.directory, input=stdin,
                              capture_output=True, text=True, timeout=120, check=False, **self.as_user)
        assert done.returncode == 0 and "cannot be preloaded" not in done.stderr, done.stderr
        return done.stdout

    def start(self):
        """initdb and the server."""
        if self.as_user:
            shutil.chown(self.directory, **{key: self.as_user[key] for key in ("user", "group")})
        self.run("initdb", "-D", "data", "-A", "trust", "-U", "tester", "--no-sync", "-E", "UTF8")
        self.server = Server([str(self.bin / "postgres"), "-D", "data", "-k", str(self.directory), "-c",
                              "listen_addresses=", "-c", "fsync=off", "-c", "shared_buffers=16MB"], self.directory,
                             self.environment, **self.as_user)
        self.server.wait_for(lambda: "ready to accept connections" in self.server.output())

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        if self.server:
            self.server.stop(signal.SIGINT)
        shutil.rmtree(self.directory, ignore_errors=True)
