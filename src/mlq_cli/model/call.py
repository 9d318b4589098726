"""A call: a function by its path, and what to call it with, as a message that says by itself what it wants run."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from reprlib import Repr
from typing import Any

from mlq_cli.model.errors import Misuse, WrongCall
from mlq_cli.model.options import check_functions

CONTEXT = "ctx"  # a parameter of this name gets the context, unless the call gives it a value
_HOW = "partial(function, 1, x=2), of a function that a module defines"

_short = Repr()
_short.maxstring = _short.maxother = 60  # letters of one argument


@dataclass(frozen=True, slots=True)
class Call:
    """A function and its arguments; tuples among these arrive as lists, as in any message."""

    path: str  # "package.module:function", or the name of a registered function
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, bound: partial[Any] | Callable[..., Any]) -> Call:
        """Return the call that a `functools.partial` stands for, or a function that needs no arguments.

        Raises Misuse when its function cannot be imported by somebody else, WrongCall when the arguments do not fit it.
        """
        function, args, kwargs = parts_of(bound)
        path = importable_path(function)
        if path is None:
            raise Misuse(
                f"{name_of(function)} cannot be imported by a worker", hint=f"{_HOW}, or register the function first"
            )
        return cls.checked(path, function, args, kwargs)

    @classmethod
    def checked(cls, path: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        """Return the call of a function by this path. Raises WrongCall when the arguments do not fit its signature."""
        check_functions((path,))
        call = cls(path, args, kwargs)
        try:
            signature = inspect.signature(function)
        except (ValueError, TypeError):
            return call  # built-in functions may hide their signature
        try:
            signature.bind(*args, **kwargs, **({CONTEXT: None} if lacks_context(signature, args, kwargs) else {}))
        except TypeError as error:
            raise WrongCall(
                f"{call} does not fit its function: {error}", hint=f"it is {name_of(function)}{signature}"
            ) from None
        return call

    def __str__(self) -> str:
        given = [_shown(value) for value in self.args]
        given += [f"{name}={_shown(value)}" for name, value in self.kwargs.items()]
        return f"{self.path}({', '.join(given)})"


def parts_of(bound: partial[Any] | Callable[..., Any]) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
    """Return function, positional and named arguments of a partial, or of a function alone. Raises Misuse."""
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    while isinstance(bound, partial):
        args, kwargs = (*bound.args, *args), {**bound.keywords, **kwargs}
        bound = bound.func
    if not callable(bound):
        raise Misuse(f"a value of type {type(bound).__name__} is no call", hint=f"post_call({_HOW})")
    if isinstance(bound, type) or inspect.ismethod(bound):
        kind = "class" if isinstance(bound, type) else "method"
        raise Misuse(f"{name_of(bound)} is a {kind}, which cannot be called by a message", hint=_HOW)
    return bound, args, kwargs


def importable_path(function: Callable[..., Any]) -> str | None:
    """Return `package.module:function`, None when nobody else could import it from there: a lambda, say."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or module == "__main__":
        return None
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return f"{module}:{name}" if found is function else None


def lacks_context(signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether the function wants the context and these do not give it another. Raises TypeError when they do not fit.

    An argument that the signature does not name is none for `**kwargs`.
    """
    wanted = signature.parameters.get(CONTEXT)
    if wanted is None or wanted.kind not in (wanted.POSITIONAL_OR_KEYWORD, wanted.KEYWORD_ONLY):
        return False
    return CONTEXT not in signature.bind_partial(*args, **kwargs).arguments


def name_of(function: Any) -> str:
    """Return what a person calls a function."""
    return str(getattr(function, "__qualname__", None) or type(function).__qualname__)


def _shown(value: Any) -> str:
    return " ".join(_short.repr(value).split())
