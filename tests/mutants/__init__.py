# SPDX-License-Identifier: MIT
"""Deliberate bugs, and what shows that the tests would notice them."""
