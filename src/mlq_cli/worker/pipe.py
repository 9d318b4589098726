"""The two sockets between worker and executor, and the frames on them: the only format the two share.

Towards the executor: datagrams, one job each. A datagram is received whole, by the executor or, if it has not begun
that job, by the worker, which keeps a hold of the executor's end to take unbegun jobs back. The kernel decides who gets
it, so no job can be run and taken back, even while the executor is stuck in C code.
Towards the worker: a stream of msgpack tuples. The executor writes each outcome at once, so a result never waits for
another job.
"""

from __future__ import annotations

import errno
import os
import socket
import tempfile
from array import array
from collections.abc import Iterator
from typing import Any

import msgpack

#: A longer job does not fit a datagram everywhere; it travels as a file without a name whose descriptor is passed.
LONGEST = 8192
_STOP = b"S"
_FILE = b"F"
_ROOM_FOR_ONE_DESCRIPTOR = socket.CMSG_SPACE(4)
_TRY = socket.MSG_DONTWAIT


class JobSender:
    """The worker's end: sends jobs, and takes unbegun ones back."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)

    @property
    def child_end(self) -> socket.socket:
        """What the executor receives from; it stays open here too."""
        return self._theirs

    def send(self, frame: bytes) -> bool:
        """Send one job; False when the executor has as many as fit. Raises OSError when nobody is there."""
        try:
            if len(frame) <= LONGEST:
                self._ours.send(frame, _TRY)
            else:
                with _nameless_file(frame) as file:
                    socket.send_fds(self._ours, [_FILE], [file.fileno()], _TRY)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                return False
            raise
        return True

    def stop(self) -> None:
        """Ask the executor to end when it has run the jobs before this."""
        try:
            self._ours.send(_STOP, _TRY)
        except OSError:
            pass  # it is gone, or too full to listen; the worker has other means

    def take_back(self) -> list[bytes]:
        """Return the jobs that the executor has not begun; it will not see them."""
        frames: list[bytes] = []
        while True:
            try:
                frame = _receive(self._theirs, _TRY)
            except OSError:
                continue  # this one is lost; its job counts as begun
            if frame is None:
                return frames
            if frame:
                frames.append(frame)

    def close(self) -> None:
        """Close both ends held here."""
        self._ours.close()
        self._theirs.close()


class JobReceiver:
    """The executor's end."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock

    def receive(self) -> bytes:
        """Wait for the next job and return it; an empty one means to stop."""
        frame = _receive(self.socket, 0)
        return frame or b""

    def receive_now(self) -> bytes | None:
        """Return the next job, an empty one to stop, None when there is nothing yet."""
        return _receive(self.socket, _TRY)


def _receive(sock: socket.socket, flags: int) -> bytes | None:
    try:
        frame, extra, _, _ = sock.recvmsg(LONGEST, _ROOM_FOR_ONE_DESCRIPTOR, flags)
    except BlockingIOError:
        return None
    if frame == _FILE and not extra:
        raise OSError(errno.EMFILE, "the descriptor of a long job got lost: too many open files")
    if extra:
        (descriptor,) = array("i", extra[0][2][:4])
        with os.fdopen(descriptor, "rb") as file:
            file.seek(0)
            return file.read()
    return b"" if frame == _STOP else frame


def _nameless_file(content: bytes) -> Any:
    """Return an open file that no other process can find and that needs no cleaning up."""
    if hasattr(os, "memfd_create"):
        file: Any = os.fdopen(os.memfd_create("mlq-job"), "r+b")
    else:
        file = tempfile.TemporaryFile()  # noqa: SIM115  the caller closes it
    file.write(content)
    file.flush()
    return file


def outcome_pair() -> tuple[socket.socket, socket.socket]:
    """Return the worker's and the executor's end of the stream of outcomes."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)


class FrameReader:
    """The worker's end of the stream: bytes in, whole frames out."""

    def __init__(self, sock: socket.socket, longest: int = 0) -> None:
        """`longest`: bytes of a frame; 0: any number."""
        self.socket = sock
        self._unpacker = msgpack.Unpacker(max_buffer_size=longest)
        self.ended = False
        self.drained = True

    def read(self) -> Iterator[tuple[Any, ...]]:
        """Yield what has arrived; `drained` tells whether nothing had.

        Raises ValueError when it is not ours: a job has written where it should not.
        """
        try:
            data = self.socket.recv(1 << 18, _TRY)
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
            for frame in self._unpacker:
                if not isinstance(frame, list):
                    raise ValueError("not a frame")
                yield tuple(frame)
        except (msgpack.UnpackException, ValueError, RecursionError) as error:
            self.ended = True
            raise ValueError(f"the executor's pipe holds something else than frames: {error}") from None
