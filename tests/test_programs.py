"""Real programs under the library: the same output and exit status as without it."""

import os
import re
import socket
import subprocess
import textwrap
import time

import pytest

from tests.support import Preloaded, main_library, needs

TIMEOUT = 120

PYTHON_SCRIPT = """
import ast, collections, json, re, threading, zlib, decimal, sqlite3
tree = ast.parse(open(json.__file__).read())
words = collections.Counter(re.findall(r"[a-z]+", ast.dump(tree)))
text = json.dumps({w: list(range(n % 50)) for w, n in words.items()}, sort_keys=True)
results = []
def work(n):
    results.append(sum(len(str(json.loads(text))) for _ in range(n)))
threads = [threading.Thread(target=work, args=(n,)) for n in (1, 2, 3, 4)]
[t.start() for t in threads]; [t.join() for t in threads]
print(sorted(results), zlib.crc32(zlib.compress(text.encode() * 10)), words.most_common(5))
print(decimal.Decimal(2) ** 1000, sum(x * x for x in range(100000)))
base = sqlite3.connect(":memory:")
base.execute("create table t(a, b)")
base.executemany("insert into t values (?, ?)", ((i, str(i) * 10) for i in range(20000)))
print(base.execute("select count(*), sum(length(b)) from t where a % 7 = 3").fetchall())
"""

C_SOURCE = "#include <stdio.h>\n" + "".join(
    f"static int f{i}(int x) {{ return x * {i} + (x > {i} ? f{max(i - 1, 0)}(x - 1) : {i}); }}\n" if i else
    "static int f0(int x) { return x; }\n" for i in range(300))
C_SOURCE += 'int main(void) { printf("%d\\n", f299(310)); return 0; }\n'

CXX_SOURCE = """
#include <algorithm>
#include <iostream>
#include <map>
#include <regex>
#include <sstream>
#include <string>
#include <vector>
int main()
{
    std::map<std::string, std::vector<int>> table;
    for (int i = 0; i < 1000; i++)
        table[std::to_string(i * 7919 % 1000)].push_back(i);
    std::ostringstream out;
    for (const auto &[name, values] : table)
        out << name << values.size();
    std::cout << std::regex_replace(out.str(), std::regex("1+"), "x").size() << "\\n";
}
"""

SQL = """
create table t(id integer primary key, name text, value real);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000)
  insert into t select i, 'name' || (i * 7919 % 10007), i / 3.0 from n;
create index by_name on t(name);
select count(*), round(sum(value), 3) from t where name > 'name5';
select name, count(*) from t group by substr(name, 1, 5) order by 2 desc, 1 limit 5;
delete from t where id % 3 = 0;
vacuum;
select group_concat(name) from (select name from t order by name limit 20);
"""

PERL = """
my %h; for my $i (1..50000) { push @{$h{$i * 7919 % 1009}}, "v$i"; }
my $t = join ",", map { "$_=" . scalar(@{$h{$_}}) } sort keys %h;
(my $u = $t) =~ s/(\\d+)=(\\d+)/$2:$1/g; print length($u), " ", substr($u, 0, 60), "\\n";
"""

NODE = """
const m = new Map();
for (let i = 0; i < 100000; i++) m.set('k' + (i * 7919 % 10007), {i, a: [i, i + 1]});
const s = JSON.stringify([...m.entries()].sort());
const z = require('zlib'); const b = z.gzipSync(s);
console.log(m.size, s.length, z.gunzipSync(b).length, require('crypto').createHash('sha256').update(s).digest('hex'));
"""

LUA = """
local t = {}
for i = 1, 100000 do t[#t + 1] = string.rep(tostring(i), 3) .. (t[i - 1] or ""):sub(1, 20) end
table.sort(t)
print(#t, #table.concat(t), t[1], t[50000])
"""

POSTSCRIPT = """%!PS
/Helvetica findfont 12 scalefont setfont
1 1 40 { dup 72 exch 18 mul moveto (line of text ) show 10 string cvs show } for
0 10 200 { 300 300 3 -1 roll 0 360 arc stroke } for showpage
"""


@pytest.fixture(scope="module")
def preloaded():
    """The library under test, ready to be preloaded."""
    with Preloaded(main_library()) as made:
        yield made


