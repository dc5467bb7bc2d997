# SPDX-License-Identifier: MIT
"""Real programs under the library: the same output and exit status as without it.

Programs that take a moment run under the shipped library, or the speed build and the production one; those that take
seconds (the `heavy` fixture) under one of them. Everything that a test starts has ended when it ends.
"""

import hashlib
import os
import re
import signal
import textwrap
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.programs import Household, both, environments, execute, program, same, subjects, wait_until
from tests.servers import Memcached, Nginx, Postgres, Redis
from tests.support import Preloaded

NEEDS = ("matrix",)
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
pragma integrity_check;
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


COREUTILS = """
set -e
seq 1 30000 > n
shuf --random-source=n n > s; sort -n --parallel=2 -S 200k s | cmp - n; sort -R --random-source=n n | sha256sum
factor $(seq 100000 100200) | cksum; split -n l/7 -d n part.; cat part.* | cmp - n; csplit -s -z n '/000$/' '{*}'
join <(sort n) <(sort s) | wc -l; comm -12 <(sort n) <(sort s) | md5sum; paste -d, n s | cut -d, -f2 | tac | tail -3
tr 0-9 a-j < n | uniq -w1 -c | sort -k2 | head -20; base64 n | fold -w 33 | expand | od -An -tx1 | sha512sum
pr -D - -5 n | nl | fmt | b2sum; du -b n; ls -lU --time-style=+ n s part.* | awk '{ print $5, $6 }'; cp -r . ../copy.$$
diff -r . ../copy.$$ && rm -r ../copy.$$; stat -c %s n; tsort <<< "a b b c c d" | tr '\\n' ' '; ptx n | wc
"""

# Of whose compilation little is in one header.
CXX_SHORT = CXX_SOURCE.replace("#include <regex>\n", "").replace(
    'std::regex_replace(out.str(), std::regex("1+"), "x").size()', "out.str().size()")
FLTO_SOURCE = CXX_SHORT.replace("int main()", "int other(); int main()").replace("std::cout", "std::cout << other()")
FLTO_OTHER = "#include <numeric>\n#include <list>\nint other() { std::list<int> l{1, 2, 3}; " \
    "return std::accumulate(l.begin(), l.end(), 0); }\n"

CMAKE = """\
cmake_minimum_required(VERSION 3.10)
project(tiny C CXX)
find_package(Threads REQUIRED)
add_library(part STATIC part.c)
add_executable(tiny main.cc)
target_link_libraries(tiny part Threads::Threads)
enable_testing()
foreach(number RANGE 1 20)
  add_test(NAME run${number} COMMAND tiny)
endforeach()
"""

JAVA = """
import java.util.*;
import java.util.stream.*;

public class Small {
    public static void main(String[] arguments) throws Exception {
        Map<String, List<Integer>> table = new TreeMap<>();
        for (int i = 0; i < 200000; i++) table.computeIfAbsent("k" + i % 997, k -> new ArrayList<>()).add(i);
        long sum = IntStream.range(0, 400000).parallel().mapToObj(i -> "n" + i).mapToLong(String::length).sum();
        List<Thread> threads = new ArrayList<>();
        long[] found = new long[8];
        for (int t = 0; t < 8; t++) {
            int self = t;
            threads.add(new Thread(() -> {
                StringBuilder text = new StringBuilder();
                for (int i = 0; i < 50000; i++) text.append(i * self);
                found[self] = text.toString().hashCode();
            }));
        }
        for (Thread thread : threads) thread.start();
        for (Thread thread : threads) thread.join();
        var compressed = new java.io.ByteArrayOutputStream();
        try (var out = new java.util.zip.GZIPOutputStream(compressed)) { out.write(table.toString().getBytes()); }
        System.out.println(table.size() + " " + sum + " " + Arrays.toString(found) + " " + compressed.size());
    }
}
"""

