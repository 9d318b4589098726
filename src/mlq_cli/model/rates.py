"""Counters that were looked at now and then, turned into how much a second."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping

Counters = Mapping[str, Mapping[str, float]]  # by queue, then by name

KEPT = 60.0  # seconds that can be looked back
SPACING = 0.25  # seconds between two looks that are kept; so they are few however often somebody looks


class Rates:
    """Takes counters in and tells how fast they grow. Not for several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: seconds."""
        self._clock = clock
        self._looks: deque[tuple[float, Counters]] = deque()

    def take(self, counters: Counters) -> None:
        """Take in what the counters are now."""
        now = self._clock()
        spaced = len(self._looks) < 2 or now - self._looks[-2][0] >= SPACING
        if self._looks and (now <= self._looks[-1][0] or not spaced):
            self._looks.pop()  # the newest is always kept
        self._looks.append((now, counters))
        while len(self._looks) > 2 and now - self._looks[1][0] >= KEPT:
            self._looks.popleft()

    def over(self, seconds: float) -> dict[str, dict[str, float]]:
        """Return by queue and name how much a counter grew a second, over the last `seconds` or a little more.

        Over less while that is all there is; of nothing but one look it is nothing. A counter that fell was begun
        anew: what it has is what it grew.
        """
        if len(self._looks) < 2:
            return {}
        now, newest = self._looks[-1]
        began, before = next((look for look in reversed(self._looks) if now - look[0] >= seconds), self._looks[0])
        rates = {}
        for queue, counters in newest.items():
            old = before.get(queue, {})
            rates[queue] = {name: _grown(old.get(name, 0.0), value) / (now - began) for name, value in counters.items()}
        return rates


def _grown(before: float, now: float) -> float:
    return now - before if now >= before else now
