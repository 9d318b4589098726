"""A log that never makes its writer wait: a worker must go on renewing leases while nobody reads its stderr.

A terminal that was stopped, or a pipe whose reader sleeps, takes no more. So a thread writes; what it cannot get rid of
waits in memory, up to a bound, and what goes beyond that is counted.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections import deque

MOST = 10_000  # lines that wait to be read
PATIENCE = 1.0  # seconds that the end of the process waits for the last ones


class LogWriter(logging.Handler):
    """Writes what is logged to a file descriptor, from a thread of its own."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lines: deque[bytes] = deque()
        self._lost = 0
        self._changed = threading.Condition()
        self._writing = False
        self._started = False

    def emit(self, record: logging.LogRecord) -> None:
        """Let a line be written soon."""
        try:
            line = self.format(record) + "\n"
        except Exception:  # noqa: BLE001  as every handler of logging does
            self.handleError(record)
            return
        self._know_where()
        with self._changed:
            if len(self._lines) >= MOST:
                self._lost += 1
                return
            self._lines.append(line.encode(errors="backslashreplace"))
            if not self._started:
                self._started = True
                threading.Thread(target=self._write, daemon=True, name="mlq-log").start()
            self._changed.notify_all()

    def flush(self) -> None:
        """Wait until all is written, but not for long; the interpreter's end comes here too."""
        self._know_where()
        give_up_at = time.monotonic() + PATIENCE
        with self._changed:
            while (self._lines or self._writing) and (left := give_up_at - time.monotonic()) > 0:
                self._changed.wait(left)

    def _know_where(self) -> None:
        """Begin anew in a fork: its parent's thread did not come along, and may have held the lock just then."""
        if self._pid != os.getpid():
            self._begin()

    def _write(self) -> None:
        while True:
            with self._changed:
                self._writing = False
                self._changed.notify_all()
                while not self._lines:
                    self._changed.wait()
                self._writing = True
                line = self._lines.popleft()
                lost, self._lost = (self._lost, 0) if not self._lines else (0, self._lost)
            if lost:
                line += f"({lost} lines of this log were lost: nobody read them)\n".encode()
            self._put(line)

    def _put(self, line: bytes) -> None:
        while line:
            try:
                line = line[os.write(self._descriptor, line) :]
            except BlockingIOError:  # somebody else has made it non-blocking
                select.select([], [self._descriptor], [], 1.0)
            except OSError:
                return  # whoever read it is gone
