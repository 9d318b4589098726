"""What one fault test works with: an MLQ, a fleet of workers, a producer, and the verdict about all of them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.chaos import drain
from harness.checker import Excuses, check
from harness.ledger import Run, read_ledger
from harness.producer import Producer
from harness.workers import Fleet
from mlq_cli import MLQ
from tests_support import wait_until


class Stage:
    """One namespace and all that is done in it."""

    def __init__(self, url: str, namespace: str, folder: Path) -> None:
        self.url, self.namespace, self.folder = url, namespace, folder
        self.mlq = MLQ.from_profile(redis_url=url, namespace=namespace)
        self.producer = Producer(url, namespace, folder)
        self.fleets: list[Fleet] = []

    def fleet(self, workers: int, **given: Any) -> Fleet:
        """Start workers and return when all of them have been heard of."""
        fleet = Fleet(self.url, self.namespace, self.folder, first=100 * len(self.fleets), **given)
        self.fleets.append(fleet)
        fleet.start(workers)
        self.all_heard_of(fleet)
        return fleet

    def all_heard_of(self, fleet: Fleet) -> None:
        wanted = {worker.name for worker in fleet.alive}
        wait_until(lambda: wanted <= {each["name"] for each in self.mlq.workers()}, seconds=30)

    def post(self, *messages: dict[str, Any], **options: Any) -> list[str]:
        """Post messages one by one; returns the ids."""
        for message in messages:
            assert self.producer.post([message], **options)
        keys = {message["key"] for message in messages}
        found = [post for post in self.producer.told() if post.word == "ok" and post.key in keys]
        return [post.id for post in found]

    def runs(self, word: str = "start", job_id: str | None = None) -> list[Run]:
        """Return the lines of the ledger with this word."""
        return [run for run in read_ledger(self.folder / "ledger") if run.word == word and job_id in (None, run.id)]

    def stats(self, queue: str = "default") -> dict[str, float]:
        return next(counts.stats for counts in self.mlq.counts() if counts.queue == queue)

    def verdict(self, excuses: Excuses | None = None, *, seconds: float = 60.0) -> dict[str, Any]:
        """Wait until all jobs have ended, and judge."""
        drain(self.mlq, seconds)
        verdict = check(self.url, self.namespace, self.folder, excuses).json()
        print(json.dumps(verdict))  # shown with -s, or when a test fails
        return verdict

    def close(self) -> None:
        for fleet in self.fleets:
            fleet.close()
        self.producer.close()
        self.mlq.close()


@contextmanager
def opened(url: str, namespace: str, folder: Path) -> Iterator[Stage]:
    """A stage that is cleared afterwards."""
    stage = Stage(url, namespace, folder)
    try:
        yield stage
    finally:
        stage.close()


def environment() -> dict[str, str]:
    """Return the environment in which the harness' own programs find it."""
    faults = Path(__file__).parents[1]
    return {**os.environ, "PYTHONPATH": f"{faults}{os.pathsep}{faults.parent / 'support'}"}
