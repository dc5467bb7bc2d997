# SPDX-License-Identifier: MIT
"""The marks that tests carry: what each asks of tests/parallel.py. And hypothesis: always the same examples, and no
judgement by the clock, since the machine may be busy."""

from hypothesis import settings

from tests.parallel import MARKS

settings.register_profile("tests", derandomize=True, deadline=None, database=None)
settings.load_profile("tests")


def pytest_configure(config):
    """Registered, so that a misspelt one is a warning."""
    for name, sentence in MARKS.items():
        config.addinivalue_line("markers", f"{name}: {sentence}")
