"""How fast the queues go, for the dashboard: looks at the counters when it is told to, and keeps a minute of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from mlq_cli.model.rates import Rates
from mlq_cli.store.base import QueueCounts

SECONDS = 10.0  # over which rates are taken
NAMES = ("posted", "succeeded", "dead")


class Sampler:
    """Has no thread of its own: whoever reads the counts gives them here. Threads may share one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: seconds."""
        self._rates = Rates(clock)
        self._lock = threading.Lock()

    def take(self, counts: Sequence[QueueCounts]) -> None:
        """Take in the numbers of all queues, as often as they are read; once a second is right."""
        counters = {each.queue: {name: each.stats.get(name, 0.0) for name in NAMES} for each in counts}
        with self._lock:
            self._rates.take(counters)

    def of(self, queue: str, seconds: float = SECONDS) -> dict[str, float]:
        """Return how many jobs a second of a queue were posted, succeeded and died; 0 while that is not known."""
        with self._lock:
            return {**dict.fromkeys(NAMES, 0.0), **self._rates.over(seconds).get(queue, {})}

    def together(self, seconds: float = SECONDS) -> dict[str, float]:
        """Return the same for all queues of users: callbacks are none of their jobs."""
        with self._lock:
            rates = self._rates.over(seconds)
        theirs = [rate for queue, rate in rates.items() if not queue.startswith("_")]
        return {name: sum(rate[name] for rate in theirs) for name in NAMES}
