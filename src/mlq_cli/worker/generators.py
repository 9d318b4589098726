"""Run a listener that is a generator: what it yields is emitted, and kept for the result as far as that is allowed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Any

import msgpack

from mlq_cli.model.errors import TooLarge
from mlq_cli.worker.context import Context

_HEAD = 5  # bytes that a list begins with, at most


class Gathered:
    """What a generator has yielded, packed: its result, if it returns nothing."""

    def __init__(self, limit: int | None) -> None:
        """`limit`: bytes that a result may have. No more is kept, however long the generator goes on."""
        self._limit = limit
        self._parts: list[bytes] = []
        self._number = 0
        self._bytes = _HEAD

    def add(self, packed: bytes) -> None:
        """Take one in."""
        self._number += 1
        self._bytes += len(packed)
        if self._limit is None or self._bytes <= self._limit:
            self._parts.append(packed)
        else:
            self._parts.clear()

    def packed(self) -> bytes:
        """Return the list of all as msgpack. Raises TooLarge."""
        if self._limit is not None and self._bytes > self._limit:
            raise TooLarge(
                f"the {self._number:,} parts are {self._bytes:,} bytes together, over the limit of {self._limit:,} "
                "for a result",
                hint="return a value at the end, which is the result then, or raise limits.result in the profile",
            )
        return b"".join([msgpack.Packer().pack_array_header(self._number), *self._parts])


def drain(generator: Generator[Any, Any, Any], context: Context, limit: int | None) -> Any:
    """Emit what it yields; return what it returns, or all that it has yielded when that is nothing."""
    gathered = Gathered(limit)
    try:
        while True:
            try:
                value = next(generator)
            except StopIteration as end:
                return gathered if end.value is None else end.value
            gathered.add(context.give(value))
    finally:
        generator.close()


async def drain_async(generator: AsyncGenerator[Any, Any], context: Context, limit: int | None) -> Gathered:
    """Emit what it yields; return all that."""
    gathered = Gathered(limit)
    try:
        async for value in generator:
            gathered.add(context.give(value))
    finally:
        await generator.aclose()
    return gathered
