# SPDX-License-Identifier: MIT
"""Run pytest's items side by side: a plug-in that forks a process for each job, one a processor at a time and one more:
there is always one that waits, for a server or for time to pass.

A job is a file of tests, in its own order, so that a fixture of the module is made once, or a few that share one
(TOGETHER). What has the mark `alone` measures time, or the memory of the whole machine: it runs when all others have
ended.

The parent collects once and judges nothing; each child tells it the reports, and everything that listens to reports
(the counter of tests/run.py, pytest's own list of failures) works as if there were one process.

*Rejected:* pytest-xdist, which starts its workers from nothing, so that each of them collects, and asks ninja about
each library, again; its scheduler does not know which file is long either.
"""

import ctypes
import os
import pickle
import selectors
import signal
from collections import Counter
from dataclasses import dataclass, field

import pytest

from common.proc import describe_status

MARKS = {
    "alone": "measures time or the machine's memory: runs when nothing else does",
}
PR_SET_PDEATHSIG = 1
# Files whose jobs take longest, which begin first; what is not named comes after them as it was collected. The C
# programs often sleep: beside them there is room for what computes.
LONGEST = ("test_c.py", "test_own.py", "test_faults.py", "test_programs.py", "test_learn_whole.py", "test_style.py",
           "test_trace.py", "test_learn_tool.py", "test_operators.py", "test_fuzz.py", "test_misuse.py",
           "test_archive.py", "test_learner.py", "test_verify.py", "test_policy.py")

# Of a job that runs programs side by side itself: how many of those processes it counts as.
WIDTH = {"test_c.py": 2}
# Files of tests that share a clone (tests/conftest.py): one job builds it for both.
TOGETHER = {"test_end_to_end.py": "test_faults.py", "test_serve.py": "test_own.py",
            "test_ends.py": "test_requests.py"}


def file_of(item) -> str:
    """The file whose job an item is part of."""
    return TOGETHER.get(item.path.name, item.path.name)


@dataclass
class Job:
    """Items that run one after the other in one process."""
    items: list
    left: list = field(default_factory=list)    # node ids without a final report yet
    pid: int = 0

    @property
    def file(self) -> str:
        """Whose tests these are; of several files only what must run alone is in one job."""
        names = {file_of(item) for item in self.items}
        return names.pop() if len(names) == 1 else "alone"

    @property
    def width(self) -> int:
        """As how many it counts."""
        return WIDTH.get(self.file, 1)


def jobs_of(items) -> tuple:
    """(jobs that run side by side, longest first; the one that runs after them, or None)."""
    alone = [item for item in items if item.get_closest_marker("alone")]
    files = {}
    for item in items:
        if item not in alone:
            files.setdefault(file_of(item), []).append(item)

    def rank(file):
        return LONGEST.index(file) if file in LONGEST else len(LONGEST)
    return [Job(files[name]) for name in sorted(files, key=rank)], Job(alone) if alone else None


class SideBySide:
    """The plug-in. `processes` jobs run at a time, and one more. `cpu` tells afterwards what each file took of the
    processors."""

    def __init__(self, processes: int):
        self.processes = processes
        self.cpu = Counter()    # file -> seconds, with all processes that its tests waited for

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session):
        """In place of pytest's loop over the items."""
        if session.testsfailed and not session.config.option.continue_on_collection_errors:
            return None
        if session.config.option.collectonly or self.processes < 2:
            return None
        session.config._tmp_path_factory.getbasetemp()     # one directory for all: the children inherit it
        beside, after = jobs_of(session.items)
        self.run(session, beside)
        self.run(session, [after] if after else [])
        return True

    def run(self, session, waiting):
        """Start jobs while there is room, and pass on what they report. After -x or --maxfail no other job begins."""
        with selectors.DefaultSelector() as running:
            while (waiting and not session.shouldfail) or running.get_map():
                while waiting and not session.shouldfail and self.has_room(running):
                    job = waiting.pop(0)
                    running.register(start(session, job), selectors.EVENT_READ, job)
                for key, _events in running.select():
                    self.hear(session, running, key.fileobj, key.data)

    def has_room(self, running) -> bool:
        """Whether another job may begin."""
        return sum(key.data.width for key in running.get_map().values()) <= self.processes

    def hear(self, session, running, pipe, job):
        """What a job reports, or its end."""
        if pass_on(session, pipe, job):
            return
        running.unregister(pipe)
        pipe.close()
        self.cpu[job.file] += finish(session, job)


def start(session, job):
    """Fork; the parent's end of a pipe of reports."""
    job.left = [item.nodeid for item in job.items]
    reading, writing = os.pipe()
    parent = os.getpid()
    job.pid = os.fork()
    if job.pid:
        os.close(writing)
        return open(reading, "rb")
    status = 1
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.close(reading)
        if os.getppid() == parent:
            be_child(session, job, writing)
            status = 0
    finally:
        os._exit(status)


def be_child(session, job, writing):
    """Run the items of a job with a capture of its own; each report goes into the pipe."""
    config = session.config
    capture = config.pluginmanager.getplugin("capturemanager")
    capture.stop_global_capturing()     # its files are shared with the parent and all other children
    capture.start_global_capturing()
    capture.suspend_global_capture()
    session.items = job.items
    with open(writing, "wb") as pipe:
        class Reporter:
            """Stands for everything in the parent that listens."""

            @staticmethod
            def pytest_runtest_logreport(report):
                """Called for each phase of each item."""
                told = config.hook.pytest_report_to_serializable(config=config, report=report)
                pickle.dump(told, pipe)
                pipe.flush()

        listeners = {impl.plugin for impl in config.hook.pytest_runtest_logreport.get_hookimpls()}
        for plugin in listeners:
            config.pluginmanager.unregister(plugin)
        config.pluginmanager.register(Reporter())
        for item, following in zip(job.items, [*job.items[1:], None]):
            config.hook.pytest_runtest_protocol(item=item, nextitem=following)


def pass_on(session, pipe, job) -> bool:
    """One report to everything that listens; False at the end of the pipe."""
    try:
        told = pickle.load(pipe)
    except (EOFError, pickle.UnpicklingError):
        return False
    report = session.config.hook.pytest_report_from_serializable(config=session.config, data=told)
    if report.when == "teardown" and report.nodeid in job.left:
        job.left.remove(report.nodeid)
    session.config.hook.pytest_runtest_logreport(report=report)
    return True


def finish(session, job) -> float:
    """Wait for the process of a job; the processor time that it took. What it did not come to has failed."""
    _pid, status, usage = os.wait4(job.pid, 0)
    for item in job.items:
        if item.nodeid in job.left:
            told = describe_status(os.waitstatus_to_exitcode(status))
            report = pytest.TestReport(item.nodeid, item.location, {}, "failed",
                                       f"the process of this job ended before its test did: {told}", "call")
            session.config.hook.pytest_runtest_logreport(report=report)
    return usage.ru_utime + usage.ru_stime
