"""Wait for a job to end, or a queue to be empty: by events, and by a look now and then should one be missed."""

from __future__ import annotations

import time
from collections.abc import Callable

from mlq_cli.model.errors import JobNotFound, Misuse, StoreUnavailable, WaitTimeout
from mlq_cli.model.job import TERMINAL, State
from mlq_cli.store.base import Store

LOOK_SECONDS = 2.0  # between two looks at the job
EMPTY_SECONDS = 0.1  # between two looks at a queue whose jobs end one after the other
OUTAGE_SECONDS = 60.0  # how long to go on trying when Redis goes away
WATCHED_SECONDS = 10.0  # longer than a vain attempt to connect takes
_ENDS = frozenset(state.value for state in TERMINAL)


class Patience:
    """Goes on when Redis is away for a while: it may be restarting under a wait of hours."""

    def __init__(self, job_id: str, timeout: float | None) -> None:
        """`timeout`: seconds until the wait is over; None: it ends with the job."""
        if timeout is not None and timeout != timeout:
            raise Misuse("a timeout that is no number would never be over", hint="seconds, or None to wait for ever")
        self._job_id = job_id
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self.seen = False  # a Redis that is away from the first is told at once
        self._began = self._away_since = self._pause = 0.0

    def begin(self) -> None:
        """Note that a watch begins."""
        self._began = time.monotonic()

    def until(self, seconds: float) -> float:
        """Return when the next look is due, by time.monotonic: in so many seconds, or when the wait is over."""
        look_at = time.monotonic() + seconds
        return look_at if self._deadline is None else min(look_at, self._deadline)

    def check(self) -> None:
        """Raise WaitTimeout when the wait is over."""
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise self.too_late()

    def too_late(self) -> WaitTimeout:
        """Return the error that says so."""
        job_id = self._job_id
        return WaitTimeout(f"job {job_id} has not ended in time; it goes on", hint=f"mlq wait {job_id}")

    def lost(self, error: StoreUnavailable) -> None:
        """Sleep a little, or raise what broke the watch. One that went well for a while begins a new outage."""
        now = time.monotonic()
        if not self._away_since or now - self._began > WATCHED_SECONDS:
            self._away_since, self._pause = now, 0.1
        over = self._deadline is not None and now > self._deadline
        if not self.seen or now - self._away_since > OUTAGE_SECONDS or over:
            raise error
        time.sleep(self._pause)
        self._pause = min(self._pause * 2, 5.0)


def wait_ended(
    store: Store,
    job_id: str,
    timeout: float | None,
    on_progress: Callable[[], None] | None = None,
    look: Callable[[], State | None] | None = None,
) -> None:
    """Return when the job has ended. Raises WaitTimeout, JobNotFound, and StoreUnavailable when Redis stays away.

    `look`: another way to find out how the job stands, also called before the first wait. What it raises ends that.
    """
    patience = Patience(job_id, timeout)
    while True:
        patience.begin()
        try:
            state, watch = store.watch(job_id)
            patience.seen = True
            with watch:
                state = look() if look else state
                while not _terminal(job_id, state):
                    until = patience.until(LOOK_SECONDS)
                    while (left := until - time.monotonic()) > 0:
                        words = watch.next(left)
                        if not _ENDS.isdisjoint(words):
                            return
                        if "progress" in words and on_progress:
                            on_progress()
                    patience.check()
                    state = look() if look else store.states([job_id])[0]
                return
        except StoreUnavailable as error:
            patience.lost(error)


def _terminal(job_id: str, state: State | None) -> bool:
    if state is None:
        raise JobNotFound(job_id)
    return state.terminal


class _UntilEmpty(Patience):
    """Patience with a queue."""

    def too_late(self) -> WaitTimeout:
        """Return the error that says that the queue is not empty."""
        return WaitTimeout(f"queue {self._job_id} is not empty yet", hint="mlq queue list shows what it has")


def wait_until_empty(store: Store, queue: str, timeout: float | None) -> None:
    """Return when no job of a queue waits or runs. Raises WaitTimeout, and StoreUnavailable when Redis stays away."""
    patience = _UntilEmpty(queue, timeout)
    while True:
        patience.begin()
        try:
            with store.news() as news:
                while enqueued(store, queue):
                    patience.seen = True
                    quiet_until, look_at = time.monotonic() + EMPTY_SECONDS, patience.until(LOOK_SECONDS)
                    ended = False
                    while (left := (min(quiet_until, look_at) if ended else look_at) - time.monotonic()) > 0:
                        ended = any(word in _ENDS for _, word in news.next(left)) or ended
                    patience.check()
                return
        except StoreUnavailable as error:
            patience.lost(error)


def enqueued(store: Store, queue: str) -> int:
    """Return how many jobs of a queue wait or run."""
    return next((counts.tally.enqueued for counts in store.counts() if counts.queue == queue), 0)
