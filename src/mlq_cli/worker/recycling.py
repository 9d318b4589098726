"""When an executor lets itself be replaced: after so many jobs, above so much memory, or when its code has changed."""

from __future__ import annotations

import errno
import os
import select
import socket
import sys
import time
from typing import Any, Protocol, Self

from mlq_cli.worker.memory import resident_bytes

LOOK_SECONDS = 0.5  # between two looks at memory or files; a look costs more than a short job


class HasDescriptor(Protocol):
    """What can be waited for."""

    def fileno(self) -> int:
        """The descriptor that becomes readable."""


class Recycling:
    """Asked after each job. Between two jobs nothing is lost: the worker takes back what has not begun."""

    def __init__(self, max_jobs: int | None, max_memory: int | None, reload: bool) -> None:
        self._left = max_jobs
        self._max_memory = max_memory
        self._reload = reload
        self._look_at = time.monotonic() + LOOK_SECONDS
        self._times: dict[str, float] = {}

    @classmethod
    def of(cls, settings: dict[str, Any]) -> Self | None:
        """Return what an executor's settings ask for, None for nothing."""
        wanted = (settings["max_jobs"], settings["max_memory"], settings["reload"])
        return cls(*wanted) if any(wanted) else None

    def begin(self) -> None:
        """Note how things are once everything is imported."""
        self._times = _file_times() if self._reload else {}

    def due(self) -> str | None:
        """Return why it is time to leave, None when it is not."""
        if self._left is not None:
            self._left -= 1
            if self._left <= 0:
                return "it has run its number of jobs"
        if (self._max_memory or self._reload) and time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_SECONDS
            if self._max_memory and (used := own_memory()) > self._max_memory:
                return f"it has grown to {used / 2**20:.0f} MiB"
            if self._reload and self._changed():
                return "its code has changed"
        return None

    def due_for_code(self) -> str | None:
        """Return why it is time to leave when the code has changed; looks now and then only."""
        if self._reload and time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_SECONDS
            return "its code has changed" if self._changed() else None
        return None

    def due_while_idle(self, jobs: socket.socket, news: HasDescriptor | None = None) -> str | None:
        """Wait for a job, or other news, to arrive; return why it is time to leave, should that come first."""
        awaited: list[HasDescriptor] = [jobs] if news is None else [jobs, news]
        while self._reload and not select.select(awaited, [], [], LOOK_SECONDS)[0]:
            if self._changed():
                return "its code has changed"
        return None

    def _changed(self) -> bool:
        now = _file_times()
        changed = any(now.get(path, stamp) != stamp for path, stamp in self._times.items())
        self._times = {**now, **self._times}
        return changed


def out_of_descriptors(error: BaseException) -> bool:
    """Whether an error, or what caused it, is that no file or socket could be opened any more."""
    cause: BaseException | None = error
    for _ in range(10):
        if cause is None:
            return False
        if isinstance(cause, OSError) and cause.errno in (errno.EMFILE, errno.ENFILE):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def own_memory() -> int:
    """Return the resident bytes of this process; on macOS, where they are not to be had, the most it ever was."""
    if used := resident_bytes(os.getpid()):
        return used
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _file_times() -> dict[str, float]:
    """Return when the source of each module outside the Python installation was changed last."""
    times = {}
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if path and path.endswith(".py") and not path.startswith((sys.prefix, sys.base_prefix)):
            try:
                times[path] = os.stat(path).st_mtime
            except OSError:
                continue
    return times
