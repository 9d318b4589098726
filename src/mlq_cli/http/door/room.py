"""How much of large answers is in memory at once: slow readers of large results must not fill it."""

from __future__ import annotations

from mlq_cli.http.door.refusal import Refusal, retry_after

LARGE = 1 << 20  # bytes; smaller answers are not counted
MOST = 256 << 20  # bytes of large answers; a single one may be larger


class Room:
    """Counts the bytes of large answers that are under way."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._used = 0

    def has(self, length: int) -> bool:
        """Whether there is room for so many bytes more."""
        return length < LARGE or not self._used or self._used + length <= self._most

    def take(self, length: int) -> int:
        """Count an answer in; returns what is to be given back. Raises Refusal (503) when there is no room."""
        if not self.has(length):
            raise Refusal(503, "busy", "too many large results are being read", headers=[retry_after(1)], close=True)
        taken = length if length >= LARGE else 0
        self._used += taken
        return taken

    def give_back(self, taken: int) -> None:
        """Count an answer out."""
        self._used -= taken
