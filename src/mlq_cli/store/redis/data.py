"""The data of jobs in Redis: a string a value."""

from __future__ import annotations

from mlq_cli.store.redis import layout
from mlq_cli.store.redis.link import Command, Read

SCANNED = 480  # keys of the server looked at in one SCAN


class RedisData:
    """Keeps values. `read` sends plain commands and raises MlqError."""

    def __init__(self, namespace: str, read: Read) -> None:
        self._namespace = namespace
        self._read = read

    def keep(self, key: str, packed: bytes, expiry: float | None) -> None:
        """Keep a value under a key, in place of an older one, for so many seconds; None: for ever."""
        command: Command = ("SET", layout.DATA(self._namespace, key), packed)
        if expiry is not None:
            command = (*command, "PX", max(1, round(expiry * 1000)))
        self._read([command])

    def get(self, key: str) -> bytes | None:
        """Return what is kept under a key, None when nothing is."""
        (found,) = self._read([("GET", layout.DATA(self._namespace, key))])
        value: bytes | None = found
        return value

    def forget(self) -> None:
        """Delete all values of the namespace."""
        cursor: bytes | int = 0
        while True:
            pattern = layout.DATA(self._namespace, "*")
            ((cursor, keys),) = self._read([("SCAN", cursor, "MATCH", pattern, "COUNT", SCANNED)])
            if keys:
                self._read([("UNLINK", *keys)])
            if int(cursor) == 0:
                return
