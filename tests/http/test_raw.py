"""What is no request of HTTP/1.1, or could be read in two ways: a 4xx and the end, or just the end (H-2)."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Iterator

import pytest

from .conftest import Small

HOST = b"Host: %h\r\n"
JSON = b"Content-Type: application/json\r\n"
GET = b"GET /healthz HTTP/1.1\r\n"
POST = b"POST /echo HTTP/1.1\r\n" + HOST + JSON

#: %h stands for the right host.
REFUSED: dict[str, bytes] = {
    "no host": GET + b"\r\n",
    "empty host": GET + b"Host:\r\n\r\n",
    "two hosts": GET + HOST + b"Host: evil.example\r\n\r\n",
    "the same host twice": GET + HOST + HOST + b"\r\n",
    "two hosts in one": GET + b"Host: %h, evil.example\r\n\r\n",
    "length and chunks": POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "the same length twice": POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "lengths in one": POST + b"Content-Length: 2, 2\r\n\r\n{}",
    "negative length": POST + b"Content-Length: -1\r\n\r\n",
    "length with a sign": POST + b"Content-Length: +2\r\n\r\n{}",
    "hexadecimal length": POST + b"Content-Length: 0x2\r\n\r\n{}",
    "length without end": POST + b"Content-Length: " + b"9" * 31 + b"\r\n\r\n{}",
    "length that is a word": POST + b"Content-Length: two\r\n\r\n{}",
    "chunked, identity": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "identity, chunked": POST + b"Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
    "gzip, chunked": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "identity": POST + b"Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}",
    "xchunked": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked in quotes": POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "chunked behind a tab": POST + b"Transfer-Encoding:\tchunked, \r\n\r\n0\r\n\r\n",
    "space before the colon": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": b"POST /echo HTTP/1.0\r\n" + HOST + JSON + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunk size that is no number": POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "negative chunk size": POST + b"Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
    "chunk size with a prefix": POST + b"Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n",
    "chunk size without end": POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 17 + b"\r\n{}\r\n0\r\n\r\n",
    "chunk longer than it says": POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}{}\r\n0\r\n\r\n",
    "chunk size behind a space": POST + b"Transfer-Encoding: chunked\r\n\r\n 2\r\n{}\r\n0\r\n\r\n",
    "chunk that ends with a bare line feed": POST + b"Transfer-Encoding: chunked\r\n\r\n2\n{}\r\n0\r\n\r\n",
    "headers behind the body": POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nAuthorization: Bearer x\r\n\r\n",
    "address of 16 KB": b"GET /" + b"a" * 16384 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "address of 1 MB": b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "header of 64 KB": GET + HOST + b"X: " + b"a" * 65536 + b"\r\n\r\n",
    "header of 4 MB": GET + HOST + b"X: " + b"a" * (4 << 20) + b"\r\n\r\n",
    "name of 64 KB": GET + HOST + b"a" * 65536 + b": x\r\n\r\n",
    "10 000 headers": GET + HOST + b"X: a\r\n" * 10_000 + b"\r\n",
    "101 headers": GET + HOST + b"X: a\r\n" * 100 + b"\r\n",
    "NUL in the address": b"GET /heal\0thz HTTP/1.1\r\n" + HOST + b"\r\n",
    "space in the address": b"GET /heal thz HTTP/1.1\r\n" + HOST + b"\r\n",
    "byte over 127 in the address": b"GET /heal\xffthz HTTP/1.1\r\n" + HOST + b"\r\n",
    "NUL in a header": GET + HOST + b"X: a\0b\r\n\r\n",
    "bare carriage return in a header": GET + HOST + b"X: a\rHost: evil\r\n\r\n",
    "bell in a header": GET + HOST + b"X: a\x07b\r\n\r\n",
    "folded header": GET + HOST + b"X: a\r\n b\r\n\r\n",
    "header without a name": GET + HOST + b": a\r\n\r\n",
    "header without a colon": GET + HOST + b"nothing\r\n\r\n",
    "space before a header": GET + b" " + HOST + b"\r\n",
    "whole address": b"GET http://%h/healthz HTTP/1.1\r\n" + HOST + b"\r\n",
    "whole address of another": b"GET http://evil.example/healthz HTTP/1.1\r\n" + HOST + b"\r\n",
    "user in the address": b"GET http://a@%h/healthz HTTP/1.1\r\n" + HOST + b"\r\n",
    "CONNECT": b"CONNECT %h HTTP/1.1\r\n" + HOST + b"\r\n",
    "OPTIONS *": b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
    "HTTP/0.9": b"GET /healthz\r\n",
    "HTTP/0.9 with a version": b"GET /healthz HTTP/0.9\r\n" + HOST + b"\r\n",
    "HTTP/2.0": b"GET /healthz HTTP/2.0\r\n" + HOST + b"\r\n",
    "HTTP/1.2": b"GET /healthz HTTP/1.2\r\n" + HOST + b"\r\n",
    "HTTP/3": b"GET /healthz HTTP/3\r\n" + HOST + b"\r\n",
    "no version": b"GET /healthz HTTP\r\n" + HOST + b"\r\n",
    "lower-case method": b"get /healthz HTTP/1.1\r\n" + HOST + b"\r\n",
    "method that nobody knows": b"FROB /healthz HTTP/1.1\r\n" + HOST + b"\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "Redis": b"*1\r\n$4\r\nPING\r\n",
    "SMTP": b"EHLO localhost\r\n",
    "zeros": bytes(4096),
    "noise": bytes(range(256)) * 64,
    "an answer": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "wrong name": GET + b"Host: evil.example\r\n\r\n",
    "compressed": POST + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    "17 MB told": POST + b"Content-Length: %d\r\n\r\n" % (17 << 20) + bytes(17 << 20),
    "17 MB in chunks": POST + b"Transfer-Encoding: chunked\r\n\r\n" + (b"100000\r\n" + bytes(1 << 20) + b"\r\n") * 17,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    """One server for those who leave it as it was."""
    started = Small(tmp_path_factory.mktemp("raw") / "small.log")
    yield started
    assert started.stop() == 0


def _hello() -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    shaking = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        shaking.do_handshake()
    return outgoing.read()


def _all(server: Small, request: bytes) -> bytes:
    return server.all(request.replace(b"%h", server.host.encode()))


def _statuses(said: bytes) -> list[int]:
    return [int(each) for each in re.findall(rb"HTTP/1\.1 (\d\d\d) ", said)]


def test_what_is_no_request_is_refused_and_leaves_nothing_behind(small: Callable[..., Small]) -> None:
    server = small(limits={"head_time": 0.5, "body_time": 0.5, "linger": 0.2})
    corpus = {**REFUSED, "TLS": _hello()}
    for request in corpus.values():  # once before the memory is measured
        _all(server, request)
    before = server.resident
    for _ in range(2):
        for name, request in corpus.items():
            said = _all(server, request)
            statuses = _statuses(said)
            assert len(statuses) <= 1 and all(400 <= status < 500 for status in statuses), (name, said[:200])
            assert not said or b"connection: close" in said, name
    assert server.resident - before < 10 << 20
    assert "Traceback" not in server.log and "exception" not in server.log.lower(), server.log[-2000:]
    assert server.ask(GET + b"Host: %s\r\n\r\n" % server.host.encode()).startswith(b"HTTP/1.1 200")


def test_a_body_that_is_too_large_is_told_so_although_it_is_still_being_sent(server: Small) -> None:
    for name in ("17 MB told", "17 MB in chunks"):
        assert _statuses(_all(server, REFUSED[name])) == [413], name
    assert server.resident < 120 << 20


def test_a_smuggled_request_is_never_answered(server: Small) -> None:
    inner = b"GET /slow?seconds=0 HTTP/1.1\r\n" + HOST + b"\r\n"
    for outer in (
        POST + b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" % (len(inner) + 5),
        POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n",
        POST + b"Content-Length: 2\r\n\r\n{}\0",
        GET + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        GET + HOST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
    ):
        said = _all(server, outer + inner)
        assert len(_statuses(said)) == 1 and b"done" not in said, said
    assert "Traceback" not in server.log


def test_a_request_that_offers_another_protocol_is_read_with_its_body(server: Small) -> None:
    """Java's client offers HTTP/2 with its first request, whatever that is."""
    offer = POST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    inner = b"GET /slow?seconds=0 HTTP/1.1\r\n" + HOST + b"\r\n"
    for behind in (b"", inner, b"\0garbage"):
        for body in (
            b"Content-Length: 9\r\n\r\n" + b"x" * 9,
            b"Transfer-Encoding: chunked\r\n\r\n4\r\nxxxx\r\n5\r\nxxxxx\r\n0\r\n\r\n",
        ):
            said = _all(server, offer + body + behind)
            assert _statuses(said) == [200] and b'"length":9' in said and b"done" not in said, said
    large = _all(server, offer + b"Content-Length: 3000000\r\n\r\n" + b"x" * 3_000_000)
    assert b'"length":3000000' in large
    assert _statuses(_all(server, offer + b"Content-Length: 0\r\n\r\n")) == [200]
    trailer = b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nHost: evil\r\n\r\n"
    assert _statuses(_all(server, offer + trailer)) == [400]
    assert _statuses(_all(server, offer + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")) == [400]
    assert "Traceback" not in server.log


def test_garbage_behind_a_request_does_not_get_into_its_answer(server: Small) -> None:
    said = _all(server, b"GET /slow?seconds=0.3 HTTP/1.1\r\n" + HOST + b"\r\n" + b"\0\0garbage")
    assert _statuses(said) == [200] and said.endswith(b'"done"')


def test_requests_may_be_sent_before_the_answers_have_come_but_not_too_many(server: Small) -> None:
    one = GET + HOST + b"\r\n"
    last = GET + HOST + b"Connection: close\r\n\r\n"
    assert _statuses(_all(server, one * 49 + last)) == [200] * 50
    before = server.resident
    many = _statuses(_all(server, one * 1000))
    assert set(many) == {200} and 50 <= len(many) <= 110
    assert server.resident - before < 10 << 20


def test_what_is_odd_but_right_is_served(server: Small) -> None:
    closing = b"Connection: close\r\n\r\n"
    for request in (
        b"\r\n" + GET + HOST + closing,
        GET + b"hOsT: %h\r\n" + closing,
        b"GET /healthz?a=%zz&b HTTP/1.1\r\n" + HOST + closing,
        b"GET /healthz HTTP/1.0\r\n" + HOST + b"\r\n",
        b"HEAD /healthz HTTP/1.1\r\n" + HOST + closing,
        GET + HOST + b"X: " + b"a" * 30_000 + b"\r\n" + closing,
        GET + HOST + b"X: caf\xc3\xa9\r\n" + closing,
        POST + b"Transfer-Encoding: chunked\r\n" + closing + b"1;ext=1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
    ):
        assert _statuses(_all(server, request)) in ([200], [405]), request[:80]
    said = _all(server, POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n" + closing + b"{}")
    assert _statuses(said) == [100, 200]


def test_a_path_is_taken_as_it_stands(server: Small) -> None:
    for path in ("/%2e%2e/healthz", "/%252e%252e/healthz", "/x/../healthz", "/healthz%00", "//healthz"):
        said = _all(server, f"GET {path} HTTP/1.1\r\n".encode() + HOST + b"Connection: close\r\n\r\n")
        assert _statuses(said) == [404], path
