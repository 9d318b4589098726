"""`mlq post --jsonl`: a file of messages, one a line, in constant memory."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

from mlq_cli.cli.message import parse_json
from mlq_cli.cli.output import Output, complain, line
from mlq_cli.model.errors import Misuse, MlqError
from mlq_cli.model.values import pack
from mlq_cli.progress_bar import progress_bar

if TYPE_CHECKING:
    from mlq_cli.mlq import MLQ


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

                ids = mlq.post_many(source, progress=count, **options)
        except (MlqError, KeyboardInterrupt):
            complain(f"{posted:,} messages were posted for certain, the first ones")
            raise
    for job_id in ids:
        line(f'{{"id":"{job_id}"}}' if output.as_json else job_id)
    if source.wrong is not None:
        complain(f"{len(ids):,} messages were posted, all that stand before line {source.number}")
        raise Misuse(f"line {source.number}: {source.wrong.message}", hint=source.wrong.hint)
    return 0


class _Source:
    """The messages of a file. It ends before the first bad line, so that all before it are posted and known."""

    def __init__(self, file: IO[bytes], *, as_it_stands: bool, limit: int) -> None:
        self._file = file
        self._as_it_stands = as_it_stands
        self._limit = limit
        self.number = 0  # of the line that was read last
        self.wrong: Misuse | None = None

    def __iter__(self) -> Iterator[Any]:
        for self.number, data in enumerate(self._file, 1):  # noqa: B020  the count is for others to see
            if not data.strip():
                continue
            try:
                message = self._read(data)
            except Misuse as error:
                self.wrong = error
                return
            yield message

    def _read(self, data: bytes) -> Any:
        try:
            text = data.decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise Misuse("it is not valid UTF-8") from None
        message = text if self._as_it_stands else parse_json(text, hint="--string takes each line as it stands")
        pack(message, limit=self._limit)  # to know of a message that cannot be posted while all before it still are
        return message


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
