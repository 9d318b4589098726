"""One connection to Redis: a socket and hiredis' parser, and nothing between them and a verb.

redis-py's connections do the same with half as much Python again, and importing them takes longer than all the rest of
`mlq post`. They are still used where they do more: see `redis_py.py`.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from hiredis import Reader, pack_command

Command = Sequence[str | bytes | int | float]
#: Sends plain commands, and returns their answers or raises MlqError.
Read = Callable[[Sequence[Command]], list[Any]]

CONNECT_SECONDS = 2.0  # to get a connection; commands fail well within 5 s when Redis is away
ANSWER_SECONDS = 4.0  # for a command's answer before the connection counts as dead
SLOWEST = 1 << 15  # bytes a second that a link has to carry
AT_ONCE = 1 << 16  # bytes up to which the time to carry them does not matter
ONE_WRITE = 1 << 20  # bytes up to which commands are joined for one write; beyond, copying costs more than a call
ONE_READ = 1 << 16  # bytes

# A host that is gone without a word is noticed within a minute, also by who only listens.
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
_MORE: Any = object()  # says the parser of an answer that is not complete

#: What `hear` returns when nothing came.
SILENCE: Any = object()

_pack: Any = pack_command  # its stub allows tuples of one


class ErrorAnswer(Exception):
    """What Redis answered in the place of a value, word for word."""

    @property
    def word(self) -> str:
        """The first word, which says of what kind it is: ERR, NOSCRIPT, MOVED, …"""
        return str(self).partition(" ")[0]


class Garbled(ConnectionError):
    """What came is not the protocol of Redis."""


class Link:
    """A connected connection. Failures are OSError, silence is TimeoutError; an error answer is an answer."""

    def __init__(
        self,
        connected: socket.socket,
        *,
        host: str | None = None,
        port: int | None = None,
        seconds: float | None = ANSWER_SECONDS,
        owner: object = None,
    ) -> None:
        """Take a socket over on which no answer is due.

        `seconds`: for an answer, None: for ever. `owner`: what has to live as long as the socket.
        """
        self.host, self.port = host, port  # None for a unix socket
        self._socket = connected
        self._seconds = seconds
        self._limit = seconds  # that the socket has now
        self._owner = owner
        self._leaving = False  # a channel, and the confirmation has not been read
        self._pid = os.getpid()
        self._reader = Reader(protocolError=Garbled, replyError=ErrorAnswer, notEnoughData=_MORE)
        connected.settimeout(seconds)

    def fileno(self) -> int:
        """The descriptor, for waiting on it beside others."""
        return self._socket.fileno()

    def send(self, commands: Sequence[Command]) -> float:
        """Send commands in one write; returns the seconds within which an answer is due. Many bytes get more time.

        The system takes megabytes off our hands at once; on a slow link they are under way for long after that.
        """
        packed = [_pack(tuple(command)) for command in commands]
        if len(packed) == 1:
            size = len(packed[0])
        elif (size := sum(map(len, packed))) < ONE_WRITE:
            packed = [b"".join(packed)]
        limit = self._seconds
        if size > AT_ONCE and limit is not None:
            limit += size / SLOWEST
        if limit != self._limit:
            self._wait_at_most(limit)
        for part in packed:
            self._socket.sendall(part)
        return math.inf if self._limit is None else self._limit

    def receive(self, count: int) -> list[Any]:
        """Return so many answers; an error answer stands in its place as an ErrorAnswer."""
        if self._leaving:
            self._pass_over()
        gets = self._reader.gets
        answers = []
        for _ in range(count):
            while (answer := gets()) is _MORE:
                self._read()
            answers.append(answer)
        return answers

    def has_answer(self) -> bool:
        """Whether an answer, or a part of one, can be read without waiting."""
        if self._reader.has_data():
            return True
        pending = getattr(self._socket, "pending", None)  # TLS: what was decrypted makes no descriptor readable
        if pending is not None and pending() > 0:
            return True
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(0))

    def ask(self, *commands: Command) -> list[Any]:
        """Send commands together and return their answers. Raises the first ErrorAnswer."""
        self.send(commands)
        answers = self.receive(len(commands))
        for answer in answers:
            if isinstance(answer, ErrorAnswer):
                raise answer
        return answers

    def hear(self, seconds: float) -> Any:
        """Return the next answer, SILENCE after so many seconds without one."""
        deadline = time.monotonic() + seconds
        while (answer := self._reader.gets()) is _MORE:
            self._wait_at_most(max(deadline - time.monotonic(), 1e-6))  # 0 would be another mode of the socket
            try:
                self._read()
            except TimeoutError as error:
                if error.errno is not None:  # the system's: the other side is gone
                    raise
                return SILENCE
        return answer

    def leave(self, channel: str) -> None:
        """Be no longer subscribed. What was still said there, and the confirmation, is passed over by `receive`."""
        self.send([("UNSUBSCRIBE", channel)])
        self._leaving = True

    def _pass_over(self) -> None:
        self._leaving = False
        while True:
            (said,) = self.receive(1)
            if isinstance(said, list) and said[0] == b"unsubscribe":
                return

    def disconnect(self) -> None:
        """Close it. In a fork only this end: the parent goes on with it."""
        if os.getpid() == self._pid:
            with contextlib.suppress(OSError):  # also for a child that shares it: nobody is to be served through it now
                self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _read(self) -> None:
        data = self._socket.recv(ONE_READ)
        if not data:
            raise ConnectionError("Redis has closed the connection")
        self._reader.feed(data)

    def _wait_at_most(self, seconds: float | None) -> None:
        self._limit = seconds
        self._socket.settimeout(seconds)


class Place(NamedTuple):
    """Where a server listens, how to log in, and what to set up."""

    host: str | None = None
    port: int | None = None
    path: str | None = None  # of a unix socket, instead
    db: int = 0
    username: str = ""
    password: str = ""
    client_name: str = ""
    connect_seconds: float = CONNECT_SECONDS
    answer_seconds: float = ANSWER_SECONDS

    def open(self) -> Link:
        """Connect, log in, choose the database. Raises OSError or ErrorAnswer."""
        connected = self._connected()
        link = Link(connected, host=self.host, port=self.port, seconds=self.answer_seconds)
        try:
            greeting = self._greeting()
            if greeting:
                link.ask(*greeting)
        except BaseException:
            link.disconnect()
            raise
        return link

    def _connected(self) -> socket.socket:
        if self.path is not None:
            connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connected.settimeout(self.connect_seconds)
                connected.connect(self.path)
            except BaseException:
                connected.close()
                raise
            return connected
        # A name in bytes is looked up without loading the tables of international names.
        host: Any = (self.host or "localhost").encode()
        connected = socket.create_connection((host, self.port or 6379), self.connect_seconds)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE.items():
            if hasattr(socket, option):
                connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        return connected

    def _greeting(self) -> list[Command]:
        greeting: list[Command] = []
        if self.username:
            greeting.append(("AUTH", self.username, self.password))
        elif self.password:
            greeting.append(("AUTH", self.password))
        if self.client_name:
            greeting.append(("CLIENT", "SETNAME", self.client_name))
        if self.db:
            greeting.append(("SELECT", self.db))
        return greeting
