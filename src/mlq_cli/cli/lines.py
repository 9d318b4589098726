"""`mlq post --jsonl`: a file of messages, one a line, in constant memory."""

from __future__ import annotations

import os
import select
import stat
import sys
from collections.abc import Iterator
from io import BufferedIOBase
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from mlq_cli.bulk import Ended, Source
from mlq_cli.cli.message import parse_json
from mlq_cli.cli.output import Output, complain, line
from mlq_cli.model.errors import Misuse, MlqError
from mlq_cli.model.values import pack
from mlq_cli.progress_bar import progress_bar

if TYPE_CHECKING:
    from mlq_cli.mlq import MLQ

_INFINITE, _BELOW = b"\xcb\x7f\xf0" + bytes(6), b"\xcb\xff\xf0" + bytes(6)  # as msgpack writes them
_PRINTED = 1000  # ids in one write
_BLOCK = 1 << 16  # bytes that are read at once


def post_lines(mlq: MLQ, path: str, output: Output, options: dict[str, Any], *, as_it_stands: bool) -> int:
    """Post each line and print the ids. What stands before a bad line is posted, and said to be."""
    with open_lines(path) as file:
        source = Lines(file, as_it_stands=as_it_stands, limit=mlq.profile.limits.message)
        posted = 0
        try:
            with progress_bar(output.talks_to_person, count_lines(file) if output.talks_to_person else None) as advance:

                def count(number: int) -> None:
                    nonlocal posted
                    posted = number
                    advance(number)

                ids = mlq.post_many(source, progress=count, **options)
        except (MlqError, KeyboardInterrupt) as error:
            said = getattr(error, "__notes__", [f"{posted:,} messages were posted for certain, the first ones"])
            complain(said[-1])
            raise
    each = iter(ids)
    while page := list(islice(each, _PRINTED)):
        line("\n".join(f'{{"id":"{job_id}"}}' for job_id in page) if output.as_json else "\n".join(page))
    if source.wrong is not None:
        complain(f"{len(ids):,} messages were posted, all that stand before line {source.number}")
        raise Misuse(f"line {source.number}: {source.wrong.message}", hint=source.wrong.hint)
    return 0


class Lines(Source):
    """The messages of a file. They end before the first bad line, so that all before it are posted and known."""

    def __init__(self, file: BufferedIOBase, *, as_it_stands: bool, limit: int) -> None:
        self._file = file
        self._as_it_stands = as_it_stands
        self._limit = limit
        self.number = 0  # of the bad line
        self.wrong: Misuse | None = None

    @property
    def readable(self) -> bool:
        """Whether reading on would not wait, as far as that can be known."""
        return _readable(self._file)

    def wait(self, seconds: float) -> None:
        """Wait until reading on would not wait, as long at most."""
        _readable(self._file, seconds)

    def blocks(self) -> Iterator[tuple[int, bytes] | None]:
        """Yield some lines, as they stand in the file, and the number of the first."""
        number = 1
        begun: list[bytes] = []  # of a line that is longer than one read
        while True:
            if not self.readable:
                yield None
            data = self._file.read1(_BLOCK)
            whole, newline, rest = data.rpartition(b"\n")
            if newline or not data:
                block = b"".join([*begun, whole, newline])
                if block:
                    yield number, block
                number += block.count(b"\n")
                begun = []
            begun.append(rest)
            if not data:
                return

    def pack(self, block: tuple[int, bytes]) -> Iterator[bytes]:
        """Read some lines."""
        for _, message in self.numbered(block):
            yield message

    def numbered(self, block: tuple[int, bytes]) -> Iterator[tuple[int, bytes]]:
        """Read some lines, each with its number. Raises Ended."""
        first, lines = block
        for number, data in enumerate(lines.split(b"\n"), first):
            if data and not data.isspace():
                try:
                    message = self._pack(data)
                except Misuse as error:
                    raise Ended(number, error.message, error.hint) from None
                yield number, message

    def ended(self, number: int, message: str, hint: str | None) -> None:
        """Take in what is wrong with which line."""
        self.number, self.wrong = number, Misuse(message, hint=hint)

    def _pack(self, data: bytes) -> bytes:
        try:
            text = data.decode().removesuffix("\r")
        except UnicodeDecodeError:
            raise Misuse("it is not valid UTF-8") from None
        if self._as_it_stands:
            return pack(text, limit=self._limit)
        hint = "--string takes each line as it stands"
        packed = pack(parse_json(text, hint=hint, swift=True), limit=self._limit)
        if _INFINITE in packed or _BELOW in packed:
            parse_json(text, hint=hint)  # that is where such a float is refused; other things may look like one
        return packed


def _readable(file: BufferedIOBase, seconds: float = 0.0) -> bool:
    """Whether reading would not wait, as far as that can be known, or not any more after so many seconds at most."""
    try:
        poll = select.poll()
        poll.register(file, select.POLLIN)
        return bool(poll.poll(seconds * 1000))
    except (OSError, ValueError):
        return True


def open_lines(path: str) -> BufferedIOBase:
    """Open a file of lines, or standard input. Raises Misuse."""
    if path == "-":
        if sys.stdin is None:
            raise Misuse("there is no standard input to read messages from")
        return cast(BufferedIOBase, sys.stdin.buffer)
    try:
        return open(path, "rb")
    except (OSError, ValueError) as error:
        raise Misuse(f"{path!r} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def count_lines(file: BufferedIOBase) -> int | None:
    """Count the lines, to know how long the bar is; None when that cannot be known beforehand."""
    try:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return None
        start = file.tell()
        count = sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
        file.seek(start)
    except OSError:
        return None
    return count
