# SPDX-License-Identifier: MIT
"""common/doctor.py: which version a tool has, asked as it understands."""

import pytest

from common import doctor
from tests.support import ROOT


@pytest.mark.parametrize("status, text, line", [
    (0, "git version 2.39.5\n", "git version 2.39.5"),
    (1, "tmux: unknown option -- -\nusage: tmux [-2]\n", ""),
    (0, "bad: unrecognized option '--version' 1.2\n", ""),
    (2, "something 1.2.3\n", ""),
    (0, "time (GNU Time) UNKNOWN\nCopyright (C) 2018 x\nLicense GPLv3\n", "time (GNU Time) UNKNOWN"),
    (0, "\nname\nversion 7\n", "version 7"),
    (0, "", ""),
])
def test_an_error_is_no_version(status, text, line):
    assert doctor.version_line(status, text) == line


def test_doctor_asks_as_the_tool_understands(tmp_path):
    tool = tmp_path / "tool"
    tool.write_text('#!/bin/sh\n[ "$1" = -V ] && echo "tool 3.3a" && exit 0\necho "tool: unknown option 64"; exit 1\n')
    tool.chmod(0o755)
    assert doctor.version_of(doctor.Need("tool", str(tool), "", "")) == "tool 3.3a"


def test_a_tool_that_is_asked_leaves_nothing(tmp_path, monkeypatch):
    """gcc's cc1 compiles what it reads as well, into <stdin>.s where it is called."""
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\necho > made\necho tool 1.2\n")
    tool.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    assert doctor.version_of(doctor.Need("tool", str(tool), "", "")) == "tool 1.2"
    assert [path.name for path in tmp_path.iterdir()] == ["tool"]


def test_perf_is_called_by_what_doctor_says():
    """doctor names no tool that nothing calls."""
    need = doctor.discovery.load_tools()["perf"].need
    assert "make study STUDY=operation" in need and 'which("perf"' in (ROOT / "bench" / "study.py").read_text()
