"""A store whose clock the test moves: verbs are tried at t=0, t=1, t=61 without waiting."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from mlq_cli.model.job import Record, State
from mlq_cli.model.options import PostOptions
from mlq_cli.model.outcome import Kind, Outcome
from mlq_cli.model.rules import Rules
from mlq_cli.model.values import pack
from mlq_cli.store.base import Claims, Held
from mlq_cli.store.redis import endpoint_at
from timed_store import START, TimedStore


class Bench:
    """Short words for the tests: a store, and what a worker does with it."""

    def __init__(self, url: str, namespace: str) -> None:
        self.store = TimedStore(endpoint_at(url, namespace), namespace)
        self.rules = Rules(lease=30.0, retries=0, backoff=1.0)
        self._tokens = 0
        # Somebody has been heard of, so no grace is due.
        self.beat([])

    def at(self, seconds: float) -> None:
        """Move the clock; nobody is heard of meanwhile."""
        self.store.now = START + seconds

    def pass_to(self, seconds: float) -> None:
        """Move the clock in small steps, while another worker is heard of: no outage."""
        while self.store.now + 10 < START + seconds:
            self.store.now += 10
            self.beat([], worker="other")
        self.at(seconds)

    def post(self, *messages: Any, ids: Sequence[str] | None = None, **options: Any) -> list[str]:
        packed = [pack(message) for message in (messages or (None,))]
        return self.store.ask(self.store.post(packed, PostOptions(**options), ids)).ids

    def claim(
        self, count: int = 1, *, worker: str = "w1", queues: Sequence[str] = ("default",), token: str = ""
    ) -> Claims:
        self._tokens += 1
        self.token = token or f"token{self._tokens}"
        call = self.store.claim(queues, count, worker=worker, lane=worker, token=self.token, rules=self.rules)
        return self.store.ask(call)

    def take(self, **how: Any) -> Held:
        (job,) = self.claim(1, **how).jobs
        return Held(job.id, self.token)

    def finish(self, held: Held, value: Any = None, short: str | None = None) -> dict[str, str]:
        first = b"" if short is None else b"=" + short.encode()
        outcome = Outcome(held.id, held.token, Kind.DONE.value, 0.5, first, pack(value))
        return self.store.ask(self.store.finish([outcome], rules=self.rules))

    def fail(self, held: Held, kind: Kind = Kind.ERROR) -> dict[str, str]:
        outcome = Outcome(held.id, held.token, kind.value, 0.5, b"ValueError", b"no", b"Traceback ...")
        return self.store.ask(self.store.finish([outcome], rules=self.rules))

    def beat(self, held: Sequence[Held], worker: str = "w1") -> dict[str, str]:
        call = self.store.heartbeat(worker, held, rules=self.rules, life=30.0, about={"pid": 1})
        return self.store.ask(call)

    def sweep(self, **how: Any) -> Any:
        return self.store.ask(self.store.sweep("default", rules=self.rules, **how))

    def record(self, job_id: str) -> Record:
        (record,) = self.store.records([job_id])
        assert record is not None
        return record

    def state(self, job_id: str) -> State | None:
        return self.store.states([job_id])[0]

    def sets_of(self, job_id: str) -> list[tuple[str, State]]:
        """Every state set that holds the job: it has to be exactly one, and the one its record names."""
        found = []
        for counts in self.store.counts():
            found += [
                (counts.queue, state) for state in State if job_id in self.store.ids([counts.queue], [state], None)
            ]
        return found


@pytest.fixture
def bench(redis_url: str, namespace: str) -> Iterator[Bench]:
    made = Bench(redis_url, namespace)
    yield made
    for job_id in made.store.ids(None, list(State), None):
        assert len(made.sets_of(job_id)) == 1 and made.sets_of(job_id)[0][1] == made.state(job_id)
    made.store.close()
