# SPDX-License-Identifier: MIT
"""Benchmark programs, inputs, peers and their ranking, studies, the user's own commands."""

import common  # noqa: F401
