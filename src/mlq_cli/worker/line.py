"""The line between a worker and the executors of a lane: datagrams, a slice of jobs each.

A datagram is received whole, by whichever executor is free first, or by the worker, which keeps a hold of the receiving
end to take unbegun jobs back. The kernel decides who gets it, so no slice is both run and taken back, even while an
executor is stuck in C code; and jobs begin in the order in which they were claimed, however many executors there are.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import tempfile
from array import array
from collections.abc import Callable, Sequence
from typing import Any

#: A longer job does not fit a datagram everywhere; it travels as a file without a name whose descriptor is passed.
LONGEST = 1 << 15
_HEADER = struct.Struct("=q")  # the number of the slice; below 0: what follows is in a file; 0: stop
_ROOM = LONGEST + _HEADER.size
_ROOM_FOR_ONE_DESCRIPTOR = socket.CMSG_SPACE(4)
_TRY = socket.MSG_DONTWAIT

#: Told of each slice as soon as it was received: whatever comes of reading it, it is known who has it.
Noted = Callable[[int], None]


class Line:
    """The worker's end: sends slices, and takes back those that nobody has begun."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self._theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)  # it counts on macOS only

    @property
    def receiving_end(self) -> socket.socket:
        """What executors receive from; it stays open here too."""
        return self._theirs

    def send(self, number: int, records: Sequence[bytes]) -> bool:
        """Send a slice; False when there is no room for it now. Raises OSError when it cannot be sent."""
        try:
            if len(records) == 1 and len(records[0]) > LONGEST:
                with _nameless_file(records[0]) as file:
                    passed = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [file.fileno()]))
                    # not by `socket.send_fds`, which leaves the flags out and so waits for as long as the line is full
                    self._ours.sendmsg([_HEADER.pack(-number)], [passed], _TRY)
            else:
                self._ours.send(_HEADER.pack(number) + b"".join(records), _TRY)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                return False
            raise
        return True

    def stop(self) -> None:
        """Ask one executor, whichever it is, to end when what stands before this has been taken."""
        try:
            self._ours.send(_HEADER.pack(0), _TRY)
        except OSError:
            pass  # it is too full; the worker has other means

    def take_back(self) -> list[int]:
        """Return the numbers of the slices that nobody has received; nobody will. Words to stop stay in the line."""
        numbers = self._empty()
        for _ in range(numbers.count(0)):
            self.stop()
        return [number for number in numbers if number]

    def clear(self) -> list[int]:
        """Take everything back, words to stop too: whom they were for has gone."""
        return [number for number in self._empty() if number]

    def _empty(self) -> list[int]:
        numbers: list[int] = []
        while True:
            try:
                data = self._theirs.recv(_HEADER.size, _TRY)
            except BlockingIOError:
                return numbers
            numbers.append(abs(_HEADER.unpack(data)[0]))

    def close(self) -> None:
        """Close both ends; whoever still receives is told to stop."""
        self._theirs.shutdown(socket.SHUT_RDWR)
        self._ours.close()
        self._theirs.close()


class Receiver:
    """An executor's end."""

    def __init__(self, sock: socket.socket, noted: Noted) -> None:
        self.socket = sock
        self._noted = noted

    def receive(self) -> tuple[int, bytes]:
        """Wait for the next slice and return its number and its jobs; the number 0 means to stop.

        Raises BlockingIOError when it has waited for as long as its socket does.
        """
        return self._receive(0)

    def receive_now(self) -> tuple[int, bytes] | None:
        """Return the next slice, None when there is none right now."""
        try:
            return self._receive(_TRY)
        except BlockingIOError:
            return None

    def _receive(self, flags: int) -> tuple[int, bytes]:
        data, extra, _, _ = self.socket.recvmsg(_ROOM, _ROOM_FOR_ONE_DESCRIPTOR, flags)
        number = _HEADER.unpack_from(data)[0] if data else 0  # nothing: the line was closed
        if number > 0:
            self._noted(number)
            return number, data[_HEADER.size :]
        if number == 0:
            return 0, b""
        self._noted(-number)
        if not extra:
            raise OSError(errno.EMFILE, "the descriptor of a long job got lost: too many open files")
        (descriptor,) = array("i", extra[0][2][:4])
        with os.fdopen(descriptor, "rb") as file:
            file.seek(0)
            return -number, file.read()


def wait_for(sock: socket.socket, seconds: float) -> None:
    """Let whoever receives from a line wait for so long at most; its socket stays one that blocks."""
    whole = int(seconds)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", whole, int((seconds - whole) * 1e6)))


def _nameless_file(content: bytes) -> Any:
    """Return an open file that no other process can find and that needs no cleaning up."""
    if hasattr(os, "memfd_create"):
        file: Any = os.fdopen(os.memfd_create("mlq-job"), "r+b")
    else:
        file = tempfile.TemporaryFile()  # noqa: SIM115  the caller closes it
    file.write(content)
    file.flush()
    return file
