"""The training of profiles, their weighted merge and their checks."""
