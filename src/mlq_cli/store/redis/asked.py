"""What queued jobs ask for that no living worker has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from mlq_cli.model.errors import MlqError
from mlq_cli.model.job import State
from mlq_cli.model.values import unpack
from mlq_cli.store.redis import layout
from mlq_cli.store.redis.link import Read

MOST = 1000  # jobs at the head of each queue that are looked at
PAGE = 500
PLAIN = "*"  # what a job asks for that names no function


def unable(read: Read, namespace: str, queues: Sequence[str]) -> dict[str, Counter[str]]:
    """Return how many queued jobs ask for what nobody can run, by queue and function, near the heads of these queues.

    Where no worker has ever said what it can run, jobs that name no function are not counted.
    """
    entries, time = read([("ZRANGE", layout.ABLE(namespace), 0, -1, "WITHSCORES"), ("TIME",)])
    now = int(time[0]) * 1e6 + int(time[1])
    able = {
        entry.decode(errors="replace")
        for entry, till in zip(entries[::2], entries[1::2], strict=True)
        if float(till) > now
    }
    found: dict[str, Counter[str]] = {}
    for queue in queues:
        (ids,) = read([layout.members(namespace, queue, State.QUEUED, MOST)])
        asked: Counter[bytes | None] = Counter()
        for first in range(0, len(ids), PAGE):
            keys = [layout.JOB(namespace, job_id.decode()) for job_id in ids[first : first + PAGE]]
            asked.update(read([("HGET", key, layout.field("functions")) for key in keys]))
        for packed, jobs in asked.items():
            functions = _functions(packed)
            known = packed is not None or able  # by those who have never said what they can run
            names = [*functions, *map(_module, functions)]
            if known and functions and able.isdisjoint(names + [layout.able_in(name, queue) for name in names]):
                found.setdefault(queue, Counter())[" or ".join(functions)] += jobs
    return found


def _functions(packed: bytes | None) -> list[str]:
    """Return what a job asks for; nothing where that cannot be read."""
    if packed is None:
        return [PLAIN]
    try:
        names = unpack(packed)
    except MlqError:
        return []
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def _module(function: str) -> str:
    """Return the name that stands for all functions of its module."""
    module, colon, _ = function.partition(":")
    return module + colon
