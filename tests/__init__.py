# SPDX-License-Identifier: MIT
"""The tests, and the tools that run them."""

import common  # noqa: F401
