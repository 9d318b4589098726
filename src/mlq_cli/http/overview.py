"""The namespace at a glance: queues with their rates, workers, the server; as documents for JSON."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from mlq_cli.api.functions import Registered
from mlq_cli.http.sampler import Sampler
from mlq_cli.mlq import MLQ
from mlq_cli.model.settings import mask_url
from mlq_cli.store.base import QueueCounts, ServerInfo

SERVER_SECONDS = 30.0  # for which what Redis says of itself is taken to hold


class Overview:
    """Reads, and keeps what rates are made from. Threads may share one."""

    def __init__(self, mlq: MLQ, *, unsigned: bool = False) -> None:
        """`unsigned`: whether this server takes functions that nobody has signed."""
        self._mlq = mlq
        self._unsigned = unsigned
        self._sampler = Sampler()
        self._server: tuple[float, ServerInfo] | None = None  # and when it was asked

    def queues(self) -> list[dict[str, Any]]:
        """Return all queues. Raises MlqError."""
        counts = self._counts()
        oldest = self._mlq.store.oldest_waiting()
        return [self._queue(each, oldest) for each in counts]

    def workers(self) -> list[dict[str, Any]]:
        """Return the living workers. Raises MlqError."""
        return [worker_document(each) for each in self._mlq.workers()]

    def functions(self, registered: Iterable[Registered]) -> list[dict[str, Any]]:
        """Return the listeners that living workers run, and what is registered, by name. Raises MlqError."""
        named = Counter(name for each in self._mlq.workers() for name in each.get("functions", "").split())
        known = {each.name: each._asdict() for each in registered}
        return [
            {"name": name, "workers": named[name], "registered": _without_name(known.get(name))}
            for name in sorted(named.keys() | known.keys())
        ]

    def stats(self) -> dict[str, Any]:
        """Return the namespace at a glance. Raises MlqError."""
        return self._stats(self._counts(), self._mlq.workers())

    def all(self) -> dict[str, Any]:
        """Return the same with all workers. Raises MlqError."""
        workers = self._mlq.workers()
        return {**self._stats(self._counts(), workers), "workers": [worker_document(each) for each in workers]}

    def _stats(self, counts: Sequence[QueueCounts], workers: Sequence[dict[str, str]]) -> dict[str, Any]:
        now = time.monotonic()
        if self._server is None or now - self._server[0] > SERVER_SECONDS:
            self._server = now, self._mlq.store.server()
        info, oldest = self._server[1], self._mlq.store.oldest_waiting()
        return {
            "namespace": self._mlq.namespace,
            "server": {
                "name": info.name,
                "address": mask_url(self._mlq.store.address),
                "doubts": info.doubts,
                "unsigned_functions": self._unsigned,
            },
            "queues": [self._queue(each, oldest) for each in counts],
            "workers": len(workers),
            "rates": self._sampler.together(),
        }

    def _counts(self) -> list[QueueCounts]:
        counts = self._mlq.counts()
        self._sampler.take(counts)
        return counts

    def _queue(self, counts: QueueCounts, oldest: dict[str, float]) -> dict[str, Any]:
        return {
            "queue": counts.queue,
            "paused": counts.paused,
            "states": counts.states,
            "tally": counts.tally._asdict(),
            "stats": counts.stats,
            "rates": self._sampler.of(counts.queue),
            "oldest_waiting": oldest.get(counts.queue),
        }


def worker_document(worker: dict[str, str]) -> dict[str, Any]:
    """Return what a worker says of itself; what are numbers, as numbers."""
    about: dict[str, Any] = dict(worker)
    for name, value in worker.items():
        if name != "name" and (name.endswith("_at") or name in ("pid", "executors")):
            with suppress(ValueError):
                about[name] = float(value) if name.endswith("_at") else int(value)
    return about


def _without_name(registered: dict[str, Any] | None) -> dict[str, Any] | None:
    return registered and {name: value for name, value in registered.items() if name != "name"}