def both(words, preloaded, directory, *, stdin=b"", env=None):
    """stdout of the program without and with the library; both must succeed."""
    outputs = []
    base = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"} | (env or {})
    for name, environment in (("plain", base), ("hakmem", preloaded.environment(**(env or {})))):
        work = directory / name
        work.mkdir()
        result = subprocess.run(words, input=stdin, capture_output=True, timeout=TIMEOUT, cwd=work, env=environment)
        errors = result.stderr.decode(errors="replace")[-2000:]
        assert result.returncode == 0, f"{name}: status {result.returncode}\n{errors}"
        outputs.append(result.stdout)
    return outputs


def same(words, preloaded, directory, **more):
    """Run twice, compare, return the output."""
    plain, with_library = both(words, preloaded, directory, **more)
    assert plain == with_library
    assert plain
    return plain


@pytest.mark.parametrize("allocator", ["malloc", "pymalloc"])
def test_python(preloaded, tmp_path, allocator):
    """json, ast, re, threads, zlib and sqlite inside one interpreter."""
    python = needs("python3", "python3-minimal")
    same([python, "-I", "-c", PYTHON_SCRIPT], preloaded, tmp_path,
         env={"PYTHONMALLOC": allocator, "PYTHONHASHSEED": "0"})


@pytest.mark.parametrize("tool, package, suffix, source, options", [
    ("gcc", "gcc", ".c", C_SOURCE, ("-O2",)),
    ("gcc", "gcc", ".c", C_SOURCE, ("-O1", "-flto")),
    ("g++", "g++", ".cc", CXX_SOURCE, ("-O1", "-std=c++17")),
    ("clang-22", "clang-22", ".c", C_SOURCE, ("-O2",)),
], ids=["gcc", "gcc-lto", "g++", "clang"])
def test_compiler(preloaded, tmp_path, tool, package, suffix, source, options):
    """The compiler, assembler and linker make the same program, byte for byte."""
    compiler = needs(tool, package)
    file = tmp_path / f"source{suffix}"
    file.write_text(source)
    seed = [] if "clang" in tool else ["-frandom-seed=1"]
    both([compiler, *options, *seed, "-Wl,--build-id=none", str(file), "-o", "program"], preloaded, tmp_path)
    made = [(tmp_path / name / "program").read_bytes() for name in ("plain", "hakmem")]
    assert made[0] == made[1]


def test_sqlite3(preloaded, tmp_path):
    """A table of 20,000 rows, an index, groups, a vacuum."""
    same([needs("sqlite3", "sqlite3"), "base.db"], preloaded, tmp_path, stdin=SQL.encode())


def test_git(preloaded, tmp_path):
    """init, add, commit, gc, fsck, log -p and blame, with the same object names."""
    needs("git", "git")
    script = textwrap.dedent("""
        set -e
        git init -q -b main repo; cd repo
        for i in 1 2 3 4 5 6; do
            for f in a b c d; do seq $((i * 10)) $((i * 100)) > $f.txt; done
            git add .; git commit -q -m "number $i"
        done
        git gc -q; git fsck --no-progress; git log -p --format=%H%n%s; git blame a.txt | tail -5; git rev-parse HEAD
    """)
    names = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER")
             for what, value in (("NAME", "A"), ("EMAIL", "a@example.org"), ("DATE", "2024-01-01T00:00:00Z"))}
    same(["/bin/sh", "-c", script], preloaded, tmp_path, env={**names, "HOME": str(tmp_path), "GIT_PAGER": "cat"})


