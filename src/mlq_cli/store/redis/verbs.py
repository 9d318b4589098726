"""The verbs of `store/base.py` as calls of Lua scripts: nothing is sent here."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

import msgpack

from mlq_cli.model.job import State
from mlq_cli.model.options import PostOptions
from mlq_cli.model.outcome import Outcome
from mlq_cli.model.rules import Rules
from mlq_cli.model.values import called_paths
from mlq_cli.store.base import (
    Call,
    Caller,
    Claims,
    Held,
    Part,
    Posted,
    Progress,
    Swept,
)
from mlq_cli.store.functions import Changes
from mlq_cli.store.redis import layout
from mlq_cli.store.redis.answers import (
    read_claims,
    read_let_go,
    read_number,
    read_posted,
    read_reasons,
    read_swept,
    read_verdicts,
)
from mlq_cli.store.redis.codec import call_fields, option_fields, retention_fields
from mlq_cli.store.redis.functions import MOST, MOST_BYTES, read_changes


class _Here(threading.local):
    """What each thread has of its own."""

    def __init__(self) -> None:
        self.caller = Caller()


class Verbs:
    """Makes the calls; `RedisStore` sends them."""

    def __init__(self) -> None:
        self._here = _Here()

    # --- the life of a job -----------------------------------------------------------------------------------------
    def post(
        self,
        messages: Sequence[bytes],
        options: PostOptions,
        ids: Sequence[str] | None = None,
        caller: Caller | None = None,
    ) -> Call[Posted]:
        """Add jobs; an id that exists already is left as it is."""
        named = self._serial(caller)
        if options.queue != "default":
            named["queue"] = options.queue
        if options.priority:
            named["priority"] = options.priority
        if fields := option_fields(options):
            named["fields"] = fields
        if options.functions is None and (paths := called_paths(messages)) is not None:
            named |= call_fields(paths)
        if options.delay:
            named["delay"] = options.delay
        if options.at is not None:
            named["due_at"] = options.at
        if ids is None:
            return Call("post", [_pack(named), *messages], lambda answer: read_posted(answer, len(messages)))
        given, named["own"] = list(ids), True
        args = [_pack(named), *chain.from_iterable(zip(given, messages, strict=True))]
        return Call("post", args, lambda answer: Posted(given, answer[1]))

    def _serial(self, caller: Caller | None = None) -> dict[str, Any]:
        """Return who asks, and how often already: a thread asks one thing at a time, so one answer is remembered."""
        return (caller or self._here.caller).next()

    def claim(
        self,
        queues: Sequence[str],
        count: int,
        *,
        worker: str,
        lane: str,
        token: str,
        rules: Rules,
        functions: Sequence[str] | None = None,
        cursors: Mapping[str, str] | None = None,
    ) -> Call[Claims]:
        """Take up to `count` queued jobs, each under a lease. The same token claims the same jobs again."""
        named: dict[str, Any] = {
            "queues": queues,
            "count": count,
            "worker": worker,
            "lane": lane,
            "token": token,
            "lease": rules.lease,
            "max_retries": rules.max_retries,
        }
        if functions is not None:
            named["plain"], named["functions"] = "*" in functions, _packed(tuple(functions))
        if cursors:
            named["cursors"] = cursors
        return Call("claim", [_pack(named)], read_claims)

    def heartbeat(
        self,
        worker: str,
        held: Sequence[Held],
        *,
        rules: Rules,
        life: float,
        about: dict[str, str | float],
        functions: Sequence[str] = (),
        queues: Sequence[str] | None = None,
    ) -> Call[dict[Held, str]]:
        """Renew leases; returns which are no longer this worker's, and why."""
        flat = list(chain.from_iterable(about.items()))
        able = list(functions)
        if queues is not None:
            able = [layout.able_in(name, queue) for queue in queues for name in functions]
        named = {"worker": worker, "lease": rules.lease, "life": life, "about": flat, "functions": able}
        return Call("heartbeat", [_pack(named), *chain.from_iterable(held)], read_let_go)

    def finish(self, outcomes: Sequence[Outcome], *, rules: Rules) -> Call[dict[str, str]]:
        """Record how attempts ended. Returns the refused ones by id, with the state that the job is in."""
        named = {
            "retries": rules.retries,
            "max_crashes": rules.max_crashes,
            "max_retries": rules.max_retries,
            "backoff": rules.backoff,
            "backoff_max": rules.backoff_max,
            "jitter": random.random(),
            "retention": retention_fields(rules.retention),
        }
        return Call("finish", [_pack(named), *chain.from_iterable(outcomes)], read_reasons)

    def release(self, held: Sequence[Held]) -> Call[int]:
        """Give jobs back with no attempt spent; returns how many were still held."""
        return Call("release", [_pack({}), *chain.from_iterable(held)], read_number)

    def progress(self, values: Sequence[Progress]) -> Call[int]:
        """Keep what listeners say; returns how many were refused."""
        return Call("progress", [_pack({}), *chain.from_iterable(values)], read_number)

    def emit(self, parts: Sequence[Part]) -> Call[int]:
        """Keep what listeners emit, in this order; returns how many were refused. A part sent again is kept once."""
        return Call("emit", [_pack({}), *chain.from_iterable(parts)], read_number)

    def registered(self, after: int) -> Call[Changes]:
        """Ask what has changed among the functions since a revision, 0: what there is. Some of it: ask on from it."""
        return Call("functions", [_pack({"after": str(after), "most": MOST, "bytes": MOST_BYTES})], read_changes)

    def sweep(
        self, queue: str, *, rules: Rules, timeout: float | None = None, limit: int = 500, offset: int = 0
    ) -> Call[Swept]:
        """Promote what is due in a queue, give back what is lost, forget what was kept long enough."""
        named = {
            "queue": queue,
            "limit": limit,
            "offset": offset,
            "lease": rules.lease,
            "max_retries": rules.max_retries,
            "retention": retention_fields(rules.retention),
        }
        if timeout is not None:
            named["timeout"] = timeout
        return Call("sweep", [_pack(named)], read_swept)

    # --- what people do to jobs ------------------------------------------------------------------------------------
    def cancel(self, ids: Sequence[str]) -> Call[list[str]]:
        """End jobs that have not ended; for each id `ok`, `missing`, or the state that does not allow it."""
        return Call("cancel", [_pack({}), *ids], read_verdicts)

    def requeue(self, ids: Sequence[str]) -> Call[list[str]]:
        """Run dead or canceled jobs again; for each id `ok`, `missing`, or the state that does not allow it."""
        return Call("requeue", [_pack(self._serial()), *ids], read_verdicts)

    def release_queue(self, queue: str, *, limit: int = 500) -> Call[int]:
        """Give running jobs of a queue back, whoever holds them; returns how many."""
        return Call("release", [_pack({"queue": queue, "limit": limit, **self._serial()})], read_number)

    def purge(self, queue: str, state: State, *, limit: int = 500) -> Call[tuple[int, int]]:
        """Throw jobs away with their records; returns how many, and how many are left."""
        named = {"queue": queue, "state": layout.STATES[state], "limit": limit, **self._serial()}
        return Call("purge", [_pack(named)], lambda answer: (answer[1], answer[2]))

    def pause(self, queue: str, *, paused: bool) -> Call[int]:
        """Stop or go on handing out a queue's jobs; returns how many wait."""
        return Call("pause", [_pack({"queue": queue, "paused": paused})], read_number)


@lru_cache(maxsize=16)
def _packed(names: tuple[str, ...]) -> bytes:
    """Return names as a script takes them that seldom looks at them."""
    return _pack(list(names))


def _pack(named: Any) -> bytes:
    packed: bytes = msgpack.packb(named, use_bin_type=False)  # the msgpack of Redis' Lua knows no binary type
    return packed
