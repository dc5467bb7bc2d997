# SPDX-License-Identifier: MIT
"""Generators of the benchmark inputs: the same bytes on every machine and in every run.

Each generator is a function that returns text, or writes a directory; all variety comes from a fixed linear
congruential sequence, never from the clock, the environment or Python's own `random`.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from common import files, proc
from common.arguments import Parser
from common.errors import Failure, UserError, guard

WORDS = ("arena block bucket cache chunk class commit core count decay depth drain entry epoch fault field fork frame "
         "free graph guard heap index lane layer learn level limit lock map mark merge node order owner page path peak "
         "phase point policy pool purge queue range rate ring root round sample shard size slab slot span stage state "
         "step stock store stripe table thread tick tier trace tree trim unit value wave weight window zone").split()


class Sequence:
    """Repeatable numbers: Knuth's 64-bit linear congruential generator, of which the upper half is used."""

    def __init__(self, seed: int):
        self._state = seed

    def below(self, limit: int) -> int:
        """A number from 0 to limit - 1."""
        self._state = (self._state * 6364136223846793005 + 1442695040888963407) % 2 ** 64
        return (self._state >> 32) * limit >> 32

    def word(self) -> str:
        """A word of the vocabulary."""
        return WORDS[self.below(len(WORDS))]

    def words(self, count: int) -> str:
        """A line of that many words."""
        return " ".join(self.word() for _ in range(count))


PY_MIX = '''\
# Parsing, printing, matching and collecting: what a Python service does between two requests.
import ast
import json
import re

NUMBERS = [(n * 7919) % 10007 for n in range(1200)]
WORDS = """{words}""".split()


class Order:
    def __init__(self, key, name, amount):
        self.key, self.name, self.amount = key, name, amount

    def as_dict(self):
        return {{"key": self.key, "name": self.name, "amount": self.amount, "tags": [self.name[:3], self.name[-3:]]}}


def orders():
    return [Order(n, WORDS[n % len(WORDS)] + str(n), n / 8) for n in NUMBERS]


def json_round_trip(rows):
    text = json.dumps([row.as_dict() for row in rows])
    back = json.loads(text)
    return sum(row["key"] for row in back), len(text)


def parse_itself():
    source = open("py_mix.py").read()
    tree = ast.parse(source)
    names = sorted({{node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}})
    return len(compile(ast.unparse(tree), "again", "exec").co_code) > 0, len(names)


def match(rows):
    text = " ".join(row.name for row in rows)
    found = re.findall(r"([a-z]+)([0-9]+)", text)
    changed = re.sub(r"[aeiou]([a-z])", lambda hit: hit.group(1).upper(), text)
    return len(found), len(changed), len(re.split(r"\\s+", text))


def strings(rows):
    parts = ["%s:%06d" % (row.name.upper(), row.key) for row in rows]
    joined = ",".join(parts)
    return len(joined.replace("A", "aa").split(",")), len({{part[:5] for part in parts}})


def collect(rows):
    groups = {{}}
    for row in rows:
        groups.setdefault(row.name[:2], []).append((row.amount, row.key))
    return sorted((key, max(group), len(group)) for key, group in groups.items())[:3]


def main():
    for _ in range(2):
        rows = orders()
        print(json_round_trip(rows), match(rows), strings(rows), collect(rows))
    print(parse_itself())


main()
'''


def py_mix() -> str:
    """A Python script over json, ast, re, strings, lists and dictionaries."""
    return PY_MIX.format(words=Sequence(1).words(200))


