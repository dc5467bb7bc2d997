# SPDX-License-Identifier: MIT
"""What every tool of the project shares: files, processes, tables, the build tree, workloads and their runs, tools."""

from common import early

if early.is_sought():
    early.begin()
