"""One delivery and its target, which does all that a target can do wrong."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from mlq_cli.model.addresses import Address
from mlq_cli.model.callback_policy import Policy
from mlq_cli.model.signing import keys_of, signatures
from mlq_cli.worker import callback_request, callbacks
from mlq_cli.worker.callback_request import MOST_BYTES, Answer, read_answer
from mlq_cli.worker.callbacks import CallbackFailed, CallbackRefused, Delivery
from tests_support import wait_until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OK = b"HTTP/1.1 204 No Content\r\n\r\n"
Act = Callable[[socket.socket], None]


class Told:
    """What a delivery asks of its context."""

    def __init__(self, job_id: str = "7", timestamp: float = 1795264178.357960) -> None:
        self.full_message = {"id": job_id, "timestamp": timestamp}


@contextmanager
def target(act: Act, *, backlog: int = 16) -> Iterator[int]:
    """A server whose port this yields; `act` gets each connection, in a thread of its own."""
    with socket.create_server(("127.0.0.1", 0), backlog=backlog) as server:

        def run(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                act(connection)

        def serve() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=run, args=(server.accept()[0],), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)


def request(connection: socket.socket) -> bytes:
    """Read a request with its body."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def answering(answer: bytes, seen: list[bytes] | None = None) -> Act:
    def act(connection: socket.socket) -> None:
        asked = request(connection)
        if seen is not None:
            seen.append(asked)
        connection.sendall(answer)

    return act


def message(url: str, **more: Any) -> dict[str, Any]:
    return {"url": url, "success": 1, "job_id": "1", "short_result": None, **more}


POSTED = {"method": "POST", "state": "succeeded", "queue": "default", "attempt": 1}


