"""What a namespace holds when all is over, read for the checker past what users see: tokens, sets, what lies about."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlq_cli.model.job import CALLBACKS, State
from mlq_cli.store.redis import layout
from mlq_cli.store.redis.connect import UrlEndpoint, Wire
from mlq_cli.store.redis.store import PAGE, RedisStore


@dataclass
class Found:
    """One job of the users' as it was found."""

    id: str
    key: str  # what its message says it is called
    queue: str
    state: str
    sets: list[tuple[str, str]]  # queue and state of each set that holds it
    token: str = ""
    retries: int = 0
    crashes: int = 0
    failures: int = 0
    callback: bool = False
    result: Any = None


@dataclass
class Final:
    """All of it."""

    jobs: list[Found] = field(default_factory=list)
    stats: dict[str, dict[str, float]] = field(default_factory=dict)  # of each queue
    told: list[str] = field(default_factory=list)  # job id of each callback
    records: dict[str, int] = field(default_factory=dict)  # of each queue, callbacks too
    ended: dict[str, int] = field(default_factory=dict)  # of them, those in a terminal state
    bare: list[str] = field(default_factory=list)  # ids in a set without a record
    misplaced: list[str] = field(default_factory=list)  # callbacks in other than the one set of their state


def read_namespace(url: str, namespace: str) -> Final:
    """Read everything; nobody may be at work there meanwhile."""
    store, wire = RedisStore(UrlEndpoint(url), namespace), Wire(UrlEndpoint(url))
    final = Final(stats={counts.queue: counts.stats for counts in store.counts()})
    sets: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for queue in store.queues():
        for state in State:
            for job_id in store.ids([queue], [state], None):
                sets[job_id].append((queue, state.value))
    seen = set()
    for page in _pages(wire, namespace):
        seen.update(page)
        _read_page(final, store, wire, page, sets)
    final.bare = sorted(sets.keys() - seen)
    store.close()
    wire.close()
    return final


def _pages(wire: Wire, namespace: str) -> Iterator[list[str]]:
    """Yield the ids of all records there are, by looking at the keys: a lost one is in no set."""
    found: set[str] = set()
    cursor, head = b"0", layout.JOB(namespace, "")
    while True:
        ((cursor, keys),) = wire.exchange([("SCAN", cursor, "MATCH", head + "*", "COUNT", 5000)])
        found.update(key.decode().removeprefix(head) for key in keys)
        if cursor == b"0":
            break
    ids = sorted(found)
    yield from (ids[first : first + PAGE] for first in range(0, len(ids), PAGE))


def _read_page(
    final: Final, store: RedisStore, wire: Wire, ids: Sequence[str], sets: dict[str, list[tuple[str, str]]]
) -> None:
    tokens = wire.exchange([("HGET", layout.JOB(store.namespace, job_id), layout.field("token")) for job_id in ids])
    for record, token in zip(store.records(ids), tokens, strict=True):
        assert record is not None
        job_id, queue, state = record["id"], record["queue"], record["state"]
        final.records[queue] = final.records.get(queue, 0) + 1
        final.ended[queue] = final.ended.get(queue, 0) + state.terminal
        if queue == CALLBACKS:
            final.told.append(str(record["msg"]["job_id"]))
            if sets[job_id] != [(queue, state.value)]:
                final.misplaced.append(job_id)
            continue
        final.jobs.append(
            Found(
                job_id,
                record["msg"]["key"],
                queue,
                state.value,
                sets[job_id],
                (token or b"").decode(),
                record["retries"],
                record["crashes"],
                record["failures"],
                record["callback"] is not None,
                record["result"],
            )
        )
