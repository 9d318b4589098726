"""Wait for a job to end: by its event, and by a look now and then should that be missed."""

from __future__ import annotations

import time
from collections.abc import Callable

from mlq_cli.model.errors import JobNotFound, StoreUnavailable, WaitTimeout
from mlq_cli.model.job import TERMINAL, State
from mlq_cli.store.base import Store

LOOK_SECONDS = 2.0  # between two looks at the job
OUTAGE_SECONDS = 60.0  # how long to go on trying when Redis goes away
WATCHED_SECONDS = 10.0  # longer than a vain attempt to connect takes
_ENDS = frozenset(state.value for state in TERMINAL)


def wait_ended(store: Store, job_id: str, timeout: float | None, on_progress: Callable[[], None] | None) -> None:
    """Return when the job has ended. Raises WaitTimeout, JobNotFound, and StoreUnavailable when Redis stays away."""
    deadline = None if timeout is None else time.monotonic() + timeout
    seen = False  # a Redis that is away from the first is told at once
    away_since = pause = 0.0
    while True:
        began = time.monotonic()
        try:
            state, watch = store.watch(job_id)
            seen = True
            with watch:
                while not _terminal(job_id, state):
                    look_at = time.monotonic() + LOOK_SECONDS
                    until = look_at if deadline is None else min(look_at, deadline)
                    while (left := until - time.monotonic()) > 0:
                        words = watch.next(left)
                        if not _ENDS.isdisjoint(words):
                            return
                        if "progress" in words and on_progress:
                            on_progress()
                    if deadline is not None and time.monotonic() >= deadline:
                        raise WaitTimeout(f"job {job_id} has not ended in time; it goes on", hint=f"mlq wait {job_id}")
                    (state,) = store.states([job_id])
                return
        except StoreUnavailable:
            # Redis may be restarting under a wait of hours; a watch that went well for a while begins a new outage.
            now = time.monotonic()
            if not away_since or now - began > WATCHED_SECONDS:
                away_since, pause = now, 0.1
            if not seen or now - away_since > OUTAGE_SECONDS or (deadline is not None and now > deadline):
                raise
            time.sleep(pause)
            pause = min(pause * 2, 5.0)


def _terminal(job_id: str, state: State | None) -> bool:
    if state is None:
        raise JobNotFound(job_id)
    return state.terminal
