# SPDX-License-Identifier: MIT
"""The allocator's files: one includes only files of its own layer and of those beneath it; what a header declares is in
the .c of its name; a function is found by its prefix; no two files have a static function, a variable or a macro of
one name; and what a header declares or a macro defines is used."""

import collections
import re
from pathlib import Path

from tests.support import ROOT

# From the bottom up; layers of one row do not see each other.
ORDER = (("base",), ("os",), ("map",), ("learn", "obs"), ("mem",), ("api",))
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
CODE = (".c", ".h", ".cc", ".def")
DECLARED = re.compile(r"^(?!static|HAK_INLINE|typedef|extern)[A-Za-z_][\w *]*?\b(hak_\w+)\([^;{]*?\)[^;{]*;",
                      re.MULTILINE)
LOCKS = r"(?:\s+HAK_[A-Z_]+(?:\([^;{()]*\))?)*"  # what a function asks of locks (base/guarded.h)
DEFINED = re.compile(rf"^[A-Za-z_][\w *]*?\b(hak_\w+)\([^;{{]*?\){LOCKS}\s*\{{", re.MULTILINE)
STATIC = re.compile(rf"^(?:static|HAK_INLINE)\b[\w *]*?\b(\w+)\([^;{{]*?\){LOCKS}\s*\{{", re.MULTILINE)
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
# What stands around the names of a declaration: locks, atomic types, heads of lists, lengths.
AROUND = re.compile(r"\bHAK_[A-Z_]+\([^()]*\)|\bHAK_HIDDEN\b|(?<=\b_Atomic)\([^()]*\)|\bS?LIST_HEAD\([^()]*\)"
                    r"|\[[^\]]*\]")
VARIABLES = re.compile(r"^(?!typedef|extern|return)([a-z_][\w *,]* [\w *,]+?)(?: =|;)|^} (?!\w+_t;)(\w+);"
                       r"|^static [\w *]+\(\*(\w+)\)\(", re.MULTILINE)
DEFINES = re.compile(r"^# *define (\w+)", re.MULTILINE)
EXTERN = re.compile(r"^extern [^;(]*?\b(hak_\w+)(?:\[\w*\])? HAK_HIDDEN;", re.MULTILINE)
ROW = re.compile(r"^\| prefixes that are no file's, and single names \| (.*) \|$", re.MULTILINE)
LISTED = re.compile(r"((?:`hak_\w+` )+)(\w+)\.[ch]\b")
# What a header declares and another file than the .c of its name defines, with the reason.
ELSEWHERE = {
    "core/os/os.h": "core/os/os_linux.c",  # the seam: one header, a file for each system
    "core/mem/harden.h": "core/api/kinds.c",  # hak_kinds_are_known: of the layer above, and absent from the archive
}


def height(layer: str) -> int:
    """The row of a layer, or -1 when there is no such layer."""
    return next((row for row, names in enumerate(ORDER) if layer in names), -1)


def allowed(of: str, included: str) -> bool:
    """Whether a file of one layer may include a file of another."""
    return of == included or height(included) < height(of)


def violations(core: Path, include: Path) -> list[str]:
    """One sentence for each include that breaks the order or leads nowhere."""
    found = []
    for path in sorted(p for p in core.rglob("*") if p.suffix in CODE):
        name = path.relative_to(core)
        if len(name.parts) < 2 or height(name.parts[0]) < 0:
            found.append(f"{name} lies in no layer")
            continue
        for wanted in INCLUDE.findall(path.read_text()):
            target = next((base / wanted for base in (path.parent, core) if (base / wanted).is_file()), None)
            if target is None and not (include / wanted).is_file():
                found.append(f"{name} includes {wanted}, which does not exist")
            if target is None:
                continue
            layer = target.resolve().relative_to(core.resolve()).parts[0]
            if not allowed(name.parts[0], layer):
                found.append(f"{name} includes {wanted}: layer {layer} is not beneath {name.parts[0]}")
    return found


def misplaced(core: Path, elsewhere: dict[str, str]) -> list[str]:
    """One sentence for each function that a header declares and the .c of its name does not define."""
    found = []
    for header in sorted(core.rglob("*.h")):
        name = f"core/{header.relative_to(core)}"
        places = [header.with_suffix(".c")]
        if name in elsewhere:
            places.append(core.parent / elsewhere[name])
        there = {function for place in places if place.is_file() for function in DEFINED.findall(place.read_text())}
        found += [f"{name} declares {function}, which {places[0].name} does not define"
                  for function in DECLARED.findall(header.read_text()) if function not in there]
    return found


