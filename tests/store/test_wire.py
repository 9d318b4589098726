"""Connections that break: fake servers are the point here, for they break at the right moment."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from fakeredis import TcpFakeServer

from mlq_cli.model.errors import MlqError, NotAllowed, StoreFull, StoreUnavailable
from mlq_cli.store.redis.connect import UrlEndpoint, Wire
from mlq_cli.store.redis.link import ErrorAnswer, Link

Serve = Callable[[Callable[[socket.socket], None]], int]


class CountedEndpoint(UrlEndpoint):
    """Knows how often it was opened."""

    opened = 0

    def open(self) -> Link:
        self.opened += 1
        return super().open()


@pytest.fixture
def fake() -> Iterator[CountedEndpoint]:
    """An endpoint that leads to a fake Redis inside this process."""
    server = TcpFakeServer(("127.0.0.1", 0))
    server.daemon_threads = True
    server.block_on_close = False
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield CountedEndpoint(f"redis://127.0.0.1:{server.server_address[1]}/0")
    server.shutdown()
    server.server_close()


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a function that starts a server which does this with each connection, then closes it, on a port."""
    with ExitStack() as ends:

        def start(talk: Callable[[socket.socket], None]) -> int:
            listening = ends.enter_context(socket.create_server(("127.0.0.1", 0)))

            def accept() -> None:
                while True:
                    try:
                        connection, _ = listening.accept()
                    except OSError:
                        return
                    with connection:
                        talk(connection)

            threading.Thread(target=accept, daemon=True).start()
            ends.callback(listening.shutdown, socket.SHUT_RDWR)
            return int(listening.getsockname()[1])

        yield start


def test_a_kept_connection_that_died_is_replaced_without_a_word(fake: CountedEndpoint) -> None:
    wire = Wire(fake)
    assert wire.exchange([("SET", "k", "v")]) == [b"OK"]
    (kept,) = wire._idle
    with socket.socket(fileno=os.dup(kept.fileno())) as same:
        same.shutdown(socket.SHUT_RDWR)
    assert wire.exchange([("GET", "k")]) == [b"v"]
    assert fake.opened == 2
    wire.close()


def test_a_connection_that_breaks_twice_is_an_outage(serve: Serve) -> None:
    accepted: list[bytes] = []
    port = serve(lambda connection: accepted.append(connection.recv(100)))
    wire = Wire(UrlEndpoint(f"redis://127.0.0.1:{port}/0"))
    with pytest.raises(StoreUnavailable, match=f"127.0.0.1:{port}/0 is out of reach") as gone:
        wire.exchange([("GET", "k")])
    assert gone.value.hint and len(accepted) == 2


def test_silence_is_not_answered_with_a_second_try(serve: Serve) -> None:
    accepted: list[bytes] = []

    def silent(connection: socket.socket) -> None:
        accepted.append(connection.recv(100))
        connection.recv(100)

    wire = Wire(UrlEndpoint(f"redis://127.0.0.1:{serve(silent)}/0?socket_timeout=0.2"))
    with pytest.raises(StoreUnavailable, match="no answer in time"):
        wire.exchange([("GET", "k")])
    assert len(accepted) == 1


def test_an_error_answer_does_not_spoil_the_answers_behind_it(redis_url: str) -> None:
    wire = Wire(UrlEndpoint(redis_url))
    first, second, third = wire.exchange([("ECHO", "v"), ("EVALSHA", "none", 0), ("PING",)])
    assert (first, third) == (b"v", b"PONG") and isinstance(second, ErrorAnswer) and second.word == "NOSCRIPT"
    wire.close()


def test_an_interruption_leaves_no_half_read_answer_to_anybody(fake: CountedEndpoint) -> None:
    wire = Wire(fake)
    wire.exchange([("SET", "k", "mine")])

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wire.exchange([("ECHO", "not for the next")], interrupt)
    assert wire.exchange([("GET", "k")]) == [b"mine"] and fake.opened == 2
    wire.close()


