"""What executors print: read by one thread, passed on to the worker's own stdout and stderr, so much of it a job.

A thread, not the worker's loop, for it has to wait where the output is read slowly: with a terminal that was stopped, a
job that prints waits, and nothing else does. It is started with the first executor and sleeps while nobody prints.
"""

from __future__ import annotations

import logging
import os
import select
import selectors
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

log = logging.getLogger("mlq.worker")

MOST = 1 << 20  # bytes shown of what one job prints
LAST = 4096  # bytes told of what a crashed executor wrote to stderr last
_KEPT = 4 * LAST  # bytes remembered for that: a list of extension modules may follow what is of interest
_PIECE = 1 << 16  # bytes read at a time, and so the longest line that is kept in one piece
_HOLD = 0.2  # seconds that a line waits for its end
_PATIENCE = 0.2  # seconds that the worker waits for what an executor has printed last
_FATAL = b"Fatal Python error:"
_MODULES = b"\nExtension modules:"


class Doing(NamedTuple):
    """What an executor is doing."""

    done: int  # jobs it has run
    jobs: str  # those it runs, for people


class Printed:
    """What one executor prints."""

    def __init__(self, doing: Callable[[], Doing]) -> None:
        self._doing = doing
        self._span = -1  # jobs done when `_left` was set
        self._left = MOST
        self._said = False
        self.last = b""  # of stderr
        self.over = threading.Event()  # all of it was passed on
        self.pipes: list[_Pipe] = []

    def some(self, data: bytes) -> bytes:
        """Return what is to be shown of this: as much as its job may print."""
        doing = self._doing()
        if doing.done != self._span:
            self._span, self._left, self._said = doing.done, MOST, False
        shown = data[: self._left]
        self._left -= len(shown)
        if len(shown) == len(data):
            return data
        if not self._said:
            self._said = True
            log.warning("%s printed more than %d MiB; further output is not shown", doing.jobs, MOST >> 20)
            return shown + b"\n"
        return b""

    def let_go(self) -> None:
        """Ask the executor no more: it would hold on to itself through this, and to its memory and descriptors."""
        last = self._doing()
        self._doing = lambda: last

    def last_words(self) -> bytes:
        """Return what was written to stderr last; of a fatal error rather the beginning, which tells what it was."""
        text = self.last
        fatal = text.rfind(_FATAL)
        if fatal < 0:
            return text[-LAST:]
        head, list_of_modules, rest = text[fatal:].partition(_MODULES)
        if list_of_modules:
            head += b"\n" + rest.partition(b"\n")[2]
        before = text[max(0, fatal - LAST // 4) : fatal]
        return before + head[: LAST - len(before)]


class _Pipe:
    """Our end of what one executor writes to stdout or stderr."""

    def __init__(self, end: int, target: _Target, printed: Printed, *, is_error: bool) -> None:
        self.end = end
        self.ended = False
        self.held_since: float | None = None  # when it began to wait for the end of a line
        self._held = b""
        self._target = target
        self._printed = printed
        self._is_error = is_error

    def read(self) -> bool:
        """Pass on what has come, in whole lines; returns whether anything had."""
        try:
            data = os.read(self.end, _PIECE)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self.ended = True
            return False
        if self._is_error:
            self._printed.last = (self._printed.last + data)[-_KEPT:]
        if data := self._printed.some(data):
            data = self._held + data
            # A bar that draws itself anew begins with a carriage return: what stood before it was whole.
            end = len(data) if len(data) > _PIECE else max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
            self._held = data[end:]
            self.held_since = time.monotonic() if self._held else None
            self._target.write(data[:end])
        return True

    def flush(self) -> None:
        """Pass on what has come of a line."""
        self._target.write(self._held)
        self._held, self.held_since = b"", None


class _Target:
    """The worker's own stdout or stderr. When nobody reads it any more, what is written is lost."""

    def __init__(self, number: int | None) -> None:
        self._number = number

    def write(self, data: bytes) -> None:
        """Write all of it, however long that takes."""
        while data and self._number is not None:
            try:
                data = data[os.write(self._number, data) :]
            except BlockingIOError:
                select.select([], [self._number], [], 1.0)
            except OSError:
                self._number = None


class Output:
    """Passes on what executors print."""

    def __init__(self) -> None:
        # A number that was closed when the worker started may be anybody's by now.
        self._targets = [_Target(1 if sys.__stdout__ else None), _Target(2 if sys.__stderr__ else None)]
        self._lock = threading.Lock()
        self._watched: set[Printed] = set()
        self._news: deque[tuple[Printed, bool]] = deque()  # an executor came, or went
        self._bell: int | None = None  # wakes the thread; None: there is no thread
        self._late = False  # the thread waits for somebody to read

    def open(self, doing: Callable[[], Doing]) -> tuple[Printed, int, int]:
        """Return what a new executor prints, and the ends to give to it. Raises OSError."""
        ours, stdout = os.pipe()
        try:
            ours_too, stderr = os.pipe()
        except OSError:
            os.close(ours)
            os.close(stdout)
            raise
        printed = Printed(doing)
        for end, target in zip((ours, ours_too), self._targets, strict=True):
            os.set_blocking(end, False)
            printed.pipes.append(_Pipe(end, target, printed, is_error=end == ours_too))
        with self._lock:
            try:
                self._tell(printed, True)
            except OSError:
                for end in (ours, ours_too, stdout, stderr):
                    os.close(end)
                raise
            self._watched.add(printed)
        return printed, stdout, stderr

    def leave(self, printed: Printed) -> None:
        """Pass on what an executor has printed last, and read no more: who else writes there does it in vain."""
        with self._lock:
            if printed not in self._watched:
                return
            self._watched.remove(printed)
            self._tell(printed, False)
        printed.let_go()
        self._late = not printed.over.wait(_PATIENCE / 20 if self._late else _PATIENCE)

    def _tell(self, printed: Printed, came: bool) -> None:
        if self._bell is None:
            end, bell = os.pipe()
            try:
                threading.Thread(target=self._run, args=(end,), daemon=True, name="mlq-output").start()
            except RuntimeError as error:  # the system has no more of them
                os.close(end)
                os.close(bell)
                raise OSError(str(error)) from None
            self._bell = bell
        self._news.append((printed, came))
        os.write(self._bell, b"!")

    def _run(self, bell: int) -> None:
        pipes: set[_Pipe] = set()
        with selectors.DefaultSelector() as selector:
            selector.register(bell, selectors.EVENT_READ)
            while True:
                held = any(pipe.held_since for pipe in pipes)
                for key, _ in selector.select(_HOLD / 2 if held else None):
                    if key.data is None:
                        os.read(bell, 64)
                        continue
                    key.data.read()
                    if key.data.ended:
                        selector.unregister(key.fd)
                        pipes.discard(key.data)
                        key.data.flush()
                now = time.monotonic()
                for pipe in pipes:
                    if pipe.held_since and now - pipe.held_since > _HOLD:
                        pipe.flush()
                while self._news:
                    printed, came = self._news.popleft()
                    if came:
                        for pipe in printed.pipes:
                            selector.register(pipe.end, selectors.EVENT_READ, pipe)
                        pipes.update(printed.pipes)
                        continue
                    for pipe in printed.pipes:
                        if pipe in pipes:
                            selector.unregister(pipe.end)
                            pipes.discard(pipe)
                        _finish(pipe)
                    printed.over.set()
                with self._lock:
                    if not self._watched and not self._news:
                        os.close(bell)
                        if self._bell is not None:
                            os.close(self._bell)
                        self._bell = None
                        return


def _finish(pipe: _Pipe) -> None:
    for _ in range(4):  # a pipe holds no more; but somebody may still be writing
        if pipe.ended or not pipe.read():
            break
    pipe.flush()
    os.close(pipe.end)
