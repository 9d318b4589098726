"""A poster: a fork of a process that posts in bulk. It packs blocks of messages and posts them when it is told to.

It gets frames of msgpack over a socket, and answers with such:

    [WORK, number, block]        →  [PACKED, number, messages, bytes, seconds, end]    end: nil, or why it ends early
    [POST, number]               →  [POSTED, number, [[first id, past the last], …], whole] for each chunk, or
                                    [FAILED, number, error]
"""

from __future__ import annotations

import pickle
import socket
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from typing import Any

import msgpack

from mlq_cli.bulk import CHUNK, CHUNK_BYTES, Ended, Ids, Source
from mlq_cli.model.errors import MlqError

ERROR_BYTES = 1 << 16  # of a pickled error; beyond, only its text is passed on


class Frame(IntEnum):
    """What a frame is."""

    WORK = 1
    POST = 2
    PACKED = 3
    POSTED = 4
    FAILED = 5


def serve(link: socket.socket, source: Source, post: Callable[[list[bytes]], Sequence[str]]) -> None:
    """Do what the frames say until there are no more, or nobody hears the answers."""
    kept: dict[int, list[bytes]] = {}  # packed, by the number of their block
    try:
        for kind, number, *rest in frames(link):
            if kind == Frame.WORK:
                began = time.monotonic()
                kept[number], end = _pack(source, rest[0])
                size = sum(map(len, kept[number]))
                send(link, Frame.PACKED, number, len(kept[number]), size, time.monotonic() - began, end)
            else:
                _post(link, number, kept.pop(number), post)
    except (BrokenPipeError, ConnectionResetError):
        pass  # the process that forked us is gone


def frames(link: socket.socket) -> Iterator[list[Any]]:
    """Yield what comes until the other side closes."""
    unpacker = msgpack.Unpacker(max_buffer_size=0)
    while data := link.recv(1 << 16):
        unpacker.feed(data)
        yield from unpacker


def send(link: socket.socket, *frame: Any) -> None:
    """Send one frame."""
    link.sendall(msgpack.packb(frame))


def _pack(source: Source, block: Any) -> tuple[list[bytes], Any]:
    messages: list[bytes] = []
    try:
        messages.extend(source.pack(block))
    except Ended as end:
        return messages, list(end.args)
    except BaseException as error:  # noqa: BLE001  raised again by the process that forked us
        return messages, dump(error)
    return messages, None


def _post(
    link: socket.socket, number: int, messages: list[bytes], post: Callable[[list[bytes]], Sequence[str]]
) -> None:
    begin = 0
    while begin < len(messages) or begin == 0:
        end, room = begin, CHUNK_BYTES
        while end < min(begin + CHUNK, len(messages)) and room > 0:
            room -= len(messages[end])
            end += 1
        ids = Ids()
        try:
            if end > begin:
                ids.add(post(messages[begin:end]))
        except BaseException as error:  # noqa: BLE001  as above
            send(link, Frame.FAILED, number, dump(error))
            return
        send(link, Frame.POSTED, number, [[part.start, part.stop] for part in ids.ranges], end == len(messages))
        begin = end or 1


def dump(error: BaseException) -> bytes:
    """Return an error as bytes, with where it was raised in a note; only its text when it cannot be carried."""
    where = "".join(traceback.format_exception(error)).strip()
    if not isinstance(error, MlqError):
        error.add_note(f"In a process that posted in parallel:\n{where}")
    try:
        made = pickle.dumps(error)
        pickle.loads(made)
        if len(made) < ERROR_BYTES:
            return made
    except Exception:  # noqa: BLE001  whatever the user's own class does
        pass
    return pickle.dumps(MlqError(f"{type(error).__name__}: {error}"[:1000], hint=where[-3000:]))


def load(made: bytes) -> BaseException:
    """Return the error that `dump` was given."""
    error: BaseException = pickle.loads(made)
    return error
