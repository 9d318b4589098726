"""Connections that break: a fake server is the point here, for it breaks at the right moment."""

from __future__ import annotations

import socket
import threading
from typing import Any

import fakeredis
import pytest
import redis.connection
import redis.exceptions as rx

from mlq_cli.model.errors import MlqError, NotAllowed, StoreFull, StoreUnavailable
from mlq_cli.store.redis.connect import UrlEndpoint, Wire


class FakeEndpoint:
    """Leads to a server inside this process."""

    address = "fake://server"
    hint = "it is only a fake"
    moves = False

    def __init__(self) -> None:
        self.server = fakeredis.FakeServer()
        self.opened = 0

    def open(self) -> Any:
        self.opened += 1
        connection = fakeredis.FakeRedisConnection(server=self.server, protocol=2)
        connection.connect()
        return connection


def test_a_kept_connection_that_died_is_replaced_without_a_word() -> None:
    endpoint = FakeEndpoint()
    wire = Wire(endpoint)
    assert wire.exchange([("SET", "k", "v")]) == [b"OK"]
    (kept,) = wire._idle
    kept.disconnect()
    kept.send_packed_command = _broken  # type: ignore[method-assign]
    assert wire.exchange([("GET", "k")]) == [b"v"]
    assert endpoint.opened == 2


def test_a_connection_that_breaks_twice_is_an_outage() -> None:
    endpoint = FakeEndpoint()
    wire = Wire(endpoint)
    endpoint.server.connected = False
    with pytest.raises(StoreUnavailable, match="fake://server is out of reach") as gone:
        wire.exchange([("GET", "k")])
    assert gone.value.hint == "it is only a fake"
    endpoint.server.connected = True
    assert wire.exchange([("PING",)]) == [b"PONG"]


def test_an_error_answer_does_not_spoil_the_answers_behind_it() -> None:
    wire = Wire(FakeEndpoint())
    first, second, third = wire.exchange([("SET", "k", "v"), ("LPUSH", "k", "x"), ("GET", "k")])
    assert (first, third) == (b"OK", b"v") and isinstance(second, rx.ResponseError)


@pytest.mark.parametrize(
    ("error", "ours", "exit_code"),
    [
        (rx.ConnectionError("gone"), StoreUnavailable, 69),
        (rx.TimeoutError("slow"), StoreUnavailable, 69),
        (rx.BusyLoadingError("loading"), StoreUnavailable, 69),
        (rx.ReadOnlyError("a replica"), StoreUnavailable, 69),
        (rx.MasterDownError("down"), StoreUnavailable, 69),
        (rx.ClusterDownError("down"), StoreUnavailable, 69),
        (rx.ResponseError("MISCONF cannot persist"), StoreUnavailable, 69),
        (rx.ResponseError("NOREPLICAS not enough good replicas"), StoreUnavailable, 69),
        (rx.ResponseError("Error running script: @user_script: 9: -READONLY a replica"), StoreUnavailable, 69),
        (rx.OutOfMemoryError("full"), StoreFull, 75),
        (rx.ResponseError("@user_script: 7: -OOM command not allowed when used memory"), StoreFull, 75),
        (rx.AuthenticationError("WRONGPASS"), NotAllowed, 77),
        (rx.NoPermissionError("no permissions"), NotAllowed, 77),
        (rx.ResponseError("NOAUTH Authentication required."), NotAllowed, 77),
        (rx.ResponseError("something new"), MlqError, 1),
    ],
)
def test_every_refusal_of_redis_becomes_an_error_that_says_what_to_do(
    error: Exception, ours: type[MlqError], exit_code: int
) -> None:
    translated = Wire(FakeEndpoint()).translate(error)
    assert type(translated) is ours and translated.exit_code == exit_code and translated.hint


def test_a_server_that_is_reading_its_data_is_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            for reply in (b"-LOADING Redis is loading the dataset in memory\r\n", b"+PONG\r\n"):
                connection, _ = server.accept()
                with connection:
                    connection.recv(1000)
                    connection.sendall(reply)

        threading.Thread(target=answer, daemon=True).start()
        wire = Wire(UrlEndpoint(f"redis://127.0.0.1:{server.getsockname()[1]}/0"))
        assert wire.exchange([("PING",)]) == [b"PONG"]


def test_a_url_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(MlqError, match="no Redis URL"):
        UrlEndpoint("http://localhost")


def test_the_address_holds_no_password() -> None:
    assert UrlEndpoint("redis://me:s3cret@host:6379/2").address == "redis://host:6379/2"


def _broken(*_: Any, **__: Any) -> None:
    raise redis.connection.ConnectionError("broken pipe")
