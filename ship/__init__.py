# SPDX-License-Identifier: MIT
"""The shipped directory, and the proof that it can be built again, byte for byte."""

import common  # noqa: F401
