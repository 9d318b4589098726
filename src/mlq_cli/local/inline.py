"""Jobs run in this process, by whoever waits for them: a debugger and a measure of coverage see the listeners."""

from __future__ import annotations

import bdb
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from mlq_cli.local.book import Book
from mlq_cli.local.entry import Entry
from mlq_cli.model.errors import Misuse
from mlq_cli.model.generation import enter
from mlq_cli.model.outcome import Kind, Outcome
from mlq_cli.worker.attempts import Answer, Attempts
from mlq_cli.worker.context import Job, jobs_in
from mlq_cli.worker.listeners import Listener


class Overrun(BaseException):
    """Raised in a listener that runs longer than it may."""


class Inline:
    """Runs one job after the other, each to its end, in the thread that asks for it."""

    def __init__(self, book: Book, worker: str, limit: int | None, timeout: float | None) -> None:
        """`limit`: bytes of a result; `timeout`: seconds of an attempt, for jobs that say nothing."""
        self._book = book
        self._worker = worker
        self._timeout = timeout
        self._setup: Callable[[], Any] | None = None
        self.attempts = _Attempts(worker, limit, self)
        self.depth = 0  # jobs that run, each waiting for the next

    def prepare(self, listeners: list[Listener], setup: Callable[[], Any] | None) -> None:
        """Say what runs; `setup` is called before the first job."""
        self.attempts.listeners = listeners
        self._setup = setup

    # --- what listeners say --------------------------------------------------------------------------------------------
    def tell(self, frame: tuple[Any, ...]) -> None:
        """Take in progress."""
        match frame:
            case ("progress", str() as job_id, str() as token, bytes() as value):
                with self._book.changed:
                    if (entry := self._book.running(job_id, token)) is not None:
                        entry.progress = value

    def tell_part(self, job: Job, packed: bytes) -> None:
        """Take in a part."""
        job.emitted += 1
        with self._book.changed:
            if (entry := self._book.running(job.id, job.token)) is not None:
                entry.parts.append(packed)
                entry.emitted += 1

    # --- running -------------------------------------------------------------------------------------------------------
    def work(self, done: Callable[[], bool], deadline: float | None = None) -> None:
        """Run jobs until `done`, until none is left, or until the deadline (by time.monotonic) is over."""
        while not done() and (deadline is None or time.monotonic() < deadline):
            entry = self._book.next(self._worker)
            if entry is not None:
                self.run(entry)
                continue
            due = self._book.due_in()
            if due is None:
                return
            time.sleep(due if deadline is None else max(0.0, min(due, deadline - time.monotonic())))

    def run(self, entry: Entry) -> None:
        """Run the attempt of a job that has begun, and settle it. Ctrl-C and the debugger's `q` come through."""
        if self._setup is not None:
            setup, self._setup = self._setup, None
            setup()
        (values,) = jobs_in(entry.frame())
        limit = entry.options.timeout or self._timeout
        self.depth += 1
        try:
            answer = self.attempts.run_within(values, limit)
        except BaseException:
            self._book.give_back(entry.id, entry.token)
            raise
        finally:
            self.depth -= 1
            enter(0 if not self.depth else entry.options.generation)
        kind, job_id, token, *rest = answer
        exception, self.attempts.exception = self.attempts.exception, None
        self._book.settle(Outcome(job_id, token, kind, *rest), exception)

    def drop(self, entry: Entry) -> None:
        """Nothing runs beside the caller, so there is nothing to end."""

    def close(self) -> None:
        """There is nothing to close."""


class _Attempts(Attempts):
    """Attempts that keep what was raised, and do not take for an outcome what is meant for the caller."""

    exception: BaseException | None = None

    def run_within(self, values: list[Any], limit: float | None) -> Answer:
        """Run one attempt; what takes longer than so many seconds has failed, though it may be known late."""
        began = time.monotonic()
        with _alarm(limit):
            answer = self.run(values, began)
        if limit is None or answer[3] <= limit:
            return answer
        self.exception = None
        text = f"it ran longer than its timeout of {limit:g} s"
        return (Kind.ERROR.value, answer[1], answer[2], answer[3], b"JobTimeout", text.encode(), b"")

    def _failed(self, job: Job, error: BaseException, began: float) -> Answer:
        if isinstance(error, (KeyboardInterrupt, bdb.BdbQuit)):
            raise error
        self.exception = error
        return super()._failed(job, error, began)


@contextmanager
def _alarm(seconds: float | None) -> Iterator[None]:
    """Raise Overrun in this block after so many seconds, where a signal can: in the main thread, if nobody uses it.

    Elsewhere, and in C code, nothing interrupts; that it took too long is known afterwards all the same.
    """
    usable = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGALRM) == signal.SIG_DFL
    if seconds is None or not usable:
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise Overrun(f"it ran longer than its timeout of {seconds:g} s")

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except Overrun:  # it came when the listener had returned just before
        pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


def needs_no_loop() -> bool:
    """Whether an async listener can be run in this thread: no event loop runs here, as one does in a notebook."""
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return True
    return False


def refuse_nothing() -> Misuse:
    """Return what to raise where a local run has no function."""
    return Misuse("a local run needs a function", hint="MLQ.local(function), or its create_listener")
