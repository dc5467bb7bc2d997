# SPDX-License-Identifier: MIT
"""A policy from a workload: recorded, searched by replay, reduced to what each parameter brings."""

import common  # noqa: F401