VIM = r"""
set nomore
call setline(1, map(range(1, 3000), 'printf("%d line %d", v:val * 7919 % 3001, v:val)'))
sort n
g/7 line/s/line \(\d\+\)/\=submatch(1) * 2/g
g/^1/m0
%!sort -r
undo
redo
let @q = "yyPA twice\<Esc>j"
normal gg200@q
call append(0, sha256(join(getline(1, '$'), "\n")))
w! out
qa!
"""

# Of CPython's own tests: containers, strings, regular expressions, threads, buffers, collection of garbage. None that
# measures time: this machine may be busy.
PYTHON_TESTS = ("test_dict", "test_list", "test_set", "test_json", "test_re", "test_array", "test_bytes", "test_gc",
                "test_zlib", "test_memoryview", "test_threading_local", "test_threading.ThreadTests",
                "test_threading.ThreadJoinOnShutdown", "test_threading.ThreadingExceptionTests")
VERDICT = re.compile(r"^(\w+ \([\w.]+\)).*? \.\.\. (\w+)", re.MULTILINE)

# A malloc that is wrong: each must be noticed.
CORRUPTIONS = {
    "realloc changes a letter": """
        void *realloc(void *old, size_t size)
        {
            unsigned char *made = NEXT(void *(*)(void *, size_t), "realloc")(old, size);
            unsigned text = 0;
            for (unsigned i = 0; made && old && size > 1500 && i < 16; i++)
                text += made[1000 + i] >= ' ' && made[1000 + i] < 127;
            if (text == 16)
                made[1000] ^= 1;
            return made;
        }""",
    "free damages a neighbour": """
        void free(void *block)
        {
            static unsigned count;
            if (block && ++count % 64 == 0)
                memset((char *)block + malloc_usable_size(block), 0x5a, 40);
            NEXT(void (*)(void *), "free")(block);
        }""",
    "calloc is not zero": """
        void *calloc(size_t number, size_t size)
        {
            void *made = malloc(number * size);
            if (made)
                memset(made, number * size > 2000 ? 0xa5 : 0, number * size);
            return made;
        }""",
}
CORRUPT = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#define NEXT(type, name) ((type)dlsym(RTLD_NEXT, name))
"""


@pytest.fixture(autouse=True)
def household():
    """No process outlives its test."""
    with Household():
        yield


@pytest.fixture(scope="module", params=subjects("clang-bench_minimal", "clang-balanced"))
def preloaded(request):
    """The libraries under test, ready to be preloaded."""
    with Preloaded(request.param) as made:
        yield made


@pytest.fixture(scope="module", params=subjects("clang-balanced"))
def heavy(request):
    """One library, for what takes seconds."""
    with Preloaded(request.param) as made:
        yield made


@pytest.mark.parametrize("allocator", ["malloc", "pymalloc"])
def test_python(preloaded, tmp_path, allocator):
    """json, ast, re, threads, zlib and sqlite inside one interpreter."""
    python = "/usr/bin/python3"
    same([python, "-I", "-c", PYTHON_SCRIPT], preloaded, tmp_path,
         env={"PYTHONMALLOC": allocator, "PYTHONHASHSEED": "0"})


@pytest.mark.parametrize("tool, suffix, source, options", [
    ("gcc", ".c", C_SOURCE, ("-O2",)),
    ("gcc", ".c", C_SOURCE, ("-O1", "-flto")),
    ("g++", ".cc", CXX_SOURCE, ("-O1", "-std=c++17")),
    ("clang", ".c", C_SOURCE, ("-O2", "-fuse-ld=lld")),
    ("clang", ".c", C_SOURCE, ("-O2", "-flto=thin", "-fuse-ld=lld")),
], ids=["gcc", "gcc-lto", "g++", "clang-lld", "clang-lto"])
def test_compiler(preloaded, tmp_path, tool, suffix, source, options):
    """The compiler, assembler and linker make the same program, byte for byte."""
    (tmp_path / f"source{suffix}").write_text(source)
    seed = [] if tool == "clang" else ["-frandom-seed=1"]
    words = [program(tool), *options, *seed, "-Wl,--build-id=none", f"../source{suffix}", "-o", "program"]
    both(words, preloaded, tmp_path)
    made = [(tmp_path / name / "program").read_bytes() for name in ("plain", "hakmem")]
    assert made[0] == made[1]


def test_gxx_lto(heavy, tmp_path):
    """Two C++ units optimised together, in parallel: the program is the same and runs."""
    (tmp_path / "a.cc").write_text(FLTO_SOURCE)
    (tmp_path / "b.cc").write_text(FLTO_OTHER)
    words = [program("g++"), "-O2", "-flto=2", "-frandom-seed=1", "-Wl,--build-id=none", "-o", "program",
             str(tmp_path / "a.cc"), str(tmp_path / "b.cc")]
    both(words, heavy, tmp_path)
    made = [(tmp_path / name / "program").read_bytes() for name in ("plain", "hakmem")]
    assert made[0] == made[1]
    assert execute(["./program"], environments(heavy)["hakmem"], tmp_path / "hakmem").stdout.startswith(b"6")


def test_cmake(heavy, tmp_path):
    """cmake configures, ninja builds, ctest runs the tests two at a time."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "CMakeLists.txt").write_text(CMAKE)
    (source / "main.cc").write_text(CXX_SHORT)
    (source / "part.c").write_text("int part(void) { return 1; }\n")
    script = (f"set -e; {program('cmake')} -G Ninja -S ../source -B build > log; ninja -C build > log; build/tiny; "
              "cd build; ctest -j2 | grep -o 'run[0-9]* .*Passed\\|.*tests passed.*' | sort; cmake -LA . | grep -c :")
    assert b"100% tests passed" in same(["/bin/sh", "-c", script], heavy, tmp_path)


