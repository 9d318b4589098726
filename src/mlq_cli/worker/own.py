"""What a local run can run: the functions that its own process was given, and whatever its own calls name.

Unlike a worker, which others send messages to, it may import what a message says: nobody else has written it.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import Any

from mlq_cli.model.call import Call, name_of
from mlq_cli.worker.attempts import Attempts
from mlq_cli.worker.listeners import Listener, find, listener_of
from mlq_cli.worker.repertoire import PLAIN, Callee, Repertoire, callee_of

#: The path of a call whose first argument is the pickle of its function.
BY_VALUE = "(by value)"
KEPT = 1000  # functions that were found and are still known
MOST = 100_000  # functions of this process that calls may mean


class OwnRepertoire(Repertoire):
    """The functions of a local run."""

    def __init__(self) -> None:
        super().__init__()
        self._loaded: dict[str | bytes, Callee] = {}
        self._here: dict[str, Callable[..., Any]] = {}

    @property
    def names(self) -> list[str]:
        """What jobs may ask for here: whatever there is."""
        return [PLAIN, *super().names]

    def choose(self, msg: Any, names: Sequence[str] | None) -> Sequence[Listener | Callee]:
        """Return what a job runs, in this order. Raises whatever importing it raises."""
        if type(msg) is not Call:
            return super().choose(msg, names)
        if msg.path == BY_VALUE:
            return [_ByValue(self._callee_of(msg.args[0]))]
        return [self._callee_of(msg.path)]

    def name_here(self, function: Callable[..., Any]) -> str:
        """Return a name by which calls in this process mean this very function, which has no path to import it from."""
        name = f"{name_of(function)} #{id(function)}"
        if len(self._here) >= MOST and name not in self._here:
            del self._here[next(iter(self._here))]
        self._here[name] = function  # held, so that no other gets its number
        return name

    def _callee_of(self, function: str | bytes) -> Callee:
        if isinstance(function, str) and (here := self._here.get(function)) is not None:
            return callee_of(function, here)
        if (known := self._loaded.get(function)) is not None:
            return known
        if len(self._loaded) >= KEPT:
            self._loaded.clear()
        found = load(function)
        callee = self._loaded[function] = callee_of(name_of(found), found)
        return callee


class _ByValue(Callee):
    """A function that came with the call."""

    def __init__(self, callee: Callee) -> None:
        super().__init__(callee.name, callee.function, callee.is_async, callee.signature)

    def call(self, call: Call, context: Any) -> Any:
        """Call the function with the other arguments."""
        return Callee.call(self, Call(self.name, call.args[1:], call.kwargs), context)


def load(function: str | bytes) -> Callable[..., Any]:
    """Return a function by its path, or by the pickle that the process which has started this one made of it."""
    if isinstance(function, str):
        return find(function)
    loaded: Callable[..., Any] = pickle.loads(function)
    return loaded


def take_up(attempts: Attempts, settings: dict[str, Any]) -> None:
    """Take up, in an executor, what its parent gave to it. Whatever user code raises comes through."""
    attempts.repertoire = OwnRepertoire()
    for function in settings["functions"]:
        attempts.repertoire.listeners.append(listener_of(load(function), function if type(function) is str else ""))
    if settings["setup"]:
        load(settings["setup"])()
