"""What listeners have emitted and Redis has not taken: in its order, and how much of it is whose.

An executor that has much here is not listened to until Redis has taken it. Then its pipe fills, and `ctx.emit` waits.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

from mlq_cli.store.base import Part

MOST = 1000  # parts of one executor, about: what is on its way through the pipe comes on top
MOST_BYTES = 4 << 20


@dataclass(slots=True, eq=False)
class Load:
    """How much of one executor waits here."""

    parts: int = 0
    bytes: int = 0

    @property
    def full(self) -> bool:
        """Whether it is too much."""
        return self.parts >= MOST or self.bytes >= MOST_BYTES

    @property
    def light(self) -> bool:
        """Whether most of it has gone."""
        return self.parts <= MOST // 2 and self.bytes <= MOST_BYTES // 2


class Parts:
    """First in, first out."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Part, Load]] = deque()
        self.of_jobs: Counter[str] = Counter()  # how many by job, of those that have any

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, part: Part, load: Load) -> None:
        """Take one in from the executor with this load."""
        self._waiting.append((part, load))
        self.of_jobs[part.id] += 1
        load.parts += 1
        load.bytes += len(part.value)

    def first(self, most: int, most_bytes: int) -> list[Part]:
        """Return the first ones, at most so many, and about so many bytes together. They stay until `stored`."""
        parts: list[Part] = []
        size = 0
        for part, _ in self._waiting:
            if len(parts) == most or size > most_bytes:
                break
            parts.append(part)
            size += len(part.value)
        return parts

    def stored(self, number: int) -> None:
        """Forget the first ones: Redis has them."""
        for _ in range(number):
            part, load = self._waiting.popleft()
            load.parts -= 1
            load.bytes -= len(part.value)
            self.of_jobs[part.id] -= 1
            if not self.of_jobs[part.id]:
                del self.of_jobs[part.id]
