"""`mlq post --jsonl`: a file of messages, one a line, in constant memory."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from itertools import islice
from typing import IO, TYPE_CHECKING, Any

from mlq_cli.bulk import Packed
from mlq_cli.cli.message import parse_json
from mlq_cli.cli.output import Output, complain, line
from mlq_cli.model.errors import Misuse, MlqError
from mlq_cli.model.values import pack
from mlq_cli.progress_bar import progress_bar

if TYPE_CHECKING:
    from mlq_cli.mlq import MLQ

_INFINITE, _BELOW = b"\xcb\x7f\xf0" + bytes(6), b"\xcb\xff\xf0" + bytes(6)  # as msgpack writes them
_PRINTED = 1000  # ids in one write


def post_lines(mlq: MLQ, path: str, output: Output, options: dict[str, Any], *, as_it_stands: bool) -> int:
    """Post each line and print the ids. What stands before a bad line is posted, and said to be."""
    with _open(path) as file:
        source = _Source(file, as_it_stands=as_it_stands, limit=mlq.profile.limits.message)
        posted = 0
        try:
            with progress_bar(output.talks_to_person, _lines_of(file) if output.talks_to_person else None) as advance:

                def count(number: int) -> None:
                    nonlocal posted
                    posted = number
                    advance(number)

                ids = mlq.post_many(Packed(source), progress=count, **options)
        except (MlqError, KeyboardInterrupt):
            complain(f"{posted:,} messages were posted for certain, the first ones")
            raise
    each = iter(ids)
    while page := list(islice(each, _PRINTED)):
        line("\n".join(f'{{"id":"{job_id}"}}' for job_id in page) if output.as_json else "\n".join(page))
    if source.wrong is not None:
        complain(f"{len(ids):,} messages were posted, all that stand before line {source.number}")
        raise Misuse(f"line {source.number}: {source.wrong.message}", hint=source.wrong.hint)
    return 0


class _Source:
    """The messages of a file, packed. It ends before the first bad line, so that all before it are posted and known."""

    def __init__(self, file: IO[bytes], *, as_it_stands: bool, limit: int) -> None:
        self._file = file
        self._as_it_stands = as_it_stands
        self._limit = limit
        self.number = 0  # of the line that was read last
        self.wrong: Misuse | None = None

    def __iter__(self) -> Iterator[bytes]:
        for self.number, data in enumerate(self._file, 1):  # noqa: B020  the count is for others to see
            if not data.strip():
                continue
            try:
                packed = self._pack(data)
            except Misuse as error:
                self.wrong = error
                return
            yield packed

    def _pack(self, data: bytes) -> bytes:
        try:
            text = data.decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise Misuse("it is not valid UTF-8") from None
        if self._as_it_stands:
            return pack(text, limit=self._limit)
        hint = "--string takes each line as it stands"
        packed = pack(parse_json(text, hint=hint, swift=True), limit=self._limit)
        if _INFINITE in packed or _BELOW in packed:
            parse_json(text, hint=hint)  # that is where such a float is refused; other things may look like one
        return packed


def _open(path: str) -> IO[bytes]:
    if path == "-":
        if sys.stdin is None:
            raise Misuse("there is no standard input to read messages from")
        return sys.stdin.buffer
    try:
        return open(path, "rb")
    except (OSError, ValueError) as error:
        raise Misuse(f"{path!r} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _lines_of(file: IO[bytes]) -> int | None:
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
