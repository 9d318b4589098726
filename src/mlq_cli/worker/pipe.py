"""The pipe between worker and executor, one each: settings go down, outcomes come up, as a stream of msgpack."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import msgpack

_TRY = socket.MSG_DONTWAIT
_AT_ONCE = 1 << 18  # bytes read in one go


def outcome_pair() -> tuple[socket.socket, socket.socket]:
    """Return the worker's and the executor's end."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)


def read_settings(sock: socket.socket) -> dict[str, Any]:
    """Wait for the settings, the only thing that an executor is told here. Raises EOFError when none come."""
    unpacker = msgpack.Unpacker()
    while data := sock.recv(_AT_ONCE):
        unpacker.feed(data)
        for settings in unpacker:
            found: dict[str, Any] = settings
            return found
    raise EOFError("the worker has gone")


def read_frames(unpacker: msgpack.Unpacker) -> Iterator[list[Any]]:
    """Yield the whole frames that were fed. Raises ValueError at anything else: a job wrote where it should not."""
    try:
        for frame in unpacker:
            if type(frame) is not list:
                raise ValueError("not a frame")
            yield frame
    except (msgpack.UnpackException, ValueError, RecursionError) as error:
        raise ValueError(f"the executor's pipe holds something else than frames: {error}") from None


class FrameReader:
    """The worker's end of the stream: bytes in, whole frames out."""

    def __init__(self, sock: socket.socket, longest: int = 0) -> None:
        """`longest`: bytes of a frame; 0: any number."""
        self.socket = sock
        self._unpacker = msgpack.Unpacker(max_buffer_size=longest)
        self.ended = False
        self.drained = True

    def read(self) -> Iterator[list[Any]]:
        """Yield what has arrived; `drained` tells whether nothing had. Raises ValueError when it is not ours."""
        try:
            data = self.socket.recv(_AT_ONCE, _TRY)
        except BlockingIOError:
            self.drained = True
            return
        except OSError:
            data = b""
        self.drained = not data
        if not data:
            self.ended = True
            return
        try:
            self._unpacker.feed(data)
            yield from read_frames(self._unpacker)
        except (ValueError, msgpack.UnpackException):
            self.ended = True
            raise
