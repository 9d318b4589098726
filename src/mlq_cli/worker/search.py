"""The search for jobs among those that only other workers can run: where a lane has looked, and when it looks again.

Such jobs stay in their places, so each claim would meet them again. It looks at the head of the line and then goes on
from a cursor, behind which nothing was found so far; a round is over when it has come to the end. What comes back into
a place that was passed is found by the next round that begins at the head, and these are rare where they take long.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from mlq_cli.store.base import Claims

SHORTEST_REST, LONGEST_REST = 0.05, 1.0  # seconds without a claim and without the bell, when nothing was found
SHORTEST_PAUSE, LONGEST_PAUSE = 1.0, 300.0  # seconds between two rounds that begin at the head, at least
PAUSES = 50  # times as long as such a round took: so no more than two percent of Redis go into looking


class Search:
    """What one lane has looked through in vain."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.cursors: dict[str, str] = {}  # by queue, as the store understands them
        self._rest = SHORTEST_REST
        self._rests_until = 0.0
        self._whole = True  # the round has begun at the head
        self._round_began_at: float | None = None
        self._next_round_at = 0.0

    def left(self, now: float) -> float:
        """Return the seconds for which the lane still rests."""
        return max(0.0, self._rests_until - now)

    def anew(self) -> None:
        """Begin at the head again, at once: something may be there that was not when it was looked at."""
        self._begin()
        self._rests_until, self._rest = 0.0, SHORTEST_REST

    def _begin(self) -> None:
        self.cursors, self._whole, self._round_began_at = {}, True, None

    def answered(self, claims: Claims, *, hurry: bool = False) -> bool:
        """Take in what a claim has found; returns whether nothing is left in all of the queues.

        `hurry`: somebody wants to know, so the next round is not waited for.
        """
        if claims.cursors is None:
            if claims.empty:
                self.cursors = {}
                self._rest = SHORTEST_REST
            return claims.empty and not claims.jobs
        now = self._clock()
        if self._round_began_at is None:
            self._round_began_at = now
        self.cursors = claims.cursors
        if claims.jobs:
            self._rest = SHORTEST_REST
        if claims.jobs or not claims.empty:
            return False
        if self._whole:
            pause = (now - self._round_began_at) * PAUSES
            self._next_round_at = now + min(max(pause, SHORTEST_PAUSE), LONGEST_PAUSE)
        elif hurry or now >= self._next_round_at:
            self._begin()
            return False
        self._whole, self._round_began_at = False, None
        self._rests_until = now + self._rest
        self._rest = min(self._rest * 2, LONGEST_REST)
        return True