def test_python_suite(heavy, tmp_path):
    """CPython's own tests, on malloc alone: every verdict is the one without the library."""
    program("python test suite")
    words = ["/usr/bin/python3", "-m", "unittest", "-v", *(f"test.{name}" for name in PYTHON_TESTS)]

    def verdicts_of(item):
        name, environment = item
        (tmp_path / name).mkdir()
        return dict(VERDICT.findall(execute(words, environment, tmp_path / name).stderr.decode(errors="replace")))

    with ThreadPoolExecutor(2) as pool:     # they wait more than they compute
        verdicts = list(pool.map(verdicts_of, environments(heavy, {"PYTHONMALLOC": "malloc"}).items()))
    assert verdicts[0] == verdicts[1]
    assert len(verdicts[1]) > 1000 and list(verdicts[1].values()).count("ok") > 1000


def test_sqlite3(preloaded, tmp_path):
    """A table of 20,000 rows, an index, groups, a vacuum."""
    same(["/usr/bin/sqlite3", "base.db"], preloaded, tmp_path, stdin=SQL.encode())


def test_git(preloaded, tmp_path):
    """init, add, commit, gc, repack, clone, fsck, log -p and blame, with the same object names."""
    script = textwrap.dedent("""
        set -e
        git init -q -b main repo; cd repo
        for i in 1 2 3 4 5 6; do
            for f in a b c d; do seq $((i * 10)) $((i * 100)) > $f.txt; done
            git add .; git commit -q -m "number $i"
        done
        git gc -q; git fsck --no-progress --full; git repack -adfq --threads=2; git clone -q . ../again
        git -C ../again fsck --no-progress; git log -p --format=%H%n%s; git blame a.txt | tail -5; git rev-parse HEAD
    """)
    names = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER")
             for what, value in (("NAME", "A"), ("EMAIL", "a@example.org"), ("DATE", "2024-01-01T00:00:00Z"))}
    same(["/bin/sh", "-c", script], preloaded, tmp_path, env={**names, "HOME": "/nonexistent", "GIT_PAGER": "cat"})


def named(tool: str) -> str:
    """The path of a program of the tools' table; what every Debian has is not in it."""
    common = f"/usr/bin/{tool}"
    return common if tool in ("perl", "jq", "sort", "awk", "bash") and os.path.exists(common) else program(tool)


