"""Connections that redis-py opens: TLS, nodes of sentinels and clusters, and options that are not in `url.py`.

It connects and logs in; then we take the socket over, so that all that follows is the same for every connection. Its
errors become those that `link.py` raises, here and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import redis.connection
import redis.exceptions as rx

from mlq_cli.model.errors import Misuse
from mlq_cli.store.redis.link import ANSWER_SECONDS, CONNECT_SECONDS, ErrorAnswer, Link

# The first word of an answer to a login, which redis-py takes off.
_WORDS: dict[type[Exception], str] = {
    rx.AuthenticationError: "WRONGPASS",
    rx.AuthenticationWrongNumberOfArgsError: "WRONGPASS",
    rx.NoPermissionError: "NOPERM",
    rx.BusyLoadingError: "LOADING",
}


def read_other_url(url: str) -> tuple[Callable[[], Link], str]:
    """Return what opens connections to a URL, and its address for people. Raises Misuse for one that is none."""
    try:
        options: dict[str, Any] = dict(redis.connection.parse_url(url))
        parts = urlsplit(url)
    except ValueError as error:
        why = "its port is no number" if "Port" in str(error) else error  # which may be half a password
        raise Misuse(
            f"this is no Redis URL: {why}",
            hint="write redis://host:6379/0, rediss://…, redis+sentinel://…, redis+cluster://… or unix:///path",
        ) from None
    kind = options.pop("connection_class", redis.connection.Connection)
    unix = kind is redis.connection.UnixDomainSocketConnection
    if not unix:
        options.setdefault("socket_keepalive", True)
    if parts.path.strip("/") and "db" not in options and not unix:
        raise Misuse("the path of a Redis URL is the number of the database", hint="write redis://host:6379/0")
    check_options(kind, options)
    host = parts.netloc.rpartition("@")[2]
    return lambda: open_connection(kind, options), f"{parts.scheme}://{host}{parts.path}"


def check_options(kind: type[Any], options: dict[str, Any]) -> None:
    """Look whether redis-py takes what a URL says behind its `?`. Raises Misuse."""
    try:
        kind(**options)
    except (TypeError, ValueError, rx.RedisError) as error:
        why = re.sub(r"^\S+\(\) got an unexpected keyword argument", "unknown", str(error))
        raise Misuse(f"the Redis URL has an option that cannot be: {why}", hint="look behind its '?'") from None


def open_connection(kind: type[Any], options: dict[str, Any]) -> Link:
    """Return a connection that redis-py has opened, with our time limits and none of its retries.

    Raises OSError or ErrorAnswer.
    """
    settings: dict[str, Any] = {
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": ANSWER_SECONDS,
        "driver_info": None,  # saves a round trip at every start of a command
        **options,
        "protocol": 2,  # is what we read
    }
    connection = kind(**settings)
    try:
        connection.connect()
    except rx.RedisError as error:
        raise _translated(error) from error
    # redis-py offers no public name for its socket. It closes it when the connection is collected, so that is kept.
    return Link(
        connection._sock,
        host=getattr(connection, "host", None),
        port=getattr(connection, "port", None),
        seconds=settings["socket_timeout"],
        owner=connection,
    )


def _translated(error: rx.RedisError) -> Exception:
    """Return what a connection of our own would have raised."""
    cause = error.__cause__ or error.__context__
    if isinstance(cause, OSError):
        return cause
    if isinstance(error, rx.TimeoutError):
        return TimeoutError(str(error))
    for kind, word in _WORDS.items():
        if isinstance(error, kind):
            return ErrorAnswer(f"{word} {error}")
    return ErrorAnswer(f"ERR {error}") if isinstance(error, rx.ResponseError) else ConnectionError(str(error))
