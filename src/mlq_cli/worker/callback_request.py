"""One HTTP request to an address that was checked, and as little of its answer as says how it went.

Our own, since no client lets us pin the address, keep the name for TLS, and stop reading after so many bytes.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from mlq_cli.model.addresses import Address, read_address
from mlq_cli.model.callback_policy import Target

CONNECT_SECONDS = 5.0  # until the connection stands, TLS included
MOST_BYTES = 4096  # of an answer that are read
MOST_ADDRESSES = 3  # of a name that are tried
_FIRST_LINE = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d)(?: [^\r\n]*)?\r?\n")
_RETRY_AFTER = re.compile(rb"\nretry-after:[ \t]*([^\r\n]+?)[ \t]*\r?\n", re.IGNORECASE)
_BUSY = (429, 502, 503, 504)  # statuses beside which a time to come back may stand


class Answer(NamedTuple):
    """How a request was answered."""

    status: int
    retry_after: float | None = None  # seconds


class _Reading(asyncio.BufferedProtocol):
    """Reads into a buffer of fixed size, so that no answer takes more memory or time than that."""

    def __init__(self) -> None:
        self._buffer = bytearray(MOST_BYTES)
        self._length = 0
        self._transport: asyncio.Transport | None = None
        self.answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.answer.add_done_callback(lambda done: None if done.cancelled() else done.exception())  # asked for or not

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(self._buffer)[self._length :]

    def buffer_updated(self, nbytes: int) -> None:
        self._length += nbytes
        self._look(whole=self._length == MOST_BYTES)
        if self.answer.done() and self._transport is not None:
            self._transport.abort()  # whatever else it has to say, however much

    def eof_received(self) -> None:
        self._look(whole=True)

    def connection_lost(self, exc: Exception | None) -> None:
        self._look(whole=True, error=exc)

    def _look(self, *, whole: bool, error: Exception | None = None) -> None:
        """See whether what has come is an answer; `whole`: no more of it will be read, because of that error."""
        if self.answer.done():
            return
        try:
            found = read_answer(bytes(self._buffer[: self._length]), whole=whole)
        except ValueError as found_wrong:
            self.answer.set_exception(error or found_wrong)
            return
        if found is not None:
            self.answer.set_result(found)


def read_answer(data: bytes, *, whole: bool) -> Answer | None:
    """Return the answer at the beginning of `data`, None when more is needed. Raises ValueError when it is no HTTP."""
    while True:
        line = _FIRST_LINE.match(data)
        if line is None:
            if whole or b"\n" in data or not b"HTTP/1.".startswith(data[:7]):
                raise ValueError("the answer is no HTTP" if data else "the connection was closed without an answer")
            return None
        status = int(line[1])
        head, blank, rest = _head(data, line.end() - 1)
        if status // 100 == 1 and status != 101:  # «go on»: the answer is still to come
            if not blank:
                if whole:
                    raise ValueError("the answer has no end")
                return None
            data = rest
            continue
        if status not in _BUSY or blank or whole:
            return Answer(status, _retry_after(head) if status in _BUSY else None)
        return None


def _head(data: bytes, begin: int) -> tuple[bytes, bool, bytes]:
    """Return the header lines, whether they are all there, and what follows."""
    end = re.compile(rb"\n\r?\n").search(data, begin)
    if end is None:
        return data[begin:], False, b""
    return data[begin : end.start() + 1], True, data[end.end() :]


def _retry_after(head: bytes) -> float | None:
    found = _RETRY_AFTER.search(head)
    if found is None:
        return None
    text = found[1].decode("latin-1")
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def request_of(method: str, target: Target, headers: Sequence[tuple[str, str]], body: bytes, query: str) -> bytes:
    """Return the bytes of a request; `query` comes behind what the target has."""
    asked = "&".join(part for part in (target.query, query) if part)
    lines = [f"{method} {target.path}{'?' if asked else ''}{asked} HTTP/1.1", f"Host: {target.authority}"]
    lines += [f"{name}: {value}" for name, value in headers]
    lines += ["User-Agent: mlq", "Accept: */*", "Connection: close", "", ""]
    return "\r\n".join(lines).encode("ascii") + body


async def ask(target: Target, addresses: Sequence[Address], request: bytes, tls: ssl.SSLContext | None) -> Answer:
    """Send a request to the first of these addresses that can be reached. Raises OSError, ValueError."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            transport, reading = await _connect(target, addresses, tls)
    except TimeoutError:
        raise OSError(f"no connection within {CONNECT_SECONDS:g} s") from None
    try:
        peer = read_address(transport.get_extra_info("peername")[0])
        if peer not in addresses:
            raise OSError(f"connected to {peer}, which was not asked for")
        transport.write(request)
        return await reading.answer
    finally:
        transport.abort()


async def _connect(
    target: Target, addresses: Sequence[Address], tls: ssl.SSLContext | None
) -> tuple[asyncio.Transport, _Reading]:
    loop = asyncio.get_running_loop()
    name = target.host if tls is not None else None
    last: OSError = OSError("no address")
    for address in addresses[:MOST_ADDRESSES]:
        try:  # with an address in place of the name nothing is looked up a second time
            return await loop.create_connection(
                _Reading,
                str(address),
                target.port,
                ssl=tls,
                server_hostname=name,
                ssl_shutdown_timeout=0.1 if tls else None,
            )
        except OSError as error:
            last = error
    raise last
