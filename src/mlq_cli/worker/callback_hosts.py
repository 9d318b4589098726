"""Places for deliveries: a few for each host, more in all; and who comes too many is put off until it may be its turn.

A host that is slow has its callbacks wait in Redis, where they are in nobody's way, and not in this process.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mlq_cli.model.outcome import PutOff

PER_HOST = 4
IN_ALL = 32
PATIENCE = 1.0  # seconds that are waited here; who would have to wait for longer is put off
PAUSE = 0.25  # seconds before somebody is put off, so that a long line at a slow host costs little time of the others
LONGEST = 600.0  # seconds for which somebody is put off because of a line
RETRY_AFTER = 3600.0  # seconds that a host may ask for at most
_FORGET = 1000  # hosts, beyond which those that nobody asks for are forgotten


class _Host:
    """What is known of one host."""

    def __init__(self) -> None:
        self.places = 0  # that are taken
        self.begun: set[float] = set()  # when each delivery that runs began
        self.waiting = 0
        self.pace = 0.05  # seconds a delivery takes, lately
        self.booked = 0.0  # until when those that were put off will keep it busy
        self.not_before = 0.0  # it has asked to be left alone

    def line(self, now: float) -> float:
        """Return how long somebody who comes now would have to wait."""
        longest = max((now - at for at in self.begun), default=0.0)
        return max(self.pace, longest) * (self.waiting + 1) / PER_HOST

    def book(self, now: float) -> float:
        """Return in how many seconds somebody who is put off now shall come again."""
        self.booked = max(self.booked, now + self.pace) + self.pace / PER_HOST
        self.booked = min(self.booked, now + LONGEST)
        return (self.booked - now) * random.uniform(1.0, 1.2)


class Hosts:
    """All hosts that are told something."""

    def __init__(self) -> None:
        self._hosts: dict[str, _Host] = {}
        self._running = 0
        self._waiting: deque[tuple[_Host, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def place(self, name: str) -> AsyncIterator[None]:
        """Hold a place at a host. Raises PutOff when there will be none soon."""
        host = await self._enter(name)
        began = time.monotonic()
        while began in host.begun:
            began += 1e-9
        host.begun.add(began)
        try:
            yield
        finally:
            now = time.monotonic()
            host.begun.discard(began)
            host.pace += 0.3 * (now - began - host.pace)
            if host.pace < PATIENCE / 10:
                host.booked = 0.0  # it is quick again
            self._leave(host)

    def leave_alone(self, name: str, seconds: float) -> None:
        """Put off what comes for a host within so many seconds."""
        if (host := self._hosts.get(name)) is not None:
            host.not_before = time.monotonic() + min(seconds, RETRY_AFTER)

    async def _enter(self, name: str) -> _Host:
        now = time.monotonic()
        if len(self._hosts) > _FORGET:
            self._forget(now)
        host = self._hosts.setdefault(name, _Host())
        if now < host.not_before:
            await asyncio.sleep(PAUSE)
            raise PutOff(host.not_before - now)
        if self._has_place(host) and not host.waiting:
            self._take(host)
            return host
        if host.places >= PER_HOST and host.line(now) > PATIENCE:
            await asyncio.sleep(PAUSE)
            raise PutOff(host.book(now))
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((host, turn))
        host.waiting += 1
        try:
            done, _ = await asyncio.wait((turn,), timeout=PATIENCE)
        finally:
            host.waiting -= 1
            if not turn.done():
                turn.cancel()
        if not done:
            raise PutOff(host.book(time.monotonic()))
        return host

    def _has_place(self, host: _Host) -> bool:
        return self._running < IN_ALL and host.places < PER_HOST

    def _take(self, host: _Host) -> None:
        self._running += 1
        host.places += 1

    def _leave(self, host: _Host) -> None:
        """Give a place to the first of those who wait and may have it."""
        self._running -= 1
        host.places -= 1
        for waiting in list(self._waiting):
            other, turn = waiting
            if turn.done():  # it has given up
                self._waiting.remove(waiting)
            elif self._has_place(other):
                self._waiting.remove(waiting)
                self._take(other)
                turn.set_result(None)
                return

    def _forget(self, now: float) -> None:
        for name, host in list(self._hosts.items()):
            if not (host.begun or host.waiting or host.booked > now or host.not_before > now):
                del self._hosts[name]
