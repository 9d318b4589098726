"""Values that the jobs of a local run store for each other."""

from __future__ import annotations

import time
from typing import Any

from mlq_cli.api.keeping import Keeping
from mlq_cli.model.profile import Profile


class Kept(Keeping):
    """`store_data` and `fetch_data` of `MLQ`, with a dictionary in place of Redis."""

    def __init__(self, profile: Profile) -> None:
        super().__init__(profile)
        self._values = Values()

    @property
    def store(self) -> Any:
        """Where the values are."""
        return self

    def data(self) -> Values:
        """The values."""
        return self._values


class Values:
    """Packed values by key."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[bytes, float | None]] = {}

    def keep(self, key: str, packed: bytes, expiry: float | None) -> None:
        """Keep a value for so many seconds; None: as long as this run lasts."""
        now = time.monotonic()
        self._values = {key: kept for key, kept in self._values.items() if kept[1] is None or kept[1] > now}
        self._values[key] = packed, None if expiry is None else now + expiry

    def get(self, key: str) -> bytes | None:
        """Return a value, None when there is none, or not any more."""
        packed, until = self._values.get(key, (None, None))
        return packed if until is None or until > time.monotonic() else None
