# SPDX-License-Identifier: MIT
"""Several runs at a time, which end together."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor

from common import household


class Pool(ThreadPoolExecutor):
    """An executor that begins nothing more once a job has failed. When the user interrupts, what the jobs have started
    is ended: it has sessions of its own, so that Ctrl-C does not reach it, and would be waited for."""

    def __init__(self, workers: int):
        super().__init__(workers)
        self._begun = []

    def submit(self, *words, **more):
        """As of the executor."""
        self._begun.append(super().submit(*words, **more))
        return self._begun[-1]

    def __exit__(self, kind, value, trace):
        if kind is not None:
            self.shutdown(wait=False, cancel_futures=True)
            while issubclass(kind, KeyboardInterrupt) and not all(job.done() for job in self._begun):
                household.send(household.descendants(), signal.SIGKILL)
                time.sleep(0.05)
        return super().__exit__(kind, value, trace)
