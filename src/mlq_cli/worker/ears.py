"""Which executors a worker listens to: all, but those of which too much waits for Redis already."""

from __future__ import annotations

import selectors
from collections.abc import Callable

from mlq_cli.worker.executor import Executor
from mlq_cli.worker.lane import Lane


class Ears:
    """Registers the pipes of executors with the worker's selector."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        self._shut: dict[Executor, Callable[[], None]] = {}  # to those not listened to for now

    def hired(self, lane: Lane, executor: Executor) -> None:
        """Listen to a new executor."""

        def hear() -> None:
            lane.hear(executor)
            if executor.reader.ended:
                self.left(executor)
            elif executor.load.full:
                self._selector.unregister(executor.reader.socket)
                self._shut[executor] = hear

        self._selector.register(executor.reader.socket, selectors.EVENT_READ, hear)

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
        for executor, hear in list(self._shut.items()):
            if executor.load.light:
                del self._shut[executor]
                self._selector.register(executor.reader.socket, selectors.EVENT_READ, hear)
