"""An executor that runs nothing: a test does by hand what one would do."""

from __future__ import annotations

import socket
from typing import Any

import msgpack

from mlq_cli.worker.board import PLACE_BITS, Board
from mlq_cli.worker.line import Receiver

SETTINGS = {"limit": 1000}


def mark_of(number: int, place: int) -> int:
    return number << PLACE_BITS | place


def done(name: str, token: str = "token") -> list[Any]:
    return ["done", name, token, 0.001, b"", b"\xc0", b""]


class Puppet:
    """A host that runs nothing: the test does what an executor would do."""

    pid = None

    def __init__(self) -> None:
        self.killed = False

    def launch(self, jobs: socket.socket, outcomes: socket.socket, board: Board, doing: Any) -> None:
        self.noted: list[int] = []
        self.receiver = Receiver(jobs, self.noted.append)
        self.outcomes = outcomes.dup()
        self.board = board

    def tell(self, *frames: Any) -> None:
        self.outcomes.sendall(b"".join(map(msgpack.packb, frames)))

    def keep(self, frame: Any) -> None:
        assert self.board.keep(msgpack.packb(frame))

    def receive(self) -> int:
        received = self.receiver.receive_now()
        assert received is not None
        self.board.begin(mark_of(received[0], 0), 0.0)
        return received[0]

    def died(self) -> str | None:
        return "killed by signal 9 (SIGKILL)" if self.killed else None

    def gone(self) -> bool:
        return self.killed

    def guarded(self) -> bool:
        return True

    def kill(self) -> None:
        self.killed = True

    def last_words(self) -> bytes:
        return b""
