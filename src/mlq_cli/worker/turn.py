"""What a worker says to Redis: turns, and what to do with the answers when they come."""

from __future__ import annotations

import selectors
from collections import deque
from collections.abc import Callable
from typing import Any

from mlq_cli.model.errors import MlqError, NotAllowed, StoreUnavailable
from mlq_cli.store.base import Call, Talk


class Turn:
    """Calls that are sent together."""

    def __init__(self, *, whole: bool) -> None:
        """`whole`: it may hold anything; one at a time, for only one claim of a lane may be without an answer."""
        self.whole = whole
        self.calls: list[Call[Any]] = []
        self.actions: list[Callable[[Any], None]] = []
        self.undoings: list[Callable[[], None]] = []

    def add(self, call: Call[Any], action: Callable[[Any], None], undo: Callable[[], None] = lambda: None) -> None:
        """Add a call; `undo` is called when Redis refuses it."""
        self.calls.append(call)
        self.actions.append(action)
        self.undoings.append(undo)


class Turns:
    """The turns under way: one whole one, and one of outcomes that were sent ahead of its answer."""

    def __init__(
        self,
        talk: Talk,
        selector: selectors.BaseSelector,
        *,
        ended: Callable[[], None],
        refused: Callable[[MlqError], None],
        cut_off: Callable[[MlqError], None],
    ) -> None:
        """`ended` is called whenever Redis answers, `refused` for an answer that is an error, `cut_off` without one."""
        self._talk = talk
        self._selector = selector
        self._ended = ended
        self._refused = refused
        self._cut_off = cut_off
        self._turns: deque[Turn] = deque()
        self._listens_on: int | None = None  # the descriptor that tells of answers, when one is due

    def __bool__(self) -> bool:
        return bool(self._turns)

    @property
    def room(self) -> bool:
        """Whether anything may be said now."""
        return self._talk.room

    @property
    def whole_under_way(self) -> bool:
        """Whether only outcomes may be said now."""
        return any(turn.whole for turn in self._turns)

    def silent_for(self, now: float) -> float:
        """Return the seconds until silence means that Redis is away."""
        return self._talk.silent_for(now)

    def say(self, turn: Turn) -> None:
        """Send a turn, unless it is empty."""
        if not turn.calls:
            return
        self._turns.append(turn)
        try:
            self._talk.say(*turn.calls)
        except (StoreUnavailable, NotAllowed) as error:
            self._cut_off(error)
            return
        self._listen()
        if self._talk.answered:
            self.hear()

    def hear(self) -> None:
        """Act on the answers that have come."""
        try:
            groups = self._talk.hear()
        except (StoreUnavailable, NotAllowed) as error:
            self._cut_off(error)
            return
        self._listen()
        answered = [(self._turns.popleft(), answers) for answers in groups]
        for turn, answers in answered:  # an action may find out that Redis is away: then all turns are forgotten
            self._ended()
            for action, undo, answer in zip(turn.actions, turn.undoings, answers, strict=True):
                if isinstance(answer, MlqError):
                    self._refused(answer)
                    undo()
                else:
                    action(answer)

    def forget(self) -> None:
        """Wait for no answer any more."""
        self._talk.close()
        self._turns.clear()
        self._listen()

    def _listen(self) -> None:
        """Wait for answers where they will come, and nowhere else."""
        where = self._talk.fileno() if self._turns else None
        if where == self._listens_on:
            return
        if self._listens_on is not None:
            self._selector.unregister(self._listens_on)
        if where is not None:
            self._selector.register(where, selectors.EVENT_READ, self.hear)
        self._listens_on = where
