"""Find listener functions by their dotted path, and call each in the way its signature asks for."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mlq_cli.model.errors import Misuse

_CONTEXT_NAMES = ("ctx", "context", "args", "utils")


@dataclass(frozen=True, slots=True)
class Listener:
    """A user's function, and what it wants to be called with."""

    name: str
    function: Callable[..., Any]
    wants_context: bool
    is_async: bool

    def call(self, msg: Any, context: Any) -> Any:
        """Call the function; an async one returns its coroutine, a generator itself."""
        return self.function(msg, context) if self.wants_context else self.function(msg)


def find(path: str) -> Callable[..., Any]:
    """Return the function named `package.module:function`; `module:object.method` works too. Raises Misuse.

    What the module itself raises while it is imported is not caught: its traceback is what the user needs.
    """
    module_name, colon, attributes = path.partition(":")
    if not colon or not module_name or not attributes:
        raise Misuse(f"{path!r} names no function", hint="write package.module:function")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name + ".").startswith(error.name + "."):
            raise  # found, but something that it imports is not
        raise Misuse(
            f"there is no module {error.name!r} to import {path!r} from",
            hint="start the worker in the folder that holds it, or name that folder with --path",
        ) from None
    for attribute in attributes.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError:
            raise Misuse(f"the module {module_name!r} has no {attributes!r}", hint="is it spelled right?") from None
    if not callable(found):
        raise Misuse(f"{path!r} is no function but a {type(found).__name__}")
    function: Callable[..., Any] = found
    return function


def load(function: str | bytes) -> Callable[..., Any]:
    """Return a function by its path, or by the pickle that the process which has started this one made of it."""
    if isinstance(function, str):
        return find(function)
    import pickle

    loaded: Callable[..., Any] = pickle.loads(function)
    return loaded


def listener_of(function: Callable[..., Any]) -> Listener:
    """Return the listener of a function: `f(msg)`, `f(msg, ctx)` or `f(msg, *args)`, plain or async. Raises Misuse."""
    name = getattr(function, "__name__", type(function).__name__)
    call = getattr(function, "__call__", None)  # noqa: B004  of an object, which may be async
    is_async = any(_is_async(one) for one in (function, call))
    return Listener(name, function, _wants_context(function, name), is_async)


def _is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def _wants_context(function: Callable[..., Any], name: str) -> bool:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (ValueError, TypeError):
        return False  # built-in functions may hide their signature; they know nothing of a context
    places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    rest = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    demanded = [p for p in places if p.default is p.empty]
    if len(demanded) > 2 or any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters):
        raise Misuse(f"{name} asks for more than a listener gets", hint="def f(msg) or def f(msg, ctx)")
    if not places and not rest:
        raise Misuse(f"{name} takes no message", hint="def f(msg) or def f(msg, ctx)")
    if len(places) >= 2:
        # A second parameter with a default is the user's own setting, unless its name says otherwise.
        return places[1].default is places[1].empty or places[1].name in _CONTEXT_NAMES
    return rest


def choose(listeners: Sequence[Listener], names: Sequence[str] | None) -> list[Listener]:
    """Return the listeners that a job asks for by name, in the worker's order; all when it names none."""
    if names is None:
        return list(listeners)
    return [listener for listener in listeners if listener.name in names]


def import_from(paths: Sequence[str]) -> None:
    """Put these folders first on the import path, in this order."""
    for path in reversed(paths):
        if path in sys.path:
            sys.path.remove(path)
        sys.path.insert(0, path)
