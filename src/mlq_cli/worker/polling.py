"""Running jobs in the caller's own process, one after the other: `MLQ.poll` and what `@mlq.worker` makes."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from mlq_cli.model.errors import Misuse, StoreUnavailable
from mlq_cli.model.outcome import Kind
from mlq_cli.store.base import Part, Progress
from mlq_cli.worker.attempts import Attempts
from mlq_cli.worker.consuming import Consuming
from mlq_cli.worker.context import Job
from mlq_cli.worker.hooks import Hooks
from mlq_cli.worker.reach import Reach
from mlq_cli.worker.repertoire import Repertoire

if TYPE_CHECKING:
    from mlq_cli.mlq import MLQ

AGAIN = 0.1  # seconds between two tries to store what a job emits
MOST_DOUBLINGS = 60  # of a wait: it is longer than anybody's life then, and a number still
LOOK = 1.0  # seconds between two questions whether to stop while nothing comes


class Here:
    """How what a listener says while it runs gets to Redis: progress with the next turn, parts at once."""

    def __init__(self, loop: Consuming, mlq: MLQ) -> None:
        self.reach = Reach(None, self, mlq)
        self._loop = loop
        self._store = mlq.store
        self._patience = loop.lease
        self._lock = threading.Lock()  # listeners may emit from threads of their own
        self._pid = os.getpid()

    def tell(self, frame: tuple[Any, ...]) -> None:
        """Take progress. What else an executor would tell its worker concerns nobody here."""
        match frame:
            case ("progress", str() as job_id, str() as token, bytes() as value):
                self._loop.stock.outbox.progress[job_id] = Progress(job_id, token, value)

    def tell_part(self, job: Job, packed: bytes) -> None:
        """Store the next part of a job; waits for a Redis that is away, a lease at most. Raises MlqError."""
        if os.getpid() != self._pid:
            raise Misuse("a process that the listener has forked cannot emit", hint="emit in the one that runs the job")
        with self._lock:
            job.emitted += 1
            emit = self._store.emit([Part(job.id, job.token, job.emitted, packed)])
            give_up_at = time.monotonic() + self._patience
            while True:  # a part that is sent again is known by its number
                try:
                    self._store.ask(emit)
                    return
                except StoreUnavailable:
                    if time.monotonic() > give_up_at:
                        raise
                time.sleep(AGAIN)


class Polling:
    """Runs what comes until it is told to stop."""

    def __init__(
        self,
        loop: Consuming,
        mlq: MLQ,
        repertoire: Repertoire,
        hooks: Hooks,
        *,
        limit: int | None,
        backs_off: tuple[type[BaseException], ...] = (),
        longest: float = 120.0,
    ) -> None:
        """`limit`: bytes of a result. `backs_off`: errors after which to wait instead of ending, up to `longest` s."""
        self._loop = loop
        self._hooks = hooks
        self._backs_off = backs_off
        self._longest = longest
        self._raised: list[BaseException] = []  # by the attempt, then by a hook
        self._attempts = Attempts(loop.name, limit, Here(loop, mlq))
        self._attempts.repertoire = repertoire
        self._attempts.hooks = hooks
        self._attempts.on_error = self._attempts.on_hook_error = self._raised.append

    def run(self, timeout: float | None) -> int:
        """Run jobs until none has come for `timeout` seconds, or it is time to stop; returns how many succeeded.

        Raises what an attempt or a hook has raised, after the outcome is recorded.
        """
        loop, hooks = self._loop, self._hooks
        try:
            idle_since = time.monotonic()
            while not loop.stopping:
                values = self._take(timeout, idle_since)
                if values is not None:
                    self._attempt(values)
                    idle_since = time.monotonic()
                elif loop.stopping or (timeout is not None and time.monotonic() - idle_since >= timeout):
                    break
                else:
                    hooks.in_vain()
                if hooks.stops():
                    break
        finally:
            loop.close()
        return hooks.executed

    def _take(self, timeout: float | None, idle_since: float) -> list[Any] | None:
        left = None if timeout is None else max(0.0, idle_since + timeout - time.monotonic())
        if self._hooks.asks:
            left = LOOK if left is None else min(LOOK, left)
        try:
            return self._loop.take(left)
        except KeyboardInterrupt:  # while nothing runs: that ends it, as in HotQueue
            self._loop.stop()
            return None

    def _window(self) -> float:
        """Return the seconds that a job is put off at most. Looks in vain are tries too, and these may be thousands."""
        return min(2.0 ** min(self._hooks.tries, MOST_DOUBLINGS), self._longest)

    def _attempt(self, values: list[Any]) -> None:
        loop, raised = self._loop, self._raised
        kind, _, _, _, *parts = self._attempts.run(values, time.monotonic())
        for error in raised:
            if not isinstance(error, Exception):
                raise error  # Ctrl-C, say: the job goes back
        put_off = None
        if kind != Kind.DONE and raised and isinstance(raised[0], self._backs_off):
            put_off, raised[:] = random.uniform(0, self._window()), raised[1:]
        if put_off is None:
            loop.settle(kind, *parts)
        else:
            loop.settle(Kind.LATER.value, b"%.3f" % put_off, b"")
        if raised:
            raise raised[0]
        if put_off is not None:
            loop.pause(put_off)


@contextmanager
def interruptible(loop: Consuming) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the loop after the job that it is at, and at once when they come again.

    Only in the main thread; elsewhere signals do not come.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _: FrameType | None) -> None:
        if loop.stopping:
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            sys.exit(128 + number)
        loop.stop()

    numbers = [number for number in (signal.SIGINT, signal.SIGTERM) if _is_default(number)]
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_default(number: signal.Signals) -> bool:
    return signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)
