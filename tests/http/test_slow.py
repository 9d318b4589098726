"""Those who take their time, many at once, and what a healthy client notices of them (H-3)."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from tests_support import wait_until

from .conftest import Small

SHORT = {"head_time": 1.0, "body_time": 1.0, "write_time": 0.8, "idle_time": 1, "linger": 0.3}


def _healthy(server: Small) -> bytes:
    return b"GET /healthz HTTP/1.1\r\nHost: %s\r\n\r\n" % server.host.encode()


def _p99(server: Small, seconds: float) -> float:
    """Return the seconds that 99 of 100 requests of a healthy client take at most, each on a connection of its own."""
    took = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.monotonic()
        assert server.ask(_healthy(server)).startswith(b"HTTP/1.1 200")
        took.append(time.monotonic() - began)
    return sorted(took)[int(len(took) * 0.99)]


def _served(connection: socket.socket, request: bytes) -> bool:
    """Whether a request on this connection is answered as it should be."""
    connection.sendall(request)
    said = connection.recv(65536)
    while b'"ok"' not in said and (more := connection.recv(65536)):
        said += more
    return said.startswith(b"HTTP/1.1 200")


def _ended(connection: socket.socket) -> bytes:
    """Return all that is said until the end."""
    said = b""
    try:
        while data := connection.recv(65536):
            said += data
    except ConnectionResetError:
        pass
    return said


def _drip(server: Small, number: int, head: bytes, seconds: float) -> tuple[list[bytes], float]:
    """Let many send a byte now and then; returns what each was told, and what a healthy client needed meanwhile."""
    with ExitStack() as ends:
        slow = [ends.enter_context(server.connect(30)) for _ in range(number)]
        for connection in slow:
            connection.sendall(head)
        p99 = _p99(server, seconds / 2)
        for connection in slow:
            try:
                connection.sendall(b"a")
            except (BrokenPipeError, ConnectionResetError):
                pass
        p99 = max(p99, _p99(server, seconds / 2))
        return [_ended(connection) for connection in slow], p99


@pytest.mark.parametrize(("number", "limits"), [(100, SHORT), pytest.param(500, {}, marks=pytest.mark.minutes)])
def test_slow_heads_and_bodies_end_and_a_healthy_client_does_not_wait(
    small: Callable[..., Small], number: int, limits: dict[str, float]
) -> None:
    server = small(limits=limits)
    host = server.host.encode()
    before = server.resident
    heads, p99 = _drip(server, number, b"GET /healthz HTTP/1.1\r\nHost: %s\r\nX: " % host, limits.get("head_time", 10))
    assert all(said.startswith(b"HTTP/1.1 408") for said in heads), {said[:30] for said in heads}
    body = b"POST /echo HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{" % host
    bodies, p99_bodies = _drip(server, number, body, limits.get("body_time", 30))
    assert all(said.startswith(b"HTTP/1.1 408") for said in bodies), {said[:30] for said in bodies}
    assert max(p99, p99_bodies) < 0.5
    assert server.resident - before < 30 << 20
    assert "Traceback" not in server.log


@pytest.mark.parametrize(
    ("number", "limits", "size"),
    [(15, SHORT, 4 << 20), pytest.param(500, {}, 16 << 20, marks=pytest.mark.minutes)],
)
def test_readers_that_stop_reading_are_let_go_and_hold_bounded_memory(
    small: Callable[..., Small], number: int, limits: dict[str, float], size: int
) -> None:
    server = small(limits=limits)
    before, files = server.resident, server.open_files
    with ExitStack() as ends:
        slow = [ends.enter_context(server.connect(60)) for _ in range(number)]
        for connection in slow:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            connection.sendall(b"GET /large?size=%d HTTP/1.1\r\nHost: %s\r\n\r\n" % (size, server.host.encode()))
        assert _p99(server, min(3 * limits.get("write_time", 10.0), 20)) < 0.5
        assert server.resident - before < size + number * (1 << 20)
        wait_until(lambda: server.open_files <= files, seconds=60)
        assert server.resident - before < size + (32 << 20)
        said = [len(_ended(connection)) for connection in slow]
        assert all(length < size for length in said), "nobody got what they did not read in time"
    assert "Traceback" not in server.log


@pytest.mark.minutes
def test_a_slow_but_steady_reader_gets_all(small: Callable[..., Small]) -> None:
    server = small(limits=SHORT)
    size = 8 << 20
    with server.connect(30) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.sendall(b"GET /large?size=%d HTTP/1.1\r\nHost: %s\r\n\r\n" % (size, server.host.encode()))
        got, began = 0, time.monotonic()
        while got < size:
            wait_until(lambda: time.monotonic() - began > got / size * 2.5)  # noqa: B023  two and a half seconds for all
            data = connection.recv(1 << 18)
            assert data, got
            got += len(data)
    assert time.monotonic() - began > 2 * SHORT["write_time"]


def test_connections_that_say_nothing_end_too(small: Callable[..., Small]) -> None:
    server = small(limits=SHORT)
    with server.connect(10) as silent, server.connect(10) as idle:
        assert _served(idle, _healthy(server))
        assert _ended(silent).startswith(b"HTTP/1.1 408") and _ended(idle) == b""


def test_one_connection_too_many_is_told_to_come_later_and_costs_nobody_else_anything(
    small: Callable[..., Small],
) -> None:
    server = small(limits={"connections": 20})
    with ExitStack() as ends:
        for _ in range(20):
            held = ends.enter_context(server.connect())
            assert _served(held, _healthy(server))
        for _ in range(50):
            said = server.all(_healthy(server))
            assert said.startswith(b"HTTP/1.1 503") and b"retry-after: " in said
        assert _served(held, _healthy(server))
    wait_until(lambda: server.ask(_healthy(server)).startswith(b"HTTP/1.1 200"))


@pytest.mark.minutes
def test_connections_that_ask_for_nothing_make_way_for_those_that_do(small: Callable[..., Small]) -> None:
    server = small(limits={"connections": 20, "spare_time": 0.3, "spare_body_time": 0.3})
    host = server.host.encode()
    asking = b"GET /slow?seconds=3 HTTP/1.1\r\nHost: %s\r\n\r\n" % host
    body = b"POST /echo HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{" % host
    began = time.monotonic()
    with ExitStack() as ends:
        busy = [ends.enter_context(server.connect()) for _ in range(5)]
        for each in busy:
            each.sendall(asking)
        idle = [ends.enter_context(server.connect()) for _ in range(15)]
        for each, said in zip(idle, [b"", b"GET / HT", body] * 5, strict=True):
            each.sendall(said)
        wait_until(lambda: server.ask(_healthy(server)).startswith(b"HTTP/1.1 200"), seconds=2)
        for _ in range(100):
            assert server.ask(_healthy(server)).startswith(b"HTTP/1.1 200")
        assert time.monotonic() - began < 3, "too slow to tell anything"
        assert all(b'"done"' in _ended_by(each, b'"done"') for each in busy)


def _ended_by(connection: socket.socket, end: bytes) -> bytes:
    said = b""
    while end not in said and (data := connection.recv(65536)):
        said += data
    return said
