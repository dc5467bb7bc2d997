"""Deliberate bugs, and what shows that the tests would notice them."""
