"""The worker's own word on its leases: what could not be renewed in time is ended, whatever the loop is waiting for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

MARGIN = 0.2  # of a lease: so long before it ends, what runs under it is ended
TICK = 1.0  # seconds between two looks at the clock


class Fence:
    """Measures the time since leases were renewed, by a clock that goes on while the machine sleeps.

    The loop asks before it hands out work. A thread asks too, for the loop may hang where it can do nothing: in a
    write, in a handshake, or in looking up a name. It calls `end`, which must be harmless to call from there.
    """

    def __init__(self, lease: float, end: Callable[[], None]) -> None:
        """`lease` in seconds."""
        self._span = lease * (1 - MARGIN)
        self._end = end
        self._renewed_at = boot_time()
        self._closed = threading.Event()

    def start(self) -> None:
        """Begin to watch."""
        threading.Thread(target=self._watch, daemon=True, name="mlq-fence").start()

    def renewed(self, sent_at: float) -> None:
        """Note that a heartbeat was answered that left at `sent_at`, by `boot_time`."""
        self._renewed_at = sent_at

    def too_late(self, sent_at: float | None = None) -> bool:
        """Whether leases that began or were renewed at `sent_at` (default: the last renewal) may be others' soon."""
        since = self._renewed_at if sent_at is None else sent_at
        return boot_time() - since >= self._span

    def close(self) -> None:
        """Watch no more."""
        self._closed.set()

    def _watch(self) -> None:
        while not self._closed.wait(min(TICK, self._span / 8)):
            if self.too_late():
                self._end()


def boot_time() -> float:
    """Return seconds that go on while the machine sleeps, where the system has such a clock."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()
