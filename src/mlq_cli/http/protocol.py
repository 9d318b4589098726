"""One connection: uvicorn's protocol with what it leaves out, which is a limit to everything.

    bytes ─▶ llhttp ─▶ here: sizes, what could be read in two ways ─▶ uvicorn's cycle of request and answer ─▶ door
    once a second: `look` ends what takes too long

uvicorn has no deadline for headers or bodies, none for readers that stop reading, no limit to the number or size of
headers, and answers a broken request in the middle of the answer to the one before.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from enum import Enum
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from mlq_cli.http.door.refusal import Refusal
from mlq_cli.http.limits import Limits, full, large_head, long_line, malformed, too_slow, written

log = logging.getLogger("mlq.http")

_MOST_DISCARDED = 64 << 20  # bytes read and thrown away, for somebody to see why
_NOT_BEHIND = "headers stand before the body, not behind it"
_MOST_LINGERING = 256  # connections at a time for which that is done

Refused = Callable[[str, int], None]


class Awaits(Enum):
    """What a connection waits for from the other side."""

    NOTHING = 0
    HEAD = 1
    BODY = 2
    DEAF = 3  # what came is still answered, what comes is thrown away
    END = 4  # nothing is said any more, and what comes is thrown away


class Outgoing:
    """The transport as uvicorn sees it: to close it lets the other side read first what was said."""

    def __init__(self, transport: asyncio.Transport, connection: Connection) -> None:
        self._transport = transport
        self._connection = connection
        self.write = transport.write
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading
        self.get_extra_info = transport.get_extra_info

    def is_closing(self) -> bool:
        """Whether nothing more can be said."""
        return self._connection.awaits is Awaits.END or self._transport.is_closing()

    def close(self) -> None:
        """Say no more."""
        self._connection.leave()


class Rest:
    """Reads the body of a request that asked for another protocol as well; the parser takes it for that protocol."""

    def __init__(self, connection: Connection, framing: bytes) -> None:
        self._connection = connection
        self._headed = False
        self.on_body = connection.on_body
        self.parser = httptools.HttpRequestParser(self)
        self.parser.feed_data(b"POST / HTTP/1.1\r\n" + framing + b"\r\n\r\n")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take the header that says how long the body is, and none behind it."""
        if self._headed:
            raise malformed(_NOT_BEHIND)

    def on_headers_complete(self) -> None:
        """The body begins."""
        self._headed = True

    def on_message_complete(self) -> None:
        """The body is here. Whatever is behind it is not looked at."""
        self._connection.on_message_complete()
        self._connection.answer_and_leave()


