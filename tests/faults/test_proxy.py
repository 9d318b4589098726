"""The bad network is as bad as its knobs say, and no worse."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.proxy import FaultProxy
from harness.resp import Splitter, verb_of, words
from mlq_cli.model.errors import StoreUnavailable
from mlq_cli.store.redis.connect import UrlEndpoint, Wire
from mlq_cli.store.redis.scripts import script
from tests_support import wait_until


@pytest.fixture(params=["tcp", pytest.param("unix", marks=pytest.mark.minutes)])
def proxy(request: pytest.FixtureRequest, redis_url: str, short_folder: Path) -> Iterator[FaultProxy]:
    with FaultProxy(redis_url, folder=short_folder if request.param == "unix" else None) as made:
        yield made


def ping(proxy: FaultProxy, count: int = 1, wire: Wire | None = None) -> float:
    """Ping so often on one connection; returns the seconds it took."""
    wire = wire or Wire(UrlEndpoint(proxy.url))
    began = time.monotonic()
    for _ in range(count):
        assert wire.exchange([("PING",)]) == [b"PONG"]
    wire.close()
    return time.monotonic() - began


def test_a_stream_is_cut_into_values_however_its_bytes_come() -> None:
    values = [
        b"+OK\r\n",
        b"$-1\r\n",
        b"*-1\r\n",
        b"*2\r\n$3\r\na\r\n\r\n*1\r\n:1\r\n",
        b"$0\r\n\r\n",
        b"-ERR no\r\n",
        b"*0\r\n",
    ]
    for size in (1, 2, 3, 7, 1000):
        splitter, stream, found = Splitter(), b"".join(values), []
        for at in range(0, len(stream), size):
            found += splitter.feed(stream[at : at + size])
        assert found == values


def test_a_request_is_known_by_its_script() -> None:
    known = script("claim")
    sha, body = known.sha.encode(), known.body.encode()
    request = b"*3\r\n$7\r\nEVALSHA\r\n$40\r\n%b\r\n$1\r\n1\r\n" % sha
    assert verb_of(request) == "claim" and words(request, 9) == [b"EVALSHA", sha, b"1"]
    assert verb_of(b"*3\r\n$4\r\nEVAL\r\n$%d\r\n%b\r\n$1\r\n1\r\n" % (len(body), body)) == "claim"
    assert verb_of(b"*2\r\n$5\r\nBLPOP\r\n$1\r\nx\r\n") == "blpop"


def test_a_good_network_carries_all(proxy: FaultProxy) -> None:
    wire, large = Wire(UrlEndpoint(proxy.url)), b"x" * 3_000_000
    assert wire.exchange([("ECHO", large), ("PING",), ("ECHO", b"")]) == [large, b"PONG", b""]
    assert proxy.answered["echo"] == 2 and proxy.links_opened == 1
    wire.close()


def test_latency_and_bandwidth_take_their_time(proxy: FaultProxy) -> None:
    proxy.latency(0.05, 0.01)
    assert 0.24 <= ping(proxy, 3) < 1.0
    proxy.heal()
    proxy.bandwidth(50_000)
    began, wire = time.monotonic(), Wire(UrlEndpoint(proxy.url))
    assert len(wire.exchange([("ECHO", b"x" * 20_000)])[0]) == 20_000
    assert 0.7 <= time.monotonic() - began < 2.4, "0.4 s each way"
    wire.close()


def test_a_slicer_changes_nothing_but_the_pieces(proxy: FaultProxy) -> None:
    proxy.slicer(1)
    wire = Wire(UrlEndpoint(proxy.url))
    assert wire.exchange([("ECHO", b"x" * 3000), ("PING",)]) == [b"x" * 3000, b"PONG"]
    wire.close()


def test_a_reset_breaks_links_that_were_open_and_a_refusal_the_new_ones_too(proxy: FaultProxy) -> None:
    link = UrlEndpoint(proxy.url).open()
    link.ask(("PING",))
    proxy.reset()
    with pytest.raises(ConnectionError, match=r"reset|closed|Broken"):
        link.ask(("PING",))
    ping(proxy)
    proxy.refuse()
    with pytest.raises(StoreUnavailable, match="refused"):
        ping(proxy)
    proxy.heal()
    ping(proxy)


def test_a_tcp_reset_is_one(redis_url: str) -> None:
    with FaultProxy(redis_url) as proxy:
        port = int(proxy.url.rpartition(":")[2].partition("/")[0])
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"*1\r\n$4\r\nPING\r\n")
            assert client.recv(100) == b"+PONG\r\n"
            proxy.reset()
            with pytest.raises(ConnectionResetError):
                client.recv(100)


def test_links_break_by_chance_and_after_so_many_bytes(proxy: FaultProxy) -> None:
    proxy.reset_each(10)
    broken, open_ = 0, Wire(UrlEndpoint(proxy.url))
    for _ in range(200):
        try:
            open_.exchange([("PING",)])  # itself tries once more
        except StoreUnavailable:
            broken += 1
    assert proxy.links_opened > 20 and broken < 40
    proxy.heal()
    proxy.limit_data(1000)
    with pytest.raises(StoreUnavailable):
        open_.exchange([("ECHO", b"x" * 2000)])
    ping(proxy)
    open_.close()


@pytest.mark.parametrize("way", ["up", "down", "both"])
def test_a_black_hole_carries_nothing_that_way_until_it_heals(proxy: FaultProxy, redis_url: str, way: str) -> None:
    with socket.socket(socket.AF_UNIX if proxy.url.startswith("unix") else socket.AF_INET) as client:
        address = proxy.url.removeprefix("unix://")
        client.connect(address if address.startswith("/") else ("127.0.0.1", int(address.split(":")[2][:-2])))
        client.settimeout(0.3)
        proxy.blackhole(way)  # type: ignore[arg-type]
        key = f"mlq:{{black}}:id{way}"
        client.sendall(f"*3\r\n$3\r\nSET\r\n${len(key)}\r\n{key}\r\n$1\r\n1\r\n".encode())
        with pytest.raises(TimeoutError):
            client.recv(100)
        direct = Wire(UrlEndpoint(redis_url))
        assert direct.exchange([("EXISTS", key)]) == [1 if way == "down" else 0]
        proxy.heal()
        assert client.recv(100) == b"+OK\r\n"
        assert direct.exchange([("DEL", key)]) == [1]
        direct.close()


def test_what_a_closed_link_had_under_way_arrives_after_the_black_hole(proxy: FaultProxy, redis_url: str) -> None:
    direct = Wire(UrlEndpoint(redis_url))
    link = UrlEndpoint(proxy.url).open()
    proxy.blackhole("up")
    link.send([("SET", "mlq:{black}:id", "1")])
    link.disconnect()
    assert direct.exchange([("EXISTS", "mlq:{black}:id")]) == [0]
    proxy.heal()
    wait_until(lambda: direct.exchange([("DEL", "mlq:{black}:id")]) == [1])
    direct.close()


def test_exactly_one_reply_is_dropped_after_the_server_has_answered(proxy: FaultProxy) -> None:
    proxy.drop_reply("set", nth=2)
    link = UrlEndpoint(proxy.url).open()
    try:
        link.send([("SET", "mlq:{drop}:a", "1"), ("PING",), ("SET", "mlq:{drop}:b", "1"), ("PING",)])
        assert link.receive(2) == [b"OK", b"PONG"]
        with pytest.raises(ConnectionError, match="closed"):
            link.receive(1)
    finally:
        link.disconnect()
    assert proxy.dropped == ["set"]
    wire = Wire(UrlEndpoint(proxy.url))
    assert wire.exchange([("DEL", "mlq:{drop}:a", "mlq:{drop}:b")]) == [2], "both were done"
    assert wire.exchange([("SET", "mlq:{drop}:a", "1"), ("DEL", "mlq:{drop}:a")]) == [b"OK", 1], "once only"
    wire.close()


def test_a_server_that_is_away_closes_what_comes(short_folder: Path) -> None:
    with FaultProxy(f"unix://{short_folder}/nothing") as proxy, pytest.raises(StoreUnavailable):
        ping(proxy)
