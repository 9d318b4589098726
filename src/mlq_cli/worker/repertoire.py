"""What an executor can run: listeners for messages, functions for calls, and what was registered, which is both.

Nothing is ever imported because a message says so: a call finds only what the worker was told when it was started, or
what was registered since.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

from mlq_cli.model.call import CONTEXT, Call, importable_path, lacks_context
from mlq_cli.model.errors import Misuse
from mlq_cli.worker.listeners import Listener, choose, find, is_async, listener_of

if TYPE_CHECKING:
    from mlq_cli.worker.taking import Taking  # it takes long to import, and most executors do not need it

#: Among the names of an executor: it runs messages that name no function.
PLAIN = "*"


@dataclass(frozen=True, slots=True)
class Callee:
    """A function that messages may call."""

    name: str
    function: Callable[..., Any]
    is_async: bool
    signature: inspect.Signature | None  # None: it wants no context, or hides what it wants

    def call(self, call: Call, context: Any) -> Any:
        """Call the function with what the message says; an async one returns its coroutine, a generator itself."""
        if self.signature is None or not lacks_context(self.signature, call.args, call.kwargs):
            return self.function(*call.args, **call.kwargs)
        return self.function(*call.args, **call.kwargs, **{CONTEXT: context})


def callee_of(name: str, function: Callable[..., Any]) -> Callee:
    """Return what calls a function by this name."""
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):
        return Callee(name, function, is_async(function), None)
    return Callee(name, function, is_async(function), signature if CONTEXT in signature.parameters else None)


class Repertoire:
    """The functions of one executor, by what jobs ask for."""

    def __init__(self) -> None:
        self.listeners: list[Listener] = []  # the worker's own
        self.taking: Taking | None = None  # of registered ones
        self._callees: dict[str, Callee] = {}  # told, by their paths
        self._found: dict[str, Callee] = {}  # in these modules, so far
        self._modules: dict[str, ModuleType] = {}  # whose functions may be called, all of them

    @property
    def names(self) -> list[str]:
        """What jobs may ask for here: names and paths; `package.module:` for all functions of a module; PLAIN."""
        listeners = self.listeners + self._registered()
        names = [name for listener in listeners for name in (listener.name, listener.path)]
        names += [*self._callees, *(f"{module}:" for module in self._modules)]
        names += [*(self.taking.functions if self.taking else ()), *([PLAIN] if listeners else [])]
        return list(dict.fromkeys(name for name in names if name))

    @property
    def is_async(self) -> bool:
        """Whether any of the worker's own would run beside others on an event loop."""
        return any(each.is_async for each in (*self.listeners, *self._callees.values()))  # type: ignore[attr-defined]

    def _registered(self) -> list[Listener]:
        """Return registered listeners; one of the worker's own of that name comes first."""
        if self.taking is None:
            return []
        own = {listener.name for listener in self.listeners}
        return [listener for listener in self.taking.listeners if listener.name not in own]

    def choose(self, msg: Any, names: Sequence[str] | None) -> Sequence[Listener | Callee]:
        """Return what a job runs, in this order; nothing when none of what it asks for is here.

        A worker that has no listener of its own runs all that are registered for messages that name none.
        """
        if type(msg) is Call:
            callee = self._callee(msg.path)
            return [] if callee is None else [callee]
        if names is not None:
            return choose(self.listeners + self._registered(), names)
        return self.listeners.copy() or self._registered()  # a copy: a listener may add and remove others

    def listen(self, path: str) -> None:
        """Add a listener of the worker's own, by the path that it was told. Raises Misuse."""
        function = find(path)
        self.listeners.append(listener_of(function, path))
        self._callees[path] = callee_of(path, function)

    def add(self, function: Callable[..., Any]) -> None:
        """Add a function of this process: to listen, if it can, and for calls by its path. Raises Misuse."""
        path = importable_path(function)
        try:
            self.listeners.append(listener_of(function, path or ""))
        except Misuse:
            if path is None:
                raise
        if path is not None:
            self._callees[path] = callee_of(path, function)

    def add_bound(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Add a listener that gets the message after these arguments. Raises Misuse."""
        bound = partial(function, *args, **kwargs) if args or kwargs else function
        self.listeners.append(listener_of(bound, importable_path(function) or "", getattr(function, "__name__", None)))

    def allow(self, told: str) -> None:
        """Let messages call `package.module:function`, or all functions of `package.module`. Raises Misuse."""
        if ":" in told:
            self._callees[told] = callee_of(told, find(told))
            return
        try:
            self._modules[told] = importlib.import_module(told)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{told}.".startswith(f"{error.name}."):
                raise  # found, but something that it imports is not
            raise Misuse(
                f"there is no module {error.name!r} whose functions could be called",
                hint="start the worker in the folder that holds it, or name that folder with --path",
            ) from None

    def _callee(self, path: str) -> Callee | None:
        if (known := self._callees.get(path) or self._found.get(path)) is not None:
            return known
        if self.taking is not None and path in self.taking.functions:
            return callee_of(path, self.taking.functions[path])
        module_name, _, name = path.partition(":")
        module = self._modules.get(module_name)
        if module is None or name.startswith("_") or not name.isidentifier():
            return None
        function = vars(module).get(name)
        exported = getattr(module, "__all__", None)
        own = getattr(function, "__module__", None) == module.__name__ if exported is None else name in exported
        if not own or not inspect.isroutine(function):
            return None
        callee = self._found[path] = callee_of(path, function)
        return callee
