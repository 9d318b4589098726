"""Processes that a job left behind outside its executor's group, as a daemon does: found, ended, buried.

On Linux the worker has them made its own children when their parent ends (it is a "subreaper", as the first process of
a container is without asking). What was started by one of its executors is known by its environment. Any other child is
left alone: a guard, a private server, or what a container's first process inherits.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
import time
from collections.abc import Iterable, Sequence, Set
from typing import NamedTuple

from mlq_cli.worker.executor import Executor
from mlq_cli.worker.lane import Lane

log = logging.getLogger("mlq.worker")

EVERY = 1.0  # seconds between two looks
AGAIN = 0.1  # seconds until the next one when something was killed: its children are ours then
_FAREWELL = 1.0  # seconds for the last ones when the worker ends
_SHARE = 100  # a look takes at most this part of the time, on a machine with very many processes
_SET_CHILD_SUBREAPER = 36


class _Process(NamedTuple):
    pid: int
    zombie: bool
    parent: int
    group: int
    session: int
    started_at: float  # by the clock of `boot_time`


def adopt() -> bool:
    """Make this process the parent of its descendants' orphans; False where that cannot be."""
    if sys.platform != "linux":
        return False
    try:
        import ctypes

        return bool(ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)
    except (ImportError, OSError, AttributeError):
        return False


class Orphans:
    """The orphans of one worker."""

    def __init__(self, worker: str, jobs: Lane, lanes: Sequence[Lane]) -> None:
        self._mark = b"MLQ_WORKER=" + worker.encode()
        self._jobs = jobs
        self._lanes = lanes
        self._seen: dict[tuple[int, float], frozenset[str]] = {}  # jobs that ran when an orphan was first seen
        self._before: object = None

    def look(self, now: float) -> float:
        """End what should have ended, and return the seconds until the next look."""
        state = (self._jobs.done, [id(executor) for executor in self._jobs.executors.values()])
        if state == self._before and not self._seen and not self._jobs.busy:
            return EVERY  # nobody has run anything since
        self._before = None if self._jobs.busy else state
        killed, took = self._look()
        return AGAIN if killed else max(EVERY, _SHARE * took)

    def end(self) -> None:
        """End all of them: the worker ends too."""
        give_up_at = time.monotonic() + _FAREWELL
        while self._look()[0] and time.monotonic() < give_up_at:
            time.sleep(AGAIN / 10)

    def _look(self) -> tuple[int, float]:
        began = time.monotonic()
        executors = {pid for lane in self._lanes for pid in lane.pids()}
        seen: dict[tuple[int, float], frozenset[str]] = {}
        killed = 0
        for process in children():
            if process.pid in executors:
                continue  # they are waited for where they were started
            if process.zombie:
                _bury(process.pid)
            elif (number := self._executor_of(process.pid)) is not None:
                jobs = self._may_live(process, self._jobs.executors.get(number))
                if jobs is None:
                    _kill(process, executors)
                    killed += 1
                else:
                    seen[process.pid, process.started_at] = jobs
        self._seen = seen
        return killed, time.monotonic() - began

    def _executor_of(self, pid: int) -> int | None:
        """Return the number of the executor that has started it, None when that is none of ours."""
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            return None
        if self._mark not in words:
            return None
        number = next((word[13:] for word in words if word.startswith(b"MLQ_EXECUTOR=")), b"")
        return int(number) if number.isdigit() else -1

    def _may_live(self, process: _Process, executor: Executor | None) -> frozenset[str] | None:
        """Return the jobs for which it may live, empty for one that belongs to its executor; None: it may not."""
        if executor is None or process.started_at < executor.launched_at:
            return None
        # Started by the setup. The kernel counts in hundredths of a second, so a job may be taken for it that is the
        # first one and leaves a daemon within that time: better than to end what the setup needs.
        if executor.ready_at is None or process.started_at <= executor.ready_at:
            return frozenset()
        jobs = self._seen.get((process.pid, process.started_at))
        jobs = executor.running() if jobs is None else jobs & executor.running()
        return jobs or None


def _kill(process: _Process, executors: Set[int | None]) -> None:
    """End a child of ours, and its group if that is its own. Nobody can have its number before we have buried it."""
    log.warning("process %d was left behind by a job and is killed", process.pid)
    try:
        if process.group not in executors and process.group != os.getpgrp():
            os.killpg(process.group, signal.SIGKILL)
        os.kill(process.pid, signal.SIGKILL)
    except OSError as error:  # another user's by now
        if error.errno != errno.ESRCH:
            log.warning("process %d cannot be killed: %s", process.pid, error.strerror)


def _bury(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass


def children() -> list[_Process]:
    """Return the children of this process."""
    me = os.getpid()
    return [each for pid in _candidates() if (each := _read(pid)) is not None and each.parent == me]


def _candidates() -> Iterable[int]:
    """Return the children's numbers where the kernel lists them, those of all processes where it does not."""
    try:
        found: list[int] = []
        for task in os.listdir("/proc/self/task"):
            try:
                with open(f"/proc/self/task/{task}/children", "rb") as file:
                    found += map(int, file.read().split())
            except FileNotFoundError:
                if os.path.exists(f"/proc/self/task/{task}"):
                    raise  # not just a thread that has ended
        return found
    except OSError:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _read(pid: int) -> _Process | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            line = file.read()
    except OSError:
        return None
    fields = line[line.rindex(b")") + 2 :].split()  # the name before may hold anything
    parent, group, session = map(int, fields[1:4])
    started_at = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return _Process(pid, fields[0] == b"Z", parent, group, session, started_at)
