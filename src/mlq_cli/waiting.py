"""Wait for a job to end: by its event, and by a look now and then should that be missed."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing

from mlq_cli.model.errors import JobNotFound, StoreUnavailable, WaitTimeout
from mlq_cli.store.base import Store

LOOK_SECONDS = 2.0  # between two looks at the job
OUTAGE_SECONDS = 60.0  # how long to go on trying when Redis goes away
WATCHED_SECONDS = 10.0  # longer than a vain attempt to connect takes


def wait_ended(store: Store, job_id: str, timeout: float | None, on_progress: Callable[[], None] | None) -> None:
    """Return when the job has ended. Raises WaitTimeout, JobNotFound, and StoreUnavailable when Redis stays away."""
    deadline = None if timeout is None else time.monotonic() + timeout
    if _ended(store, job_id):
        return
    away_since = pause = 0.0
    while True:
        began = time.monotonic()
        try:
            return _watch(store, job_id, deadline, on_progress)
        except StoreUnavailable:
            # Redis may be restarting under a wait of hours; a watch that went well for a while begins a new outage.
            now = time.monotonic()
            if not away_since or now - began > WATCHED_SECONDS:
                away_since, pause = now, 0.1
            if now - away_since > OUTAGE_SECONDS or (deadline is not None and now > deadline):
                raise
            time.sleep(pause)
            pause = min(pause * 2, 5.0)


def _ended(store: Store, job_id: str) -> bool:
    (state,) = store.states([job_id])
    if state is None:
        raise JobNotFound(job_id)
    return state.terminal


def _watch(store: Store, job_id: str, deadline: float | None, on_progress: Callable[[], None] | None) -> None:
    """Watch until the job has ended. The state is looked up after subscribing, so that no event falls between."""
    with closing(store.watch()) as watch:
        while not _ended(store, job_id):
            look_at = time.monotonic() + LOOK_SECONDS
            until = look_at if deadline is None else min(look_at, deadline)
            while (left := until - time.monotonic()) > 0:
                words = [word for one, word in watch.next(left) if one == job_id]
                if any(word != "progress" for word in words):
                    return
                if words and on_progress:
                    on_progress()
            if deadline is not None and time.monotonic() >= deadline:
                raise WaitTimeout(f"job {job_id} has not ended in time; it goes on", hint=f"mlq wait {job_id}")