def sqlite_mix() -> str:
    """A script for the sqlite3 shell: tables, an index, inserts, joins, aggregates, updates, deletes."""
    numbers = Sequence(2)
    lines = ["CREATE TABLE customer(id INTEGER PRIMARY KEY, name TEXT, city TEXT);",
             "CREATE TABLE purchase(id INTEGER PRIMARY KEY, customer INTEGER, item TEXT, price REAL, note TEXT);",
             "CREATE INDEX purchase_customer ON purchase(customer);", "BEGIN;"]
    for n in range(150):
        lines.append(f"INSERT INTO customer VALUES({n}, '{numbers.word()} {n}', '{numbers.word()}');")
    for n in range(900):
        lines.append(f"INSERT INTO purchase VALUES({n}, {numbers.below(150)}, '{numbers.word()}', "
                     f"{numbers.below(10000) / 100:.2f}, '{numbers.words(1 + numbers.below(8))}');")
    lines += ["COMMIT;"]
    for n in range(18):
        lines += [
            "SELECT city, count(*), round(sum(price), 2) FROM customer JOIN purchase ON customer = customer.id "
            f"WHERE price > {n * 10} GROUP BY city ORDER BY 3 DESC LIMIT 5;",
            "SELECT name, group_concat(item, '-') FROM customer JOIN purchase ON customer = customer.id "
            f"WHERE customer.id % 7 = {n} GROUP BY name ORDER BY name LIMIT 4;",
            f"SELECT upper(note), length(note) FROM purchase WHERE note LIKE '%{numbers.word()}%' ORDER BY 1 LIMIT 3;",
            f"UPDATE purchase SET price = price * 1.01, note = note || ' {numbers.word()}' WHERE id % 11 = {n};",
            f"DELETE FROM purchase WHERE id % 97 = {n};",
            "WITH RECURSIVE step(n, text) AS (SELECT 1, 'a' UNION ALL SELECT n + 1, text || n FROM step WHERE n < 60) "
            "SELECT max(length(text)) FROM step;"]
    return "\n".join(lines) + "\n"


def _input_function(numbers: Sequence, n: int) -> str:
    """One C function with a loop, branches, a switch and calls of earlier functions."""
    cases = "\n".join(f"        case {k}: total += node->{numbers.word()}[i & 7] * {numbers.below(90) + 3}; break;"
                      for k in range(4))
    call = f"total ^= work_{numbers.below(n)}(node, limit - 1);" if n else "total ^= limit;"
    return f"""
static unsigned work_{n}(struct node *node, int limit)
{{
    unsigned total = {numbers.below(100000)}u;
    for (int i = 0; i < limit; i++) {{
        switch ((total >> {numbers.below(9)}) & 3) {{
{cases}
        }}
        if (node->{numbers.word()}[i & 7] > (int)(total & 1023)) {{
            node->{numbers.word()}[(i + {numbers.below(7)}) & 7] = (int)total / {numbers.below(30) + 2};
        }} else if (limit > {numbers.below(40) + 4}) {{
            total += (unsigned)sum(node->{numbers.word()}, node->{numbers.word()});
        }}
        node = node->next ? node->next : node;
    }}
    if (limit > 1) {{
        {call}
    }}
    return total;
}}
"""


def c_unit() -> str:
    """A translation unit that includes nothing, as the preprocessor would leave it: many functions and one table."""
    numbers = Sequence(3)
    functions = 6
    fields = "\n".join(f"    int {word}[8];" for word in WORDS)
    table = ", ".join(f"work_{n}" for n in range(functions))
    return ("struct node {\n    struct node *next;\n" + fields + "\n};\n\n"
            "static int sum(const int *a, const int *b)\n{\n    int total = 0;\n    for (int i = 0; i < 8; i++) {\n"
            "        total += a[i] * b[7 - i];\n    }\n    return total;\n}\n"
            + "".join(_input_function(numbers, n) for n in range(functions))
            + f"\nunsigned (*const work_table[])(struct node *, int) = {{{table}}};\n")


PERL_MIX = r'''
# Text and hashes: words are counted, records parsed, sorted, joined and matched.
use strict;
use warnings;

my @words = qw(__WORDS__);
my (%count, @record, $text);

for my $n (0 .. 2600) {
    my $word = $words[($n * 31) % @words] . ($n % 57);
    $count{$word}++;
    push @record, { name => $word, key => ($n * 7919) % 10007, tags => [ map { $_ . $n } @words[0 .. 2] ] };
    $text .= "$word=" . ($n * 3) . ($n % 9 ? " " : "\n");
}

for my $round (1 .. 3) {
    my @sorted = sort { $a->{key} <=> $b->{key} || $a->{name} cmp $b->{name} } @record;
    my %group;
    push @{ $group{ substr $_->{name}, 0, 2 } }, $_ for @sorted;
    my $line = join ",", map { "$_:" . scalar @{ $group{$_} } } sort keys %group;
    my %pair = $text =~ /([a-z]+\d+)=(\d+)/g;
    (my $changed = $text) =~ s/([aeiou])([a-z])/uc($2) . $1/ge;
    my @field = map { [ split /=/ ] } split /\s+/, $text;
    printf "%d %d %d %d %s\n", scalar keys %pair, length $changed, scalar @field, scalar keys %count,
        substr $line, 0, 40;
}
'''


def perl_mix() -> str:
    """A Perl script over hashes, regular expressions, sorting and nested records."""
    return PERL_MIX.replace("__WORDS__", Sequence(4).words(60)).lstrip("\n")


