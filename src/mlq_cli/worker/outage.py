"""Redis is away, or refuses: how long to wait before trying again, and how often to say so."""

from __future__ import annotations

import logging
import random
import time

from mlq_cli.model.errors import MlqError

log = logging.getLogger("mlq.worker")

BURST = 3  # short outages that are told of in a row; more of them are only counted
TOLD_EACH = 10.0  # seconds after which one more is told of
LONG = 5.0  # seconds after which any outage is told of
MINUTE = 60.0


class Outage:
    """Waits longer each time, up to 5 s; says so once, then once a minute."""

    def __init__(self) -> None:
        self.since: float | None = None
        self.until = 0.0
        self._pause = 0.1
        self._silent = 0
        self._said_at = 0.0
        self._told = False  # of the outage that goes on
        self._untold = 0  # outages that nobody was told of
        self._words, self._words_at = float(BURST), 0.0
        self._refused_at: dict[type[MlqError], float] = {}

    def waiting(self, now: float) -> bool:
        """Whether it is too early to try again."""
        return now < self.until

    def began(self, error: MlqError) -> None:
        """Note a failure."""
        now = time.monotonic()
        if self.since is None:
            self.since, self._silent = now, 0
            self._told, speak = False, self._may_speak(now)
        else:
            speak = not self._told and now - self.since >= LONG
        if speak:
            self._told, self._said_at = True, now
            log.error("%s; running jobs go on, outcomes are kept%s", error, self._others())
        elif self._told and now - self._said_at >= MINUTE:
            log.error("%s, for %.0f s now (%d tries)", error, now - self.since, self._silent)
            self._said_at, self._silent = now, 0
        self._silent += 1
        self.until = now + random.uniform(self._pause / 2, self._pause)
        self._pause = min(self._pause * 2, 5.0)

    def ended(self) -> None:
        """Note that Redis answers again."""
        if self.since is not None:
            if self._told:
                log.warning("Redis is back after %.1f s", time.monotonic() - self.since)
            else:
                self._untold += 1
        self.since, self._pause = None, 0.1

    def refused(self, error: MlqError) -> None:
        """Note that Redis answers, but refuses: it is full, say, or a replica. Said once, then once a minute."""
        now = time.monotonic()
        self.until = now + 0.5
        if now - self._refused_at.get(type(error), -MINUTE) >= MINUTE:
            self._refused_at[type(error)] = now
            log.error("%s%s", error, f"; {error.hint}" if error.hint else "")

    def _may_speak(self, now: float) -> bool:
        """A line that comes and goes would fill the log with it."""
        self._words, self._words_at = min(float(BURST), self._words + (now - self._words_at) / TOLD_EACH), now
        if self._words < 1:
            return False
        self._words -= 1
        return True

    def _others(self) -> str:
        count, self._untold = self._untold, 0
        return f" ({count} short outages before this were not told of)" if count else ""
