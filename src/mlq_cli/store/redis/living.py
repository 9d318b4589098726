"""What living workers say of themselves."""

from __future__ import annotations

from mlq_cli.store.redis import layout
from mlq_cli.store.redis.answers import pairs
from mlq_cli.store.redis.link import Read


def living(namespace: str, read: Read) -> list[dict[str, str]]:
    """Return the fields of each worker that has spoken lately, its name first. Raises MlqError."""
    names, time = read([("ZRANGE", layout.WORKERS(namespace), 0, -1, "WITHSCORES"), ("TIME",)])
    now = int(time[0]) * 1e6 + int(time[1])
    alive = [name.decode() for name, until in zip(names[::2], names[1::2], strict=True) if float(until) > now]
    if not alive:
        return []
    answers = read([("HGETALL", layout.WORKER(namespace, name)) for name in alive])
    return [
        {"name": name, **{key.decode(): value.decode(errors="replace") for key, value in pairs(answer).items()}}
        for name, answer in zip(alive, answers, strict=True)
    ]
