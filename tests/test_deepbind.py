# SPDX-License-Identifier: MIT
"""Plug-ins that are loaded with RTLD_DEEPBIND share the program's malloc, however they bind."""

import pytest

from tests.support import ROOT, label, libraries
from tests.test_archive import run
from tests.test_operators import run_under

NEEDS = ("matrix",)
SOURCES = ROOT / "tests" / "deepbind"
BINDINGS = {"lazy": ["-Wl,-z,lazy,-z,norelro"], "now": ["-Wl,-z,now,-z,relro"], "symbolic": ["-Wl,-Bsymbolic,-z,now"],
            "no plt": ["-fno-plt", "-Wl,-z,relro"]}
ALL = [None, *libraries()]


@pytest.fixture(scope="module", name="host", params=BINDINGS)
def build(request, tmp_path_factory):
    """A host, and a plug-in with the part that it is linked with, where only the host's RUNPATH leads to."""
    place = tmp_path_factory.mktemp("deepbind")
    plugins = place / "plugins"
    plugins.mkdir()
    flags = ["gcc", "-O1", "-fno-builtin", "-Wall", "-Wextra", "-Werror", *BINDINGS[request.param]]
    run([*flags, "-shared", "-fPIC", SOURCES / "part.c", "-o", plugins / "libpart.so"])
    run([*flags, "-shared", "-fPIC", SOURCES / "plugin.c", f"-L{plugins}", "-lpart", "-Wl,-rpath,$ORIGIN",
         "-o", plugins / "plugin.so"])
    run([*flags, "-fPIE", "-pie", "-pthread", SOURCES / "host.c", "-Wl,-rpath,$ORIGIN/plugins",
         "-Wl,--enable-new-dtags", "-o", place / "host"])
    return place / "host"


@pytest.mark.parametrize("so", ALL, ids=["none", *(label(so) for so in libraries())])
@pytest.mark.parametrize("when", ("lazy", "now"))
def test_blocks_change_hands(host, when, so):
    """Blocks of either side are freed by the other; with constructors, parts, threads, dlsym, dlclose, RUNPATH."""
    run_under(so, [host, when])
