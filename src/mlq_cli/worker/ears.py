"""Which executors a worker listens to: all, but those of which too much waits for Redis already."""

from __future__ import annotations

import selectors
from functools import partial

from mlq_cli.worker.executor import Executor
from mlq_cli.worker.lane import Lane


class Ears:
    """Registers the pipes of executors with the worker's selector."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        self._shut: dict[Executor, Lane] = {}  # those not listened to for now

    def hired(self, lane: Lane, executor: Executor) -> None:
        """Listen to an executor."""
        # No closure that names itself: the board's descriptor has to go with the last word on the executor, not when
        # Python next looks for circles.
        self._selector.register(executor.reader.socket, selectors.EVENT_READ, partial(self._hear, lane, executor))

    def _hear(self, lane: Lane, executor: Executor) -> None:
        lane.hear(executor)
        if executor.reader.ended:
            self.left(executor)
        elif executor.load.full:
            self._selector.unregister(executor.reader.socket)
            self._shut[executor] = lane

    def left(self, executor: Executor) -> None:
        """Listen no more."""
        if self._shut.pop(executor, None) is not None:
            return
        try:
            self._selector.unregister(executor.reader.socket)
        except (KeyError, ValueError):
            pass  # already, when its pipe ended

    def open(self) -> None:
        """Listen again to those of which Redis has taken enough."""
        for executor, lane in list(self._shut.items()):
            if executor.load.light:
                del self._shut[executor]
                self.hired(lane, executor)
