"""Connections to one Redis: opened on need, kept for reuse, every failure turned into an error that says what to do.

We write on redis-py's connections, one level below its client: a verb is one packed write and one read, for half the
time of a high-level call, and several verbs leave in one write.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable
from urllib.parse import urlsplit

import redis.connection
import redis.exceptions as rx
from hiredis import pack_command  # redis-py's own packing looks at each argument in Python

from mlq_cli.model.errors import Misuse, MlqError, NotAllowed, StoreFull, StoreUnavailable

if TYPE_CHECKING:
    from mlq_cli.store.redis.server_folder import ServerFolder

Command = Sequence[str | bytes | int | float]

CONNECT_SECONDS = 2.0  # to get a connection; commands fail well within 5 s when Redis is away
ANSWER_SECONDS = 4.0  # for a command's answer before the connection counts as dead
SLOWEST = 1 << 15  # bytes a second that a link has to carry
AT_ONCE = 1 << 16  # bytes up to which the time to carry them does not matter
ONE_WRITE = 1 << 20  # bytes up to which commands are joined for one write; beyond, copying costs more than a call
LOADING_SECONDS = 4.0  # to wait for a server that is reading its data
WATCH_SECONDS = 1.0  # between two looks whether an endpoint still leads where it did
REMEMBERED = 30.0  # for which an answer is safely remembered (lib/once.lua); later, to send again could post again
MOVING_SECONDS = 2.0  # to look for the node that jobs have moved to
ONCE_MORE = 0.01  # seconds in which a node that nobody looks for is tried again: its name may mean another one by now

# Words of answers that mean «not now, not here»: an unready server, or the wrong one. They are looked for in the text,
# for Redis 6.2 wraps what a command inside a script answers into an error of its own; redis-py takes some of them off.
_PASSING = re.compile(r"\b(LOADING|READONLY|MASTERDOWN|TRYAGAIN|CLUSTERDOWN|MISCONF|NOREPLICAS|BUSY|UNBLOCKED)\b")
_PASSING_KINDS: dict[type[Exception], str] = {
    rx.MovedError: "MOVED",  # before what it is a kind of
    rx.AskError: "ASK",
    rx.TryAgainError: "TRYAGAIN",
    rx.ReadOnlyError: "READONLY",
    rx.MasterDownError: "MASTERDOWN",
    rx.ClusterDownError: "CLUSTERDOWN",
    rx.BusyLoadingError: "LOADING",
}
_ADVICE = {
    "MISCONF": "Redis cannot write to its disk: free space there; until then nothing new is safe",
    "READONLY": "this is a replica: name the primary, or wait until the failover is over",
    "NOREPLICAS": "Redis wants replicas that are not there: start them, or change min-replicas-to-write",
    "MOVED": "this is one node of a cluster: name the cluster, redis+cluster://host:port; or wait for the failover",
    "ASK": "the slot of this namespace is on its way to another node; try again when it has arrived",
}
_ADVICE["TRYAGAIN"] = _ADVICE["ASK"]
# Those that mean «not here»: nothing was carried out, and the right node is somewhere else.
_ELSEWHERE = ("MOVED", "READONLY", "MASTERDOWN")


class Endpoint(Protocol):
    """Somewhere to connect to."""

    address: str  # for people; holds no password
    hint: str  # what to do when it cannot be reached
    moves: bool  # whether it may lead to another node a moment later

    @property
    def data(self) -> ServerFolder | None:
        """The folder of the private server; None for a server that is not ours."""

    def open(self) -> redis.connection.AbstractConnection:
        """Return a connected connection. Raises redis-py's errors."""


@runtime_checkable
class WatchedEndpoint(Endpoint, Protocol):
    """One that can lead elsewhere while the node that it led to goes on answering, and loses what it is told."""

    def leads_to(self, host: str, port: int) -> bool:
        """Whether it still leads there, as far as can be learned quickly. Raises nothing."""


class UrlEndpoint:
    """A Redis named by a URL: redis://, rediss:// or unix://."""

    data = None
    moves = False

    def __init__(self, url: str) -> None:
        try:
            self._options: dict[str, Any] = dict(redis.connection.parse_url(url))
            parts = urlsplit(url)
        except ValueError as error:
            why = "its port is no number" if "Port" in str(error) else error  # which may be half a password
            raise Misuse(
                f"this is no Redis URL: {why}",
                hint="write redis://host:6379/0, rediss://…, redis+sentinel://…, redis+cluster://… or unix:///path",
            ) from None
        self._kind = self._options.pop("connection_class", redis.connection.Connection)
        if self._kind is not redis.connection.UnixDomainSocketConnection:
            self._options.setdefault("socket_keepalive", True)
            if parts.path.strip("/") and "db" not in self._options:
                raise Misuse("the path of a Redis URL is the number of the database", hint="write redis://host:6379/0")
        check_options(self._kind, self._options)
        host = parts.netloc.rpartition("@")[2]
        self.address = f"{parts.scheme}://{host}{parts.path}"
        self.hint = "is it running? set redis.url in the profile, --redis-url or MLQ_REDIS_URL"

    def open(self) -> redis.connection.AbstractConnection:
        """Connect, log in, choose the database."""
        return open_connection(self._kind, self._options)