def tell(url: str, delivery: Delivery | None = None, **more: Any) -> str:
    told: Any = Told()
    return asyncio.run(
        (delivery or Delivery(Policy(private=True), keys_of(SECRET))).deliver(message(url, **more), told)
    )


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience that a test has."""
    monkeypatch.setattr(callbacks, "TOTAL_SECONDS", 0.6)
    monkeypatch.setattr(callback_request, "CONNECT_SECONDS", 0.3)


# --- what is sent ----------------------------------------------------------------------------------------------------
def test_a_get_is_the_originals_and_a_post_is_signed_as_the_specification_says() -> None:
    seen: list[bytes] = []
    with target(answering(OK, seen)) as port:
        assert tell(f"http://127.0.0.1:{port}/done?a=1", short_result="a b") == "204"
        error = {"error_type": "ValueError", "error": "x" * 100_000, "short_result": "ü" * 50_000}
        tell(f"http://127.0.0.1:{port}/done?a=1", **POSTED, **error)
    assert seen[0].startswith(b"GET /done?a=1&success=1&job_id=1&short_result=a%20b HTTP/1.1\r\nHost: 127.0.0.1:")
    head, _, body = seen[1].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:] if not line.startswith("webhook-signature"))
    assert lines[0] == "POST /done?a=1 HTTP/1.1" and headers["content-type"] == "application/json"
    assert headers["webhook-id"].startswith("msg_") and "." not in headers["webhook-id"]
    stamp = int(headers["webhook-timestamp"])
    assert abs(stamp - time.time()) < 60
    assert f"webhook-signature: {signatures(keys_of(SECRET), headers['webhook-id'], stamp, body)}" in lines
    told = json.loads(body)
    assert len(body) < 20_000 and (told["type"], told["timestamp"]) == ("job.succeeded", "2026-11-21T12:29:38.357960Z")
    assert set(told["data"]) == {"id", "state", "queue", "attempt", "short_result", "error", "error_type"}
    assert told["data"]["error"].startswith("ValueError: xxx") and told["data"]["short_result"].endswith("ü…")


def test_the_id_of_a_webhook_is_the_same_for_each_try_and_another_for_each_outcome() -> None:
    seen: list[bytes] = []
    delivery = Delivery(Policy(private=True), keys_of(SECRET), "mine")

    def webhook_id(delivery: Delivery, told: Any) -> str:
        asyncio.run(delivery.deliver(message(f"http://127.0.0.1:{port}/", **POSTED), told))
        (line,) = [line for line in seen[-1].decode().split("\r\n") if line.startswith("webhook-id: ")]
        return line

    with target(answering(OK, seen)) as port:
        first = webhook_id(delivery, Told())
        assert first == webhook_id(Delivery(Policy(private=True), keys_of("another"), "mine"), Told())
        others = [webhook_id(delivery, Told("8")), webhook_id(delivery, Told(timestamp=1.0))]
        others.append(webhook_id(Delivery(Policy(private=True), keys_of(SECRET), "yours"), Told()))
    assert len({first, *others}) == 4


def test_a_worker_without_a_secret_sends_nothing_unsigned() -> None:
    seen: list[bytes] = []
    with target(answering(OK, seen)) as port:
        with pytest.raises(CallbackFailed, match="no secret"):
            tell(f"http://127.0.0.1:{port}/", Delivery(Policy(private=True)), **POSTED)
        assert tell(f"http://127.0.0.1:{port}/", Delivery(Policy(private=True))) == "204"
    assert [each[:4] for each in seen] == [b"GET "]


# --- targets that do wrong -------------------------------------------------------------------------------------------
def hang_after_headers(connection: socket.socket) -> None:
    request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n")
    connection.recv(1)


def send_without_end(connection: socket.socket) -> None:
    request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(1024):
        connection.sendall(bytes(1 << 20))


def headers_without_end(connection: socket.socket) -> None:
    request(connection)
    connection.sendall(b"HTTP/1.1 503 Busy\r\n")
    while True:
        connection.sendall(b"X-More: " + b"x" * 1000 + b"\r\n")


def hints_without_end(connection: socket.socket) -> None:
    request(connection)
    while True:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")


def a_line_without_end(connection: socket.socket) -> None:
    request(connection)
    connection.sendall(b"HTTP/1.1 200 ")
    while True:
        connection.sendall(b"x" * 1000)


def trickle(connection: socket.socket) -> None:
    request(connection)
    for byte in b"HTTP/1.1 200 OK\r\n" * 10:
        connection.sendall(bytes([byte]))
        threading.Event().wait(0.2)


def reset(connection: socket.socket) -> None:
    request(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")


@pytest.mark.parametrize("act", [hang_after_headers, send_without_end])
def test_once_the_status_is_known_nothing_more_is_waited_for(act: Act, hurried: None) -> None:
    with target(act) as port:
        assert tell(f"http://127.0.0.1:{port}/") == "200"


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda connection: connection.recv(1) and connection.recv(1 << 20) and time.sleep(2), "no answer within"),
        (trickle, "no answer within"),
        (reset, "reset"),
        (lambda connection: None, "closed|reset"),
        (lambda connection: request(connection) and None, "closed without an answer"),
        (headers_without_end, "status 503"),
        (hints_without_end, "no HTTP|no end"),
        (a_line_without_end, "no HTTP"),
        (answering(b"220 mail.example.com ESMTP\r\n"), "no HTTP"),
        (answering(b"HTTP/1.1 2000 OK\r\n\r\n"), "no HTTP"),
        (answering(b"HTTP/1.1 999 ?\r\n\r\n"), "no HTTP"),
        (answering(b"\x16\x03\x01" * 100), "no HTTP"),
        (answering(b"HTTP/1.1 301 Moved\r\nLocation: http://169.254.169.254/\r\n\r\n"), "status 301"),
        (answering(b"HTTP/1.1 307 There\r\nLocation: /there\r\n\r\n"), "status 307"),
        (answering(b"HTTP/1.1 500 Oops\r\n\r\n"), "status 500"),
        (answering(b"HTTP/1.1 101 Switch\r\n\r\n"), "status 101"),
    ],
)
def test_a_target_that_does_wrong_is_a_failed_delivery(act: Act, said: str, hurried: None) -> None:
    began = time.monotonic()
    with target(act) as port, pytest.raises(CallbackFailed, match=said):
        tell(f"http://127.0.0.1:{port}/", **POSTED)
    assert time.monotonic() - began < 3


def test_a_target_that_cannot_be_reached_is_a_failed_delivery(hurried: None) -> None:
    with pytest.raises(CallbackFailed, match="Connect call failed"):
        tell("http://127.0.0.1:1/")
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:  # whose line is full: the kernel drops what comes
        port, waiting = full.getsockname()[1], []
        for _ in range(4):
            waiting.append(socket.socket())
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(("127.0.0.1", port))
        with pytest.raises(CallbackFailed, match="no connection within"):
            tell(f"http://127.0.0.1:{port}/")
        for each in waiting:
            each.close()


def test_a_target_that_is_gone_for_good_is_asked_no_more() -> None:
    with target(answering(b"HTTP/1.1 410 Gone\r\n\r\n")) as port, pytest.raises(CallbackRefused, match="410"):
        tell(f"http://127.0.0.1:{port}/")


def test_a_target_that_sends_a_gigabyte_is_read_no_further_than_a_buffer(hurried: None) -> None:
    sent = threading.Event()
    most = 0

    def act(connection: socket.socket) -> None:
        nonlocal most
        request(connection)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        try:
            connection.sendall(b"HTTP/1.1 503 Busy\r\n")
            while True:
                most += connection.send(b"x" * 4096)
        finally:
            sent.set()

    with target(act) as port, pytest.raises(CallbackFailed, match="status 503"):
        tell(f"http://127.0.0.1:{port}/")
    assert sent.wait(5) and most < 16 << 20  # what the kernel took in, not we


# --- where it is sent ------------------------------------------------------------------------------------------------
def resolving(*answers: Sequence[str]) -> Any:
    """Return a resolver that says one thing first, and then another."""
    said = iter(answers)

    async def resolve(name: str, port: int) -> list[Address]:
        assert name == "rebinding.example"
        return [ip_address(text) for text in next(said)]

    return resolve


def test_a_name_is_looked_up_once_and_the_checked_address_is_called_by_the_name() -> None:
    """Were it looked up a second time, the answer would be another one: there is none."""
    seen: list[bytes] = []
    with target(answering(OK, seen)) as port:
        once = Delivery(Policy(private=True), resolve=resolving(["127.0.0.1"]))
        assert tell(f"http://Rebinding.example.:{port}/", once) == "204"
    assert f"\r\nHost: rebinding.example:{port}\r\n".encode() in seen[0]


@pytest.mark.parametrize(
    ("policy", "addresses", "said"),
    [
        (Policy(private=True), ["169.254.169.254"], "never called"),
        (Policy(private=True), ["127.0.0.1", "169.254.169.254"], "never called"),
        (Policy(private=True), ["::ffff:169.254.169.254"], "never called"),
        (Policy(), ["8.8.8.8", "127.0.0.1"], "public internet"),
        (Policy(allow=("other.example",)), ["127.0.0.1"], "public internet"),
    ],
)
def test_a_name_that_leads_where_it_must_not_is_refused_for_good(
    policy: Policy, addresses: list[str], said: str
) -> None:
    seen: list[bytes] = []
    with target(answering(OK, seen)) as port:
        refusing = Delivery(policy, resolve=resolving(addresses))
        with pytest.raises(CallbackRefused, match=said):
            tell(f"http://rebinding.example:{port}/", refusing)
    assert not seen


def test_a_name_that_changed_its_mind_after_the_posting_is_refused() -> None:
    delivery = Delivery(Policy(private=True), resolve=resolving(["127.0.0.1"], ["169.254.169.254"]))
    with target(answering(OK)) as port:
        assert tell(f"http://rebinding.example:{port}/", delivery) == "204"
        with pytest.raises(CallbackRefused, match=r"leads to 169\.254\.169\.254"):
            tell(f"http://rebinding.example:{port}/", delivery)


def test_what_came_from_a_stranger_is_told_only_on_the_public_internet() -> None:
    with target(answering(OK)) as port:
        for url in (f"http://127.0.0.1:{port}/", f"http://localhost:{port}/", f"http://[::1]:{port}/"):
            with pytest.raises(CallbackRefused):
                tell(url, public=1)
        open_to_one = Delivery(Policy(private=True, allow=("127.0.0.1",)))
        assert tell(f"http://127.0.0.1:{port}/", open_to_one, public=1) == "204"


def test_the_systems_resolver_is_asked_and_a_name_that_is_unknown_is_a_failed_delivery() -> None:
    with target(answering(OK)) as port:
        assert tell(f"http://localhost:{port}/") == "204"
    with pytest.raises(CallbackFailed):
        tell("http://no-such-host.invalid/")


def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with target(answering(OK)) as port:
        assert tell(f"http://127.0.0.1:{port}/") == "204"


# --- TLS -------------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which("openssl"):
        pytest.skip("makes its certificate with openssl")
    folder = tmp_path_factory.mktemp("tls")
    subject = ["-subj", "/CN=rebinding.example", "-addext", "subjectAltName=DNS:rebinding.example"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", "key", "-out", "cert"]
    subprocess.run([*made, *subject], cwd=folder, check=True, capture_output=True)
    return folder


def test_a_certificate_has_to_be_the_names_and_to_be_trusted(certificate: Path, hurried: None) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate / "cert", certificate / "key")
    names: list[str | None] = []
    server.sni_callback = lambda sock, name, context: names.append(name)
    trusting = ssl.create_default_context(cafile=str(certificate / "cert"))

    def act(connection: socket.socket) -> None:
        with server.wrap_socket(connection, server_side=True) as wrapped:
            answering(OK)(wrapped)

    def delivery(**given: Any) -> Delivery:
        return Delivery(Policy(private=True), keys_of(SECRET), resolve=resolving(["127.0.0.1"]), **given)

    with target(act) as port:
        assert tell(f"https://rebinding.example:{port}/", delivery(tls=trusting), **POSTED) == "204"
        assert names == ["rebinding.example"]
        with pytest.raises(CallbackFailed, match=r"mismatch|not valid for"):
            tell(f"https://127.0.0.1:{port}/", delivery(tls=trusting))
        with pytest.raises(CallbackFailed, match=r"self.signed"):
            tell(f"https://rebinding.example:{port}/", delivery())
    with target(lambda connection: time.sleep(1)) as port, pytest.raises(CallbackFailed, match="no connection within"):
        tell(f"https://rebinding.example:{port}/", delivery(tls=trusting))


# --- answers, byte for byte ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (b"HTTP/1.1 200 OK\r\n", Answer(200)),
        (b"HTTP/1.0 204\n", Answer(204)),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Made\r\n", Answer(201)),
        (b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 410 Gone\r\n", Answer(410)),
        (b"HTTP/1.1 503 Busy\r\nRetry-After: 120\r\n\r\n", Answer(503, 120.0)),
        (b"HTTP/1.1 429 Slow\r\nX: y\r\nretry-after:  7 \r\nZ: 1\r\n\r\n", Answer(429, 7.0)),
        (b"HTTP/1.1 503 Busy\r\nRetry-After: soon\r\n\r\n", Answer(503)),
        (b"HTTP/1.1 503 Busy\r\nRetry-After: -5\r\n\r\n", Answer(503)),
        (b"HTTP/1.1 503 Busy\r\nRetry-After: Thu, 01 Jan 1970 00:00:01 GMT\r\n\r\n", Answer(503, 0.0)),
        (b"HTTP/1.1 503 Busy\r\n\r\nRetry-After: 9\r\n\r\n", Answer(503)),
        (b"HTTP/1.1 500 Oops\r\nRetry-After: 9\r\n\r\n", Answer(500)),
    ],
)
def test_an_answer_is_read_as_soon_as_it_is_there_and_no_sooner(data: bytes, answer: Answer) -> None:
    for length in range(len(data)):
        early = read_answer(data[:length], whole=False)
        assert early is None or (early == answer and answer.retry_after is None)
    assert read_answer(data, whole=False) == answer


def test_an_answer_is_never_longer_than_the_buffer() -> None:
    assert read_answer(b"HTTP/1.1 429 Slow\r\n" + b"x" * MOST_BYTES, whole=True) == Answer(429)
    with pytest.raises(ValueError, match="no HTTP"):
        read_answer(b"HTTP/1.1 200 " + b"x" * MOST_BYTES, whole=True)


def test_the_secret_is_in_no_environment_or_command_line_of_an_executor(
    mlq: Any, start_worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLQ_SECRET", SECRET)
    monkeypatch.setenv("OF_ANOTHER_NAME", f"old new {SECRET}")
    seen: list[bytes] = []
    arrived = threading.Event()

    def act(connection: socket.socket) -> None:
        seen.append(request(connection))
        arrived.wait(30)

    with target(act) as port:
        worker = start_worker("jobs:environment")
        names = ["MLQ_SECRET", "OF_ANOTHER_NAME"]
        job_id = mlq.post(names, callback=f"http://127.0.0.1:{port}/", callback_method="POST")
        found = mlq.wait(job_id, 20)
        assert (found["MLQ_SECRET"], found["OF_ANOTHER_NAME"]) == ("", "")
        wait_until(lambda: seen, seconds=20)
        children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
        assert len(children) >= 2, "one runs jobs, one delivers"
        for pid in children:
            for file in ("environ", "cmdline"):
                assert SECRET.encode() not in Path(f"/proc/{pid}/{file}").read_bytes()
        arrived.set()
    assert b"webhook-signature: v1," in seen[0]
