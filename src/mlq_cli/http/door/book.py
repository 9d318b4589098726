"""The access tokens as this process knows them: read again every second, in a thread of their own.

    find ─▶ snapshot, at most 2 s old ─▶ token or nothing
               └─ read again: one HGETALL a second at most, ten when somebody tries ids that do not exist

While Redis is away what was known goes on for a minute. What was not known then may exist, so nobody can say.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from mlq_cli.model.access import AccessToken
from mlq_cli.model.errors import MlqError, StoreUnavailable

FRESH = 1.0  # seconds after which it is read again, while the old one is still used
STALE = 2.0  # seconds after which nobody is let in by it, unless it cannot be read
KNOWN = 60.0  # seconds that it holds while it cannot be read
HASTE = 0.1  # seconds between two readings for ids that are not in it
PATIENCE = 1.0  # seconds that a request waits for a reading


class Book:
    """Which tokens there are. `read`: asks the store for all of them and what time it is there; it may take long."""

    def __init__(
        self, read: Callable[[], tuple[list[AccessToken], float]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read = read
        self._clock = clock
        self._tokens: dict[str, AccessToken] = {}
        self._read_at = -1e9  # when the reading began that these come from
        self._ahead = 0.0  # of the store's clock to ours
        self._failed_at = -1e9
        self._reading: asyncio.Task[None] | None = None
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="mlq-access")

    async def find(self, key_id: str) -> AccessToken | None:
        """Return a token that exists and has not expired. Raises StoreUnavailable when nobody can say."""
        age = self._clock() - self._read_at
        if age > STALE or (key_id not in self._tokens and age > HASTE):
            await self._refresh()
            age = self._clock() - self._read_at
        elif age > FRESH:
            self._begin()
        token = self._tokens.get(key_id)
        if token is not None and age <= KNOWN:
            now = self._clock() + self._ahead
            return token if token.expires_at is None or token.expires_at > now else None
        if age > STALE or self._failed_at > self._read_at:
            raise StoreUnavailable("nobody can say now whether this token is good")
        return None

    async def _refresh(self) -> None:
        """Wait for a reading that begins now; not for long, and not again right after one that failed."""
        if self._clock() - self._failed_at < FRESH:
            return
        reading = self._begin()
        await asyncio.wait({reading}, timeout=PATIENCE)
        if not reading.done():
            self._failed_at = self._clock()

    def _begin(self) -> asyncio.Task[None]:
        if self._reading is None or self._reading.done():
            self._reading = asyncio.get_running_loop().create_task(self._take())
        return self._reading

    async def _take(self) -> None:
        began = self._clock()
        try:
            tokens, now = await asyncio.get_running_loop().run_in_executor(self._threads, self._read)
        except (MlqError, OSError):
            self._failed_at = self._clock()
            return
        self._tokens = {token.id: token for token in tokens}
        self._read_at, self._ahead = began, now - began

    def close(self) -> None:
        """Stop reading."""
        self._threads.shutdown(wait=False, cancel_futures=True)
