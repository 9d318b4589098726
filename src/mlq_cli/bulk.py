"""Many messages at once: in chunks, and their ids in little room."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import overload


class Ids(Sequence[str]):
    """Ids of a bulk post, in order. Numbers that follow each other are kept as a range, so a million take no room."""

    def __init__(self) -> None:
        self._starts: list[int] = []  # at which position each range begins
        self._ranges: list[range] = []
        self._length = 0

    def add(self, ids: Sequence[str]) -> None:
        """Append ids that the counter gave."""
        for job_id in ids:
            number = int(job_id)
            if self._ranges and number == self._ranges[-1].stop:
                self._ranges[-1] = range(self._ranges[-1].start, number + 1)
            else:
                self._starts.append(self._length)
                self._ranges.append(range(number, number + 1))
            self._length += 1

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[str]:
        for numbers in self._ranges:
            yield from map(str, numbers)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._length))]
        position = index + self._length if index < 0 else index
        if not 0 <= position < self._length:
            raise IndexError(index)
        at = bisect_right(self._starts, position) - 1
        return str(self._ranges[at][position - self._starts[at]])

    def __repr__(self) -> str:
        return f"<{self._length} ids{f' from {self[0]} to {self[-1]}' if self._length else ''}>"


def chunks(messages: Iterable[bytes], count: int, size: int) -> Iterator[list[bytes]]:
    """Yield lists of at most `count` messages and about `size` bytes together, never an empty one."""
    chunk: list[bytes] = []
    held = 0
    for message in messages:
        if chunk and (len(chunk) >= count or held + len(message) > size):
            yield chunk
            chunk, held = [], 0
        chunk.append(message)
        held += len(message)
    if chunk:
        yield chunk