class Connection(HttpToolsProtocol):
    """A connection with limits."""

    def __init__(self, *, limits: Limits, refused: Refused, **given: Any) -> None:
        super().__init__(**given)
        self._limits = limits
        self._refused = refused
        self._raw: asyncio.Transport
        self.awaits = Awaits.HEAD
        self._since = self.loop.time()
        self._size = 0  # of the head, or of the body so far
        self._framing: bytes | None = None  # how long the body is that the parser would not read
        self._unsent = 0  # bytes that wait for a reader, when last looked at
        self._unsent_since = 0.0

    # --- the connection --------------------------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, or turn away when there are too many."""
        self._raw = transport
        super().connection_made(Outgoing(transport, self))  # type: ignore[arg-type]
        if len(self.connections) > self._limits.connections and not self._make_way():
            self._refuse(full())

    def _make_way(self) -> bool:
        """End the connection that has asked for nothing for longest; returns whether there was one."""
        now = self.loop.time()
        spare = [each for each in self.connections if isinstance(each, Connection) and each.is_spare(now)]
        if not spare:
            return False
        min(spare, key=lambda each: each._since)._raw.close()
        return True

    def is_spare(self, now: float) -> bool:
        """Whether this connection has asked for nothing for a while, or asks so slowly that it may be on purpose."""
        if self.awaits in (Awaits.DEAF, Awaits.END) or self._raw.is_closing():
            return False
        took, limits = now - self._since, self._limits
        if self.awaits is Awaits.BODY:
            slow = not self.flow.read_paused and self._size < took * limits.body_rate
            return slow and took > limits.spare_body_time
        return took > limits.spare_time and (self.cycle is None or self.cycle.response_complete)

    def connection_lost(self, exc: Exception | None) -> None:
        """End. uvicorn keeps a timer when the other side has reset the connection, and waiting requests run on."""
        self.awaits = Awaits.END
        self.pipeline.clear()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def leave(self) -> None:
        """Close. While the other side still sends, a plain close would throw away what it has not read."""
        if self.awaits is Awaits.END or self._raw.is_closing():
            return
        if self.awaits is Awaits.NOTHING:
            self._raw.close()
            return
        self.awaits, self._since, self._size = Awaits.END, self.loop.time(), 0
        if sum(1 for each in self.connections if getattr(each, "awaits", None) is Awaits.END) > _MOST_LINGERING:
            self._raw.close()
            return
        self.flow.resume_reading()
        self._raw.write_eof()

    def shutdown(self) -> None:
        """End when nothing is under way, else after the answer. Whoever is in the middle of asking asks elsewhere."""
        if self.cycle is None or self.cycle.response_complete:
            self._raw.close()
        else:
            self.cycle.keep_alive = False

    def abort(self) -> None:
        """Close at once."""
        self._raw.abort()

    def data_received(self, data: bytes) -> None:
        """Read on."""
        if self.awaits in (Awaits.DEAF, Awaits.END):
            self._size += len(data)
            if self._size > _MOST_DISCARDED:
                self._raw.abort()
            return
        self._unset_keepalive_if_required()
        if self.awaits is Awaits.NOTHING and (self.cycle is None or self.cycle.response_complete):
            self._expect(Awaits.HEAD)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # Nothing here is upgraded to: the request is answered as it is, and what follows is no HTTP.
            if self._framing is None:
                self.answer_and_leave()
                return
            # But first its body: whoever asks for HTTP/2 along the way, as Java's client does, sends it in HTTP/1.1.
            framing, self._framing = self._framing, None
            self.parser = Rest(self, framing).parser
            if rest := data[upgrade.args[0] :]:
                self.data_received(rest)
            return
        except httptools.HttpParserError as error:
            if self.awaits in (Awaits.DEAF, Awaits.END):
                return
            self._break_off(error.__context__ if isinstance(error.__context__, Refusal) else malformed())
            return
        if self.awaits is Awaits.HEAD and self.parser is not None:
            # The parser collects one header until it is whole; until then nobody else sees how long it is.
            self._size += len(data) if len(data) < self._limits.line else 0
            if self._size > self._limits.head + self._limits.line:
                self._break_off(large_head())

    # --- the parser ------------------------------------------------------------------------------------------------
    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._expect(Awaits.HEAD)

    def on_url(self, url: bytes) -> None:
        """Take a piece of the address."""
        super().on_url(url)
        if len(self.url) > self._limits.line:
            raise long_line()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header. One behind the body would come after the door has looked."""
        if self.awaits is not Awaits.HEAD:
            raise malformed(_NOT_BEHIND)
        self._size += len(name) + len(value) + 4
        if self._size > self._limits.head or len(self.headers) >= self._limits.headers:
            raise large_head()
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin with the request, when it can be read in one way only."""
        if not self.url.startswith(b"/"):
            raise malformed("the address of a request is a path")
        version = self.parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise malformed()
        self._framing = None
        for name, value in self.headers:
            if name in (b"transfer-encoding", b"content-length") and self.parser.should_upgrade():
                self._framing = name + b": " + value
            if name == b"transfer-encoding" and (value.strip().lower() != b"chunked" or version != "1.1"):
                raise malformed("the only transfer coding is chunked")
        if len(self.pipeline) >= self._limits.pipeline:
            raise malformed("too many requests were sent without waiting for answers")
        self._expect(Awaits.BODY)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._size += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is here."""
        if self._framing is not None:
            return  # its body is not
        self.awaits = Awaits.NOTHING
        super().on_message_complete()

    def _expect(self, what: Awaits) -> None:
        self.awaits, self._since, self._size = what, self.loop.time(), 0

    # --- the end of patience ---------------------------------------------------------------------------------------
    def look(self, now: float) -> None:
        """End what takes too long. Called about once a second."""
        limits, took = self._limits, now - self._since
        if self.awaits is Awaits.HEAD:
            if took > limits.head_time:
                self._break_off(too_slow())
        elif self.awaits is Awaits.BODY:
            if self.flow.read_paused:  # then it is the app that is slow
                self._since += now - max(self._since, now - 1.0)
            elif took > limits.body_time + self._size / limits.body_rate:
                self._break_off(too_slow())
        elif self.awaits is Awaits.END and took > limits.linger and not self._raw.get_write_buffer_size():
            self._raw.abort()
        unsent = self._raw.get_write_buffer_size()
        if unsent == 0 or unsent != self._unsent:
            self._unsent, self._unsent_since = unsent, now
        elif now - self._unsent_since > limits.write_time:
            log.info("a reader took nothing for %.0f s", limits.write_time)
            self._raw.abort()

    def resume_writing(self) -> None:
        """The reader has taken enough for more to be sent."""
        self._unsent = 0
        super().resume_writing()

    def _break_off(self, refusal: Refusal) -> None:
        """Say why this connection ends, unless that would stand in the middle of another answer."""
        waiting = self.cycle is not None and not self.cycle.response_complete
        if waiting and self.awaits is Awaits.HEAD:
            self.answer_and_leave()
        elif waiting and (self.cycle.response_started or self.pipeline):
            self._raw.abort()
        else:
            if waiting:
                self.cycle.disconnected = True
                self.cycle.message_event.set()
            self._refuse(refusal)

    def answer_and_leave(self) -> None:
        """Let the requests that are here be answered, and read no more."""
        if self.cycle is None or self.cycle.response_complete:
            self.leave()
            return
        self.cycle.keep_alive, self.cycle.more_body = False, False
        self.cycle.message_event.set()
        self._expect(Awaits.DEAF)

    def _refuse(self, refusal: Refusal) -> None:
        self._refused(self.client[0] if self.client else "unix", refusal.status)
        date = b"".join(b"%s: %s\r\n" % pair for pair in self.server_state.default_headers)
        self._raw.write(written(refusal, date))
        if self.awaits is Awaits.NOTHING:
            self.awaits = Awaits.HEAD  # whatever it was that could not be read, the other side may still send
        self.leave()
