"""The waits of running jobs in Redis: a field of each one's record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgpack

from mlq_cli.model.job import State
from mlq_cli.store.base import Call
from mlq_cli.store.redis import layout
from mlq_cli.store.waits import refusal

Answer = list[str]


class RedisWaits:
    """Notes waits. `ask` sends a verb and raises MlqError."""

    def __init__(self, ask: Callable[[Call[Answer]], Answer]) -> None:
        self._ask = ask

    def wait(self, job_id: str, token: str, serial: int, other: str) -> State | None:
        """Note that a job blocks on another one, and return the other's state; None: there is no such job."""
        word, *way = self._await(job_id, token, serial, other)
        if word == "missing":
            return None
        if word in ("lost", "cycle", "deep"):
            raise refusal(job_id, other, word, way)
        return layout.state_of(word.encode())

    def over(self, job_id: str, token: str, serial: int) -> None:
        """Note that a wait is over."""
        self._await(job_id, token, serial, None)

    def _await(self, job_id: str, token: str, serial: int, other: str | None) -> Answer:
        named: dict[str, Any] = {"id": job_id, "token": token, "serial": str(serial)}
        if other is not None:
            named["other"] = other
        return self._ask(Call("await", [msgpack.packb(named, use_bin_type=False)], _read))


def _read(answer: list[Any]) -> Answer:
    return [word.decode() for word in answer[1:]]
