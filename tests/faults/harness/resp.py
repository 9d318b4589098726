"""Cut a stream of Redis' protocol (RESP 2) into whole values, and tell which verb of mlq a request is."""

from __future__ import annotations

import hashlib
from functools import cache

from mlq_cli.store.redis.scripts import script, verbs


class Splitter:
    """Takes bytes as they come and returns the values that are complete."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Return the values that these bytes complete, each as it was sent."""
        self._buffer += data
        values: list[bytes] = []
        begin = 0
        while (end := _end_of(self._buffer, begin)) is not None:
            values.append(bytes(self._buffer[begin:end]))
            begin = end
        del self._buffer[:begin]
        return values


def _end_of(buffer: bytearray, begin: int) -> int | None:
    """Return where the value that begins here ends, None while it is incomplete. Raises ValueError on anything else."""
    values = 1  # still to come, at this place and inside of arrays
    at = begin
    while values:
        line_end = buffer.find(b"\r\n", at)
        if line_end < 0:
            return None
        kind, line = buffer[at : at + 1], bytes(buffer[at + 1 : line_end])
        at, values = line_end + 2, values - 1
        if kind == b"$":
            if (size := int(line)) >= 0:
                at += size + 2
        elif kind == b"*":
            values += max(0, int(line))
        elif kind not in (b"+", b"-", b":"):
            raise ValueError(f"no RESP 2: {bytes(kind)!r}")
        if at > len(buffer):
            return None
    return at


def words(request: bytes, count: int) -> list[bytes]:
    """Return the first words of a request, which is an array of strings."""
    found: list[bytes] = []
    at = request.index(b"\r\n") + 2
    for _ in range(min(count, int(request[1 : at - 2]))):
        line_end = request.index(b"\r\n", at)
        size = int(request[at + 1 : line_end])
        found.append(request[line_end + 2 : line_end + 2 + size])
        at = line_end + size + 4
    return found


def verb_of(request: bytes) -> str:
    """Return the verb whose script a request runs; of a plain command its name in small letters."""
    name, *rest = words(request, 2)
    command = name.decode().lower()
    if command == "evalsha":
        return _verbs().get(rest[0].decode(), command)
    if command == "eval":
        return _verbs().get(hashlib.sha1(rest[0], usedforsecurity=False).hexdigest(), command)
    return command


@cache
def _verbs() -> dict[str, str]:
    return {script(verb).sha: verb for verb in verbs()}