def check_options(kind: type[Any], options: dict[str, Any]) -> None:
    """Look whether redis-py takes what a URL says behind its `?`. Raises Misuse."""
    try:
        kind(**options)
    except (TypeError, ValueError, rx.RedisError) as error:
        why = re.sub(r"^\S+\(\) got an unexpected keyword argument", "unknown", str(error))
        raise Misuse(f"the Redis URL has an option that cannot be: {why}", hint="look behind its '?'") from None


def open_connection(kind: type[Any], options: dict[str, Any]) -> redis.connection.AbstractConnection:
    """Return a connected connection of redis-py with our time limits and none of its retries."""
    settings: dict[str, Any] = {
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": ANSWER_SECONDS,
        "protocol": 2,
        "driver_info": None,  # saves a round trip at every start of a command
        **options,
    }
    connection: redis.connection.AbstractConnection = kind(**settings)
    connection.connect()
    return connection


class Wire:
    """A pool of connections to one endpoint, for threads to share."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._watched = endpoint if isinstance(endpoint, WatchedEndpoint) else None
        self._idle: list[redis.connection.AbstractConnection] = []
        self._pid = os.getpid()
        self._node: tuple[Any, Any] = (None, None)  # that the newest connection leads to
        self._looked_at = 0.0  # whether the endpoint still leads there

    @property
    def address(self) -> str:
        """Where this leads, for people."""
        return self.endpoint.address

    def exchange(self, commands: Sequence[Command], meanwhile: Callable[[], None] | None = None) -> list[Any]:
        """Send commands in one write and return their answers; an error answer stands in its place as an exception.

        Whatever is sent here is harmless to send again. What a node refused because it is the wrong one, a demoted
        primary or one that gave a slot away, is sent again, with all behind it, where it belongs: some of that may have
        been carried out, and the order holds. Raises StoreUnavailable or NotAllowed.
        """
        answers = self._attempt(commands, meanwhile)
        patience = MOVING_SECONDS if self.endpoint.moves else ONCE_MORE
        deadline, pause = time.monotonic() + patience, 0.0
        while words := {i: word for i, answer in enumerate(answers) if (word := _word(answer))}:
            self._forget_all()  # also for the others: a primary that was cut off says such things too
            first = next((i for i, word in words.items() if word in _ELSEWHERE), None)
            if first is None or time.monotonic() + pause > deadline:
                break
            time.sleep(pause)
            pause = pause * 2 or 0.05
            answers = answers[:first] + self._attempt(commands[first:])
        return answers

    def _attempt(self, commands: Sequence[Command], meanwhile: Callable[[], None] | None = None) -> list[Any]:
        """Send and receive once. A connection that breaks is replaced once.

        Silence is not answered with a second try: it has taken long enough. Nor is one made after a `meanwhile` of so
        long that the answer to the first may be forgotten.
        """
        deadline = time.monotonic() + LOADING_SECONDS
        broken = False
        while True:
            connection = self._take()
            try:
                size = _send(connection, commands)
                if meanwhile:
                    began = time.monotonic()
                    meanwhile()
                    meanwhile = None
                    broken = broken or time.monotonic() - began > REMEMBERED
                answers = _receive(connection, len(commands))
                if size > AT_ONCE:
                    _socket(connection).settimeout(ANSWER_SECONDS)
            except rx.BusyLoadingError as error:  # for redis-py this is a broken connection too
                connection.disconnect()
                if time.monotonic() > deadline:
                    raise self.translate(error) from error
                time.sleep(0.05)
                continue
            except (rx.ConnectionError, rx.TimeoutError, OSError) as error:
                connection.disconnect()
                self._forget_all()  # what broke this one broke them all
                if broken or isinstance(error, rx.TimeoutError):
                    raise self.translate(error) from error
                broken = True
                continue
            except BaseException:
                connection.disconnect()  # half an answer may be on its way: nobody may read it as another's
                raise
            if self.endpoint.moves and self.has_left(connection):
                connection.disconnect()  # another thread has learned meanwhile that this is not the place any more
            else:
                self._idle.append(connection)
            return answers

    def open(self) -> redis.connection.AbstractConnection:
        """Return a connection of one's own, for waiting on. Raises StoreUnavailable or NotAllowed."""
        try:
            connection = self.endpoint.open()
        except (rx.RedisError, OSError) as error:
            raise self.translate(error) from error
        self._node, self._looked_at = node_of(connection), time.monotonic()
        return connection

    def has_left(self, connection: redis.connection.AbstractConnection) -> bool:
        """Whether newer connections lead to another node than this one."""
        return node_of(connection) != self._node

    def translate(self, error: Exception) -> MlqError:
        """Return the error of ours that an error of redis-py, or of the socket, stands for."""
        text = str(error)
        if isinstance(error, MlqError):
            return error
        if isinstance(error, (rx.AuthenticationError, rx.NoPermissionError)) or "NOAUTH" in text:
            return NotAllowed(
                f"Redis at {self.address} refuses us: {text}", hint="check the user name and password of the Redis URL"
            )
        if isinstance(error, rx.OutOfMemoryError) or "OOM command not allowed" in text:
            return StoreFull(
                f"Redis at {self.address} has no memory left; nothing was stored",
                hint="let workers drain it, purge what nobody needs, or raise maxmemory; then try again",
            )
        if word := _word(error):
            said = text if word in text else f"{word} {text}"  # redis-py takes some of the words off
            return StoreUnavailable(
                f"Redis at {self.address} cannot serve us now: {said}", hint=_ADVICE.get(word, "try again shortly")
            )
        if isinstance(error, (rx.ConnectionError, rx.TimeoutError, OSError)):
            return StoreUnavailable(
                f"Redis at {self.address} is out of reach: {reason(error)}", hint=self.endpoint.hint
            )
        return MlqError(
            f"Redis at {self.address} answered: {text}", hint="mlq does not know this answer; please report it"
        )

    def close(self) -> None:
        """Close the idle connections."""
        self._forget_all()

    def _forget_all(self) -> None:
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.disconnect()

    def _take(self) -> redis.connection.AbstractConnection:
        if self._pid != os.getpid():  # a fork must not share its parent's sockets
            self._idle, self._pid = [], os.getpid()
        if self._watched and self._idle and time.monotonic() - self._looked_at > WATCH_SECONDS:
            self._looked_at = time.monotonic()
            if not self._watched.leads_to(*self._node):
                self._forget_all()
        try:
            return self._idle.pop()
        except IndexError:
            pass  # and no longer the context of what may be raised now
        return self.open()


