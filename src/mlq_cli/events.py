"""Follow a job until it has ended: by hints, and by a look now and then should one be missed; Redis may restart."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from mlq_cli.following import Event, Following, look
from mlq_cli.model.errors import StoreUnavailable
from mlq_cli.model.job import WAITING
from mlq_cli.store.base import Store
from mlq_cli.waiting import LOOK_SECONDS, Patience

PLACE_SECONDS = 0.5  # between two looks at a job that waits: nobody tells that it moves up, or begins


def events(store: Store, job_id: str, after: str | None, timeout: float | None) -> Iterator[list[Event]]:
    """Yield what happens to a job, some at a time, until it has ended.

    Raises JobNotFound, WaitTimeout, Misuse when `after` is no id, StoreUnavailable when Redis stays away.
    """
    following, patience = Following(job_id, after), Patience(job_id, timeout)
    while True:
        patience.begin()
        try:
            _, watch = store.watch(job_id)
            with watch:
                standing = True
                while True:
                    found = look(store, following, standing=standing)
                    patience.seen = True
                    if found:
                        yield found
                    if following.ended:
                        return
                    if not following.more:
                        patience.check()
                        until = patience.until(PLACE_SECONDS if following.state in WAITING else LOOK_SECONDS)
                        words: list[str] = []
                        while not words and (left := until - time.monotonic()) > 0:
                            words = watch.next(left)
                        standing = set(words) != {"part"}  # then there are entries, unless they were read before
        except StoreUnavailable as error:
            patience.lost(error)


def parts(store: Store, job_id: str, timeout: float | None, on_reset: Callable[[], object] | None) -> Iterator[Any]:
    """Yield what a job emits, until it has ended. Of an attempt that is known to be over nothing is begun.

    `on_reset` is called when what was yielded so far does not count any more. Raises as `events` does.
    """
    yielded = False
    for page in events(store, job_id, None, timeout):
        last = max((place for place, event in enumerate(page) if event.kind == "reset"), default=None)
        if last is not None:
            page = page[last:]
            if yielded and on_reset is not None:
                on_reset()
            yielded = False
        for event in page:
            if event.kind == "part":
                yielded = True
                yield event.value
