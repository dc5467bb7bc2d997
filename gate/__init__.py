# SPDX-License-Identifier: MIT
"""Judging one library against another: the gates of the build, comparisons of revisions and of features."""

import common  # noqa: F401