def test_a_fork_opens_connections_of_its_own_and_leaves_its_parents_alone(fake: CountedEndpoint) -> None:
    wire = Wire(fake)
    assert wire.exchange([("SET", "k", "v")]) == [b"OK"]
    child = os.fork()
    if child == 0:
        well = False
        try:
            well = wire.exchange([("GET", "k")]) == [b"v"] and fake.opened == 2
        finally:
            os._exit(0 if well else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert wire.exchange([("GET", "k")]) == [b"v"] and fake.opened == 1
    wire.close()


@pytest.mark.parametrize(
    ("error", "ours", "exit_code"),
    [
        (ConnectionError("gone"), StoreUnavailable, 69),
        (TimeoutError("slow"), StoreUnavailable, 69),
        (ErrorAnswer("LOADING Redis is loading the dataset in memory"), StoreUnavailable, 69),
        (ErrorAnswer("READONLY You can't write against a read only replica."), StoreUnavailable, 69),
        (ErrorAnswer("MASTERDOWN Link with MASTER is down"), StoreUnavailable, 69),
        (ErrorAnswer("CLUSTERDOWN The cluster is down"), StoreUnavailable, 69),
        (ErrorAnswer("MISCONF cannot persist"), StoreUnavailable, 69),
        (ErrorAnswer("NOREPLICAS not enough good replicas"), StoreUnavailable, 69),
        (ErrorAnswer("ERR max number of clients reached"), StoreUnavailable, 69),
        (ErrorAnswer("ERR Error running script: @user_script: 9: -READONLY a replica"), StoreUnavailable, 69),
        (ErrorAnswer("OOM command not allowed when used memory > 'maxmemory'."), StoreFull, 75),
        (ErrorAnswer("ERR @user_script: 7: -OOM command not allowed when used memory"), StoreFull, 75),
        (ErrorAnswer("WRONGPASS invalid username-password pair or user is disabled."), NotAllowed, 77),
        (ErrorAnswer("NOPERM this user has no permissions to run the 'evalsha' command"), NotAllowed, 77),
        (ErrorAnswer("ERR The user executing the script can't run this command"), NotAllowed, 77),
        (ErrorAnswer("NOAUTH Authentication required."), NotAllowed, 77),
        (ErrorAnswer("ERR AUTH <password> called without any password configured"), NotAllowed, 77),
        (ErrorAnswer("ERR something new"), MlqError, 1),
    ],
)
def test_every_refusal_of_redis_becomes_an_error_that_says_what_to_do(
    error: Exception, ours: type[MlqError], exit_code: int
) -> None:
    translated = Wire(UrlEndpoint("redis://h/0")).translate(error)
    assert type(translated) is ours and translated.exit_code == exit_code and translated.hint


def test_a_server_that_is_reading_its_data_is_waited_for(serve: Serve) -> None:
    replies = [b"-LOADING Redis is loading the dataset in memory\r\n", b"+PONG\r\n"]

    def answer(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(replies.pop(0))

    wire = Wire(UrlEndpoint(f"redis://127.0.0.1:{serve(answer)}/0"))
    assert wire.exchange([("PING",)]) == [b"PONG"] and not replies


def test_a_server_of_another_kind_is_out_of_reach(serve: Serve) -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with pytest.raises(StoreUnavailable, match="out of reach"):
        Wire(UrlEndpoint(f"redis://127.0.0.1:{serve(answer)}/0")).exchange([("PING",)])


def test_a_url_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(MlqError, match="no Redis URL"):
        UrlEndpoint("http://localhost")


def test_the_address_holds_no_password() -> None:
    for url in ("redis://me:s3cret@host:6379/2", "redis://:s%40cret@host:6379/2", "redis://:s@cret@host:6379/2"):
        assert UrlEndpoint(url).address == "redis://host:6379/2"
