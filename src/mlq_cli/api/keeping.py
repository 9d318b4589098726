"""Keeping: values that jobs and programs store for each other, beside the jobs."""

from __future__ import annotations

import secrets
from typing import Any

from mlq_cli.api.connected import Connected
from mlq_cli.model.errors import DataNotFound, Misuse
from mlq_cli.model.options import YEAR
from mlq_cli.model.values import pack, unpack

LONGEST = 512  # letters of a key


class Keeping(Connected):
    """The ways to leave a value for others of the namespace."""

    def store_data(self, data: Any, key: str | None = None, expiry: float | None = None) -> str:
        """Keep a value for whoever knows the key, and return the key.

        Args:
            data: anything that a message can hold, as large as a result may be.
            key: an older value under it is replaced; None: a random one.
            expiry: seconds until it is gone; None: it stays until another takes its place.

        Raises:
            Misuse: key or expiry make no sense, or the value cannot be carried or is too large.
            StoreUnavailable, StoreFull, NotAllowed: Redis says no.
        """
        if expiry is not None and not (_is_number(expiry) and 0 < expiry <= YEAR):
            raise Misuse(f"an expiry of {expiry!r} is out of range", hint="seconds, more than 0 and at most a year")
        key = secrets.token_hex(16) if key is None else _checked(key)
        self.store.data().keep(key, pack(data, limit=self.profile.limits.result, what="value"), expiry)
        return key

    def fetch_data(self, key: str) -> Any:
        """Return what is kept under a key. Raises DataNotFound, which is also a KeyError, when nothing is any more."""
        packed = self.store.data().get(_checked(key))
        if packed is None:
            raise DataNotFound(key)
        return unpack(packed)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _checked(key: object) -> str:
    """Return a key if it may be one. Raises Misuse."""
    if isinstance(key, str) and 0 < len(key) <= LONGEST:
        try:
            key.encode()
            return key
        except UnicodeEncodeError:
            pass
    raise Misuse(f"{str(key)[:80]!r} cannot be a key", hint=f"a text of 1 to {LONGEST} letters")
