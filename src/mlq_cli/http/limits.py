"""How long and how much a connection may: what keeps a few of them from taking the server away from all others."""

from __future__ import annotations

from http import HTTPStatus
from typing import NamedTuple

from mlq_cli.http.door.refusal import Refusal, retry_after


class Limits(NamedTuple):
    """Sizes in bytes, times in seconds."""

    connections: int = 1024
    line: int = 8 * 1024  # the address of a request
    head: int = 32 * 1024  # all its headers together
    headers: int = 100
    pipeline: int = 100  # requests sent before the answers to those before
    head_time: float = 10.0  # from the first byte, or from connecting, to the end of the headers
    body_time: float = 30.0  # for a body, and one second more for each `body_rate` of it that has come
    body_rate: int = 10 * 1024
    write_time: float = 30.0  # without anything of an answer being taken
    idle_time: float = 30.0  # between two requests
    spare_time: float = 1.0  # without a request, after which a connection makes way when there are too many
    spare_body_time: float = 5.0  # likewise, with a body that comes slower than `body_rate`
    linger: float = 1.0  # for somebody who still sends to read why nobody listens


def written(refusal: Refusal, date: bytes = b"") -> bytes:
    """Return a refusal as it goes over the wire, for connections that no answer of the app is possible on."""
    headers = [*refusal.headers, (b"x-content-type-options", b"nosniff")]
    lines = [b"%s: %s\r\n" % pair for pair in headers]
    phrase = HTTPStatus(refusal.status).phrase.encode()
    return b"".join([b"HTTP/1.1 %d %s\r\n" % (refusal.status, phrase), date, *lines, b"\r\n", refusal.body])


def malformed(detail: str = "this is no request of HTTP/1.1") -> Refusal:
    """Return what is said to what is no request."""
    return Refusal(400, "malformed", detail, close=True)


def full() -> Refusal:
    """Return what is said to one connection too many."""
    said = "this server has as many connections as it takes"
    return Refusal(503, "full", said, headers=[retry_after(1)], close=True)


def too_slow() -> Refusal:
    """Return what is said to whom nobody waits for any more."""
    return Refusal(408, "too-slow", "the request did not come in time", close=True)


def long_line() -> Refusal:
    """Return what is said to an address that is too long."""
    return Refusal(414, "address-too-long", "the address is longer than this server takes", close=True)


def large_head() -> Refusal:
    """Return what is said to too many headers, or too long ones."""
    return Refusal(431, "headers-too-large", "the headers are more than this server takes", close=True)