JQ_FILTER = '''\
# Groups, reshapes and prints the orders of ./orders.json.
def total: map(.lines | map(.price * .count) | add) | add;
[.orders[] | select(.lines | length > 1)]
| group_by(.city)
| map({
    city: .[0].city,
    orders: length,
    total: total,
    names: (map(.name | ascii_upcase | ltrimstr("A")) | unique | join("/")),
    largest: (max_by(.lines | length) | {id, tags: (.tags | map(select(test("^[a-m]"))) | sort)}),
    items: (map(.lines[] | {(.item): .count}) | map(to_entries[]) | group_by(.key)
            | map({key: .[0].key, value: (map(.value) | add)}) | from_entries)
  })
| sort_by(.total)
| {cities: ., text: (map("\\(.city): \\(.orders)") | join(", ")), depth: [paths] | length}
'''


def jq_filter() -> str:
    """A jq program: select, group, reshape, strings."""
    return JQ_FILTER


def orders_json() -> str:
    """Orders with nested lines and tags, for the jq program."""
    numbers = Sequence(5)
    orders = []
    for n in range(190):
        lines = [{"item": numbers.word(), "price": numbers.below(9999) / 100, "count": 1 + numbers.below(9)}
                 for _ in range(1 + numbers.below(4))]
        orders.append({"id": n, "name": numbers.words(2), "city": numbers.word(), "lines": lines,
                       "tags": [numbers.word() for _ in range(numbers.below(5))]})
    return json.dumps({"orders": orders}, indent=1) + "\n"


LUA_MIX = '''\
-- Tables, closures and strings: records are built, sorted, indexed, printed and matched.
local words = {}
for word in ("__WORDS__"):gmatch("%a+") do words[#words + 1] = word end

local function record(n)
  local name = words[n * 31 % #words + 1] .. n % 57
  return { name = name, key = n * 7919 % 10007, tags = { name:sub(1, 3), name:rep(2), n } }
end

for round = 1, 3 do
  local list, text = {}, {}
  for n = 1, 4000 do
    list[n] = record(n)
    text[n] = ("%s=%d"):format(list[n].name, list[n].key)
  end
  table.sort(list, function(a, b) return a.key < b.key end)
  local joined = table.concat(text, " ")
  local changed = joined:gsub("[aeiou](%a)", function(c) return c:upper() end)
  local pairs_found = 0
  for _ in joined:gmatch("(%a+%d+)=(%d+)") do pairs_found = pairs_found + 1 end
  print(round, #changed, pairs_found, list[1].name, list[#list].tags[2])
end
'''


def lua_mix() -> str:
    """A Lua script over tables, closures, string formatting and patterns."""
    return LUA_MIX.replace("__WORDS__", Sequence(6).words(60))


def text() -> str:
    """Plain text of a small vocabulary, for compressors."""
    numbers = Sequence(7)
    return "\n".join(numbers.words(4 + numbers.below(12)) for _ in range(2500)) + "\n"


PS_MIX = '''\
%!PS
% Draws text, curves and arrays: a short document for the interpreter.
/Times-Roman findfont 11 scalefont setfont
/word (__WORDS__) def
1 1 8 {
  /page exch def
  0 1 60 {
    /row exch def
    72 720 row 11 mul sub moveto
    word row page add 7 mul 100 mod 60 getinterval show
    /box [ row page 3 row mul page ] def
    newpath 300 row 11 mul moveto 340 400 360 500 box 0 get 4 mul 100 add row 9 mul curveto stroke
    << /row row /text row 12 string cvs /box box >> /text get pop
  } for
  showpage
} for
'''


def ps_mix() -> str:
    """A PostScript document of eight pages, for ghostscript."""
    return PS_MIX.replace("__WORDS__", Sequence(8).words(60))


def _redis_command(*words: str) -> str:
    """One command in redis's wire format, which is also that of its append-only file."""
    return f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)


def redis_log() -> str:
    """An append-only file: redis-server replays it at start, and its last command ends the server."""
    numbers = Sequence(9)
    lines = [_redis_command("SELECT", "0")]
    for n in range(120000):
        key = f"{numbers.word()}:{numbers.below(900)}"
        lines.append(_redis_command(*(
            ("SET", key, "x" * (8 + numbers.below(400))), ("RPUSH", f"list:{key}", numbers.word()),
            ("HSET", f"hash:{key}", numbers.word(), str(n)), ("SADD", f"set:{key}", numbers.word()),
            ("DEL", key, f"list:{key}"), ("SETRANGE", f"text:{key}", str(numbers.below(300)), numbers.word()),
            ("ZADD", f"order:{key}", str(numbers.below(1000)), numbers.word()),
            ("INCRBY", f"count:{key}", str(n)))[numbers.below(8)]))
    lines.append(_redis_command("SHUTDOWN", "NOSAVE", "NOW"))
    return "".join(lines)


