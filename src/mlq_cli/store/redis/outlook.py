"""What is needed to tell how long jobs will wait; it changes slowly and is dear to read, so it is kept for a moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from mlq_cli.model.job import Record, State
from mlq_cli.model.outlook import Crew, Line, estimated_wait
from mlq_cli.store.redis import layout
from mlq_cli.store.redis.answers import number
from mlq_cli.store.redis.counting import recent_run
from mlq_cli.store.redis.link import Command, Read

FRESH = 2.0  # seconds for which what was read is good enough

_BUCKETS = [f"run_{number}" for number in range(len(layout.BOUNDS) + 1)]


class Outlook:
    """Knows who serves which queues, and how these are. Threads may share one: at worst two of them read the same."""

    def __init__(
        self,
        read: Read,
        workers: Callable[[], list[dict[str, str]]],
        namespace: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`workers`: what the living ones say of themselves; `clock`: seconds."""
        self._read = read
        self._workers = workers
        self._namespace = namespace
        self._clock = clock
        self._seen: tuple[float, Sequence[Crew], Mapping[str, Line]] | None = None

    def estimate(self, records: Iterable[Record]) -> None:
        """Put the estimated wait into the records of queued jobs."""
        for record in records:
            if record["position"] is not None:
                crews, lines = self._look()
                record["estimated_wait"] = estimated_wait(record["queue"], record["position"], crews, lines)

    def _look(self) -> tuple[Sequence[Crew], Mapping[str, Line]]:
        now = self._clock()
        if self._seen is None or now - self._seen[0] > FRESH:
            crews = [_crew(worker) for worker in self._workers()]
            names = sorted({name for crew in crews for name in crew.queues})
            self._seen = (now, crews, self._lines(names))
        return self._seen[1:]

    def _lines(self, names: Sequence[str]) -> dict[str, Line]:
        commands: list[Command] = []
        for name in names:
            commands += [
                ("ZCARD", layout.STATE(self._namespace, name, State.QUEUED)),
                ("ZCARD", layout.STATE(self._namespace, name, State.RUNNING)),
                ("SISMEMBER", layout.PAUSED(self._namespace), name),
                ("HMGET", layout.STATS(self._namespace, name), "recent_run_us", "run_us", *_BUCKETS),
            ]
        answers = self._read(commands)
        lines = {}
        for name, *line in zip(names, answers[::4], answers[1::4], answers[2::4], answers[3::4], strict=True):
            queued, running, paused, (recent, total, *buckets) = line
            took = recent_run(number(recent), number(total) or 0.0, sum(number(jobs) or 0.0 for jobs in buckets))
            lines[name] = Line(queued, running, bool(paused), took)
        return lines


def _crew(worker: Mapping[str, str]) -> Crew:
    """Return what a worker says of itself; one of an earlier version says nothing of slots."""
    said = worker.get("slots", worker.get("executors", ""))
    return Crew(tuple(worker.get("queues", "").split()), int(said) if said.isdecimal() else 0)
