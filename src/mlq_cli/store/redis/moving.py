"""Moving jobs from one place in Redis to another: the verbs of `store/moving.py`."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgpack

from mlq_cli.model.job import State
from mlq_cli.store.calls import Call, Caller
from mlq_cli.store.moving import Arrived, Departing, Embarked, Packed, Shifted, Site
from mlq_cli.store.redis import layout
from mlq_cli.store.redis.link import Read

_LONGEST = 128  # characters of an id
_STAYING = 500  # jobs that are let go in one call
_OF_A_COPY = frozenset(  # what a copy has of its own: it was posted just now and was never tried
    layout.field(name).encode()
    for name in (
        "timestamp", "queued_at", "spent", "failures", "crashes", "retries", "error", "error_type", "traceback",
    )
)  # fmt: skip
_POSTED_AT = layout.field("timestamp").encode()


class RedisMoving:
    """Takes jobs away and brings them in. `ask` sends a verb, `read` plain commands; both raise MlqError."""

    def __init__(self, namespace: str, ask: Callable[[Call[Any]], Any], read: Read) -> None:
        self._namespace = namespace
        self._ask = ask
        self._read = read
        self._caller = Caller()

    def site(self, queue: str, mark: str | None = None) -> Site:
        """Return what tells a queue from all others."""
        key = layout.LEAVING(self._namespace)
        set_mark = [] if mark is None else [("HSET", key, f"{queue}:mark", mark)]
        new = ("HSETNX", key, f"{queue}:id", secrets.token_hex(8))
        look = ("HMGET", key, f"{queue}:id", f"{queue}:mark")
        *_, (site_id, found) = self._read([new, *set_mark, look])
        return Site(site_id.decode(), (found or b"").decode())

    def embark(self, queue: str, to: str, name: str) -> Embarked:
        """Begin to move a queue's jobs to the site of id `to`."""
        _, word, epoch, held, found = self._send("embark", {"queue": queue, "to": to, "name": name})
        return Embarked(word.decode(), epoch, held, found.decode(errors="replace"))

    def depart(self, queue: str, epoch: int, count: int, arrived: Sequence[str], *, more: bool) -> Departing:
        """Forget jobs that have arrived, then return those that are held; if none, hold `more`."""
        named = {"queue": queue, "epoch": epoch, "count": count, "more": more}
        _, word, gone, ghosts, fresh, *jobs = self._send("depart", named, arrived)
        return Departing(word.decode(), gone, ghosts, bool(fresh), [_packed(job) for job in jobs])

    def stay(self, queue: str, epoch: int | None, ids: Sequence[str]) -> int:
        """Let jobs that were held wait again."""
        named = {"queue": queue, "limit": _STAYING, **self._caller.next()} | ({} if epoch is None else {"epoch": epoch})
        return int(self._send("stay", named, ids)[2])

    def pack(self, queue: str, state: State, ids: Sequence[str]) -> tuple[list[Packed], int]:
        """Return what those of the jobs would take along that wait in this state and queue, and how many were seen."""
        _, looked, *jobs = self._send("pack", {"queue": queue, "state": layout.STATES[state]}, ids)
        return [_packed(job) for job in jobs], looked

    def arrive(
        self, queue: str, jobs: Sequence[Packed], *, source: str, namespace: str, epoch: int | None, fresh: bool
    ) -> Arrived:
        """Take in jobs that wait elsewhere, each once."""
        named: dict[str, Any] = {"queue": queue, "source": source, "fresh": fresh, **self._caller.next()}
        if epoch is not None:
            named["epoch"] = epoch
        args: list[str | bytes] = []
        for job in jobs:
            args += [job.id, _origin(source, queue, job, moved=epoch is not None), *_wanted(job.id, namespace)]
            args += [job.due_at, job.message, _fields(job.fields, copied=epoch is None)]
        _, word, created = self._send("arrive", named, args)
        return Arrived(word.decode(), created)

    def shift(self, queue: str, to: str, count: int) -> Shifted:
        """Take waiting jobs over to another queue of the same namespace."""
        named = {"queue": queue, "to": to, "count": count, **self._caller.next()}
        _, moved, looked = self._send("shift", named)
        return Shifted(moved, looked)

    def _send(self, verb: str, named: dict[str, Any], args: Iterable[str | bytes] = ()) -> list[Any]:
        packed = msgpack.packb(named, use_bin_type=False)
        answer: list[Any] = self._ask(Call(verb, [packed, *args], lambda answer: answer))
        return answer


def _packed(job: list[Any]) -> Packed:
    job_id, due_at, message, fields = job
    return Packed(job_id.decode(), due_at, message, fields)


def _origin(source: str, queue: str, job: Packed, *, moved: bool) -> str:
    """Return what a job is known by when it comes once more: where and when it was posted. Ids are given again."""
    posted_at = dict(zip(job.fields[::2], job.fields[1::2], strict=True)).get(_POSTED_AT, b"").decode()
    whole = f"{'move' if moved else 'copy'} {source} {queue} {job.id} {posted_at}"
    return hashlib.sha1(whole.encode(), usedforsecurity=False).hexdigest()[:20]


def _wanted(job_id: str, namespace: str) -> tuple[str, str]:
    """Return the ids that a job would like to have: its own, if its poster chose it, and one that tells the other."""
    named = f"{job_id}@{namespace}"
    return "" if job_id.isdigit() else job_id, named if len(named) <= _LONGEST else ""


def _fields(fields: list[bytes], *, copied: bool) -> bytes:
    pairs = zip(fields[::2], fields[1::2], strict=True)
    kept = [each for pair in pairs if not (copied and pair[0] in _OF_A_COPY) for each in pair]
    packed: bytes = msgpack.packb(kept, use_bin_type=False)
    return packed
