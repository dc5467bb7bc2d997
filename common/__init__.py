# SPDX-License-Identifier: MIT
"""What every tool of the project shares: files, processes, tables, the build tree, workloads and their runs, tools."""
