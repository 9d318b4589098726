"""Jobs run in this process, by whoever waits for them: a debugger and a measure of coverage see the listeners."""

from __future__ import annotations

import bdb
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from types import FrameType
from typing import Any

from mlq_cli.local.book import Book
from mlq_cli.local.entry import Entry
from mlq_cli.model.errors import Refused
from mlq_cli.model.job import State
from mlq_cli.model.outcome import Kind, Outcome
from mlq_cli.model.values import called_path
from mlq_cli.worker.attempts import Answer, Attempts
from mlq_cli.worker.context import Job, Reaching, Voice, jobs_in
from mlq_cli.worker.failure import first_line
from mlq_cli.worker.listeners import Listener
from mlq_cli.worker.own import OwnRepertoire

log = logging.getLogger("mlq.worker")


class Overrun(BaseException):
    """Raised in a listener that runs longer than it may; each attempt has its own."""


class Inline:
    """Runs one job after the other, each to its end, in the thread that asks for it."""

    def __init__(self, book: Book, reach: Reaching, worker: str, limit: int | None, timeout: float | None) -> None:
        """`limit`: bytes of a result; `timeout`: seconds of an attempt, for jobs that say nothing."""
        self._book = book
        self.reach = reach
        self._worker = worker
        self._timeout = timeout
        self._setup: Callable[[], Any] | None = None
        self.attempts = InlineAttempts(worker, limit, self)
        self.depth = 0  # jobs that run, each of which waits for the next

    def prepare(self, listeners: list[Listener], setup: Callable[[], Any] | None) -> None:
        """Say what runs; `setup` is called before the first job."""
        self.attempts.repertoire.listeners = listeners
        self._setup = setup

    # --- what listeners say ------------------------------------------------------------------------------------------
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

    # --- running -----------------------------------------------------------------------------------------------------
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

    def finish(self, entry: Entry, deadline: float | None = None) -> None:
        """Run this job and no other until it has ended: another job, further up, waits for it.

        Raises Refused when it runs already, for then it is further up too.
        """
        while not entry.state.terminal and (deadline is None or time.monotonic() < deadline):
            if self._book.take(entry, self._worker):
                self.run(entry)
            elif entry.state is State.RUNNING:
                raise Refused(f"job {entry.id} runs already, and waits", hint="it goes on when this one has ended")
            else:
                due = max(0.0, (entry.due_at or 0.0) - time.time())
                time.sleep(due if deadline is None else max(0.0, min(due, deadline - time.monotonic())))

    def run(self, entry: Entry) -> None:
        """Run the attempt of a job that has begun, and settle it. Ctrl-C and the debugger's `q` come through."""
        if self._setup is not None:
            setup, self._setup = self._setup, None
            setup()
        (values,) = jobs_in(entry.frame())
        self.depth += 1
        try:
            answer, exception = self.attempts.run_within(values, entry.options.timeout or self._timeout)
        except BaseException:
            self._book.give_back(entry.id, entry.token)
            raise
        finally:
            self.depth -= 1
        kind, job_id, token, seconds, *texts = answer
        outcome = Outcome(job_id, token, kind, seconds, *texts)
        if kind in (Kind.ERROR, Kind.FINAL):
            log.warning("job %s failed: %s: %s", job_id, outcome.first.decode(), first_line(outcome.second))
        self._book.settle(outcome, exception)

    def drop(self, entry: Entry) -> None:
        """Nothing runs beside the caller, so there is nothing to end."""

    def wake(self) -> None:
        """Nobody sleeps."""

    def close(self, *, hurried: bool = False) -> None:
        """There is nothing to close."""


class InlineAttempts(Attempts):
    """Attempts that keep what was raised, and do not take for an outcome what is meant for the caller."""

    def __init__(self, worker: str, limit: int | None, voice: Voice) -> None:
        super().__init__(worker, limit, voice)
        self.repertoire = OwnRepertoire()
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
        if _loop_runs() and (self.repertoire.is_async or called_path(values[1]) is not None):
            from concurrent.futures import ThreadPoolExecutor

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
    """Raise this in the block after so many seconds, where a signal can: in the main thread, and not in C code.

    An alarm that somebody else has set keeps its time; one that is due before ours is left alone.
    """
    handler = signal.getsignal(signal.SIGALRM)
    usable = threading.current_thread() is threading.main_thread() and handler is not None
    due, every = signal.getitimer(signal.ITIMER_REAL)
    if seconds is None or not usable or 0 < due <= seconds:
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise overrun

    signal.signal(signal.SIGALRM, ring)
    began = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if due:
            signal.setitimer(signal.ITIMER_REAL, max(1e-3, due - (time.monotonic() - began)), every)


def _loop_runs() -> bool:
    """Whether an event loop runs in this thread, as one does in a notebook: no other can."""
    if (asyncio := sys.modules.get("asyncio")) is None:
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
