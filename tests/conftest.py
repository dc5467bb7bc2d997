# SPDX-License-Identifier: MIT
"""The marks that tests carry: what each asks of tests/parallel.py."""

from tests.parallel import MARKS


def pytest_configure(config):
    """Registered, so that a misspelt one is a warning."""
    for name, sentence in MARKS.items():
        config.addinivalue_line("markers", f"{name}: {sentence}")
