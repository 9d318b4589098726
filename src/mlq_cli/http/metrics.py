"""The numbers of a namespace as Prometheus reads them.

They are made from what Redis holds, each time anew, so every server of a namespace tells the same and none has to be
asked twice. Label values are names of queues, of which only so many are told; nothing else that users write is in here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from mlq_cli import __version__
from mlq_cli.model.errors import MlqError
from mlq_cli.model.job import CALLBACKS, State
from mlq_cli.model.times import Histogram
from mlq_cli.store.base import QueueCounts, Store

MOST_QUEUES = 200  # that are told: whoever may post may name new ones

#: Counters of a queue: name, what it counts, and what the store calls it.
COUNTERS = (
    ("mlq_jobs_posted", "Jobs posted.", "posted"),
    ("mlq_jobs_succeeded", "Jobs that succeeded.", "succeeded"),
    ("mlq_jobs_dead", "Jobs that gave up.", "dead"),
    ("mlq_jobs_canceled", "Jobs that were canceled.", "canceled"),
    ("mlq_jobs_retried", "Attempts that failed and will be tried again by themselves.", "retried"),
    ("mlq_jobs_requeued", "Dead or canceled jobs that a person has queued again.", "requeued"),
    ("mlq_attempts_failed", "Attempts that ended in an exception or a timeout.", "failed"),
    ("mlq_attempts_crashed", "Attempts whose executor died.", "crashed"),
    (
        "mlq_lost_leases",
        "Attempts taken from a worker that vanished, or that ran longer than the reaper allows.",
        "lost",
    ),
    ("mlq_refused_outcomes", "Attempts whose outcome came too late and did not count.", "refused"),
)
#: What became of each try to deliver a callback, and the counter of their queue.
DELIVERIES = {"delivered": "succeeded", "failed": "retried", "dead": "dead"}


class Seen(NamedTuple):
    """What was read of a namespace."""

    queues: Sequence[QueueCounts]
    oldest: dict[str, float]
    workers: Sequence[dict[str, str]]


def exposition(store: Store, accept: str = "") -> tuple[bytes, str]:
    """Return the page and its content type: OpenMetrics for whoever accepts it, Prometheus' text otherwise.

    When Redis is away the page says so (`mlq_redis_up 0`) and has none of its numbers.
    """
    try:
        seen = Seen(store.counts(), store.oldest_waiting(), store.workers())
    except MlqError:
        seen = None
    encode, content_type = choose_encoder(accept)
    registry = CollectorRegistry()
    registry.register(_Page(lambda: page(seen)))
    return encode(registry), content_type


class _Page(Collector):
    """What the library asks for the metrics."""

    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterable[Metric]:
        return self._collect()

    def describe(self) -> Iterable[Metric]:
        return []  # or they would be collected to find out their names


def page(seen: Seen | None) -> Iterator[Metric]:
    """Yield all metrics; only what is known without Redis when nothing could be read."""
    yield InfoMetricFamily("mlq_build", "The server that tells this.", {"version": __version__})
    yield GaugeMetricFamily("mlq_redis_up", "Whether Redis has answered.", value=seen is not None)
    if seen is None:
        return
    ours_first = sorted(seen.queues, key=lambda counts: (not counts.queue.startswith("_"), counts.queue))
    told = ours_first[:MOST_QUEUES]
    left_out = len(seen.queues) - len(told)
    yield GaugeMetricFamily("mlq_queues_left_out", f"Queues beyond {MOST_QUEUES}, which are not told.", left_out)
    yield from _workers(seen.workers)
    jobs = GaugeMetricFamily("mlq_jobs", "Jobs by state.", labels=["queue", "state"])
    for counts in told:
        for state in State:
            jobs.add_metric([counts.queue, state.value], counts.states[state])
    yield jobs
    yield _gauge("mlq_queue_paused", "Whether its jobs are not handed out.", told, lambda counts: counts.paused)
    yield _gauge(
        "mlq_oldest_waiting_seconds",
        "How long the job that waits longest has been queued, 0 when none is.",
        told,
        lambda counts: seen.oldest.get(counts.queue, 0.0),
    )
    waited = "From being queued, due or given back until a worker took it, of each attempt."
    yield _histogram("mlq_wait_seconds", waited, told, lambda counts: counts.times.wait)
    ran = "How long each attempt ran that has ended, however."
    yield _histogram("mlq_run_seconds", ran, told, lambda counts: counts.times.run)
    for name, what, counter in COUNTERS:
        metric = CounterMetricFamily(name, what, labels=["queue"])
        for counts in told:
            metric.add_metric([counts.queue], counts.stats.get(counter, 0.0))
        yield metric
    delivered: dict[str, float] = next((counts.stats for counts in told if counts.queue == CALLBACKS), {})
    callbacks = CounterMetricFamily("mlq_callbacks", "Tries to deliver a callback.", labels=["outcome"])
    for outcome, counter in DELIVERIES.items():
        callbacks.add_metric([outcome], delivered.get(counter, 0.0))
    yield callbacks


def _workers(workers: Sequence[dict[str, str]]) -> Iterator[Metric]:
    serving = [worker for worker in workers if worker.get("queues")]  # the others are reapers
    sizes = [int(worker["executors"]) for worker in serving if worker.get("executors", "").isdecimal()]
    yield GaugeMetricFamily("mlq_workers", "Workers that are alive.", len(serving))
    yield GaugeMetricFamily("mlq_reapers", "Reapers that are alive.", len(workers) - len(serving))
    yield GaugeMetricFamily("mlq_executors", "Executors of all workers that are alive.", sum(sizes))


def _gauge(name: str, what: str, queues: Sequence[QueueCounts], value: Callable[[QueueCounts], float]) -> Metric:
    metric = GaugeMetricFamily(name, what, labels=["queue"])
    for counts in queues:
        metric.add_metric([counts.queue], value(counts))
    return metric


def _histogram(
    name: str, what: str, queues: Sequence[QueueCounts], value: Callable[[QueueCounts], Histogram]
) -> Metric:
    metric = HistogramMetricFamily(name, what, labels=["queue"])
    for counts in queues:
        bounds, numbers, total = value(counts)
        names = [*(str(float(bound)) for bound in bounds), "+Inf"]
        metric.add_metric([counts.queue], list(zip(names, accumulate(numbers), strict=True)), total)
    return metric
