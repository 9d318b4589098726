"""What a process uses of memory, and the limit: an executor that has grown beyond it at work is ended."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlq_cli.worker.executor import Executor  # the executor's process looks at itself and has no use for it

EVERY = 0.5  # seconds between two looks
WATCHED = sys.platform == "linux"  # elsewhere nobody tells what another process uses


class MemoryLimit:
    """Looks now and then at what executors with jobs use."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._look_at = 0.0

    def enforce(self, now: float, executors: Iterable[Executor]) -> None:
        """End the executors that use more resident memory than they may; what they run has crashed."""
        if now < self._look_at:
            return
        self._look_at = now + EVERY
        for executor in executors:
            at_work = executor.busy or executor.taking is not None
            if at_work and not executor.killed and (used := resident_bytes(executor.pid)) > self._limit:
                executor.condemn(
                    "MemoryLimit",
                    f"its executor used {used / 2**20:,.0f} MiB of memory, over the limit of"
                    f" {self._limit / 2**20:,.0f} MiB, and was killed",
                )


def resident_bytes(pid: int | None) -> int:
    """Return the resident memory of a process, 0 when it is no more or the system does not tell."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0
