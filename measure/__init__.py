# SPDX-License-Identifier: MIT
"""Counts, control flow, golden figures and times of a library, and the statistics over them."""

import common  # noqa: F401
