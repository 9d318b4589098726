"""Calls that are sent before those before them are answered, so that Redis never waits for a worker.

Everything that goes well is read from the connection as it comes. Whatever does not, a broken connection, a script that
Redis has forgotten, a node that is no longer the right one, is left to `run`, which knows what to do: all calls without
an answer are sent again through it, in their order, for each is harmless to send again.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from mlq_cli.store.base import Call
from mlq_cli.store.redis.connect import WATCH_SECONDS, Wire
from mlq_cli.store.redis.link import ANSWER_SECONDS, Command, ErrorAnswer, Link
from mlq_cli.store.redis.refusals import word_of

Calls = tuple[Call[Any], ...]


class RedisTalk:
    """At most two groups of calls under way. For one thread."""

    def __init__(self, wire: Wire, command: Callable[[Call[Any]], Command], run: Callable[..., list[Any]]) -> None:
        self._wire = wire
        self._command = command
        self._run = run
        self._link: Link | None = None
        self._borrowed_at = self._spoke_at = 0.0
        self._patience = ANSWER_SECONDS
        self._under_way: deque[Calls] = deque()
        self._answered: deque[list[Any]] = deque()  # by `run`

    def fileno(self) -> int | None:
        """The descriptor that becomes readable when an answer comes, None while none is due there."""
        return None if self._link is None else self._link.fileno()

    @property
    def answered(self) -> bool:
        """Whether answers are here that no descriptor tells of."""
        return bool(self._answered)

    @property
    def room(self) -> bool:
        """Whether more may be said now. Once a second all has to be answered first: is it still the right node?"""
        under_way = len(self._under_way)
        return under_way == 0 or (under_way == 1 and time.monotonic() - self._borrowed_at < WATCH_SECONDS)

    def silent_for(self, now: float) -> float:
        """Return the seconds left until silence means that the connection is dead."""
        return self._spoke_at + self._patience - now

    def say(self, *calls: Call[Any]) -> None:
        """Send a group of calls. Raises StoreUnavailable and NotAllowed; then nothing is under way any more."""
        self._under_way.append(calls)
        try:
            if self._link is None:
                self._link = self._wire.borrow()
                self._borrowed_at = time.monotonic()
            patience = self._link.send([self._command(call) for call in calls])
            self._patience = max(patience, self._patience if len(self._under_way) > 1 else 0.0)
        except TimeoutError as error:
            self.close()
            raise self._wire.translate(error) from error
        except OSError:
            self._start_over()
        except BaseException:
            self.close()
            raise
        self._spoke_at = time.monotonic()

    def hear(self) -> list[list[Any]]:
        """Return the answers that have come, a list for each group, the oldest first.

        Raises StoreUnavailable and NotAllowed; then nothing is under way any more.
        """
        answers: list[list[Any]] = []
        while self._under_way and self._link is not None:
            try:
                if not self._link.has_answer():
                    if self.silent_for(time.monotonic()) < 0:
                        raise TimeoutError("no answer in time")
                    break
                group = self._link.receive(len(self._under_way[0]))
            except TimeoutError as error:
                self.close()
                raise self._wire.translate(error) from error
            except OSError:
                self._start_over()
                break
            except BaseException:
                self.close()
                raise
            if any(type(answer) is ErrorAnswer and _passing(answer) for answer in group):
                self._start_over()
                break
            answers.append(self._read(self._under_way.popleft(), group))
            self._spoke_at = time.monotonic()
        while self._answered:
            answers.append(self._answered.popleft())
        if not self._under_way and self._link is not None:
            self._wire.give_back(self._link)
            self._link = None
        return answers

    def _read(self, calls: Calls, answers: Sequence[Any]) -> list[Any]:
        return [
            self._wire.translate(answer) if type(answer) is ErrorAnswer else call.read(answer)
            for call, answer in zip(calls, answers, strict=True)
        ]

    def _start_over(self) -> None:
        """Send all again that has no answer, and wait for it."""
        groups = list(self._under_way)
        self.close()
        answers = iter(self._run(*(call for calls in groups for call in calls)))
        self._answered.extend([next(answers) for _ in calls] for calls in groups)

    def close(self) -> None:
        """Forget what is under way. The connection goes with it: an answer may be on its way."""
        if self._link is not None:
            if self._under_way:
                self._link.disconnect()
            else:
                self._wire.give_back(self._link)
            self._link = None
        self._under_way.clear()
        self._answered.clear()


def _passing(answer: ErrorAnswer) -> bool:
    return answer.word == "NOSCRIPT" or word_of(answer) is not None