def listed(page: str) -> dict[str, str]:
    """A prefix, or a name that is whole, of docs/develop.md -> the file where it is, without its ending."""
    return {prefix: file for names, file in LISTED.findall(ROW.search(page)[1]) for prefix in re.findall(r"\w+", names)}


def hidden(core: Path, table: dict[str, str]) -> list[str]:
    """One sentence for each function that is not where the longest prefix leads, of a file or of the table."""
    paths = sorted(core.rglob("*.[ch]"))
    files = {f"hak_{path.stem}_": path.stem for path in paths}
    files |= {f"hak_os_{path.stem}_": path.stem for path in paths if path.parent.name == "os"}
    files |= table
    found = []
    for path in paths:
        for function in dict.fromkeys(DEFINED.findall(path.read_text())):
            fitting = [prefix for prefix in files
                       if prefix == function or (prefix.endswith("_") and f"{function}_".startswith(prefix))]
            if not fitting or files[max(fitting, key=len)] != path.stem:
                found.append(f"{function} is in {path.relative_to(core)}")
    return found


def variables(text: str) -> list[str]:
    """The variables of a file; what is extern is another one's."""
    found = VARIABLES.findall(AROUND.sub("", text))
    names = [name for one, *others in found for name in (*one.split(","), *others)]
    return [name.split()[-1].strip("*") for name in names if name.strip()]


def own_macros(text: str) -> list[str]:
    """The macros of a file, but for those that it undefines: a table is read by them."""
    return [name for name in DEFINES.findall(text)
            if not name.startswith("_") and not re.search(rf"^# *undef {name}$", text, re.MULTILINE)]


def shared_names(core: Path) -> list[str]:
    """One sentence for each name that functions, variables or macros of two files have: a profile, a debugger and a
    search show the name alone."""
    files: dict[str, set[str]] = {}
    for path in sorted(p for p in core.rglob("*") if p.suffix in (".c", ".h")):
        text = COMMENT.sub("", path.read_text())
        for name in (*STATIC.findall(text), *variables(text), *own_macros(text)):
            files.setdefault(name, set()).add(str(path.relative_to(core)))
    return [f"{name} is static in {' and '.join(sorted(names))}"
            for name, names in sorted(files.items()) if len(names) > 1]


def unused(core: Path) -> list[str]:
    """The functions and variables of headers that stand nowhere but where they are declared and defined, and the macros
    of any file that stand nowhere else."""
    texts = {path: COMMENT.sub("", path.read_text()) for path in sorted(core.rglob("*")) if path.suffix in CODE}
    words = collections.Counter(re.findall(r"\w+", "\n".join(texts.values())))
    made = [name for path, text in texts.items() if path.suffix == ".h"
            for name in (*DECLARED.findall(text), *EXTERN.findall(text))]
    macros = [name for path, text in texts.items() if path.suffix != ".def" for name in own_macros(text)]
    return sorted({name for name in made if words[name] <= 2} | {name for name in macros if words[name] <= 1})


def test_includes_point_downwards():
    """The rule, over all of core/."""
    assert list((ROOT / "core").rglob("*.c")), "core/ has no sources"
    assert violations(ROOT / "core", ROOT / "include") == []


def test_a_violation_is_seen(tmp_path):
    """The check itself: upwards, out of the layers, and to nowhere."""
    for name, text in {"base/types.h": "", "os/os.h": '#include "base/types.h"\n', "mem/heap.h": "",
                       "obs/trace.c": '#include "mem/heap.h"\n',
                       "base/bits.c": '#include "types.h"\n#include "mem/heap.h"\n',
                       "api/malloc.c": '#include "hakmem.h"\n#include "mem/heap.h"\n',
                       "os/lost.c": '# include "gone.h"\n',
                       "attic/old.c": ""}.items():
        (tmp_path / "core" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "core" / name).write_text(text)
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "hakmem.h").write_text("")
    assert violations(tmp_path / "core", tmp_path / "include") == [
        "attic/old.c lies in no layer",
        "base/bits.c includes mem/heap.h: layer mem is not beneath base",
        "obs/trace.c includes mem/heap.h: layer mem is not beneath obs",
        "os/lost.c includes gone.h, which does not exist",
    ]


def test_a_header_is_of_its_source():
    """The file is the prefix is the header."""
    assert misplaced(ROOT / "core", ELSEWHERE) == []
    assert all((ROOT / of).is_file() and (ROOT / place).is_file() for of, place in ELSEWHERE.items())