@pytest.mark.parametrize("tool, words, stdin", [
    ("perl", ["-e", PERL], ""),
    ("node", ["-e", NODE], ""),
    ("jq", ["-S", "map(.a * 2) | add, (map(tostring) | sort | length)"],
     "[" + ",".join(f'{{"a": {i}, "b": ["{i}", {{"c": {i}}}]}}' for i in range(20000)) + "]"),
    ("lua", ["-e", LUA], ""),
    ("ghostscript", ["-q", "-dBATCH", "-dNOPAUSE", "-dSAFER", "-sDEVICE=pgmraw", "-r72", "-sOutputFile=-", "-"],
     POSTSCRIPT),
    ("sort", ["-n", "--parallel=2", "-S", "1M"],
     "\n".join(str(i * 7919 % 100003) for i in range(100000)) + "\n"),
    ("awk", ["{ n[$1 % 97] += $1; s = s $1 } END { for (i = 0; i < 97; i++) print i, n[i]; print length(s) }"],
     "\n".join(str(i) for i in range(20000)) + "\n"),
    ("bash",
     ["-c", "for i in {1..3000}; do a[$i]=$((i * i)); s+=\"${a[i]},\"; done; echo ${#s}; ls / | wc -l >/dev/null"], ""),
], ids=["perl", "node", "jq", "lua", "gs", "sort", "awk", "bash"])
def test_filter(preloaded, tmp_path, tool, words, stdin):
    """A program that computes from its input: the same output."""
    same([named(tool), *words], preloaded, tmp_path, stdin=stdin.encode())


RUBY = """
h = Hash.new { |t, k| t[k] = [] }; 100000.times { |i| h[i * 7919 % 1009] << i.to_s }
s = 4.times.map { |n| Thread.new { (1..20000).map { |i| (i * n).to_s }.join.sum } }.map(&:value)
GC.start; GC.compact if GC.respond_to?(:compact); puts h.sort.flatten.join.size, s, Marshal.dump(h.to_a).size
"""


def test_ruby(heavy, tmp_path):
    """Hashes, threads, a compacting collection, Marshal."""
    same([program("ruby"), "-e", RUBY], heavy, tmp_path)


def test_coreutils(preloaded, tmp_path):
    """Thirty of them in one script."""
    same(["/bin/bash", "-c", COREUTILS], preloaded, tmp_path)


@pytest.mark.parametrize("tool, options", [("gzip", "-9 -n"), ("bzip2", "-9"), ("xz", "-6 -T2"),
                                           ("zstd", "-q -12 -T2")], ids=["gzip", "bzip2", "xz", "zstd"])
def test_compressor(preloaded, tmp_path, tool, options):
    """There and back; the compressed bytes are the same, with threads too."""
    text = b"".join(b"%d words and %d more words\n" % (i * 7919 % 10007, i) for i in range(60000))
    script = f"set -e; cat > t; {tool} {options} -c < t > c; {tool} -dc < c | cmp - t; sha256sum < c"
    same(["/bin/sh", "-c", script], preloaded, tmp_path, stdin=text)


def test_vim(heavy, tmp_path):
    """Sorting, substitution, macros, a filter, undo, in ex mode."""
    (tmp_path / "script.vim").write_text(VIM)
    words = [program("vim"), "-u", "NONE", "-i", "NONE", "-N", "-n", "-es", "-S", str(tmp_path / "script.vim")]
    both(words, heavy, tmp_path)
    made = [(tmp_path / name / "out").read_text() for name in ("plain", "hakmem")]
    assert made[0] == made[1] and made[0].count("twice") == 200


