"""Put the executors of a local run together: what they import, and what travels to them by value."""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mlq_cli.local.answering import Answering
from mlq_cli.local.processes import Processes
from mlq_cli.worker.options import WorkerOptions
from mlq_cli.worker.run import executor_settings
from mlq_cli.worker.travelling import travelling

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
