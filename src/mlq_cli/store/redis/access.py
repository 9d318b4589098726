"""The access tokens of a namespace in Redis: one hash, a field a token."""

from __future__ import annotations

from collections.abc import Sequence

import msgpack

from mlq_cli.model.access import AccessToken, Role
from mlq_cli.store.redis import layout
from mlq_cli.store.redis.answers import pairs
from mlq_cli.store.redis.link import Read


class RedisAccess:
    """Keeps access tokens. `read` sends plain commands and raises MlqError."""

    def __init__(self, namespace: str, read: Read) -> None:
        self._key = layout.ACCESS(namespace)
        self._read = read

    def add(self, key_id: str, role: Role, digest: bytes, *, name: str = "", life: float | None = None) -> bool:
        """Keep a token for `life` seconds; returns whether there was none of this id."""
        (time,) = self._read([("TIME",)])
        now = _seconds(time)
        kept = {"role": role.name.lower(), "sha256": digest, "created_at": now, "name": name}
        if life is not None:
            kept["expires_at"] = now + life
        (new,) = self._read([("HSETNX", self._key, key_id, msgpack.packb(kept))])
        return bool(new)

    def all(self) -> tuple[list[AccessToken], float]:
        """Return all tokens, the oldest first, and what time it is there."""
        flat, time = self._read([("HGETALL", self._key), ("TIME",)])
        tokens = [token for name, value in pairs(flat).items() if (token := _token(name, value)) is not None]
        return sorted(tokens, key=lambda token: (token.created_at, token.id)), _seconds(time)

    def remove(self, key_ids: Sequence[str]) -> list[bool]:
        """Forget tokens; returns for each whether it was there."""
        return [bool(gone) for gone in self._read([("HDEL", self._key, key_id) for key_id in key_ids])]


def _token(name: bytes, value: bytes) -> AccessToken | None:
    """Return a token; None for what we cannot have written: it opens nothing."""
    try:
        kept = msgpack.unpackb(value)
        role, secret = Role[kept["role"].upper()], bytes(kept["sha256"])
        expires = kept.get("expires_at")
        until = None if expires is None else float(expires)
        return AccessToken(name.decode(), role, secret, float(kept["created_at"]), until, str(kept["name"]))
    except (ValueError, KeyError, TypeError, AttributeError, msgpack.exceptions.UnpackException):
        return None


def _seconds(time: Sequence[bytes]) -> float:
    return int(time[0]) + int(time[1]) / 1e6
