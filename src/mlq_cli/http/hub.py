"""The hub: who waits for jobs, and one subscription for all of them.

A thread hears the news of the namespace and wakes whoever follows a job. News are hints: once a second one read looks
at the states of all jobs that somebody follows, so that what was missed is noticed a moment later.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from mlq_cli.http.desk import Desk
from mlq_cli.http.problems import Problem
from mlq_cli.model.errors import MlqError
from mlq_cli.model.job import State
from mlq_cli.store.base import Store

log = logging.getLogger("mlq.http")

LOOK_SECONDS = 1.0  # between two looks at all jobs that somebody follows
TOUCH_SECONDS = 5.0  # a follower looks for itself after so long, whatever is said
OUTAGE_SECONDS = 20.0  # for which those who wait have patience with a Redis that is away; a vain try takes some more
MOST_FOLLOWERS = 4096
HEAR_SECONDS = 0.5  # of silence, after which the thread looks whether it shall end
PAUSE_SECONDS = 0.5  # before another try to subscribe

News = list[tuple[str, str]]


class Follower:
    """Somebody who wants to know what becomes of a job, inside a `with`."""

    def __init__(self, hub: Hub, job_id: str) -> None:
        self._hub = hub
        self.job_id = job_id
        self._news = asyncio.Event()
        self.seen: State | None = None  # by the last look

    async def wait(self, seconds: float) -> bool:
        """Return when there may be news, or after so many seconds; whether there may be."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return False
        self._news.clear()
        return True

    def wake(self) -> None:
        """There may be news. For the thread of the loop."""
        self._news.set()

    def __enter__(self) -> Self:
        self._hub.add(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._hub.remove(self)


class Hub:
    """All followers of a process."""

    def __init__(self, store: Store, desk: Desk, stopping: asyncio.Event) -> None:
        self._store = store
        self._desk = desk
        self.stopping = stopping
        self._followers: dict[str, set[Follower]] = {}
        self._number = 0
        self._listeners: set[Callable[[News], None]] = set()
        self._ended = threading.Event()
        self._cut_off = False
        self._thread = threading.Thread(target=self._hear, name="mlq-news", daemon=True)

    def start(self) -> None:
        """Begin. For the thread of the event loop."""
        self._loop = asyncio.get_running_loop()
        self._tasks = [self._loop.create_task(self._look()), self._loop.create_task(self._stop_all())]
        self._thread.start()

    async def stop(self) -> None:
        """End."""
        self._ended.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self._thread.join)

    def follow(self, job_id: str) -> Follower:
        """Return a follower of a job. Raises Problem when there are too many."""
        if self._number >= MOST_FOLLOWERS:
            raise Problem(503, "busy", "too many clients wait", hint="try again", headers={"retry-after": "5"})
        return Follower(self, job_id)

    async def wait(self, job_id: str, seconds: float) -> bool:
        """Return whether a job has ended, at the latest after so many seconds, or when the server stops.

        Raises Problem when Redis stays away, and JobNotFound.
        """
        deadline = time.monotonic() + seconds
        away_since = 0.0
        with self.follow(job_id) as follower:
            while True:
                now = time.monotonic()
                try:
                    state = await self._desk.look(job_id, lambda record: record["state"], brief=True)
                    away_since = 0.0
                    if state.terminal:
                        return True
                except MlqError as error:
                    if error.http_status != 503:
                        raise
                    away_since = away_since or now
                    if now - away_since > OUTAGE_SECONDS:
                        raise Problem(
                            503, "store-unavailable", f"job {job_id} is posted, but Redis is out of reach",
                            hint="look for the job later", headers={"location": f"/jobs/{job_id}"}, job_id=job_id,
                        ) from None  # fmt: skip
                left = deadline - time.monotonic()
                if left <= 0 or self.stopping.is_set():
                    return False
                await follower.wait(min(left, LOOK_SECONDS if away_since else TOUCH_SECONDS))

    def hear_all(self, listener: Callable[[News], None]) -> Callable[[], None]:
        """Let `listener` have all news, in the thread of the loop; returns what ends that."""
        self._listeners.add(listener)
        return lambda: self._listeners.discard(listener)

    def add(self, follower: Follower) -> None:
        """Begin to tell a follower."""
        self._followers.setdefault(follower.job_id, set()).add(follower)
        self._number += 1

    def remove(self, follower: Follower) -> None:
        """Tell it no more."""
        together = self._followers[follower.job_id]
        together.discard(follower)
        self._number -= 1
        if not together:
            del self._followers[follower.job_id]

    # --- in the thread of the loop ---------------------------------------------------------------------------------
    def _tell(self, news: News) -> None:
        for job_id, _ in news:
            for follower in self._followers.get(job_id, ()):
                follower.wake()
        for listener in list(self._listeners):
            listener(news)

    async def _look(self) -> None:
        """Look at all states once a second, and wake those whose job has moved without a word."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            ids = list(self._followers)
            if not ids:
                continue
            with contextlib.suppress(MlqError):
                states = await self._desk.do(self._store.states, ids)
                for job_id, state in zip(ids, states, strict=True):
                    for follower in self._followers.get(job_id, ()):
                        if follower.seen is not state or state is State.QUEUED:  # which moves up in its line
                            follower.seen = state
                            follower.wake()

    async def _stop_all(self) -> None:
        await self.stopping.wait()
        while True:  # also those who begin to follow now
            self._wake_all()
            await asyncio.sleep(0.1)

    def _wake_all(self) -> None:
        for together in self._followers.values():
            for follower in together:
                follower.wake()

    # --- in the thread that hears ----------------------------------------------------------------------------------
    def _hear(self) -> None:
        while not self._ended.is_set():
            try:
                with self._store.news() as news:
                    if self._cut_off:
                        log.info("Redis is back")
                    self._cut_off = False
                    while not self._ended.is_set():
                        if heard := news.next(HEAR_SECONDS):
                            self._pass_on(heard)
            except MlqError as error:  # Redis is away, or nobody may subscribe there: then the looks have to do
                if not self._cut_off:
                    self._cut_off = True
                    log.warning("no news from Redis: %s", error.message)
                    self._in_loop(self._wake_all)  # to see for themselves
                self._ended.wait(PAUSE_SECONDS)

    def _pass_on(self, heard: News) -> None:
        """Wake the loop, but for nothing that nobody follows."""
        if not self._listeners:
            followers = self._followers
            heard = [one for one in heard if one[0] in followers]
        if heard:
            self._in_loop(self._tell, heard)

    def _in_loop(self, act: Callable[..., None], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(act, *arguments)
