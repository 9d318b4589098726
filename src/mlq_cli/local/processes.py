"""Jobs run in executors of their own: the processes of a worker's lane, with the book in place of Redis.

book ──claimed──▶ Lane ──▶ executors          crashes, timeouts and memory limits are the lane's matter, as in a worker
  ▲                │
  └─── outbox ◀────┘                          which nobody sends: each turn it is read into the book
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from mlq_cli.local.answering import Answering
from mlq_cli.local.book import Book
from mlq_cli.local.entry import Entry, new_token
from mlq_cli.model.errors import Misuse
from mlq_cli.store.base import Claimed, Held
from mlq_cli.worker.ears import Ears
from mlq_cli.worker.executor import Executor
from mlq_cli.worker.lane import Lane
from mlq_cli.worker.memory import WATCHED, MemoryLimit
from mlq_cli.worker.outbox import Outbox
from mlq_cli.worker.run import process_hosts

MOST = 500  # parts taken at a time
MOST_BYTES = 4 << 20
FAREWELL = 2.0  # seconds that idle executors get for their exit handlers at the end


class Processes:
    """Keeps executors busy from a thread of its own, which is started with the first job."""

    def __init__(
        self,
        book: Book,
        answering: Answering,
        worker: str,
        settings: dict[str, Any],
        *,
        size: int,
        timeout: float | None,
        memory_limit: int | None,
    ) -> None:
        """`settings`: the first frame of each executor; `timeout`: seconds of an attempt; `memory_limit`: bytes."""
        self._book = book
        self._worker = worker
        self._outbox = Outbox()
        memory = MemoryLimit(memory_limit) if memory_limit and WATCHED else None
        hosts = process_hosts(worker)
        self._answering = answering
        self._lane = _Lane(
            answering, "jobs", (), hosts, settings, self._outbox, size=size, timeout=timeout, memory=memory
        )
        self._selector = selectors.DefaultSelector()
        self._ears = Ears(self._selector)
        self._lane.staff.on_hire = partial(self._ears.hired, self._lane)
        self._lane.on_leave = self._ears.left
        self._wake_up, self._woken = socket.socketpair()
        self._wake_up.setblocking(False)
        self._woken.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ, self._drain)
        self._dropped: list[Held] = []
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None  # that has ended the thread
        self._stopping = self._hurried = self._closed = False

    # --- from the caller's threads -----------------------------------------------------------------------------------
    def work(self, done: Callable[[], bool], deadline: float | None = None) -> None:
        """Wait until `done`, until no job is open, or until the deadline (by time.monotonic) is over.

        Raises Misuse when no executor can be started.
        """
        self.wake()
        with self._book.changed:
            while not done() and self._book.open and self._error is None:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return
                self._book.changed.wait(left)
        if self._error is not None:
            raise self._error

    def wake(self) -> None:
        """Let the thread look for jobs; it is started when there is the first."""
        if self._closed:
            return
        if self._thread is None and self._book.open and not self._stopping:
            self._thread = threading.Thread(target=self._run, name="mlq-local", daemon=True)
            self._thread.start()
        try:
            self._wake_up.send(b"!")
        except OSError:
            pass  # it has been told often enough

    def drop(self, entry: Entry) -> None:
        """Let go of a job that was canceled; if it runs, its executor is killed."""
        self._dropped.append(Held(entry.id, entry.token))
        self.wake()

    def close(self, *, hurried: bool = False) -> None:
        """End the executors: those that are idle by themselves, or all at once."""
        self._stopping, self._hurried = True, hurried
        self.wake()
        if self._thread is not None:
            if self._thread is not threading.current_thread():
                self._thread.join()
            self._thread = None
        elif not self._closed:
            self._end()

    # --- the thread --------------------------------------------------------------------------------------------------
    def _run(self) -> None:
        try:
            while not self._stopping:
                for key, _ in self._selector.select(self._sleep()):
                    key.data()
                while self._dropped:
                    self._lane.drop(self._dropped.pop())
                self._lane.look_after(time.monotonic())
                self._read_outbox()
                self._answering.look_after(time.monotonic())
                self._claim()
        except Misuse as error:
            text = error.message.replace("the worker cannot start", "no executor can start")
            self._error = Misuse(text, hint=error.hint)
        except BaseException as error:  # noqa: BLE001  raised again where somebody waits
            self._error = error
        finally:
            self._end()
            with self._book.changed:
                self._book.changed.notify_all()

    def _sleep(self) -> float | None:
        if self._outbox.unsaid:
            return 0.0
        now = time.monotonic()
        times = [self._lane.next_look(now), self._answering.next_look(now)]
        if self._lane.room() > 0:
            times.append(self._book.due_in())
        return min((seconds for seconds in times if seconds is not None), default=None)

    def _claim(self) -> None:
        token = new_token()
        jobs: list[Claimed] = []
        for _ in range(self._lane.room()):
            if (entry := self._book.next(self._worker, token)) is None:
                break
            jobs.append(Claimed(entry.id, entry.options.timeout, entry.frame()))
        if jobs:
            self._lane.take(jobs, token)

    def _read_outbox(self) -> None:
        book, outbox = self._book, self._outbox
        with book.changed:
            for said in outbox.progress.values():
                if (entry := book.running(said.id, said.token)) is not None:
                    entry.progress = said.value
            while parts := outbox.parts.first(MOST, MOST_BYTES):
                for part in parts:
                    if (entry := book.running(part.id, part.token)) is not None and part.serial > entry.emitted:
                        entry.parts.append(part.value)
                        entry.emitted = part.serial
                outbox.stored(len(parts))
                book.changed.notify_all()
            self._ears.open()
            for outcome in outbox.outcomes:
                book.settle(outcome)
            for held in outbox.releases:
                book.give_back(*held)
        outbox.progress.clear()
        outbox.outcomes.clear()
        outbox.releases.clear()

    def _end(self) -> None:
        self._closed, lane = True, self._lane
        if not (self._hurried or self._error or lane.busy):
            lane.stop()
            give_up_at = time.monotonic() + FAREWELL
            while time.monotonic() < give_up_at and lane.winding_down:
                for key, _ in self._selector.select(0.02):
                    key.data()
                lane.look_after(time.monotonic())
        lane.forget()
        for executor in list(lane.executors.values()):
            self._ears.left(executor)
            executor.close()
        lane.executors.clear()
        lane.close()
        self._selector.close()
        self._wake_up.close()
        self._woken.close()

    def _drain(self) -> None:
        try:
            self._woken.recv(4096)
        except BlockingIOError:
            pass


class _Lane(Lane):
    """A lane whose executors may ask."""

    def __init__(self, answering: Answering, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._answering = answering

    def _heard(self, executor: Executor, frame: list[Any]) -> None:
        match frame:
            case ["ask", int() as serial, str() as job_id, str() as token, str() as verb, bytes() as packed]:
                self._answering.hear(executor, serial, job_id, token, verb, packed)
            case _:
                super()._heard(executor, frame)
