"""Make a function ready to travel: its name, and its pickle, which holds the user's code by value.

Whoever takes it up need not be able to import the module that it comes from. So besides what cloudpickle takes along
anyhow, lambdas, closures and `__main__`, that is the package of the function and the modules beside it, as far as the
function uses them. What is installed, in site-packages or with Python, is only named.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from mlq_cli.model.envelope import check_function_name
from mlq_cli.model.errors import Misuse


class Shipped(NamedTuple):
    """A function as it travels."""

    name: str
    blob: bytes
    python: str  # "3.12": the only one that can take it up
    cloudpickle: str


def ship(function: Callable[..., Any], name: str | None = None) -> Shipped:
    """Return a function ready to travel; without a `name` it has its own. Raises Misuse when it cannot be pickled."""
    if not callable(function):
        raise Misuse(f"{function!r} is no function")
    import cloudpickle  # it takes long to import, and few register anything

    from mlq_cli.by_value import pickled

    try:
        blob = pickled(function)
    except Exception as error:
        raise Misuse(
            f"the function {name or name_of(function) or 'without a name'} cannot travel: {error}",
            hint="make inside the function what cannot be pickled: locks, files, connections, an MLQ",
        ) from error
    own = name_of(function) or f"lambda-{hashlib.sha256(blob).hexdigest()[:8]}"
    chosen = check_function_name(own if name is None else name)
    return Shipped(chosen, blob, python_version(), cloudpickle.__version__)


def name_of(function: Callable[..., Any]) -> str | None:
    """Return what a function is called, None when it has no name of its own."""
    while isinstance(function, partial):
        function = function.func
    name = getattr(function, "__name__", type(function).__name__)
    return None if name == "<lambda>" else str(name)


def python_version() -> str:
    """Return the version of Python as far as it matters for what travels: code is not the same in the next one."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"
