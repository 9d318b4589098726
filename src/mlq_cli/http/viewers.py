"""What the dashboard follows: one sampler and one gathering of news for all who look, while anybody does."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from mlq_cli.http.desk import Desk
from mlq_cli.http.hub import Hub, News
from mlq_cli.http.overview import Overview
from mlq_cli.http.problems import Problem
from mlq_cli.http.sse import KEEPALIVE, KEEPALIVE_SECONDS, event
from mlq_cli.model.errors import MlqError

MOST_VIEWERS = 256
SAMPLE_SECONDS = 1.0
GATHER_SECONDS = 0.25
MOST_JOBS = 200  # that one event tells of
OUTAGE_SECONDS = 30.0


class Viewer:
    """Somebody who looks. What is new replaces what was not sent yet, so a slow one keeps nothing."""

    def __init__(self) -> None:
        self.overview: bytes | None = None
        self.jobs: dict[str, str] = {}
        self.news = asyncio.Event()


class Viewers:
    """All viewers of a process."""

    def __init__(self, desk: Desk, hub: Hub, overview: Overview) -> None:
        self._desk, self._hub, self._overview = desk, hub, overview
        self._viewers: set[Viewer] = set()
        self._sampling: asyncio.Task[None] | None = None
        self._last: bytes | None = None
        self._away_since = 0.0

    def viewer(self) -> Viewer:
        """Return a new viewer. Raises Problem when there are too many."""
        if len(self._viewers) >= MOST_VIEWERS:
            raise Problem(503, "busy", "too many clients look", hint="try again", headers={"retry-after": "5"})
        return Viewer()

    async def follow(self, viewer: Viewer) -> AsyncIterator[bytes]:
        """Yield events for one viewer until the server stops or Redis stays away."""
        self._begin(viewer)
        viewer.overview = self._last
        said_at = time.monotonic()
        try:
            while not self._hub.stopping.is_set():
                if self._away_since and time.monotonic() - self._away_since > OUTAGE_SECONDS:
                    return
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(SAMPLE_SECONDS):
                        await viewer.news.wait()
                viewer.news.clear()
                if viewer.overview is not None:
                    overview, viewer.overview = viewer.overview, None
                    yield overview
                    said_at = time.monotonic()
                if viewer.jobs:
                    await asyncio.sleep(GATHER_SECONDS)
                    jobs, viewer.jobs = viewer.jobs, {}
                    yield event("jobs", [{"id": job_id, "word": word} for job_id, word in jobs.items()])
                    said_at = time.monotonic()
                if time.monotonic() - said_at >= KEEPALIVE_SECONDS:
                    yield KEEPALIVE
                    said_at = time.monotonic()
        finally:
            self._end(viewer)

    def _begin(self, viewer: Viewer) -> None:
        self._viewers.add(viewer)
        if self._sampling is None:
            self._last = None
            self._sampling = asyncio.create_task(self._sample())
            self._unhear = self._hub.hear_all(self._heard)

    def _end(self, viewer: Viewer) -> None:
        self._viewers.discard(viewer)
        if not self._viewers and self._sampling is not None:
            self._sampling.cancel()
            self._sampling = None
            self._unhear()

    def _heard(self, news: News) -> None:
        for viewer in self._viewers:
            for job_id, word in news:
                if job_id in viewer.jobs or len(viewer.jobs) < MOST_JOBS:
                    viewer.jobs[job_id] = word
            viewer.news.set()

    async def _sample(self) -> None:
        while True:
            try:
                # Made in a thread: it is the same for all who look.
                seen = await self._desk.do(lambda: event("overview", self._overview.all()))
                self._away_since = 0.0
            except MlqError:
                self._away_since = self._away_since or time.monotonic()
            else:
                if seen != self._last:
                    self._last = seen
                    for viewer in self._viewers:
                        viewer.overview = seen
                        viewer.news.set()
            await asyncio.sleep(SAMPLE_SECONDS)