def _git_stream() -> Iterator[str]:
    """The history as `git fast-import` reads it: files that grow and change over commits of fixed dates."""
    numbers = Sequence(10)
    tree = {f"{numbers.word()}/{numbers.word()}_{n}.txt": [numbers.words(8) for _ in range(40)] for n in range(40)}
    for commit in range(120):
        changes = sorted(tree) if commit == 0 else [sorted(tree)[numbers.below(len(tree))] for _ in range(4)]
        message = f"{numbers.words(5)}\n\n{numbers.words(30)}\n"
        yield (f"commit refs/heads/main\ncommitter A Writer <writer@example.org> {1500000000 + commit * 3600} +0000\n"
               f"data {len(message)}\n{message}\n")
        for name in dict.fromkeys(changes):
            content = tree[name]
            for _ in range(3):
                content[numbers.below(len(content))] = numbers.words(8)
            content.insert(numbers.below(len(content)), numbers.words(8))
            body = "\n".join(content) + "\n"
            yield f"M 100644 inline {name}\ndata {len(body)}\n{body}\n"
    yield "done\n"


GIT_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LC_ALL": "C", "TZ": "UTC",
                   "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}


def _git(directory: Path, *arguments: str, stdin: str = ""):
    """Run git in a repository, without the user's or the machine's settings."""
    try:
        subprocess.run(["git", f"--git-dir={directory}", *arguments], check=True, input=stdin.encode(),
                       env=GIT_ENVIRONMENT, capture_output=True, timeout=60)
    except FileNotFoundError:
        raise UserError("cannot make the git repository without git; install it with: apt-get install git") from None
    except subprocess.CalledProcessError as error:
        raise Failure(f"git could not make {directory}{proc.tail(error.stderr.decode(errors='replace'))}") from None
    except subprocess.TimeoutExpired:
        raise Failure(f"git did not make {directory} within 60 s and was killed") from None


def git_repository(directory: Path):
    """A bare repository with one pack and one branch, written into the empty directory."""
    _git(directory, "-c", "init.defaultBranch=main", "-c", "init.templateDir=", "init", "--quiet", "--bare",
         str(directory))
    _git(directory, "-c", "pack.threads=1", "-c", "fastimport.unpackLimit=0", "fast-import", "--quiet", "--done",
         stdin="".join(_git_stream()))
    _git(directory, "pack-refs", "--all")


@dataclass(frozen=True)
class Generator:
    """Makes one input: `make()` returns its text, or for a directory `make(path)` fills it."""
    make: Callable
    directory: bool = False


GENERATORS = {
    "c_unit": Generator(c_unit),
    "git_repository": Generator(git_repository, directory=True),
    "jq_filter": Generator(jq_filter),
    "lua_mix": Generator(lua_mix),
    "orders_json": Generator(orders_json),
    "perl_mix": Generator(perl_mix),
    "ps_mix": Generator(ps_mix),
    "py_mix": Generator(py_mix),
    "redis_log": Generator(redis_log),
    "sqlite_mix": Generator(sqlite_mix),
    "text": Generator(text),
}


def write(generator: Generator, out: Path):
    """Make the input and put it in place at once; a directory replaces its predecessor."""
    out.parent.mkdir(parents=True, exist_ok=True)
    if not generator.directory:
        files.write_atomic(out, generator.make())
        return
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        made = Path(scratch) / out.name
        made.mkdir()
        generator.make(made)
        files.replace_directory(made, out)


def main(argv) -> int:
    """Command line."""
    parser = Parser(
        prog="bench.inputs",
        description="example: python3 -m bench.inputs py_mix build/inputs/py_mix.py\n\n"
                    "Writes one benchmark input; the same bytes each time.")
    parser.add_argument("generator", help=", ".join(sorted(GENERATORS)))
    parser.add_argument("out", type=Path, help="file or directory to write")
    options = parser.parse_args(argv)
    if options.generator not in GENERATORS:
        raise UserError(f"unknown generator '{options.generator}'; valid generators: {', '.join(sorted(GENERATORS))}")
    write(GENERATORS[options.generator], options.out)
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
