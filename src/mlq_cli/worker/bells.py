"""The bells of a worker's lanes: who sleeps on which, until when, and whose answer is overdue."""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable

from mlq_cli.model.errors import MlqError
from mlq_cli.store.base import Bell, Store
from mlq_cli.worker.lane import Lane

OVERDUE = 2.0  # seconds after which a bell that has not answered is taken for dead


class Bells:
    """One connection a lane, opened when it first sleeps and closed when Redis is away."""

    def __init__(self, store: Store, selector: selectors.BaseSelector, cut_off: Callable[[MlqError], None]) -> None:
        self._store = store
        self._selector = selector
        self._cut_off = cut_off
        self._bells: dict[str, Bell] = {}
        self._until: dict[str, float] = {}  # when the bell of a lane answers at the latest

    def listening(self, lane: Lane) -> bool:
        """Whether this lane sleeps until its bell rings."""
        return lane.name in self._until

    def listen(self, lane: Lane, seconds: float) -> None:
        """Sleep until the bell rings, at most so long. Only with room: a token taken by a busy worker is wasted."""
        try:
            bell = self._bells.get(lane.name)
            if bell is None:
                bell = self._bells[lane.name] = self._store.bell(lane.queues)
                self._selector.register(bell, selectors.EVENT_READ, lambda: self._rung(lane))
            bell.listen(seconds)
            self._until[lane.name] = time.monotonic() + seconds
        except MlqError as error:
            self._cut_off(error)

    def _rung(self, lane: Lane) -> None:
        self._until.pop(lane.name, None)
        bell = self._bells.get(lane.name)
        if bell is None:
            return  # hung up a moment ago, when another bell told that Redis is away
        try:
            bell.answered()
        except MlqError as error:
            self._cut_off(error)

    def look_after(self, lane: Lane, now: float, *, wanted: bool) -> None:
        """Hang up where nobody should listen any more: a token taken without room is one that wakes nobody.

        And where the answer is overdue: the connection is dead, and only its silence tells.
        """
        until = self._until.get(lane.name)
        if until is not None and (not wanted or now > until + OVERDUE):
            self.hang_up(lane)

    def hang_up(self, lane: Lane) -> None:
        """Close the bell of a lane."""
        self._until.pop(lane.name, None)
        if (bell := self._bells.pop(lane.name, None)) is not None:
            self._selector.unregister(bell)
            bell.close()
