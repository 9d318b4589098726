"""What a keeper of registered functions promises, whatever keeps them. It keeps envelopes, and never reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Change(NamedTuple):
    """A function that was registered or removed."""

    name: str
    revision: int  # when, on the store's clock in microseconds; each is higher than all before
    envelope: bytes | None  # None: it was removed


class Changes(NamedTuple):
    """What has changed since a revision, in order; perhaps not all of it."""

    changes: list[Change]
    newest: int  # the revision of the last change there is; 0: there was none


class Functions(Protocol):
    """Keeps the functions that workers take up at run time."""

    def get_all(self) -> dict[str, bytes]:
        """Return all envelopes by name, the one that was registered first at the beginning."""

    def have(self, names: Sequence[str]) -> list[bool]:
        """Return for each name whether there is a function of it."""

    def clock(self) -> int:
        """Return what time it is there, in microseconds: later than any version that was ever registered."""

    def register(self, name: str, version: int, envelope: bytes) -> bool:
        """Keep a function; False when one of this name, kept now or removed since, is as new as that. Raises Refused.

        To say it again does no harm.
        """

    def remove(self, name: str) -> bool:
        """Forget a function; returns whether it was there. No envelope made before now is taken again."""
