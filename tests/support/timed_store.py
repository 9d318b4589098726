"""A store on a clock, and with dice, of the test's own: leases are stepped through without waiting."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgpack

from mlq_cli.model.job import Record, State
from mlq_cli.model.options import PostOptions
from mlq_cli.model.outcome import Kind, Outcome
from mlq_cli.model.rules import Rules
from mlq_cli.model.values import pack
from mlq_cli.store.base import Call, Claims, Held
from mlq_cli.store.redis import endpoint_at
from mlq_cli.store.redis.store import RedisStore

START = 1_800_000_000.0


class TimedStore(RedisStore):
    """A RedisStore whose every script is given `now`, and one number instead of a random one."""

    now = START
    jitter: float | None = None  # from 0 to 1; None leaves it to chance

    def run(self, *calls: Call[Any], meanwhile: Callable[[], None] | None = None) -> list[Any]:
        return super().run(*map(self._timed, calls), meanwhile=meanwhile)

    def _timed(self, call: Call[Any]) -> Call[Any]:
        named = named_arguments(call)
        named[b"now"] = self.now
        if b"jitter" in named and self.jitter is not None:
            named[b"jitter"] = self.jitter
        return call._replace(args=[msgpack.packb(named, use_bin_type=False), *call.args[1:]])


def named_arguments(call: Call[Any]) -> dict[bytes, Any]:
    """Return the arguments of a call that have names."""
    named: dict[bytes, Any] = msgpack.unpackb(call.args[0], raw=True)
    return named


def is_remembered(call: Call[Any]) -> bool:
    """Whether the store remembers the answer to this call, so that sending it again answers the same."""
    return b"serial" in named_arguments(call)


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
        self,
        count: int = 1,
        *,
        worker: str = "w1",
        queues: Sequence[str] = ("default",),
        token: str = "",
        functions: Sequence[str] | None = None,
        cursors: Mapping[str, str] | None = None,
    ) -> Claims:
        self._tokens += 1
        self.token = token or f"token{self._tokens}"
        call = self.store.claim(
            queues, count, worker=worker, lane=worker, token=self.token, rules=self.rules,
            functions=functions, cursors=cursors,
        )  # fmt: skip
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

    def beat(
        self,
        held: Sequence[Held],
        worker: str = "w1",
        functions: Sequence[str] = (),
        queues: Sequence[str] | None = None,
    ) -> dict[Held, str]:
        about = {"pid": 1}
        call = self.store.heartbeat(
            worker, held, rules=self.rules, life=30.0, about=about, functions=functions, queues=queues
        )
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
