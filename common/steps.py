# SPDX-License-Identifier: MIT
"""What a tool that takes long is doing: a line a step, on a terminal and elsewhere."""

import sys
import time


class Steps:
    """A line for each step, with the time since the start, and of which of how many things it is."""

    def __init__(self, tool: str, of: int, stream=None, clock=time.monotonic):
        self.tool, self.of, self.stream, self.clock = tool, of, stream or sys.stderr, clock
        self.begun, self.number, self.name = clock(), 0, ""

    def begin(self, number: int, name: str):
        """What the next lines are about."""
        self.number, self.name = number, name

    def __call__(self, text: str):
        spent = self.clock() - self.begun
        place = f"{self.number}/{self.of} {self.name}: " if self.name else ""
        print(f"{self.tool}: {spent / 60:4.1f} min, {place}{text}", file=self.stream, flush=True)
