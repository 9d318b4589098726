"""Jobs run in this process, by whoever waits for them: a debugger and a measure of coverage see the listeners."""

from __future__ import annotations

import bdb
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from types import FrameType
from typing import Any

from mlq_cli.local.book import Book
from mlq_cli.local.entry import Entry
from mlq_cli.model.outcome import Kind, Outcome
from mlq_cli.worker.attempts import Answer, Attempts
from mlq_cli.worker.context import Job, Voice, jobs_in
from mlq_cli.worker.listeners import Listener


class Overrun(BaseException):
    """Raised in a listener that runs longer than it may; each attempt has its own."""


class Inline:
    """Runs one job after the other, each to its end, in the thread that asks for it."""

    def __init__(self, book: Book, worker: str, limit: int | None, timeout: float | None) -> None:
        """`limit`: bytes of a result; `timeout`: seconds of an attempt, for jobs that say nothing."""
        self._book = book
        self._worker = worker
        self._timeout = timeout
        self._setup: Callable[[], Any] | None = None
        self.attempts = _Attempts(worker, limit, self)

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
        try:
            answer, exception = self.attempts.run_within(values, entry.options.timeout or self._timeout)
        except BaseException:
            self._book.give_back(entry.id, entry.token)
            raise
        kind, job_id, token, *rest = answer
        self._book.settle(Outcome(job_id, token, kind, *rest), exception)

    def drop(self, entry: Entry) -> None:
        """Nothing runs beside the caller, so there is nothing to end."""

    def close(self) -> None:
        """There is nothing to close."""


class _Attempts(Attempts):
    """Attempts that keep what was raised, and do not take for an outcome what is meant for the caller."""

    def __init__(self, worker: str, limit: int | None, voice: Voice) -> None:
        super().__init__(worker, limit, voice)
        self._exception: BaseException | None = None
        self._overruns: list[Overrun] = []  # of the jobs that run, each of which waits for the next

    def run_within(self, values: list[Any], limit: float | None) -> tuple[Answer, BaseException | None]:
        """Run one attempt and return how it ended, and what was raised.

        What takes longer than so many seconds has failed, though that may be known only when it returns.
        """
        overrun = Overrun()
        self._overruns.append(overrun)
        self._exception = None
        began = time.monotonic()
        try:
            with _alarm(limit, overrun):
                answer = self._run(values, began)
        except Overrun as error:
            if error is not overrun:
                raise  # of the job that waits for this one
            answer = ("", values[0].decode(), values[8].decode(), time.monotonic() - began, b"", b"", b"")
        finally:
            self._overruns.pop()
        exception, self._exception = self._exception, None
        if limit is None or answer[3] <= limit:
            return answer, exception
        text = f"it ran longer than its timeout of {limit:g} s"
        return (Kind.ERROR.value, *answer[1:4], b"JobTimeout", text.encode(), b""), None

    def _run(self, values: list[Any], began: float) -> Answer:
        context = copy_context()  # the caller's own is not changed
        if any(listener.is_async for listener in self.listeners) and _loop_runs():
            with ThreadPoolExecutor(1) as pool:
                return pool.submit(context.run, self.run, values, began).result()
        return context.run(self.run, values, began)

    def _failed(self, job: Job, error: BaseException, began: float) -> Answer:
        if isinstance(error, (KeyboardInterrupt, bdb.BdbQuit)):
            raise error
        if isinstance(error, Overrun) and error is not self._overruns[-1]:
            raise error
        self._exception = error
        return super()._failed(job, error, began)


@contextmanager
def _alarm(seconds: float | None, overrun: Overrun) -> Iterator[None]:
    """Raise this in the block after so many seconds, where a signal can: in the main thread, if nobody else uses it.

    Elsewhere, and in C code, nothing interrupts.
    """
    usable = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGALRM) == signal.SIG_DFL
    if seconds is None or not usable:
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise overrun

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


def _loop_runs() -> bool:
    """Whether an event loop runs in this thread, as one does in a notebook: no other can."""
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
