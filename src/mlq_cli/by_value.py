"""Pickle a function with the user's own modules taken along by value: what is installed is only named.

cloudpickle does that for functions and classes of modules that it is told of. Modules themselves, which functions use
as `module.name`, it would pickle so that two which know each other make it go in a circle; and all or nothing of them.
"""

from __future__ import annotations

import io
import os
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import Any

import cloudpickle

_OF_THE_MACHINERY = ("__builtins__", "__cached__", "__loader__", "__spec__", "__path__")
_one_at_a_time = threading.Lock()  # what is taken by value is the same for the whole process


def pickled(function: Callable[..., Any]) -> bytes:
    """Return the pickle of a function. Raises whatever an object says that cannot be pickled."""
    with _one_at_a_time, _by_value(users_modules(function)) as tops:
        file = io.BytesIO()
        _Pickler(file, tops).dump(function)
        return file.getvalue()


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Takes modules along as well: empty first and then what is in them, so that they may know each other."""

    def __init__(self, file: io.BytesIO, tops: frozenset[str], *, without_modules: bool = False) -> None:
        super().__init__(file, protocol=5)
        self._tops = tops
        self._without_modules = without_modules

    def reducer_override(self, obj: Any) -> Any:
        """Say how modules of the user's are pickled; the rest is cloudpickle's matter."""
        if not isinstance(obj, ModuleType) or obj.__name__.partition(".")[0] not in self._tops:
            return super().reducer_override(obj)
        if self._without_modules:
            return str, (obj.__name__,)
        return ModuleType, (obj.__name__,), self._content(obj)

    def _content(self, module: ModuleType) -> dict[str, Any]:
        """Return what of a module can travel, and of the rest why it cannot, for whoever asks for it there."""
        content, left = {}, {}
        for name, value in vars(module).items():
            if name in _OF_THE_MACHINERY:
                continue
            try:
                _Pickler(io.BytesIO(), self._tops, without_modules=True).dump(value)
                content[name] = value
            except Exception as error:  # noqa: BLE001  whatever an object of the user's says
                left[name] = " ".join(str(error).split())
        if left and "__getattr__" not in content:
            content["__getattr__"] = partial(left_behind, module.__name__, left)
        return content


def left_behind(module: str, left: dict[str, str], name: str) -> Any:
    """Say, as the `__getattr__` of a module that has travelled, what did not."""
    if name in left:
        raise AttributeError(f"{module}.{name} has stayed where the function was registered: {left[name]}")
    raise AttributeError(f"module {module!r} has no attribute {name!r}")


def users_modules(function: Callable[..., Any]) -> list[ModuleType]:
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
def _by_value(modules: Sequence[ModuleType]) -> Iterator[frozenset[str]]:
    """Let cloudpickle take the functions and classes of these modules by value; yields their names."""
    already = cloudpickle.list_registry_pickle_by_value()
    added = [module for module in modules if module.__name__ not in already]
    for module in added:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield frozenset(module.__name__ for module in modules)
    finally:
        for module in added:
            cloudpickle.unregister_pickle_by_value(module)
