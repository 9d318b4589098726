"""Many messages at once: in chunks, each drawn and packed while the store works on the one before."""

from __future__ import annotations

import os
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, overload

from mlq_cli.model.call import Call as CallMessage
from mlq_cli.model.errors import Misuse, MlqError
from mlq_cli.model.options import PostOptions
from mlq_cli.model.values import pack
from mlq_cli.store.base import Call, Caller, Posted, Store

CHUNK = 500  # messages in one script call: enough to be fast, few enough to let others through
CHUNK_BYTES = 4 << 20  # of them together, but for the last one
MOST = 256  # processes
SWIFT = 0.05  # seconds to draw a chunk in; beyond, to draw while the store works gains nothing and answers wait unread


class Ids(Sequence[str]):
    """Ids of a bulk post, in order. Numbers that follow each other are kept as a range, so a million take no room."""

    def __init__(self) -> None:
        self._starts: list[int] = []  # at which position each range begins
        self._ranges: list[range] = []
        self._length = 0

    def add(self, ids: Sequence[str]) -> None:
        """Append ids that one call got from the counter: they ascend."""
        if not ids:
            return
        first, last = int(ids[0]), int(ids[-1])
        if last - first == len(ids) - 1:
            self.add_range(range(first, last + 1))
            return
        for job_id in ids:
            self.add_range(range(int(job_id), int(job_id) + 1))

    def add_range(self, numbers: range) -> None:
        """Append ids that follow each other."""
        if self._ranges and numbers.start == self._ranges[-1].stop:
            self._ranges[-1] = range(self._ranges[-1].start, numbers.stop)
        else:
            self._starts.append(self._length)
            self._ranges.append(numbers)
        self._length += len(numbers)

    @property
    def ranges(self) -> list[range]:
        """The ids as numbers."""
        return list(self._ranges)

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


class Ended(Exception):  # no error: what came before it is posted, and what it holds is told to the source
    """Raised by `Source.pack` where the messages end before the block does; holds values that msgpack carries."""


class Source:
    """Messages in blocks that are drawn here and may be packed elsewhere."""

    length: int | None = None  # in messages, if known

    def blocks(self) -> Iterator[Any]:
        """Yield blocks of messages as values that msgpack carries; None where the next may have to be awaited."""
        raise NotImplementedError

    def pack(self, block: Any) -> Iterator[bytes]:
        """Yield the messages of a block. May be called in a fork of this process. Raises Ended, and as `pack` does."""
        raise NotImplementedError

    def ended(self, *told: Any) -> None:
        """Take in what `pack` has raised Ended with."""

    def noted(self, messages: int, size: int, seconds: float) -> None:
        """Take in how many messages of how many bytes a block had, and how long it took to pack."""

    def __iter__(self) -> Iterator[bytes]:
        for block in self.blocks():
            if block is not None:
                try:
                    yield from self.pack(block)
                except Ended as end:
                    self.ended(*end.args)
                    return


def packed(
    messages: Iterable[Any], limit: int, call_of: Callable[[Any], CallMessage] = CallMessage.of
) -> Iterator[bytes]:
    """Return an iterator that draws one message after the other and packs it. Its `next` raises as `pack` does.

    `call_of` makes the call that a `partial` stands for.
    """
    if isinstance(messages, Source):
        return iter(messages)
    return (pack(message if type(message) is not partial else call_of(message), limit=limit) for message in messages)


def processes(parallel: int | bool) -> int:
    """Return how many processes are meant; True is one for each core that we may use. Raises Misuse."""
    if parallel is True:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if parallel is False:
        return 1
    if not isinstance(parallel, int) or not 1 <= parallel <= MOST:
        raise Misuse(f"{parallel!r} processes cannot post in parallel", hint=f"1 to {MOST}, or True: one for each core")
    return parallel


def post_all(store: Store, messages: Iterator[bytes], options: PostOptions, advance: Callable[[int], None]) -> Ids:
    """Post messages in chunks, one after the other, and return their ids; `advance` is told how many are posted.

    An error of `messages` is raised when the chunk before it has been answered; of its own chunk nothing is posted.
    """
    ids = Ids()
    making = _Making(store, messages, options)
    while call := making.take():
        try:
            (answer,) = store.run(call, meanwhile=making.ahead if making.swift else None)
        except MlqError as error:
            making.give_way(error)
            raise
        if isinstance(answer, MlqError):
            making.give_way(answer)
            raise answer
        posted: Posted = answer
        ids.add(posted.ids)
        advance(len(ids))
    return ids


class _Making:
    """Makes calls of messages, one of them ahead when that pays."""

    def __init__(self, store: Store, messages: Iterator[bytes], options: PostOptions) -> None:
        self._store = store
        self._messages = messages
        self._options = options
        self._caller = Caller()  # another one than the thread: `messages` may post too
        self._ahead: Call[Posted] | None = None
        self._ended = False
        self._error: BaseException | None = None
        self.swift = False  # until the first chunk has shown how fast they come

    def take(self) -> Call[Posted] | None:
        """Return the next call, None at the end. Raises what making it has raised."""
        if self._error is not None:
            raise self._error
        call, self._ahead = self._ahead or self._make(), None
        return call

    def ahead(self) -> None:
        """Make the next call. Raises nothing: first the one that is under way has to be answered."""
        try:
            self._ahead = self._make()
        except BaseException as error:  # noqa: BLE001  raised by `take`
            self._error = error

    def give_way(self, error: MlqError) -> None:
        """Raise, instead of an error of the store, Ctrl-C and the like that came meanwhile."""
        if self._error is not None and not isinstance(self._error, Exception):
            raise self._error from error

    def _make(self) -> Call[Posted] | None:
        began = time.monotonic()
        chunk = [] if self._ended else self._draw()
        self.swift = time.monotonic() - began < SWIFT
        return self._store.post(chunk, self._options, caller=self._caller) if chunk else None

    def _draw(self) -> list[bytes]:
        chunk: list[bytes] = []
        room = CHUNK_BYTES
        for message in self._messages:
            chunk.append(message)
            room -= len(message)
            if room <= 0 or len(chunk) == CHUNK:
                return chunk
        self._ended = True  # to ask once more may wait: for a terminal, say
        return chunk