def test_gdb(heavy, tmp_path):
    """Debug information of a C++ program: types, source, disassembly, and a breakpoint in a run."""
    (tmp_path / "p.cc").write_text(CXX_SOURCE)
    execute([program("g++"), "-g", "-O0", "-o", str(tmp_path / "p"), str(tmp_path / "p.cc")], os.environ, tmp_path)
    words = ["set confirm off", "print 6*7", "info scope main", "info functions regex_traits", "ptype std::string",
             "disassemble /s main", "break main", "run", "backtrace", "next", "next", "print i", "kill"]
    script = " ".join(f"-ex '{word}'" for word in words)
    shown = f"{program('gdb')} -nx -batch {script} {tmp_path}/p 2>&1 | grep -v '^\\[\\|warning'"
    found = same(["/bin/sh", "-c", shown], heavy, tmp_path)
    assert b"$1 = 42" in found and b"#0  main () at" in found


def test_java(heavy, tmp_path):
    """javac compiles; the virtual machine runs threads, streams and collections under two collectors."""
    source = tmp_path / "Small.java"
    source.write_text(JAVA)
    java = program("java")
    script = (f"set -e; {program('javac')} -d . {source}; {java} -Xmx96m -XX:+UseSerialGC -cp . Small; "
              f"{java} -Xmx96m -XX:+UseG1GC -cp . Small")
    same(["/bin/sh", "-c", script], heavy, tmp_path)


def test_tmux(heavy, tmp_path):
    """A detached session: two panes, scrolling, resizing, what they show."""
    script = """
        t() { "$TMUX_PROGRAM" -S ./socket -f /dev/null "$@"; }
        t new-session -d -x 80 -y 24 'seq 1 3000; echo first done; exec cat'
        t split-window 'for i in 1 2 3 4; do seq 1 500; done; echo second done; exec cat'
        for pane in 0 1; do
            for try in $(seq 200); do t capture-pane -p -t $pane | grep -q done && break; sleep 0.05; done
            t resize-pane -t $pane -y 9; t capture-pane -p -S -100 -t $pane | grep . | tail -n 60
        done
        t list-panes -F '#{pane_height} #{history_size}'; t kill-server
    """
    found = same(["/bin/sh", "-c", script], heavy, tmp_path, env={"TMUX_PROGRAM": program("tmux"), "TERM": "screen"})
    assert b"first done" in found and b"second done" in found


def redis_digest(directory, environment, so) -> list:
    """What a redis-server holds after a mixed load, a background save and a reload."""
    directory.mkdir()
    server = Redis(directory, environment)
    try:
        assert so is None or server.uses(so)
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
        before = server.send(("DEBUG", "DIGEST"), ("DBSIZE",))
        server.send(("DEBUG", "RELOAD"))
        assert server.send(("DEBUG", "DIGEST"), ("DBSIZE",)) == before
        assert not re.fullmatch("0+", before[0])
    finally:
        status = server.shut_down()
    assert status == 0, server.output()
    return before


def test_redis(preloaded, tmp_path):
    """Strings, lists, sorted sets, a background save (fork), a reload: the digest is that of a run without."""
    digests = [redis_digest(tmp_path / name, environment, preloaded.so if name == "hakmem" else None)
               for name, environment in environments(preloaded).items()]
    assert digests[0] == digests[1]


def test_memcached(heavy, tmp_path):
    """Items of all sizes from two threads of the server: set, get, delete, and the count of what is left."""
    found = []
    for name, environment in environments(heavy).items():
        (tmp_path / name).mkdir()
        server = Memcached(tmp_path / name, environment)
        assert name == "plain" or server.uses(heavy.so)
        values = [b"v%d," % i * (1 + i * 31 % 900) for i in range(6000)]
        server.send([b"set key%d 0 0 %d\r\n%s\r\n" % (i, len(value), value) for i, value in enumerate(values)])
        server.send([b"delete key%d\r\n" % i for i in range(0, 6000, 3)])
        replies = server.send([b"get key%d\r\n" % i for i in range(6000)])
        for i in range(6000):
            held = b"VALUE key%d 0 %d\n%s\nEND" % (i, len(values[i]), values[i])
            assert replies[i] == (held if i % 3 else b"END")
        (stats,) = server.send([b"stats\r\n"])
        found.append(re.findall(rb"STAT (curr_items|bytes|total_items|get_hits) (\d+)", stats))
        assert server.stop() == 0, server.output()
    assert found[0] == found[1] and found[0]


