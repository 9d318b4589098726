"""Several processes on one address: they are started, replaced when they die, and stopped together.

They are forks that share the listening sockets; whichever is free takes the next connection. Each ends by itself when
the one that started it is gone.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

log = logging.getLogger("mlq.http")

_TOLD = (signal.SIGTERM, signal.SIGINT)
_SOON = 3.0  # seconds: whoever ends before has not come up
_PATIENCE = 10.0  # seconds beyond the grace, until those that do not end are killed

#: Runs in the new process and gets a descriptor that ends with the old one; returns the exit code.
Run = Callable[[int], int]


class Processes:
    """So many processes, while nobody says stop."""

    def __init__(self, count: int, run: Run, grace: float) -> None:
        self._count = count
        self._run = run
        self._grace = grace
        self._started: dict[int, float] = {}  # pid: when
        self._know: set[int] = set()  # who was told to stop
        self._told = 0
        self._well = False  # whether one of them has ever stayed
        self._alive, self._life = os.pipe()
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(self._woken, False)

    def run(self) -> int:
        """Keep them running until a signal; returns the exit code."""
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        for each in _TOLD:
            signal.signal(each, self._hear)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        code = 0
        while not self._told and not code:
            self._fill_up()
            self._sleep(1.0)
            code = self._collect()
        self._stop()
        return code

    def _hear(self, number: int, frame: object) -> None:
        self._told += 1
        self._tell(self._started)

    def _tell(self, pids: Iterable[int]) -> None:
        for pid in list(pids):
            self._know.add(pid)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def _fill_up(self) -> None:
        """Start what is missing, but nothing twice in a second."""
        now = time.monotonic()
        missing = self._count - len(self._started)
        if missing <= 0 or (self._well and any(now - began < 1.0 for began in self._started.values())):
            return
        for _ in range(missing):
            if not self._told:
                self._fork()

    def _fork(self) -> None:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _TOLD)  # a child must not hear what is meant for us
        pid = os.fork()
        if pid == 0:
            os._exit(self._be_child(before))
        self._started[pid] = time.monotonic()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _be_child(self, mask: set[int]) -> int:
        code = 1
        try:
            os.setpgid(0, 0)  # Ctrl-C is for the one that tells us
            signal.set_wakeup_fd(-1)
            for each in (*_TOLD, signal.SIGCHLD):
                signal.signal(each, signal.SIG_DFL)
            for descriptor in (self._life, self._woken, self._wake):
                os.close(descriptor)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            code = self._run(self._alive)
        except BaseException:  # it ends here, whatever it is
            log.exception("a process of the server could not go on")
        finally:
            logging.shutdown()
        return code

    def _collect(self) -> int:
        """Take note of those that ended. Returns the exit code when there is no sense in starting more."""
        for pid, began in list(self._started.items()):
            if time.monotonic() - began > _SOON:
                self._well = True
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended == 0:
                continue
            del self._started[pid]
            code = os.waitstatus_to_exitcode(status)
            if self._told:
                continue
            if code > 0 and not self._well:
                return code
            log.warning("process %d of the server ended with %d; another takes its place", pid, code)
        return 0

    def _stop(self) -> None:
        until = time.monotonic() + self._grace + _PATIENCE
        self._told = max(self._told, 1)
        self._tell(self._started.keys() - self._know)  # a signal may come between a fork and the note of it
        while self._started and time.monotonic() < until:
            self._collect()
            if self._started:
                self._sleep(0.5)
        for pid in self._started:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        signal.set_wakeup_fd(-1)

    def _sleep(self, seconds: float) -> None:
        """Wait for a signal, or for so long."""
        select.select([self._woken], [], [], seconds)
        with suppress(BlockingIOError):
            os.read(self._woken, 4096)
