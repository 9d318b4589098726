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
    path: str = ""  # `package.module:function`, when it was found by that

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


def listener_of(function: Callable[..., Any], path: str = "", name: str | None = None) -> Listener:
    """Return the listener of a function: `f(msg)`, `f(msg, ctx)` or `f(msg, *args)`, plain or async. Raises Misuse.

    `path`: by which it was found; `name`: another one than its own.
    """
    name = name or str(getattr(function, "__name__", type(function).__name__))
    return Listener(name, function, _wants_context(function, name), is_async(function), path)


def is_async(function: Any) -> bool:
    """Whether to call it gives something to be awaited; of an object that is called, too."""
    call = getattr(function, "__call__", None)  # noqa: B004
    return any(inspect.iscoroutinefunction(one) or inspect.isasyncgenfunction(one) for one in (function, call))


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
    """Return the listeners that a job asks for by name or path, in the worker's order; all when it names none."""
    if names is None:
        return list(listeners)
    return [listener for listener in listeners if listener.name in names or listener.path in names]


def import_from(paths: Sequence[str]) -> None:
    """Put these folders first on the import path, in this order."""
    for path in reversed(paths):
        if path in sys.path:
            sys.path.remove(path)
        sys.path.insert(0, path)