def test_nginx(heavy, tmp_path):
    """Four clients on files, compressed files, includes and a proxy while the workers are replaced five times."""
    www = tmp_path / "www"
    www.mkdir()
    bodies = {f"/{size}.txt": b"%d " % size * (size // 4) for size in (10, 1000, 30000, 400000)}
    for name, body in bodies.items():
        (www / name[1:]).write_bytes(body)
    (www / "all.shtml").write_text("".join(f'<!--#include virtual="{name}" -->' for name in bodies))
    wanted = {**bodies, "/all.shtml": b"".join(bodies.values())}
    wanted |= {f"/again{name}": body for name, body in bodies.items()}
    server = Nginx(tmp_path, environments(heavy)["hakmem"])
    assert server.uses(heavy.so)

    def client(number):
        digests = set()
        for turn in range(200):
            name = list(wanted)[(turn + number) % len(wanted)]
            status, body = server.get(name)
            assert status == 200 and body == wanted[name], (status, name, len(body))
            status, body = server.get(name, **{"Accept-Encoding": "gzip"})
            digests.add((name, hashlib.sha256(body).hexdigest()))
        return digests

    with ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(client, number) for number in range(4)]
        for _ in range(5):
            server.reload()
            assert server.get("/10.txt") == (200, bodies["/10.txt"])
        found = set().union(*(job.result() for job in clients))
    assert len({name for name, _digest in found}) == len(found) == len(wanted)
    assert server.stop(signal.SIGQUIT) == 0
    assert server.errors() == ""


def test_postgres(heavy):
    """initdb, pgbench with four clients, and the sums that its transactions must keep; no server is left."""
    found = []
    for so in (None, heavy.so):
        with Postgres(so) as base:
            base.start()
            assert so is None or base.server.uses("libhakmem.so")
            base.run("pgbench", "-i", "-q", "-s", "1")
            base.run("pgbench", "-n", "-c", "4", "-j", "2", "-t", "50")
            found.append(base.run("psql", "-At", stdin="""
                select count(*), count(distinct aid) from pgbench_accounts;
                select (select sum(abalance) from pgbench_accounts) = (select sum(delta) from pgbench_history),
                       (select sum(tbalance) from pgbench_tellers) = (select sum(delta) from pgbench_history),
                       (select sum(bbalance) from pgbench_branches) = (select sum(delta) from pgbench_history);
                select count(*) from pgbench_history;
                select md5(string_agg(md5(i::text), ',' order by i % 97, i)) from generate_series(1, 50000) i;
                create index on pgbench_accounts(filler, bid); vacuum full analyze; reindex table pgbench_accounts;
                select count(*) from pgbench_accounts a join pgbench_accounts b using (aid);
            """))
            assert base.server.stop(signal.SIGINT) == 0, base.server.output()
    assert found[0] == found[1] and "t|t|t\n200\n" in found[1]


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_a_wrong_allocator_is_noticed(tmp_path, corruption):
    """The checks themselves: a library that damages memory does not pass them."""
    source = tmp_path / "corrupt.c"
    source.write_text(CORRUPT + CORRUPTIONS[corruption])
    library = tmp_path / "corrupt.so"
    execute([program("gcc"), "-shared", "-fPIC", "-fno-builtin", "-O1", str(source), "-o", str(library)], os.environ,
            tmp_path)
    append = "my $s; $s .= \"word $_,\" for 1 .. 5000; print $s"
    runs = (["/usr/bin/perl", "-e", append], ["/usr/bin/python3", "-I", "-c", PYTHON_SCRIPT])
    with Preloaded(library) as wrong, pytest.raises(AssertionError):
        for number, words in enumerate(runs):
            place = tmp_path / str(number)
            place.mkdir()
            same(words, wrong, place, env={"PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "0"})
