"""URLs of one server, read without a library as long as they are plain. What is not is redis-py's to read."""

from __future__ import annotations

import re
from typing import Any

from mlq_cli.store.redis.link import Place

_URL = re.compile(
    r"(?P<scheme>redis|unix)://(?:(?P<login>[^/?#@]*)@)?"
    r"(?P<where>(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]+))?(?::(?P<port>\d{1,5}))?)"
    r"(?P<path>/[^?#]*)?(?:\?(?P<query>[^#]*))?"
)
_SECONDS = {"socket_timeout": "answer_seconds", "socket_connect_timeout": "connect_seconds"}
_TEXTS = ("username", "password", "client_name")


def read_url(url: str) -> tuple[Place, str] | None:
    """Return where a URL leads, and the same for people, without its login. None: it takes a library to tell."""
    found = _URL.fullmatch(url)
    if found is None:
        return None
    path = found["path"] or ""
    given = _options(found["query"])
    if given is None:
        return None
    username, _, password = (found["login"] or "").partition(":")
    login = {"username": _unquoted(username), "password": _unquoted(password)}
    given = {**given, **{name: value for name, value in login.items() if value}}
    if found["scheme"] == "unix":
        if found["where"] or not path:
            return None
        return Place(**given, path=_unquoted(path)), f"unix://{path}"
    number = path.strip("/")
    if number and "db" not in given:
        if not (number.isascii() and number.isdigit()):
            return None
        given["db"] = int(number)
    port = int(found["port"] or 6379)
    if not 0 < port < 65536:
        return None
    host = found["six"] or found["host"] or "localhost"
    return Place(**given, host=host, port=port), f"redis://{found['where']}{path}"


def _options(query: str | None) -> dict[str, Any] | None:
    """Return what stands behind the `?`, None if we do not know all of it."""
    if not query:
        return {}
    from urllib.parse import parse_qsl

    options: dict[str, Any] = {}
    for name, value in reversed(parse_qsl(query)):  # of two the first one counts
        if name in _TEXTS:
            options[name] = value
        elif name == "db" and value.isascii() and value.isdigit():
            options[name] = int(value)
        elif name in _SECONDS and re.fullmatch(r"\d+(\.\d+)?", value) and float(value) > 0:
            options[_SECONDS[name]] = float(value)
        elif name != "protocol":  # the answers that we read are those of protocol 2
            return None
    return options


def _unquoted(text: str) -> str:
    if "%" not in text:
        return text
    from urllib.parse import unquote

    return unquote(text)
