"""How far the work of a queue is."""

from __future__ import annotations

from typing import NamedTuple


class Tally(NamedTuple):
    """A queue in four numbers. The counters begin with the queue, or when they were set to zero last."""

    inserted: int  # jobs posted
    enqueued: int  # jobs that wait or run, right now
    completed: int  # jobs that succeeded
    leased: int  # of the enqueued: jobs that run

    @property
    def left(self) -> float | None:
        """The part of the inserted jobs that is enqueued still, 1 for all; None when none was inserted."""
        return self.enqueued / self.inserted if self.inserted else None

    @property
    def done(self) -> float | None:
        """The part of the inserted jobs that is completed; None when none was inserted."""
        return self.completed / self.inserted if self.inserted else None
