"""Two ways to wait on Redis, each with a connection of its own: for work, and for news of jobs."""

from __future__ import annotations

import time
from collections.abc import Sequence

import redis.exceptions as rx

from mlq_cli.model.errors import StoreUnavailable
from mlq_cli.store.redis.connect import Wire, descriptor


class RedisBell:
    """Blocks on the bell lists of some queues. It takes a token, never a job: a lost answer loses nothing."""

    def __init__(self, wire: Wire, keys: Sequence[str]) -> None:
        self._wire = wire
        self._keys = keys
        self._connection = wire.open()
        try:
            # With TLS a server may still have to say something of its own; then the descriptor would ring for that.
            self._connection.send_command("PING", check_health=False)
            self._connection.read_response()
        except rx.RedisError as error:
            raise wire.translate(error) from error

    def fileno(self) -> int:
        """The descriptor that becomes readable when the bell rings."""
        return descriptor(self._connection)

    def listen(self, seconds: float) -> None:
        """Begin to wait, for at most so long. Call again only after `answered`."""
        if self._wire.has_left(self._connection):  # a primary that was cut off would keep us waiting and never ring
            raise StoreUnavailable(f"Redis at {self._wire.address} has another primary now", hint="listen there")
        try:
            self._connection.send_command("BLPOP", *self._keys, f"{max(seconds, 0.01):.3f}", check_health=False)
        except rx.RedisError as error:
            raise self._wire.translate(error) from error

    def answered(self) -> None:
        """Take the answer in after the descriptor became readable."""
        try:
            self._connection.read_response()
        except rx.RedisError as error:
            raise self._wire.translate(error) from error

    def close(self) -> None:
        """Stop waiting."""
        self._connection.disconnect()


class RedisWatch:
    """Subscribed to the namespace's events. What was published before, or while it was cut off, is not heard."""

    def __init__(self, wire: Wire, channel: str) -> None:
        self._wire = wire
        self._connection = wire.open()
        try:
            self._connection.send_command("SUBSCRIBE", channel, check_health=False)
            self._connection.read_response()
        except rx.RedisError as error:
            raise wire.translate(error) from error

    def next(self, seconds: float) -> list[tuple[str, str]]:
        """Return pairs of job id and word; an empty list after so many seconds of silence."""
        deadline = time.monotonic() + seconds
        try:
            if not self._connection.can_read(timeout=max(0.0, deadline - time.monotonic())):
                return []
            answer = self._connection.read_response()
        except rx.RedisError as error:
            raise self._wire.translate(error) from error
        lines = answer[2].decode().splitlines() if answer[0] == b"message" else []
        return [(job_id, word) for job_id, _, word in (line.rpartition(" ") for line in lines)]

    def close(self) -> None:
        """Stop listening."""
        self._connection.disconnect()
