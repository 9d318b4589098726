"""One write to Redis: the calls in it, and what to do with the answer to each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlq_cli.store.base import Call


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
