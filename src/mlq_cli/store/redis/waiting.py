"""Two ways to wait on Redis, each with a connection of its own: for work, and for news of jobs."""

from __future__ import annotations

from collections.abc import Sequence

from mlq_cli.model.errors import StoreUnavailable
from mlq_cli.store.redis.connect import Wire
from mlq_cli.store.redis.link import SILENCE, ErrorAnswer


class RedisBell:
    """Blocks on the bell lists of some queues. It takes a token, never a job: a lost answer loses nothing."""

    def __init__(self, wire: Wire, keys: Sequence[str]) -> None:
        self._wire = wire
        self._keys = keys
        self._link = wire.open()
        try:
            # With TLS a server may still have to say something of its own; then the descriptor would ring for that.
            self._link.ask(("PING",))
        except (ErrorAnswer, OSError) as error:
            raise wire.translate(error) from error

    def fileno(self) -> int:
        """The descriptor that becomes readable when the bell rings."""
        return self._link.fileno()

    def listen(self, seconds: float) -> None:
        """Begin to wait, for at most so long. Call again only after `answered`."""
        if self._wire.has_left(self._link):  # a primary that was cut off would keep us waiting and never ring
            raise StoreUnavailable(f"Redis at {self._wire.address} has another primary now", hint="listen there")
        try:
            self._link.send([("BLPOP", *self._keys, f"{max(seconds, 0.01):.3f}")])
        except OSError as error:
            raise self._wire.translate(error) from error

    def answered(self) -> None:
        """Take the answer in after the descriptor became readable."""
        try:
            (answer,) = self._link.receive(1)
        except OSError as error:
            raise self._wire.translate(error) from error
        if isinstance(answer, ErrorAnswer):
            raise self._wire.translate(answer)

    def close(self) -> None:
        """Stop waiting."""
        self._link.disconnect()


class RedisWatch:
    """Subscribed to the namespace's events. What was published before, or while it was cut off, is not heard."""

    def __init__(self, wire: Wire, channel: str) -> None:
        self._wire = wire
        self._link = wire.open()
        try:
            self._link.ask(("SUBSCRIBE", channel))
        except (ErrorAnswer, OSError) as error:
            raise wire.translate(error) from error

    def next(self, seconds: float) -> list[tuple[str, str]]:
        """Return pairs of job id and word; an empty list after so many seconds of silence."""
        try:
            answer = self._link.hear(max(0.0, seconds))
        except OSError as error:
            raise self._wire.translate(error) from error
        if answer is SILENCE:
            return []
        if isinstance(answer, ErrorAnswer):
            raise self._wire.translate(answer)
        lines = answer[2].decode().splitlines() if answer[0] == b"message" else []
        return [(job_id, word) for job_id, _, word in (line.rpartition(" ") for line in lines)]

    def close(self) -> None:
        """Stop listening."""
        self._link.disconnect()
