"""Server-sent events: a stream that is sent as it comes, kept alive, and cut off when nobody reads it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mlq_cli.http.heads import HEAD
from mlq_cli.model.jsonable import to_json

TYPE = "text/event-stream"
RETRY = b"retry: 3000\n\n"  # milliseconds after which a client that was cut off comes back
KEEPALIVE = b": keepalive\n\n"
KEEPALIVE_SECONDS = 15.0
#: What JSON leaves as it is and some readers take for the end of a line, although the standard does not.
_LINES = [(character.encode(), f"\\u{ord(character):04x}".encode()) for character in "\x85\u2028\u2029"]
SLOW_SECONDS = 30.0  # for which a client may not read anything before it is cut off
HEADERS = {
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
    "x-content-type-options": "nosniff",
}


def event(kind: str, value: Any, event_id: str | None = None) -> bytes:
    """Return one event, its value as JSON on one line."""
    data = to_json(value)
    for character, escape in _LINES:
        data = data.replace(character, escape)
    head = f"id: {event_id}\nevent: {kind}\ndata: " if event_id is not None else f"event: {kind}\ndata: "
    return head.encode() + data + b"\n\n"


class EventStream(Response):
    """Sends what `parts` yields until it ends, the client goes, or the client does not read for a while.

    Nothing is kept for a slow client: what is not sent is not drawn from `parts` either.
    """

    def __init__(self, parts: AsyncIterator[bytes]) -> None:
        super().__init__(None, 200, HEADERS, TYPE)
        del self.headers["content-length"]
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        if scope.get(HEAD):
            await send({"type": "http.response.body", "body": b""})
            return
        sending = asyncio.create_task(self._send(send))
        leaving = asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, leaving):
                task.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)
            with contextlib.suppress(RuntimeError):
                await self._parts.aclose()  # type: ignore[attr-defined]
        if not sending.cancelled() and (error := sending.exception()) is not None and not isinstance(error, OSError):
            raise error

    async def _send(self, send: Send) -> None:
        await _within(send, RETRY)
        async for part in self._parts:
            if not await _within(send, part):
                return  # without the end of the body: the connection is closed
        await send({"type": "http.response.body", "body": b""})


async def _within(send: Send, part: bytes) -> bool:
    """Send a part; False when the client does not read."""
    try:
        async with asyncio.timeout(SLOW_SECONDS):
            await send({"type": "http.response.body", "body": part, "more_body": True})
    except TimeoutError:
        return False
    return True


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