def test_a_misplaced_function_is_seen(tmp_path):
    """The check itself: one defined elsewhere, one nowhere; inline ones are in their header."""
    core = tmp_path / "core"
    core.mkdir()
    (core / "heap.h").write_text("void *hak_heap_take(int n);\nbool hak_heap_lost(void);\n"
                                 "int hak_heap_here(\n    int);\n"
                                 "HAK_INLINE int hak_heap_inline(void)\n{\n    return 1;\n}\n")
    (core / "heap.c").write_text("int hak_heap_here(\n    int n)\n{\n    return n;\n}\n")
    (core / "slab.c").write_text("void *hak_heap_take(int n)\n{\n    return 0;\n}\n")
    assert misplaced(core, {}) == ["core/heap.h declares hak_heap_take, which heap.c does not define",
                                   "core/heap.h declares hak_heap_lost, which heap.c does not define"]


def test_a_function_is_found_by_its_prefix():
    """As docs/develop.md says; and what it lists is needed."""
    table = listed((ROOT / "docs" / "develop.md").read_text())
    assert hidden(ROOT / "core", table) == []
    assert [prefix for prefix in table
            if not hidden(ROOT / "core", {one: file for one, file in table.items() if one != prefix})] == []


def test_a_hidden_function_is_seen(tmp_path):
    """The check itself: a name of its own, a longer prefix elsewhere, a file of os/; one that the table has."""
    for name, text in {"mem/site.c": "int hak_site_cache_take(int n)\n{\n}\n\nvoid hak_site_free(void)\n{\n}\n",
                       "mem/site_cache.h": "HAK_INLINE bool hak_is_kept(void)\n{\n}\n\nint hak_round(int n)\n{\n}\n",
                       "os/file.c": "int hak_os_file_read(int file)\n{\n}\n"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    row = "| prefixes that are no file's, and single names | mem: `hak_no` `hak_round` site_cache.h |\n"
    assert hidden(tmp_path, listed(row)) == ["hak_site_cache_take is in mem/site.c",
                                             "hak_is_kept is in mem/site_cache.h"]


def test_names_of_files_are_their_own():
    """In the whole allocator."""
    assert shared_names(ROOT / "core") == []


def test_a_shared_name_is_seen(tmp_path):
    """The check itself: functions, variables, macros; not what a table is read by, nor a struct's field or a type."""
    (tmp_path / "a.c").write_text("static int find(int n)\n{\n    return n;\n}\n\nstatic int once(void)\n{\n}\n"
                                  "#define MOST 3\n#define ROW(x) x,\n#undef ROW\nextern int elsewhere;\n"
                                  "static char *first HAK_GUARDED_BY(lock), *last = NULL;\nstatic int n[MOST];\n"
                                  "typedef struct place {\n    int field;\n} place_t;\n")
    (tmp_path / "b.c").write_text("HAK_INLINE void *find(\n    const char *p)\n{\n    return 0;\n}\n"
                                  "#define MOST 4\n#define ROW(x) #x\n#undef ROW\nint elsewhere;\n"
                                  "static _Atomic(void *) last; /* n */\nstatic struct {\n    int field;\n} n[2];\n"
                                  "typedef struct place {\n    int field;\n} place_t;\nstatic void (*first)(int n);\n")
    assert shared_names(tmp_path) == [f"{name} is static in a.c and b.c" for name in
                                      ("MOST", "find", "first", "last", "n")]


def test_what_is_made_is_used():
    """By the allocator: not by its tests alone."""
    assert unused(ROOT / "core") == []


def test_what_is_not_used_is_seen(tmp_path):
    """The check itself: a function, a variable and a macro that comments alone name."""
    (tmp_path / "a.h").write_text("void hak_a_use(int n);\nvoid hak_a_drop(void);\nextern int hak_a_kept HAK_HIDDEN;\n"
                                  "extern const char *const hak_a_names[MOST] HAK_HIDDEN;\n#define LEAST 3\n")
    (tmp_path / "a.c").write_text("#define MOST 3\n/* LEAST, hak_a_drop, hak_a_names */\nint hak_a_kept;\n"
                                  "const char *const hak_a_names[MOST] = {0};\n"
                                  "void hak_a_drop(void)\n{\n}\n\nvoid hak_a_use(int n)\n{\n}\n")
    (tmp_path / "b.c").write_text("int b(void)\n{\n    hak_a_use(hak_a_kept);\n}\n")
    assert unused(tmp_path) == ["LEAST", "hak_a_drop", "hak_a_names"]
