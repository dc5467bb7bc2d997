# SPDX-License-Identifier: MIT
"""Loads for servers, for which Debian has no program that counts and times requests: HTTP, memcached's text protocol,
and pgbench with percentiles. Prints `requests N  p50 X ms  p99 Y ms`. A script without the project's modules.

    python3 bench/load.py http --port 8000 --requests 500 /index.html
"""

import argparse
import glob
import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time


def percentile(ordered, share: float) -> float:
    """The value below which that share lies."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def show(seconds):
    """The line that the project reads."""
    ordered = sorted(seconds)
    print(f"requests {len(ordered)}  p50 {percentile(ordered, 0.5) * 1e3:.4f} ms  "
          f"p99 {percentile(ordered, 0.99) * 1e3:.4f} ms")


def load_http(arguments) -> list:
    """One request a connection, path after path."""
    taken = []
    for number in range(arguments.requests):
        path = arguments.words[number % len(arguments.words)]
        started = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", arguments.port, timeout=60)
        connection.request("GET", path)
        connection.getresponse().read()
        connection.close()
        taken.append(time.perf_counter() - started)
    return taken


def _ask_memcached(connection, stream, number: int, size: int):
    """A set, or each third time a get, and its answer."""
    key = f"key{number * 31 % 997}"
    if number % 3:
        connection.sendall(f"set {key} 0 0 {size}\r\n{'x' * size}\r\n".encode())
        stream.readline()
        return
    connection.sendall(f"get {key}\r\n".encode())
    while not stream.readline().startswith((b"END", b"ERROR")):
        pass


def load_memcached(arguments) -> list:
    """Sets and gets of changing keys on one connection."""
    taken = []
    with socket.create_connection(("127.0.0.1", arguments.port), timeout=60) as connection:
        stream = connection.makefile("rb")
        for number in range(arguments.requests):
            started = time.perf_counter()
            _ask_memcached(connection, stream, number, 1 + number * 7919 % arguments.bytes)
            taken.append(time.perf_counter() - started)
    return taken


def load_pgbench(arguments) -> list:
    """pgbench's own tables and transactions, four connections; its log has the time of each."""
    pgbench = sorted(glob.glob("/usr/lib/postgresql/*/bin/pgbench"))[-1]
    where = ["-h", arguments.dir, "-p", str(arguments.port), "-U", "tester"]
    with tempfile.TemporaryDirectory() as place:
        steps = ["-I", "dtvp"] if arguments.empty else []
        subprocess.run([pgbench, "-i", "-q", *steps, *where, "postgres"], cwd=place, check=True, capture_output=True,
                       timeout=300)
        if arguments.empty:     # by the number of branches it knows how large the tables are
            words = ["-c", "insert into pgbench_branches values (1, 0)", "postgres"]
            subprocess.run([f"{os.path.dirname(pgbench)}/psql", *where, *words], cwd=place, check=True,
                           capture_output=True, timeout=300)
        subprocess.run([pgbench, *where, "-c", "4", "-t", str(max(1, arguments.requests // 4)), "-l",
                        *(["-S"] if arguments.select else []), "postgres"], cwd=place, check=True, capture_output=True,
                       timeout=600)
        rows = [line.split() for name in os.listdir(place) if name.startswith("pgbench_log")
                for line in open(os.path.join(place, name), encoding="ascii")]
    return [int(row[2]) / 1e6 for row in rows]


LOADS = {"http": load_http, "memcached": load_memcached, "pgbench": load_pgbench}


def main(argv) -> int:
    """Make the load and show what it took."""
    parser = argparse.ArgumentParser(prog="load.py", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=LOADS)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--bytes", type=int, default=100, help="memcached: the longest value")
    parser.add_argument("--dir", default="/tmp", help="pgbench: where the server's socket is")
    parser.add_argument("--select", action="store_true", help="pgbench: its read-only transactions")
    parser.add_argument("--empty", action="store_true", help="pgbench: its tables with one row in all")
    parser.add_argument("words", nargs="*", help="http: paths")
    arguments = parser.parse_intermixed_args(argv)
    show(LOADS[arguments.kind](arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
