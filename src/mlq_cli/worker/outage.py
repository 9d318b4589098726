"""Redis is away, or refuses: how long to wait before trying again, and how often to say so."""

from __future__ import annotations

import logging
import random
import time

from mlq_cli.model.errors import MlqError

log = logging.getLogger("mlq.worker")


class Outage:
    """Waits longer each time, up to 5 s; says so once, then once a minute."""

    def __init__(self) -> None:
        self.since: float | None = None
        self.until = 0.0
        self._pause = 0.1
        self._silent = 0
        self._said_at = 0.0
        self._refused_at = 0.0
        self._refusal: type[MlqError] | None = None

    def waiting(self, now: float) -> bool:
        """Whether it is too early to try again."""
        return now < self.until

    def began(self, error: MlqError) -> None:
        """Note a failure."""
        now = time.monotonic()
        if self.since is None:
            self.since, self._said_at, self._silent = now, now, 0
            log.error("%s; running jobs go on, outcomes are kept", error)
        elif now - self._said_at >= 60:
            log.error("%s, for %.0f s now (%d tries)", error, now - self.since, self._silent)
            self._said_at, self._silent = now, 0
        self._silent += 1
        self.until = now + random.uniform(self._pause / 2, self._pause)
        self._pause = min(self._pause * 2, 5.0)

    def ended(self) -> None:
        """Note that Redis answers again."""
        if self.since is not None:
            log.warning("Redis is back after %.1f s", time.monotonic() - self.since)
        self.since, self._pause = None, 0.1

    def refused(self, error: MlqError) -> None:
        """Note that Redis answers, but refuses: it is full, say, or a replica. Said once, then once a minute."""
        now = time.monotonic()
        self.until = now + 0.5
        if type(error) is not self._refusal or now - self._refused_at >= 60:
            self._refusal, self._refused_at = type(error), now
            log.error("%s%s", error, f"; {error.hint}" if error.hint else "")
