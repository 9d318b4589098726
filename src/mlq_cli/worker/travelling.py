"""How functions get from a process to its own children: by their path, or by value when they cannot be imported there.

Between a process and its own children nothing has to be signed: they are as much the user's as it is itself.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from importlib.machinery import ModuleSpec
from typing import Any

from mlq_cli.model.call import Call, importable_path, name_of, parts_of
from mlq_cli.worker.own import BY_VALUE


def travelling(function: Callable[..., Any] | str) -> str | bytes:
    """Return the path of a function, or its pickle. Raises Misuse when it can be neither imported nor pickled."""
    if isinstance(function, str):
        return function
    path = importable_path(function)
    if path is not None and _importable(path.partition(":")[0]):
        return path
    from mlq_cli.shipping import ship

    return ship(function).blob


def own_call(bound: partial[Any] | Callable[..., Any]) -> Call:
    """Return the call that a partial stands for. Raises Misuse when it cannot travel, WrongCall when it is wrong."""
    function, args, kwargs = parts_of(bound)
    called = travelling(function)
    if isinstance(called, str):
        return Call.checked(called, function, args, kwargs)
    Call.checked(name_of(function), function, args, kwargs)
    return Call(BY_VALUE, (called, *args), kwargs)


def _importable(module: str) -> bool:
    """Whether another process finds a module: that it has been imported here does not say so."""
    path: Any = None
    name = ""
    for part in module.split("."):
        name = f"{name}.{part}" if name else part
        specs = (finder.find_spec(name, path) for finder in sys.meta_path if hasattr(finder, "find_spec"))
        spec: ModuleSpec | None = next((spec for spec in specs if spec is not None), None)
        if spec is None:
            return False
        path = spec.submodule_search_locations
    return True
