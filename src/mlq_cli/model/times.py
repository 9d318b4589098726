"""How long the jobs of a queue wait and run."""

from __future__ import annotations

from typing import NamedTuple


class Histogram(NamedTuple):
    """How many times fell into which bucket."""

    bounds: tuple[float, ...]  # upper ends in seconds, rising
    numbers: tuple[int, ...]  # of each bucket by itself; there is one more, for what is longer than the last bound
    total: float  # seconds, of all together


class Times(NamedTuple):
    """Since the namespace began, and of late."""

    wait: Histogram  # from being queued until a worker takes it; each attempt counts
    run: Histogram  # of each attempt that ended, however
    recent_run: float | None  # seconds that an attempt takes of late, None when none has ended
