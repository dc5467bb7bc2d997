# SPDX-License-Identifier: MIT
"""What is built: the tables, and the edges of the graph made from them. configure.py writes it; nothing is run here."""

import common  # noqa: F401
