"""Bulk posts by several processes: this one hands blocks of messages out to posters, which are forks of it.

A block is posted when all before it are packed, whoever of the posters is fast: unless Redis fails, nothing is posted
that stands behind a message that cannot be made or packed.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import msgpack

from mlq_cli.bulk import CHUNK, CHUNK_BYTES, SWIFT, Ids, Source, packed
from mlq_cli.model.errors import Misuse, MlqError
from mlq_cli.model.options import PostOptions
from mlq_cli.poster import Frame, load, send, serve
from mlq_cli.store.base import Store

AHEAD = 2  # blocks that a poster has: one to pack, or to post, and the next
STOP_SECONDS = 5.0  # after Ctrl-C, to hear what became of the blocks that are being posted
FIRST = 32  # messages at most in the first blocks, before it is known how large and how slow they are


def shared(messages: Any, limit: int) -> Source:
    """Return messages in a source that posters can share. Raises Misuse unless they can be sliced."""
    if isinstance(messages, Source):
        return messages
    try:
        length = len(messages)
        messages[0:0]
    except Exception:  # noqa: BLE001  each kind of sequence has its own
        raise Misuse(
            "to post in parallel needs messages with a length and slices, such as a list",
            hint="what a generator makes comes from one process, which can also post it as fast as Redis takes it",
        ) from None
    return Slices(messages, length, limit)


class Slices(Source):
    """Messages of a sequence; its slices are taken, and so perhaps made, by the posters."""

    def __init__(self, messages: Any, length: int, limit: int) -> None:
        self._messages = messages
        self.length: int = length
        self._limit = limit
        self._count = max(1, min(FIRST, length // 16))

    def blocks(self) -> Iterator[list[int]]:
        """Yield from where to where each slice goes."""
        begin = 0
        while begin < self.length:
            end = min(begin + self._count, self.length)
            yield [begin, end]
            begin = end

    def pack(self, block: list[int]) -> Iterator[bytes]:
        """Take a slice and pack its messages."""
        begin, end = block
        made = list(self._messages[begin:end])
        if len(made) != end - begin:
            raise Misuse(f"the slice {begin}:{end} has {len(made)} messages", hint="post list(messages) instead")
        yield from packed(made, self._limit)

    def noted(self, messages: int, size: int, seconds: float) -> None:
        """Take larger blocks as long as they are packed swiftly and fit into one call."""
        if not messages:
            return
        part = max(size / CHUNK_BYTES, seconds / SWIFT)  # of what a block may be
        fitting = int(messages / part) if part else CHUNK
        self._count = max(1, min(CHUNK, 2 * self._count, fitting))


class _Poster:
    """One of the forks, seen from here."""

    def __init__(self, pid: int, link: socket.socket) -> None:
        self.pid = pid
        self.link = link
        self.held = 0  # blocks
        self._unpacker = msgpack.Unpacker(max_buffer_size=0)
        self.ended = False  # and somebody has noticed
        self._code = 0

    def heard(self) -> list[list[Any]]:
        """Return the frames that have come. Raises MlqError when it has ended."""
        with suppress(ConnectionResetError):
            if data := self.link.recv(1 << 16):
                self._unpacker.feed(data)
                return list(self._unpacker)
        raise self._lost()

    def tell(self, *frame: Any) -> None:
        """Send a frame. Raises MlqError when it has ended."""
        try:
            send(self.link, *frame)
        except (BrokenPipeError, ConnectionResetError):
            raise self._lost() from None

    def kill(self) -> None:
        """End it, whatever it does."""
        if not self.ended:
            os.kill(self.pid, signal.SIGKILL)

    def join(self) -> int:
        """Wait until it has ended; returns its exit code, negative for a signal, 0 when nobody knows it."""
        if not self.ended:
            self.ended = True
            with suppress(ChildProcessError):  # SIGCHLD is ignored, or somebody else has asked
                self._code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._code

    def _lost(self) -> MlqError:
        code = self.join()
        return MlqError(
            f"a process that posted in parallel ended with {f'signal {-code}' if code < 0 else f'code {code}'}",
            hint="was it killed for its memory? what it was posting may be posted or not",
        )


class Posters:
    """Posters while the block lasts: the forks are made at its beginning, and gone at its end."""

    def __init__(self, store: Store, source: Source, options: PostOptions, count: int) -> None:
        self._store = store
        self._source = source
        self._options = options
        self._count = count if source.length is None else max(1, min(count, source.length))
        self._posters: list[_Poster] = []
        self._given = 0  # blocks
        self._told = 0  # of them, to be posted
        self._packed: dict[int, _Poster] = {}  # that are not yet told
        self._posting: dict[int, _Poster] = {}
        self._stop: int | None = None  # no block from this number on is posted any more
        self._failed: tuple[int, BaseException] | None = None  # the first block with an error
        self._posted: dict[int, list[range]] = {}  # ids of blocks, until all before them are posted
        self._whole: set[int] = set()  # of these blocks those that are posted as a whole
        self._ids = Ids()
        self._next = 0  # block whose ids come next in there
        self._certain = 0  # messages that are posted

    def __enter__(self) -> Self:
        try:
            for _ in range(self._count):
                self._fork()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def post_all(self, advance: Callable[[int], None]) -> Ids:
        """Post everything and return the ids in the order of the messages. `advance` is told how many are posted.

        Raises, with a note of how many were posted for certain, the error of the first block that has one.
        """
        try:
            self._run(advance)
        except BaseException as error:
            if self._settle() and (isinstance(error, MlqError) or not isinstance(error, Exception)):
                advance(self._certain)
            error.add_note(self._said())
            raise
        return self._ids

    def _run(self, advance: Callable[[int], None]) -> None:
        blocks = self._source.blocks()
        while self._stop is None:
            poster = min(self._posters, key=lambda each: each.held)
            if poster.held >= AHEAD:
                self._wait(advance)
                continue
            try:
                block = next(blocks)
            except StopIteration:
                self._stop = self._given
            except Exception as error:  # noqa: BLE001  raised when all before it is posted
                self._fail(self._given, error, self._given + 1)
            else:
                if block is not None:
                    poster.held += 1
                    poster.tell(Frame.WORK, self._given, block)
                    self._given += 1
                else:  # to wait for the next one must not keep back what is there
                    while self._stop is None and self._told < self._given:
                        self._wait(advance)
        while self._posting or self._told < self._stop:
            self._wait(advance)
        if self._failed is not None:
            raise self._failed[1]

    def _wait(self, advance: Callable[[int], None]) -> None:
        if self._hear():
            advance(self._certain)

    def _settle(self) -> bool:
        """Hear what becomes of the blocks that are being posted, and post no more. Returns whether more are posted."""
        self._stop, certain = self._told, self._certain
        deadline = time.monotonic() + STOP_SECONDS
        while not all(poster.ended for poster in self._posting.values()) and time.monotonic() < deadline:
            with suppress(MlqError):  # of one that has died too
                self._hear(max(0.0, deadline - time.monotonic()))
        return self._certain > certain

    def _hear(self, seconds: float | None = None) -> bool:
        """Wait for frames and take them in. Returns whether more messages are posted."""
        poll = select.poll()
        by_link = {poster.link.fileno(): poster for poster in self._posters if not poster.ended}
        for link in by_link:
            poll.register(link, select.POLLIN)
        certain = self._certain
        for link, _ in poll.poll(None if seconds is None else seconds * 1000):
            poster = by_link[link]
            for kind, number, *rest in poster.heard():
                self._take(poster, kind, number, rest)
        return self._certain > certain

    def _take(self, poster: _Poster, kind: int, number: int, rest: list[Any]) -> None:
        if kind == Frame.PACKED:
            messages, size, seconds, end = rest
            self._source.noted(messages, size, seconds)
            self._packed[number] = poster
            if end is not None and (self._stop is None or number < self._stop):
                if isinstance(end, bytes):
                    self._fail(number + 1, load(end), number + 1)
                else:
                    self._stop = number + 1
                    self._source.ended(*end)
        elif kind == Frame.POSTED:
            ranges = [range(first, stop) for first, stop in rest[0]]
            self._posted.setdefault(number, []).extend(ranges)
            self._certain += sum(map(len, ranges))
            if rest[1]:
                self._done(poster, number)
                self._whole.add(number)
        else:
            self._done(poster, number)
            self._fail(self._told, load(rest[0]), number)
        while self._next in self._whole:
            self._whole.remove(self._next)
            for numbers in self._posted.pop(self._next):
                self._ids.add_range(numbers)
            self._next += 1
        while self._told in self._packed and (self._stop is None or self._told < self._stop):
            poster = self._packed.pop(self._told)
            self._posting[self._told] = poster
            poster.tell(Frame.POST, self._told)
            self._told += 1

    def _done(self, poster: _Poster, number: int) -> None:
        poster.held -= 1
        self._posting.pop(number, None)

    def _fail(self, stop: int, error: BaseException, number: int) -> None:
        """Post nothing from the block `stop` on. Of several errors the one with the least `number` comes out."""
        if self._stop is None or stop < self._stop:
            self._stop = stop
        if self._failed is None or number < self._failed[0]:
            self._failed = number, error

    def _said(self) -> str:
        whole = self._certain == len(self._ids) + sum(map(len, self._posted.get(self._next, [])))
        which = "the first ones" if whole else "though not just the first ones"
        return f"{self._certain:,} messages were posted for certain, {which}"

    # --- life of the forks -----------------------------------------------------------------------------------------
    def _fork(self) -> None:
        ours, theirs = socket.socketpair()
        # What a handler raises must not come up in the fork, which would go on with the caller's program.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of other threads, see docs/decisions.md
                pid = os.fork()
            if pid == 0:
                self._be_poster(ours, theirs, before)
            self._posters.append(_Poster(pid, ours))
            theirs.close()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _be_poster(self, ours: socket.socket, theirs: socket.socket, mask: Collection[int]) -> None:
        """Work until there is no more to do, and end; never returns."""
        code = 1
        try:
            gc.freeze()  # what the parent has thrown away is not ours to clean up
            signal.set_wakeup_fd(-1)
            for number in signal.valid_signals():
                if callable(signal.getsignal(number)):
                    signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when it is over
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            ours.close()
            for poster in self._posters:  # else they would not learn of the parent's end
                poster.link.close()
            serve(theirs, self._source, self._post)
            code = 0
        finally:
            os._exit(code)

    def _post(self, messages: list[bytes]) -> Sequence[str]:
        return self._store.ask(self._store.post(messages, self._options)).ids

    def _end(self) -> None:
        """End the forks. Those that are idle end by themselves; what others do is not waited for."""
        idle = not self._posting and all(not poster.held for poster in self._posters)
        for poster in self._posters:
            with suppress(OSError):
                poster.link.shutdown(socket.SHUT_RDWR)  # also for other forks of the caller's that share it
            poster.link.close()
            if not idle:
                with suppress(ProcessLookupError):
                    poster.kill()
        while self._posters:
            self._posters.pop().join()
