"""A store on a clock, and with dice, of the test's own: leases are stepped through without waiting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgpack

from mlq_cli.store.base import Call
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
        return replace(call, args=[msgpack.packb(named, use_bin_type=False), *call.args[1:]])


def named_arguments(call: Call[Any]) -> dict[bytes, Any]:
    """Return the arguments of a call that have names."""
    named: dict[bytes, Any] = msgpack.unpackb(call.args[0], raw=True)
    return named


def is_remembered(call: Call[Any]) -> bool:
    """Whether the store remembers the answer to this call, so that sending it again answers the same."""
    return b"serial" in named_arguments(call)
