"""What a keeper of access tokens promises, whatever keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mlq_cli.model.access import AccessToken, Role


class Access(Protocol):
    """Keeps the access tokens of the HTTP server: hashes of them, never themselves."""

    def add(self, key_id: str, role: Role, digest: bytes, *, name: str = "", life: float | None = None) -> bool:
        """Keep a token for `life` seconds, None: for ever; returns whether there was none of this id."""

    def all(self) -> tuple[list[AccessToken], float]:
        """Return all tokens, the oldest first, and what time it is on the store's clock."""

    def remove(self, key_ids: Sequence[str]) -> list[bool]:
        """Forget tokens; returns for each whether it was there."""
