"""URLs of several nodes, and what is done when the first of them are down, wrong, or silent."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from mlq_cli.model.errors import Misuse, MlqError, NotAllowed, StoreUnavailable
from mlq_cli.store.redis import connect, endpoint_at, nodes
from mlq_cli.store.redis.cluster import slot_of
from mlq_cli.store.redis.connect import UrlEndpoint, Wire
from mlq_cli.store.redis.link import ErrorAnswer
from mlq_cli.store.redis.nodes import Node, NodesUrl
from tests_support import wait_until

Answer = Callable[[bytes], bytes | None]
Fake = Callable[[Answer], int]

GONE = "127.0.0.1:1"  # nobody listens there
SLOT = slot_of("n")


@pytest.fixture
def fake() -> Iterator[Fake]:
    """Return a function that starts a server which answers what it is told, and returns its port.

    It is given each write of a client; None means silence.
    """
    with ExitStack() as ends:

        def start(answer: Answer) -> int:
            listening = ends.enter_context(socket.create_server(("127.0.0.1", 0)))

            def talk(connection: socket.socket) -> None:
                with connection:
                    while asked := connection.recv(100_000):
                        if (reply := answer(asked)) is not None:
                            connection.sendall(reply)

            def serve() -> None:
                while True:
                    try:
                        connection, _ = listening.accept()
                    except OSError:
                        return
                    threading.Thread(target=talk, args=(connection,), daemon=True).start()

            threading.Thread(target=serve, daemon=True).start()
            ends.callback(listening.shutdown, socket.SHUT_RDWR)
            return int(listening.getsockname()[1])

        yield start


def server(role: bytes = b"master") -> Answer:
    def answer(asked: bytes) -> bytes:
        return b"*1\r\n$%d\r\n%b\r\n" % (len(role), role) if b"ROLE" in asked else b"+PONG\r\n"

    return answer


def sentinel(port: int | None) -> Answer:
    named = b"*-1\r\n" if port is None else b"*2\r\n$9\r\n127.0.0.1\r\n$%d\r\n%d\r\n" % (len(str(port)), port)
    return lambda _: named


def silent(_: bytes) -> None:
    return None


def refusing(word: bytes) -> Answer:
    return lambda _: b"-" + word + b"\r\n"


def map_of(port: int, *, state: bytes = b"ok", host: bytes = b"127.0.0.1") -> bytes:
    """Return what a node of a cluster says of itself and of who has all slots."""
    about = b"cluster_enabled:1\r\ncluster_state:" + state
    slots = b"*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$%d\r\n%b\r\n:%d\r\n$1\r\nx\r\n" % (len(host), host, port)
    return b"$%d\r\n%b\r\n" % (len(about), about) + slots


def node_of_cluster(port: Callable[[], int], **more: bytes) -> Answer:
    """Answer CLUSTER INFO and CLUSTER SLOTS, whether they come together or not."""

    def answer(asked: bytes) -> bytes:
        whole = map_of(port(), **more)
        cut = whole.index(b"*1\r\n*3")
        about, slots = whole[:cut], whole[cut:]
        reply = (about if b"INFO" in asked else b"") + (slots if b"SLOTS" in asked else b"")
        return reply or b"+PONG\r\n"

    return answer


# --- the URL -------------------------------------------------------------------------------------------------------
def test_a_url_of_several_nodes_is_taken_apart() -> None:
    url = NodesUrl(
        "rediss+sentinel://me:s%40cret@one,[::1]:7000,10.0.0.3:1/svc/2?ssl_cert_reqs=none", "sentinel", port=5
    )
    assert url.nodes == [Node("one", 5), Node("::1", 7000), Node("10.0.0.3", 1)]
    assert url.path == ["svc", "2"]
    assert (url._options["username"], url._options["password"]) == ("me", "s@cret")
    assert url._options["ssl_cert_reqs"] == "none" and url._kind.__name__ == "SSLConnection"
    assert url.address == "rediss+sentinel://one,[::1]:7000,10.0.0.3:1/svc/2"


def test_sentinels_have_a_login_of_their_own() -> None:
    url = NodesUrl("redis+sentinel://:a@h/s?sentinel_username=u&sentinel_password=p%26", "sentinel", port=5)
    assert url.sentinel_login == {"username": "u", "password": "p&"} and url._options["password"] == "a"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("redis+sentinel://h", "name of the service"),
        ("redis+sentinel://h/s/x", "name of the service"),
        ("redis+sentinel://h/s/0/1", "name of the service"),
        ("redis+sentinel://h:0/s", "host:port"),
        ("redis+sentinel://h:65536/s", "host:port"),
        ("redis+sentinel://u:geheim/x@h:1/s", "host:port"),
        ("redis+sentinel://u:geheim#x@h:1/s", "of the form"),
        ("http+sentinel://h/s", "of the form"),
        ("redis+cluster://", "of the form"),
        ("redis+cluster://h,,i", "host:port"),
        ("redis+cluster://h/1", "no database but 0"),
        ("redis+cluster://h?db=0", "'db' does not belong"),
        ("redis+cluster://h?sentinel_password=geheim", "only sentinels"),
        ("redis+cluster://h?socket_timeout=soon", "socket_timeout"),
        ("redis+cluster://h?colour=red", "unknown 'colour'"),
        ("redis://h?colour=red", "unknown 'colour'"),
        ("redis://h/jobs", "number of the database"),
        ("redis://u:geheim/x@h", "port is no number"),
        ("redis+other://h", "no Redis URL"),
    ],
)
def test_a_url_that_makes_no_sense_is_refused_before_anything_is_connected(url: str, why: str) -> None:
    with pytest.raises(Misuse, match=why) as caught:
        endpoint_at(url, "n")
    assert caught.value.hint and "geheim" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    "url", ["redis+sentinel://me:geheim@h/s?sentinel_password=geheim", "redis+cluster://:geheim@h"]
)
def test_the_address_of_several_nodes_holds_no_password(url: str) -> None:
    assert "geheim" not in endpoint_at(url, "n").address


def test_slots_are_those_of_the_cluster_specification() -> None:
    assert slot_of("123456789") == 0x31C3 and slot_of("foo") == 12182


# --- sentinels -----------------------------------------------------------------------------------------------------
def test_a_primary_is_found_by_the_sentinel_that_lives(fake: Fake) -> None:
    primary = fake(server())
    wire = Wire(endpoint_at(f"redis+sentinel://{GONE},127.0.0.1:{fake(sentinel(primary))}/s", "n"))
    assert wire.exchange([("PING",)]) == [b"PONG"] and wire._node == ("127.0.0.1", primary)


def test_a_sentinel_that_names_a_replica_is_not_believed(fake: Fake) -> None:
    primary, replica = fake(server()), fake(server(b"slave"))
    hosts = f"127.0.0.1:{fake(sentinel(replica))},127.0.0.1:{fake(sentinel(primary))}"
    wire = Wire(endpoint_at(f"redis+sentinel://{hosts}/s", "n"))
    assert wire.exchange([("PING",)]) == [b"PONG"] and wire._node == ("127.0.0.1", primary)


@pytest.mark.parametrize(
    "case", ["nobody", "a dead one", "a replica", "no such service", pytest.param("silence", marks=pytest.mark.minutes)]
)
def test_a_primary_that_is_not_found_is_an_outage_within_five_seconds(
    fake: Fake, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if case != "silence":
        monkeypatch.setattr(nodes, "FIND_SECONDS", 0.3)
    answers = {
        "a dead one": lambda: sentinel(1),
        "a replica": lambda: sentinel(fake(server(b"slave"))),
        "no such service": lambda: sentinel(None),
        "silence": lambda: silent,
    }
    hosts = GONE if case == "nobody" else ",".join(f"127.0.0.1:{fake(answers[case]())}" for _ in range(4))
    began = time.monotonic()
    with pytest.raises(StoreUnavailable) as caught:
        Wire(endpoint_at(f"redis+sentinel://{hosts}/s", "n")).exchange([("PING",)])
    assert time.monotonic() - began < 5
    words = {
        "nobody": "out of reach: connection refused",
        "a dead one": "127.0.0.1:1 does not answer: connection refused",
        "a replica": "says that it is none",
        "no such service": "know no service 's'",
        "silence": "no answer in time",
    }
    assert words[case] in str(caught.value) and caught.value.hint


def test_a_primary_that_was_replaced_and_still_answers_is_left_within_a_second_or_so(fake: Fake) -> None:
    primaries = [fake(server()), fake(server())]
    named = fake(lambda asked: sentinel(primaries[0])(asked))
    wire = Wire(endpoint_at(f"redis+sentinel://127.0.0.1:{named}/s", "n"))
    assert wire.exchange([("PING",)]) == [b"PONG"] and wire._node == ("127.0.0.1", primaries[0])
    kept = wire.open()
    primaries.reverse()
    wait_until(lambda: wire.exchange([("PING",)]) == [b"PONG"] and wire._node == ("127.0.0.1", primaries[0]), seconds=5)
    assert wire.has_left(kept)


def test_a_connection_to_a_replaced_primary_that_was_in_use_meanwhile_is_not_used_again(fake: Fake) -> None:
    primaries = [fake(server()), fake(lambda asked: b"+HERE\r\n" if b"PING" in asked else server()(asked))]
    named = fake(lambda asked: sentinel(primaries[0])(asked))
    wire = Wire(endpoint_at(f"redis+sentinel://127.0.0.1:{named}/s", "n"))

    def another_thread_learns_of_the_failover() -> None:
        primaries.reverse()
        wire.open().disconnect()

    assert wire.exchange([("PING",)], another_thread_learns_of_the_failover) == [b"PONG"]
    assert wire.exchange([("PING",)]) == [b"HERE"]


def test_sentinels_that_are_gone_do_not_stop_who_knows_the_primary(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    primary, lives = fake(server()), [True]
    named = fake(lambda asked: sentinel(primary)(asked) if lives else None)
    wire = Wire(endpoint_at(f"redis+sentinel://127.0.0.1:{named},{GONE}/s", "n"))
    monkeypatch.setattr(connect, "WATCH_SECONDS", 0.0)
    assert wire.exchange([("PING",)]) == [b"PONG"]
    lives.clear()
    for _ in range(3):
        assert wire.exchange([("PING",)]) == [b"PONG"]


def test_a_sentinel_that_wants_a_password_is_no_outage(fake: Fake) -> None:
    hosts = f"127.0.0.1:{fake(refusing(b'NOAUTH Authentication required.'))},{GONE}"
    with pytest.raises(NotAllowed):
        Wire(endpoint_at(f"redis+sentinel://{hosts}/s", "n")).exchange([("PING",)])


# --- the cluster ---------------------------------------------------------------------------------------------------
def test_the_owner_of_the_slot_is_found_by_any_node_that_lives(fake: Fake) -> None:
    owner = fake(server())
    other = fake(node_of_cluster(lambda: owner))
    wire = Wire(endpoint_at(f"redis+cluster://{GONE},127.0.0.1:{other}", "n"))
    assert wire.exchange([("PING",)]) == [b"PONG"] and wire._node == ("127.0.0.1", owner)


def test_a_node_that_does_not_know_its_own_name_is_where_it_was_asked(fake: Fake) -> None:
    owner = fake(server())
    other = fake(node_of_cluster(lambda: owner, host=b""))
    wire = Wire(endpoint_at(f"redis+cluster://127.0.0.1:{other}", "n"))
    assert wire.exchange([("PING",)]) == [b"PONG"] and wire._node == ("127.0.0.1", owner)


def test_a_node_that_is_cut_off_from_its_cluster_is_not_believed(fake: Fake) -> None:
    old, new = fake(server()), fake(server())
    cut, well = fake(node_of_cluster(lambda: old, state=b"fail")), fake(node_of_cluster(lambda: new))
    wire = Wire(endpoint_at(f"redis+cluster://127.0.0.1:{cut},127.0.0.1:{well}", "n"))
    assert wire.exchange([("PING",)]) == [b"PONG"] and wire._node == ("127.0.0.1", new)


@pytest.mark.parametrize(
    "case", ["nobody", "a dead one", "down", "no cluster", pytest.param("silence", marks=pytest.mark.minutes)]
)
def test_an_owner_that_is_not_found_is_an_outage_within_five_seconds(
    fake: Fake, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if case != "silence":
        monkeypatch.setattr(nodes, "FIND_SECONDS", 0.3)
    answers = {
        "a dead one": node_of_cluster(lambda: 1),
        "down": node_of_cluster(lambda: 1, state=b"fail"),
        "no cluster": lambda asked: b"-ERR This instance has cluster support disabled\r\n" * asked.count(b"CLUSTER"),
        "silence": silent,
    }
    hosts = GONE if case == "nobody" else ",".join(f"127.0.0.1:{fake(answers[case])}" for _ in range(4))
    began = time.monotonic()
    with pytest.raises(StoreUnavailable) as caught:
        Wire(endpoint_at(f"redis+cluster://{hosts}", "n")).exchange([("PING",)])
    assert time.monotonic() - began < 5
    words = {
        "nobody": "out of reach: connection refused",
        "a dead one": "127.0.0.1:1 does not answer: connection refused",
        "down": "says that the cluster is down",
        "no cluster": "is no cluster",
        "silence": "no answer in time",
    }
    assert words[case] in str(caught.value) and caught.value.hint


# --- what is refused in the wrong place ----------------------------------------------------------------------------
class Moving:
    """Leads to the first place, then to the second."""

    address = "fake://cluster"
    hint = "it is only a fake"
    moves = True

    def __init__(self, *ports: int) -> None:
        self._ports = list(ports)

    def open(self) -> object:
        port = self._ports.pop(0) if len(self._ports) > 1 else self._ports[0]
        return UrlEndpoint(f"redis://127.0.0.1:{port}/0").open()


def only_pings(refusal: bytes) -> Answer:
    """Answer PING with PONG, and refuse ECHO, in the order in which they come."""

    def answer(asked: bytes) -> bytes:
        words = [word for word in asked.split(b"\r\n") if word in (b"PING", b"ECHO")]
        return b"".join(b"+PONG\r\n" if word == b"PING" else b"-" + refusal + b"\r\n" for word in words)

    return answer


MISPLACED = [
    b"MOVED %d 127.0.0.1:1" % SLOT,
    b"READONLY You can't write against a read only replica.",
    b"ERR Error running script (call to f_1): @user_script:9: @user_script: 9: -READONLY You can't write",
    b"MASTERDOWN Link with MASTER is down",
]


@pytest.mark.parametrize("refusal", MISPLACED)
def test_what_the_wrong_node_refused_is_sent_where_it_belongs_with_all_behind_it(fake: Fake, refusal: bytes) -> None:
    heard: list[bytes] = []

    def right(asked: bytes) -> bytes:
        heard.extend(word for word in asked.split(b"\r\n") if word in (b"PING", b"ECHO"))
        return b"+HERE\r\n" * asked.count(b"*")

    wire = Wire(Moving(fake(only_pings(refusal)), fake(right)))  # type: ignore[arg-type]
    answers = wire.exchange([("PING",), ("ECHO",), ("PING",)])
    assert answers == [b"PONG", b"HERE", b"HERE"] and heard == [b"ECHO", b"PING"]
    assert wire.exchange([("ECHO",)]) == [b"HERE"]


@pytest.mark.parametrize("refusal", MISPLACED[:2])
def test_a_place_that_stays_the_wrong_one_is_an_outage(
    fake: Fake, refusal: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect, "MOVING_SECONDS", 0.3)
    wire = Wire(Moving(fake(only_pings(refusal))))  # type: ignore[arg-type]
    first, second = wire.exchange([("PING",), ("ECHO",)])
    assert first == b"PONG" and isinstance(wire.translate(second), StoreUnavailable)
    assert refusal.split()[0].decode().removeprefix("ERR") in str(wire.translate(second))


@pytest.mark.parametrize(
    "refusal", [b"ASK %d 127.0.0.1:1" % SLOT, b"TRYAGAIN Multiple keys", b"CLUSTERDOWN down", b"NOREPLICAS Not enough"]
)
def test_a_refusal_for_now_is_told_at_once_and_the_next_try_looks_where_to_go(fake: Fake, refusal: bytes) -> None:
    wire = Wire(Moving(fake(only_pings(refusal)), fake(lambda _: b"+HERE\r\n")))  # type: ignore[arg-type]
    (answer,) = wire.exchange([("ECHO",)])
    translated: MlqError = wire.translate(answer)
    assert isinstance(translated, StoreUnavailable) and refusal.split()[0].decode() in str(translated)
    assert translated.hint
    assert wire.exchange([("ECHO",)]) == [b"HERE"]


def test_a_slot_on_its_way_is_not_followed_and_named_as_the_cause() -> None:
    translated = Wire(UrlEndpoint("redis://h/0")).translate(ErrorAnswer(f"ASK {SLOT} 127.0.0.1:1"))
    assert isinstance(translated, StoreUnavailable) and "on its way" in (translated.hint or "")
