"""Make a function ready to travel: its name, and its pickle, which holds the user's code by value.

Whoever takes it up need not be able to import the module that it comes from. So besides what cloudpickle takes along
anyhow, lambdas, closures and `__main__`, that is the package of the function and the modules beside it, as far as the
function uses them. What is installed, in site-packages or with Python, is only named.
"""

from __future__ import annotations

import hashlib
import os
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple

from mlq_cli.model.envelope import check_function_name
from mlq_cli.model.errors import Misuse

_one_at_a_time = threading.Lock()  # what is taken by value is the same for the whole process


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
    import cloudpickle

    try:
        with _one_at_a_time, _by_value(_users_modules(function)):
            blob = cloudpickle.dumps(function, protocol=5)
    except Exception as error:
        raise Misuse(
            f"the function {name or name_of(function) or 'without a name'} cannot travel: {error}",
            hint="make inside the function what cannot be pickled: locks, files, connections, an MLQ",
        ) from error
    chosen = name or name_of(function) or f"lambda-{hashlib.sha256(blob).hexdigest()[:8]}"
    return Shipped(check_function_name(chosen), blob, python_version(), cloudpickle.__version__)


def name_of(function: Callable[..., Any]) -> str | None:
    """Return what a function is called, None when it has no name of its own."""
    while isinstance(function, partial):
        function = function.func
    name = getattr(function, "__name__", type(function).__name__)
    return None if name == "<lambda>" else str(name)


def python_version() -> str:
    """Return the version of Python as far as it matters for what travels: code is not the same in the next one."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _users_modules(function: Callable[..., Any]) -> list[ModuleType]:
    """Return the modules that are taken along: those of that folder in which the top of the function's package lies."""
    while isinstance(function, partial):
        function = function.func
    name = getattr(function, "__module__", None) or type(function).__module__
    if name == "__main__":
        spec = getattr(sys.modules[name], "__spec__", None)  # there is one after `python -m package.module`
        name = spec.name if spec is not None and "." in spec.name else name
    top = name.partition(".")[0]
    home = _home_of(top)
    if home is None or _installed(top, home):
        return []
    others = {
        other for other in list(sys.modules) if "." not in other and other != "__main__" and _home_of(other) == home
    }
    return [sys.modules[other] for other in others | {top} - {"__main__"} if other in sys.modules]


def _home_of(top: str) -> str | None:
    """Return the folder that a module or package is imported from, None for what has none."""
    module = sys.modules.get(top)
    paths = list(getattr(module, "__path__", ()))
    path = paths[0] if paths else getattr(module, "__file__", None)
    return os.path.dirname(os.path.realpath(path)) if path else os.getcwd() if top == "__main__" else None


def _installed(top: str, home: str) -> bool:
    """Whether a module belongs to Python, to mlq, or to what is installed for it."""
    if top in sys.stdlib_module_names or top == __name__.partition(".")[0]:
        return top != "__main__"
    places = {os.path.realpath(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    inside = any(home == place or home.startswith(place + os.sep) for place in places)
    return inside or not {"site-packages", "dist-packages"}.isdisjoint(home.split(os.sep))


@contextmanager
def _by_value(modules: list[ModuleType]) -> Iterator[None]:
    """Let cloudpickle take these modules by value."""
    import cloudpickle

    already = cloudpickle.list_registry_pickle_by_value()
    added = [module for module in modules if module.__name__ not in already]
    for module in added:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in added:
            cloudpickle.unregister_pickle_by_value(module)
