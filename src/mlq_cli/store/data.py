"""What a keeper of data promises: values that jobs store for each other, by key."""

from __future__ import annotations

from typing import Protocol


class Data(Protocol):
    """Keeps values, packed as msgpack."""

    def keep(self, key: str, packed: bytes, expiry: float | None) -> None:
        """Keep a value under a key, in place of an older one, for so many seconds; None: for ever."""

    def get(self, key: str) -> bytes | None:
        """Return what is kept under a key, None when nothing is."""
