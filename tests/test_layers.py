"""The allocator's layers: a file of core/ includes only files of its own layer and of those beneath it."""

import re
from pathlib import Path

from tests.support import ROOT

# From the bottom up; layers of one row do not see each other.
ORDER = (("base",), ("os",), ("map",), ("learn", "obs"), ("mem",), ("api",))
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
CODE = (".c", ".h", ".cc", ".def")


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
            if target is None:
                if not (include / wanted).is_file():
                    found.append(f"{name} includes {wanted}, which does not exist")
                continue
            layer = target.resolve().relative_to(core.resolve()).parts[0]
            if not allowed(name.parts[0], layer):
                found.append(f"{name} includes {wanted}: layer {layer} is not beneath {name.parts[0]}")
    return found


def test_includes_point_downwards():
    """The rule, over all of core/."""
    assert list((ROOT / "core").rglob("*.c")), "core/ has no sources"
    assert violations(ROOT / "core", ROOT / "include") == []


def test_a_violation_is_seen(tmp_path):
    """The check itself: upwards, sideways, out of the layers, and to nowhere."""
    for name, text in {"base/types.h": "", "os/os.h": '#include "base/types.h"\n', "mem/heap.h": "", "learn/p2.h": "",
                       "obs/trace.c": '#include "learn/p2.h"\n',
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
        "obs/trace.c includes learn/p2.h: layer learn is not beneath obs",
        "os/lost.c includes gone.h, which does not exist",
    ]
