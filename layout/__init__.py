# SPDX-License-Identifier: MIT
"""Counts to layout: symbol order, BOLT's profile, BOLT, the checks on what came out."""

import common  # noqa: F401
