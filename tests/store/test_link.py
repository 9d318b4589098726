"""Our own connection: what it reads out of a URL, how it logs in, and what comes over it."""

from __future__ import annotations

import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest
import redis.connection

from mlq_cli.model.errors import NotAllowed
from mlq_cli.store.redis.connect import UrlEndpoint, Wire
from mlq_cli.store.redis.link import SILENCE, ErrorAnswer, Garbled, Link
from mlq_cli.store.redis.redis_py import read_other_url
from mlq_cli.store.redis.url import read_url
from tests_support import Server

PASSWORD = "s/p@ß %&"
PLAIN = [
    "redis://localhost",
    "redis://",
    "redis://:7000",
    "redis://me@host:1/3",
    "redis://me:pa%40ss%2F@10.0.0.1:6380/15",
    "redis://:pass@[::1]:7000/0",
    "redis://h/?db=4&socket_timeout=1.5&socket_connect_timeout=3&client_name=a%20b",
    "redis://h/2?db=4&db=5",
    "redis://h?username=u&password=p%25",
    "unix:///tmp/s.sock",
    "unix:///tmp/a%20b?db=3&password=x",
    "unix://me:x@/tmp/s",
]


@pytest.mark.parametrize("url", PLAIN)
def test_a_plain_url_is_read_as_redis_py_reads_it(url: str) -> None:
    read = read_url(url)
    assert read is not None
    place, address = read
    theirs = redis.connection.parse_url(url)
    assert place.path == theirs.get("path")
    if place.path is None:
        assert (place.host, place.port) == (theirs.get("host", "localhost"), theirs.get("port", 6379))
    assert place.db == int(theirs.get("db", 0))
    assert (place.username, place.password) == (theirs.get("username", ""), theirs.get("password", ""))
    assert place.answer_seconds == theirs.get("socket_timeout", 4.0)
    assert place.connect_seconds == theirs.get("socket_connect_timeout", 2.0)
    assert place.client_name == theirs.get("client_name", "")
    assert address == read_other_url(url)[1]


@pytest.mark.parametrize(
    "url",
    ["rediss://h", "redis://h?health_check_interval=3", "redis://h:0", "redis://a@b@c", "unix://x/y", "redis://h/x"],
)
def test_a_url_that_is_not_plain_is_left_to_redis_py(url: str) -> None:
    assert read_url(url) is None


@pytest.fixture(scope="module")
def guarded() -> Iterator[str]:
    """The socket of a server that wants a password, and knows a user `me` with the same one."""
    folder = Path(tempfile.mkdtemp(prefix="mlq", dir="/tmp"))
    with Server(folder) as server:
        wire = Wire(UrlEndpoint(server.url))
        wire.exchange([("ACL", "SETUSER", "me", "on", f">{PASSWORD}", "~*", "+@all")])
        wire.exchange([("CONFIG", "SET", "requirepass", PASSWORD)])
        wire.close()
        yield f"{folder}/s"
    shutil.rmtree(folder)


@pytest.mark.parametrize("user", ["", "me"])
@pytest.mark.parametrize("more", ["", "&health_check_interval=9"])
def test_login_database_and_name_are_set_up_by_either_way_of_opening(guarded: str, user: str, more: str) -> None:
    url = f"unix://{user}:{quote(PASSWORD, safe='')}@{guarded}?db=3&client_name=tester{more}"
    assert (read_url(url) is None) == bool(more)
    with closing(Wire(UrlEndpoint(url))) as wire:
        name, about = wire.exchange([("CLIENT", "GETNAME"), ("CLIENT", "INFO")])
    assert name == b"tester" and b" db=3 " in about and f" user={user or 'default'} ".encode() in about


@pytest.mark.parametrize("login", ["", ":wrong@", "nobody:x@"])
@pytest.mark.parametrize("more", ["", "?health_check_interval=9"])
def test_a_wrong_login_is_told_whichever_way_it_was_opened(guarded: str, login: str, more: str) -> None:
    with pytest.raises(NotAllowed, match=r"refuses us: (Authentication required|invalid username-password)"):
        ask(Wire(UrlEndpoint(f"unix://{login}{guarded}{more}")), "PING")


def ask(wire: Wire, *command: str) -> object:
    (answer,) = wire.exchange([command])
    if isinstance(answer, ErrorAnswer):
        raise wire.translate(answer)
    return answer


@pytest.fixture
def ends() -> Iterator[tuple[Link, socket.socket]]:
    """A link, and the other end of it."""
    mine, other = socket.socketpair()
    link = Link(mine, seconds=2.0)
    with other:
        yield link, other
        link.disconnect()


def test_answers_come_whole_however_they_are_cut(ends: tuple[Link, socket.socket]) -> None:
    link, other = ends
    for byte in b"*3\r\n$1\r\na\r\n-ERR x\r\n*-1\r\n":
        other.sendall(bytes([byte]))
    other.sendall(b"$-1\r\n:7\r\n")
    (first, second, third), last = link.receive(1)[0], link.receive(2)
    assert first == b"a" and isinstance(second, ErrorAnswer) and third is None and last == [None, 7]


def test_silence_is_told_from_a_nil_and_a_half_answer_is_kept(ends: tuple[Link, socket.socket]) -> None:
    link, other = ends
    assert link.hear(0.0) is SILENCE
    other.sendall(b"$-1\r\n$5\r\nhel")
    assert link.hear(1.0) is None
    began = time.monotonic()
    assert link.hear(0.05) is SILENCE and 0.04 < time.monotonic() - began < 1
    other.sendall(b"lo\r\n")
    assert link.hear(1.0) == b"hello"
    other.close()
    with pytest.raises(ConnectionError):
        link.hear(1.0)


def test_what_is_no_answer_of_redis_breaks_the_connection(ends: tuple[Link, socket.socket]) -> None:
    link, other = ends
    other.sendall(b"HTTP/1.1 400 Bad Request\r\n")
    with pytest.raises(Garbled):
        link.receive(1)


def test_the_error_answer_keeps_its_first_word(ends: tuple[Link, socket.socket]) -> None:
    link, other = ends
    other.sendall(b"-NOSCRIPT No matching script.\r\n+OK\r\n")
    with pytest.raises(ErrorAnswer, match="No matching") as caught:
        link.ask(("EVALSHA",), ("PING",))
    assert caught.value.word == "NOSCRIPT"