def _send(connection: redis.connection.AbstractConnection, commands: Sequence[Command]) -> int:
    """Send commands in one write; returns their bytes. Many of them get more time, for the answer too.

    The system takes megabytes off our hands at once; on a slow link they are under way for long after that.
    """
    pack: Any = pack_command  # its stub allows tuples of one
    packed: list[bytes] = [pack(tuple(command)) for command in commands]
    if len(packed) > 1 and sum(map(len, packed)) < ONE_WRITE:
        packed = [b"".join(packed)]
    size = sum(map(len, packed))
    if size > AT_ONCE:
        _socket(connection).settimeout(ANSWER_SECONDS + size / SLOWEST)
    connection.send_packed_command(packed, check_health=False)
    return size


def _receive(connection: redis.connection.AbstractConnection, count: int) -> list[Any]:
    answers = []
    for _ in range(count):
        try:
            answers.append(connection.read_response())
        except rx.ConnectionError:
            raise
        except rx.ResponseError as error:  # an answer too; the next ones still have to be read
            answers.append(error)
    return answers


def _word(answer: object) -> str | None:
    """Return the word of an answer that means «not now» or «not here», None for all others."""
    if not isinstance(answer, Exception):
        return None
    for kind, word in _PASSING_KINDS.items():
        if isinstance(answer, kind):
            return word
    found = _PASSING.search(str(answer)) if isinstance(answer, rx.ResponseError) else None
    return found[1] if found else None


def reason(error: BaseException) -> str:
    """Return in a few words why a node could not be reached."""
    cause = error.__cause__ or error.__context__
    if isinstance(cause, OSError):
        error = cause
    match error:
        case ConnectionRefusedError():
            return "connection refused"
        case FileNotFoundError():
            return "no such socket"
        case socket.gaierror():
            return "the host name is not known"
        case TimeoutError() | rx.TimeoutError():
            return "no answer in time"
    return (str(error) or type(error).__name__).rstrip(".")


def node_of(connection: redis.connection.AbstractConnection) -> tuple[Any, Any]:
    """Return host and port of a connection; nothing for a unix socket."""
    return getattr(connection, "host", None), getattr(connection, "port", None)


def descriptor(connection: redis.connection.AbstractConnection) -> int:
    """Return the file descriptor of a connected connection, for waiting on it beside others.

    redis-py offers no public name for it.
    """
    return _socket(connection).fileno()


def _socket(connection: redis.connection.AbstractConnection) -> socket.socket:
    private: Any = connection
    found: socket.socket = private._sock
    return found
