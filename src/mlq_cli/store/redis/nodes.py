"""URLs that name several nodes, and short talks with one of them: any may be down, and none may take long to be so."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlencode

import redis.connection

from mlq_cli.model.errors import Misuse
from mlq_cli.store.redis.link import SILENCE, Command, ErrorAnswer, Link
from mlq_cli.store.redis.redis_py import check_options, open_connection
from mlq_cli.store.redis.refusals import is_about_login

FIND_SECONDS = 2.5  # to find the right node, all of it; a command is to fail within 5 s when there is none
NODE_SECONDS = 1.0  # for one node to say something
AGAIN_SECONDS = 0.1  # between two rounds

_URL = re.compile(r"(rediss?)\+(sentinel|cluster)://(?:([^/?#]*)@)?([^/?#@]+)(/[^?#]*)?(?:\?([^#]*))?")
_NODE = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+(?:%\w+)?)\]|(?P<host>[A-Za-z0-9._-]+))(?::(?P<port>\d{1,5}))?")

EXAMPLES = {
    "sentinel": "redis+sentinel://user:password@host:26379,host2:26379/service/0",
    "cluster": "redis+cluster://user:password@host:7000,host2:7001",
}


class Node(NamedTuple):
    """Where one server process listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Unsettled(Exception):
    """Somebody answered, but the right node is not there yet: a failover is under way, and it may pay to look again."""


class NodesUrl:
    """A URL such as redis+sentinel://…, taken apart. Raises Misuse, with no part of the URL: it may hold a password."""

    def __init__(self, url: str, mode: str, *, port: int) -> None:
        """`port` is that of nodes that are named without one."""
        self.example = EXAMPLES[mode]
        found = _URL.fullmatch(url)
        if found is None or found[2] != mode:
            raise self.wrong(f"this is no URL of the form redis+{mode}://; special characters of a password are %xx")
        scheme, _, login, hosts, path, query = found.groups()
        self.nodes = [self._node(text, port) for text in hosts.split(",")]
        self.path = [unquote(part) for part in (path or "").split("/") if part]
        self.address = f"{scheme}+{mode}://{hosts}{path or ''}"
        options = dict(parse_qsl(query or "", keep_blank_values=True))
        self.sentinel_login = {
            name: options.pop(f"sentinel_{name}") for name in ("username", "password") if f"sentinel_{name}" in options
        }
        if self.sentinel_login and mode != "sentinel":
            raise self.wrong("only sentinels have a sentinel_username and a sentinel_password")
        if stray := {"host", "port", "db", "path"} & set(options):
            raise self.wrong(f"'{min(stray)}' does not belong behind the '?'")
        self._read_options(scheme, login, options)

    def wrong(self, why: str) -> Misuse:
        """Return the error that says what is wrong with the URL."""
        return Misuse(f"the Redis URL makes no sense: {why}", hint=f"write {self.example}")

    def _node(self, text: str, port: int) -> Node:
        found = _NODE.fullmatch(text)
        if found is None or not 0 < int(found["port"] or port) < 65536:
            raise self.wrong("one of its hosts is not of the form host:port")
        return Node(found["six"] or found["host"], int(found["port"] or port))

    def _read_options(self, scheme: str, login: str | None, options: dict[str, str]) -> None:
        # redis-py knows how to read options and logins of the URL of one node.
        one = f"{scheme}://{login + '@' if login else ''}{self.nodes[0]}/0?{urlencode(options)}"
        try:
            read: dict[str, Any] = dict(redis.connection.parse_url(one))
        except ValueError as error:
            raise self.wrong(str(error)) from None
        self._kind = read.pop("connection_class", redis.connection.Connection)
        self._options = {"socket_keepalive": True, **read}
        check_options(self._kind, self._options)

    def open(self, node: Node, deadline: float, **options: Any) -> Link:
        """Connect to a node, within what is left of the time. Raises OSError or ErrorAnswer."""
        left = min(NODE_SECONDS, deadline - time.monotonic())
        if left <= 0:
            raise TimeoutError("no answer in time")
        given = {**self._options, "host": node.host, "port": node.port, "socket_connect_timeout": left, **options}
        return open_connection(self._kind, given)


def ask(link: Link, *commands: Command) -> list[Any]:
    """Send commands together and return their answers. Raises OSError, also for silence, or the first ErrorAnswer."""
    link.send(commands)
    answers = []
    for _ in commands:
        answer = link.hear(NODE_SECONDS)
        if answer is SILENCE:
            raise TimeoutError("no answer in time")
        if isinstance(answer, ErrorAnswer):
            raise answer
        answers.append(answer)
    return answers


def find(look: Callable[[float], Link]) -> Link:
    """Return what `look`, given a deadline, returns; ask it again for a while as long as it says Unsettled.

    Raises its last Unsettled, or at once whatever else it raises.
    """
    deadline = time.monotonic() + FIND_SECONDS
    while True:
        try:
            return look(deadline)
        except Unsettled:
            if time.monotonic() + AGAIN_SECONDS > deadline:
                raise
        time.sleep(AGAIN_SECONDS)


def last(nodes: list[Node], node: Node) -> list[Node]:
    """Return the nodes with this one behind all others: whoever did not help is asked last next time."""
    return [*(other for other in nodes if other != node), node]


def worst(failures: list[Exception]) -> Exception:
    """Return the failure that tells most: a refused login before a node that is down, which may be one of many."""
    for failure in failures:
        if is_about_login(failure):
            return failure
    return failures[-1] if failures else ConnectionError("nobody to ask")
