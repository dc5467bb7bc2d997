# SPDX-License-Identifier: MIT
"""What people read of results: tables, pages, pictures, the history of a figure, README's figures."""

import common  # noqa: F401
