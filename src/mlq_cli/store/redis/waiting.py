"""Ways to wait on Redis: for work, and for news of one job or of all."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from mlq_cli.model.errors import StoreUnavailable
from mlq_cli.store.redis.connect import Wire
from mlq_cli.store.redis.link import ANSWER_SECONDS, SILENCE, Command, ErrorAnswer, Link

LISTENED = 15.0  # seconds of silence after which it is asked whether anybody is still there


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
    """Follows one job by the namespace's events. What is said while it is cut off is not heard."""

    def __init__(self, wire: Wire, channel: str, job_id: str, look: Command) -> None:
        """`look` asks for the job's state. Raises MlqError."""
        self._wire = wire
        self._channel = channel
        self._job = job_id.encode()
        self._link, self.answer = self._begin(look)  # to the look; no event after it is missed

    def _begin(self, look: Command) -> tuple[Link, Any]:
        link = self._wire.borrow()
        try:
            # In one transaction: a subscriber may not look any more, and before it is one an event could be missed.
            answer = link.ask(("MULTI",), look, ("SUBSCRIBE", self._channel), ("EXEC",))[-1][0]
            if isinstance(answer, ErrorAnswer):
                raise answer
            return link, answer
        except TimeoutError as error:
            link.disconnect()
            raise self._wire.translate(error) from error
        except (ErrorAnswer, OSError):
            link.disconnect()
        except BaseException:
            link.disconnect()
            raise
        # That was a connection that had died, a user who may not do so, a server that is not ready or not the right
        # one: one after the other, with the patience that a look has.
        link = self._wire.open()
        try:
            link.ask(("SUBSCRIBE", self._channel))
            (answer,) = self._wire.exchange([look])
            if isinstance(answer, ErrorAnswer):
                raise answer
        except (ErrorAnswer, OSError) as error:
            link.disconnect()
            raise self._wire.translate(error) from error
        except BaseException:
            link.disconnect()
            raise
        return link, answer

    def next(self, seconds: float) -> list[str]:
        """Return what was said of the job; an empty list after so many seconds, or when others were spoken of."""
        try:
            answer = self._link.hear(max(0.0, seconds))
        except OSError as error:
            raise self._wire.translate(error) from error
        if answer is SILENCE:
            return []
        if isinstance(answer, ErrorAnswer):
            raise self._wire.translate(answer)
        if answer[0] != b"message" or self._job not in answer[2]:
            return []
        lines = (line.rpartition(b" ") for line in answer[2].splitlines())
        return [word.decode() for job, _, word in lines if job == self._job]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop listening. After an error, whatever it was, half an answer may be on its way."""
        if kind is None:
            with suppress(OSError):
                self._link.leave(self._channel)
                return self._wire.give_back(self._link)
        self._link.disconnect()


class RedisNews:
    """Hears the namespace's events, for all jobs. What is said while it is cut off is not heard."""

    def __init__(self, wire: Wire, channel: str) -> None:
        """Raises MlqError."""
        self._wire = wire
        self._link = wire.open()
        self._asked = False  # whether anybody is there
        try:
            self._link.ask(("SUBSCRIBE", channel))
        except (ErrorAnswer, OSError) as error:
            self._link.disconnect()
            raise wire.translate(error) from error
        except BaseException:
            self._link.disconnect()
            raise
        self._heard_at = time.monotonic()

    def next(self, seconds: float) -> list[tuple[str, str]]:
        """Return what was said of jobs; an empty list after so many seconds at most."""
        try:
            answer = self._link.hear(max(0.0, min(seconds, LISTENED)))
            now = time.monotonic()
            if answer is not SILENCE:
                self._heard_at, self._asked = now, False
            elif self._asked and now - self._heard_at > LISTENED + ANSWER_SECONDS:
                raise TimeoutError("no answer in time")
            elif not self._asked and now - self._heard_at > LISTENED:
                self._link.send([("PING",)])
                self._asked = True
        except OSError as error:
            raise self._wire.translate(error) from error
        if self._wire.has_left(self._link):  # a primary that was cut off may live on and say nothing
            raise StoreUnavailable(f"Redis at {self._wire.address} has another primary now", hint="listen there")
        if isinstance(answer, ErrorAnswer):
            raise self._wire.translate(answer)
        if answer is SILENCE or answer[0] != b"message":
            return []
        lines = (line.rpartition(b" ") for line in answer[2].splitlines())
        return [(job.decode(errors="replace"), word.decode(errors="replace")) for job, _, word in lines]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop listening."""
        self._link.disconnect()
