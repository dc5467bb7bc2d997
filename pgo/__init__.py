# SPDX-License-Identifier: MIT
"""The training of profiles, their weighted merge and their checks."""

import common  # noqa: F401
