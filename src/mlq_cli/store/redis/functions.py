"""The functions of a namespace in Redis: their envelopes by name, what may follow them, and when each changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil
from typing import Any

import msgpack

from mlq_cli.model.errors import Refused
from mlq_cli.store.calls import Call, Caller
from mlq_cli.store.functions import Change, Changes
from mlq_cli.store.redis import layout
from mlq_cli.store.redis.answers import number, pairs
from mlq_cli.store.redis.link import Read

MOST = 50  # functions told at a time
MOST_BYTES = 1 << 20  # after which no more are told
_LATEST = 1 << 53  # what is above this was written by a stranger
FULL = 1000  # functions of one namespace: each executor has all of them


class RedisFunctions:
    """Keeps envelopes. `read` sends plain commands, `ask` a call; both raise MlqError."""

    def __init__(self, namespace: str, read: Read, ask: Callable[[Call[str]], str]) -> None:
        self._namespace = namespace
        self._read = read
        self._ask = ask
        self._caller = Caller()

    def get_all(self) -> dict[str, bytes]:
        """Return all envelopes by name, the one that was registered first at the beginning."""
        envelopes, names = self._read(
            [
                ("HGETALL", layout.FUNCTIONS(self._namespace)),
                ("ZRANGE", layout.CHANGES(self._namespace), 0, -1),
            ]
        )
        found = pairs(envelopes)
        order = {name: place for place, name in enumerate(names)}
        ordered = sorted(found, key=lambda name: order.get(name, len(order)))
        return {name.decode(errors="replace"): found[name] for name in ordered}

    def have(self, names: Sequence[str]) -> list[bool]:
        """Return for each name whether there is a function of it."""
        return [bool(there) for there in self._read([("HEXISTS", self._kept, name) for name in names])]

    @property
    def _kept(self) -> str:
        return layout.FUNCTIONS(self._namespace)

    def clock(self) -> int:
        """Return what time it is there, in microseconds: later than any version that was ever registered."""
        time, newest = self._read(
            [("TIME",), ("ZREVRANGEBYSCORE", layout.CHANGES(self._namespace), _LATEST, 0, "WITHSCORES", "LIMIT", 0, 1)],
        )
        last = _revision(newest[1]) if newest else 0
        return max(int(time[0]) * 1_000_000 + int(time[1]), last + 1)

    def register(self, name: str, version: int, envelope: bytes) -> bool:
        """Keep a function; False when one of this name is or was as new as that. Raises Refused when there are many."""
        word = self._call({"name": name, "version": str(version), "full": FULL}, envelope)
        if word == "full":
            raise Refused(f"{FULL} functions are registered already", hint="mlq fn remove NAME makes room")
        return word == "ok"

    def remove(self, name: str) -> bool:
        """Forget a function; returns whether it was there."""
        (queues,) = self._read([("SMEMBERS", layout.QUEUES(self._namespace))])
        named = {"name": name, "queues": [queue.decode(errors="replace") for queue in queues]}
        return self._call({**named, **self._caller.next()}) == "ok"

    def _call(self, named: dict[str, Any], *envelope: bytes) -> str:
        return self._ask(Call("register", [msgpack.packb(named), *envelope], lambda answer: str(answer[0].decode())))


def read_changes(answer: list[Any]) -> Changes:
    """Read the answer of `functions`."""
    triples = zip(answer[2::3], answer[3::3], answer[4::3], strict=True)
    changes = [Change(name.decode(errors="replace"), _revision(at), envelope) for name, at, envelope in triples]
    return Changes(changes, _revision(answer[1]))


def _revision(score: bytes) -> int:
    """Return a revision; of a fraction, which a stranger has written, the next number, so that it is passed over."""
    return ceil(number(score) or 0)
