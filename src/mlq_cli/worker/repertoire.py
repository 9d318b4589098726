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
from typing import Any

from mlq_cli.model.call import CONTEXT, Call, importable_path, lacks_context
from mlq_cli.model.errors import Misuse
from mlq_cli.worker.listeners import Listener, choose, find, is_async, listener_of

#: Among the names of an executor: it runs messages that name no function.
PLAIN = "*"
#: What names of functions begin with that were registered to be called, and are no listeners.
CALLED = "call:"


@dataclass(frozen=True, slots=True)
class Callee:
    """A function that messages may call."""

    name: str
    function: Callable[..., Any]
    is_async: bool

    def call(self, call: Call, context: Any) -> Any:
        """Call the function with what the message says; an async one returns its coroutine, a generator itself."""
        kwargs = call.kwargs
        try:
            signature = inspect.signature(self.function)
        except (ValueError, TypeError):
            pass  # a built-in function, which wants no context
        else:
            if lacks_context(signature, call.args, kwargs):
                kwargs = {**kwargs, CONTEXT: context}
        return self.function(*call.args, **kwargs)


class Repertoire:
    """The functions of one executor, by what jobs ask for."""

    def __init__(self) -> None:
        self.listeners: list[Listener] = []  # the worker's own
        self._registered: dict[str, Listener] = {}  # in the order of registration
        self._callees: dict[str, Callee] = {}  # by path, or by the name of a registered one
        self._modules: dict[str, ModuleType] = {}  # whose functions may be called, all of them

    @property
    def names(self) -> list[str]:
        """What jobs may ask for here: names and paths; `package.module:` for all functions of a module; PLAIN."""
        listeners = [*self.listeners, *self._registered.values()]
        names = [name for listener in listeners for name in (listener.name, listener.path)]
        names += [*self._callees, *(f"{module}:" for module in self._modules), *([PLAIN] if listeners else [])]
        return list(dict.fromkeys(name for name in names if name))

    @property
    def is_async(self) -> bool:
        """Whether any of them would run beside others on an event loop."""
        listeners = [*self.listeners, *self._registered.values()]
        return any(each.is_async for each in listeners) or any(each.is_async for each in self._callees.values())

    def choose(self, msg: Any, names: Sequence[str] | None) -> Sequence[Listener | Callee]:
        """Return what a job runs, in this order; nothing when none of what it asks for is here."""
        if type(msg) is Call:
            callee = self._callee(msg.path)
            return [] if callee is None else [callee]
        if names is not None:
            return choose([*self.listeners, *self._registered.values()], names)
        return self.listeners.copy() or list(self._registered.values())  # a listener may add and remove others

    def listen(self, path: str) -> None:
        """Add a listener of the worker's own, by the path that it was told. Raises Misuse."""
        function = find(path)
        self.listeners.append(listener_of(function, path))
        self._callees[path] = Callee(path, function, is_async(function))

    def add(self, function: Callable[..., Any]) -> None:
        """Add a function of this process: to listen, if it can, and for calls by its path. Raises Misuse."""
        path = importable_path(function)
        try:
            self.listeners.append(listener_of(function, path or ""))
        except Misuse:
            if path is None:
                raise
        if path is not None:
            self._callees[path] = Callee(path, function, is_async(function))

    def add_bound(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Add a listener that gets the message after these arguments. Raises Misuse."""
        bound = partial(function, *args, **kwargs) if args or kwargs else function
        self.listeners.append(listener_of(bound, importable_path(function) or "", getattr(function, "__name__", None)))

    def allow(self, told: str) -> None:
        """Let messages call `package.module:function`, or all functions of `package.module`. Raises Misuse."""
        if ":" in told:
            self._callees[told] = Callee(told, function := find(told), is_async(function))
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

    def register(self, name: str, function: Callable[..., Any]) -> None:
        """Add a function under a name, in place of the one before. Raises Misuse when it can be no listener.

        A name that begins with `call:` is for calls alone.
        """
        if not name.startswith(CALLED):
            self._registered[name] = listener_of(function, name=name)
        self._callees[name] = Callee(name, function, is_async(function))

    def remove(self, name: str) -> bool:
        """Take a registered function away. Returns whether it was there."""
        self._registered.pop(name, None)
        return self._callees.pop(name, None) is not None

    def _callee(self, path: str) -> Callee | None:
        if (known := self._callees.get(path)) is not None:
            return known
        module_name, _, name = path.partition(":")
        module = self._modules.get(module_name)
        if module is None or name.startswith("_") or not name.isidentifier():
            return None
        function = vars(module).get(name)
        exported = getattr(module, "__all__", None)
        own = getattr(function, "__module__", None) == module.__name__ if exported is None else name in exported
        if not own or not inspect.isroutine(function):
            return None
        callee = self._callees[path] = Callee(path, function, is_async(function))
        return callee
