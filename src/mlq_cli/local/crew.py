"""Put the executors of a local run together: what they import, and what travels to them by value."""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from typing import TYPE_CHECKING, Any

from mlq_cli.local.answering import Answering
from mlq_cli.local.processes import Processes
from mlq_cli.model.call import importable_path
from mlq_cli.worker.options import WorkerOptions
from mlq_cli.worker.run import executor_settings

if TYPE_CHECKING:
    from mlq_cli.local.local import Local


def crew(
    local: Local,
    functions: Sequence[Callable[..., Any] | str],
    setup: Callable[..., Any] | str | None,
    paths: Sequence[str],
    *,
    worker: str,
    size: int,
    limit: int | None,
    timeout: float | None,
    memory_limit: int | None,
) -> Processes:
    """Return the executors of a local run; none is started yet. Raises Misuse for a function that cannot travel."""
    settings = executor_settings(worker, WorkerOptions(("own:functions",)), limit)
    settings |= {
        "functions": [travelling(function) for function in functions],
        "setup": None if setup is None else travelling(setup),
        "paths": list(dict.fromkeys(os.path.abspath(path) for path in (*paths, *sys.path))),
        "local": True,
    }
    answering = Answering(weakref.proxy(local))
    return Processes(
        local.book, answering, worker, settings, size=size, timeout=timeout, memory_limit=memory_limit
    )  # fmt: skip


def travelling(function: Callable[..., Any] | str) -> str | bytes:
    """Return a function as an executor of our own gets it: its path, or its pickle when it cannot be imported there.

    Between a process and its own children nothing has to be signed: they are as much ours as we are.
    """
    if isinstance(function, str):
        return function
    path = importable_path(function)
    if path is not None and _importable(path.partition(":")[0]):
        return path
    from mlq_cli.shipping import ship

    return ship(function).blob


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