@pytest.mark.parametrize("tool, package, words, stdin", [
    ("perl", "perl-base", ["-e", PERL], ""),
    ("node", "nodejs", ["-e", NODE], ""),
    ("jq", "jq", ["-S", "map(.a * 2) | add, (map(tostring) | sort | length)"],
     "[" + ",".join(f'{{"a": {i}, "b": ["{i}", {{"c": {i}}}]}}' for i in range(20000)) + "]"),
    ("xz", "xz-utils", ["-9", "-T2", "-c"], "words and more words\n" * 40000),
    ("lua5.4", "lua5.4", ["-e", LUA], ""),
    ("gs", "ghostscript", ["-q", "-dBATCH", "-dNOPAUSE", "-dSAFER", "-sDEVICE=pgmraw", "-r72", "-sOutputFile=-", "-"],
     POSTSCRIPT),
    ("gdb", "gdb", ["-batch", "-nx", "-ex", "print 6*7", "-ex", "show version"], ""),
    ("ruby", "ruby", ["-e", "h = Hash.new { |t, k| t[k] = [] }; 100000.times { |i| h[i * 7919 % 1009] << i.to_s }; "
                      "puts h.sort.flatten.join.size"], ""),
    ("sort", "coreutils", ["-n", "--parallel=2", "-S", "1M"],
     "\n".join(str(i * 7919 % 100003) for i in range(100000)) + "\n"),
    ("awk", "mawk", ["{ n[$1 % 97] += $1; s = s $1 } END { for (i = 0; i < 97; i++) print i, n[i]; print length(s) }"],
     "\n".join(str(i) for i in range(20000)) + "\n"),
    ("bash", "bash",
     ["-c", "for i in {1..3000}; do a[$i]=$((i * i)); s+=\"${a[i]},\"; done; echo ${#s}; ls / | wc -l >/dev/null"], ""),
], ids=["perl", "node", "jq", "xz", "lua", "gs", "gdb", "ruby", "sort", "awk", "bash"])
def test_filter(preloaded, tmp_path, tool, package, words, stdin):
    """A program that computes from its input: the same output."""
    same([needs(tool, package), *words], preloaded, tmp_path, stdin=stdin.encode())


def wait_until(condition, what, seconds=20):
    """Poll until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.02)


class Redis:
    """A redis-server on a socket file, and the few words of its protocol that the test speaks."""

    def __init__(self, program, directory, environment):
        self.path = str(directory / "redis.sock")
        self.process = subprocess.Popen(
            [program, "--port", "0", "--unixsocket", self.path, "--dir", str(directory), "--save", "",
             "--appendonly", "no", "--enable-debug-command", "local", "--io-threads", "2"],
            env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        wait_until(lambda: os.path.exists(self.path) or self.process.poll() is not None, "redis-server's start")
        assert self.process.poll() is None, self.process.stdout.read().decode()
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.settimeout(60)
        self.connection.connect(self.path)
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

    def stop(self):
        """SHUTDOWN and the exit status."""
        self.connection.sendall(b"*2\r\n$8\r\nSHUTDOWN\r\n$6\r\nNOSAVE\r\n")
        output, _ = self.process.communicate(timeout=30)
        return self.process.returncode, output.decode(errors="replace")


def test_redis(preloaded, tmp_path):
    """Set, get, lists, sorted sets, expiry, a background save (fork), a reload with the same digest, shutdown."""
    server = Redis(needs("redis-server", "redis-server"), tmp_path, preloaded.environment())
    try:
        server.send(*[("SET", f"key:{i}", "v" * (i * 37 % 5000)) for i in range(3000)])
        assert server.send(("GET", "key:100"))[0] == "v" * 3700
        server.send(*[("RPUSH", f"list:{i % 50}", i) for i in range(5000)])
        server.send(*[("ZADD", "sorted", i * 7919 % 10007, f"member{i}") for i in range(5000)])
        server.send(*[("APPEND", "long", "x" * 1000) for _ in range(1000)])
        server.send(*[("DEL", f"key:{i}") for i in range(0, 3000, 3)])
        assert server.send(("STRLEN", "long"), ("LLEN", "list:7"), ("ZCARD", "sorted")) == ["1000000", "100", "5000"]
        server.send(("BGSAVE",))
        wait_until(lambda: "rdb_bgsave_in_progress:0" in server.send(("INFO", "persistence"))[0], "the background save")
        assert "rdb_last_bgsave_status:ok" in server.send(("INFO", "persistence"))[0]
        before = server.send(("DEBUG", "DIGEST"))[0]
        server.send(("DEBUG", "RELOAD"))
        assert server.send(("DEBUG", "DIGEST"))[0] == before
        assert not re.fullmatch("0+", before)
    finally:
        status, output = server.stop()
    assert status == 0, output
