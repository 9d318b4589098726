"""Taking up registered functions in an executor: the only place where anything is ever unpickled.

What comes here was verified by the worker (`shelf.py`). There is no key here, and nothing comes from Redis.
"""

from __future__ import annotations

import errno
import os
import pickle
import select
import socket
from array import array
from collections.abc import Callable
from typing import Any, NamedTuple

from mlq_cli.model.envelope import CALL
from mlq_cli.model.errors import Misuse
from mlq_cli.worker.failure import described
from mlq_cli.worker.listeners import Listener, listener_of
from mlq_cli.worker.repertoire import Repertoire
from mlq_cli.worker.shelf import read_file

Tell = Callable[[tuple[Any, ...]], None]
_CLOSED_ON_EXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)  # a process that a job starts just now does not get it
_ROOM = socket.CMSG_SPACE(array("i").itemsize)


class Taken(NamedTuple):
    """A registered function."""

    version: int
    function: Callable[..., Any] | None  # None: it could not be unpickled
    listener: Listener | None  # None: it only runs where a job calls it by name
    why_not: str


class _Either:
    """Waits for a line, which executors share, or for a pipe, which they do not.

    One slice shall wake one executor and not all of them, where the system can do that.
    """

    def __init__(self, line: socket.socket, pipe: socket.socket) -> None:
        self._exclusive = select.epoll() if hasattr(select, "EPOLLEXCLUSIVE") else None
        self._poll = select.poll()
        if self._exclusive is not None:
            self._exclusive.register(line, select.EPOLLIN | select.EPOLLEXCLUSIVE)
            self._exclusive.register(pipe, select.EPOLLIN)
        else:
            self._poll.register(line, select.POLLIN)
            self._poll.register(pipe, select.POLLIN)

    def wait(self, seconds: float) -> None:
        """Wait for so long at most."""
        if self._exclusive is not None:
            self._exclusive.poll(seconds)
        else:
            self._poll.poll(seconds * 1000)


class Taking:
    """The registered functions that this executor has."""

    def __init__(self, pipe: socket.socket, tell: Tell, repertoire: Repertoire) -> None:
        """`pipe`: where shelves come from; `tell` sends a frame to the worker; `repertoire`: all that it is part of."""
        self._pipe = pipe
        self._tell = tell
        self._repertoire = repertoire
        self._news = select.poll()
        self._news.register(pipe, select.POLLIN)
        self._either: _Either | None = None
        self._taken: dict[str, Taken] = {}
        self.listeners: list[Listener] = []  # in the order of registration
        self.functions: dict[str, Callable[..., Any]] = {}  # all of them, by name

    def fileno(self) -> int:
        """The descriptor that is readable when there is a new shelf."""
        return self._pipe.fileno()

    def begin(self) -> None:
        """Ask for the first shelf and take it up."""
        self._answer()
        self.take()

    def look(self) -> None:
        """Take up what has come."""
        while self._news.poll(0):
            self.take()

    def wait(self, line: socket.socket, seconds: float) -> None:
        """Wait for so long at most until there is a slice in the line, or a new shelf."""
        if self._either is None:
            self._either = _Either(line, self._pipe)
        self._either.wait(seconds)

    def take(self) -> None:
        """Take up the shelf that has come, and drop what is not on it any more. Raises OSError."""
        data, extra, _, _ = self._pipe.recvmsg(1, _ROOM, _CLOSED_ON_EXEC)
        if not data:
            os._exit(1)  # the worker has gone
        if not extra:
            raise OSError(errno.EMFILE, "the descriptor of a shelf got lost: too many open files")
        (descriptor,) = array("i", extra[0][2][: array("i").itemsize])
        try:
            before, self._taken = self._taken, {}
            for name, version, use, cloudpickle, where in read_file(descriptor):
                known = before.get(name)
                if known is None or known.version != version:
                    self._tell(("taking", name, version))
                    known = _unpickled(descriptor, where, name, version, use, cloudpickle)
                self._taken[name] = known
        finally:
            os.close(descriptor)
        self.functions = {name: one.function for name, one in self._taken.items() if one.function is not None}
        self.listeners = [one.listener for one in self._taken.values() if one.listener is not None]
        self._answer()

    def _answer(self) -> None:
        """Say what there is now, and so that the next shelf may come."""
        why_not = {name: one.why_not for name, one in self._taken.items() if one.why_not}
        self._tell(("functions", self._repertoire.names, why_not))


def _unpickled(descriptor: int, where: slice, name: str, version: int, use: str, cloudpickle: str) -> Taken:
    """Return a function. Whatever its unpickling raises is told and harms nothing else."""
    try:
        function = pickle.loads(os.pread(descriptor, where.stop - where.start, where.start))
        if not callable(function):
            raise Misuse(f"it is no function but a {type(function).__name__}")
        listener = None if use == CALL else _listener(function, name)
    except BaseException as error:
        return Taken(version, None, None, _why_not(error, cloudpickle))
    return Taken(version, function, listener, "")


def _listener(function: Callable[..., Any], name: str) -> Listener:
    own = listener_of(function)
    return Listener(name, own.function, own.wants_context, own.is_async)


def _why_not(error: BaseException, cloudpickle: str) -> str:
    """Return one line that says why a function cannot be unpickled here, whatever the error does when it is asked."""
    if type(error) is ModuleNotFoundError and type(error.name) is str:
        return f"it needs the module {error.name!a}, which cannot be imported here"
    kind, message, _ = (text.decode() for text in described(error))
    return f"{kind}: {' '.join(message.split())[:300]} (it was pickled by cloudpickle {cloudpickle})"
