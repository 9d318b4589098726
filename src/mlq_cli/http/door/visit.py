"""One request on its way in and its answer on its way out: what is counted, cut and added between server and app."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

from mlq_cli.http.door.answer import dress
from mlq_cli.http.door.caller import Callers
from mlq_cli.http.door.refusal import Headers, Refusal
from mlq_cli.http.door.room import Room
from mlq_cli.model.access import AccessToken

Message = Any
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

ROOM = "mlq.room"  # in the scope: what is asked before something large is read
_PIECE = 256 * 1024  # bytes of an answer handed to the connection at once
_AGAIN = 2.0  # seconds between two looks whether the token of a long answer is still good
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class Visit:
    """One request. `receive` and `send` are what the app gets."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, callers: Callers, room: Room, most: int) -> None:
        self.scope = scope
        self._receive = receive
        self._send = send
        self._callers = callers
        self._room = room
        self._left = most  # bytes that the body may still have
        self.began = time.perf_counter()
        self.request_id = f"{random.getrandbits(64):016x}"  # nobody has to guess it, so it need not be hard
        self.ours = False  # the path leads to files that came with mlq
        self.extra: Headers = []  # headers for the answer
        self.token: AccessToken | None = None
        self.status = 0
        self.sent = 0  # bytes of the answer
        self._taken = 0  # of the room for large answers
        scope[ROOM] = self.reserve
        self._refused: Refusal | None = None  # why the answer that the app is about to give is not wanted
        self._over = False  # nothing more is sent
        self._open_ended = False
        self._looked_at = self.began

    def name(self, given: bytes | None) -> None:
        """Take the name that the caller gives the request, when it is one."""
        if given is not None and _REQUEST_ID.fullmatch(given):
            self.request_id = given.decode()

    def reserve(self, length: int) -> bool:
        """Take room for an answer that is not read yet; returns whether there was any."""
        if not self._room.has(length):
            return False
        self._taken += self._room.take(length)
        return True

    async def receive(self) -> Message:
        """Return what comes in next; after too much, or when the visit is over, that nobody is there any more."""
        if self._over or self._refused is not None:
            return {"type": "http.disconnect"}
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                self._refused = too_large()
                return {"type": "http.disconnect"}
        return message

    async def send(self, message: Message) -> None:
        """Hand an answer on, piece by piece."""
        if self._over:
            return
        if self._refused is not None and not self.status:
            await self.refuse(self._refused)
        elif message["type"] == "http.response.start":
            await self._start(message)
        elif message["type"] == "http.response.body":
            await self._body(message)
        else:
            await self._send(message)

    async def refuse(self, refusal: Refusal) -> None:
        """Give this answer instead of what the app says, or would have said."""
        if self.status:
            raise refusal
        self.status, self._over, self.sent = refusal.status, True, len(refusal.body)
        headers = dress(refusal.headers, self._extra(), ours=False)
        await self._send({"type": "http.response.start", "status": refusal.status, "headers": headers})
        body = b"" if self.scope["method"] == "HEAD" else refusal.body
        await self._send({"type": "http.response.body", "body": body})

    async def answer(self, status: int, headers: Headers) -> None:
        """Give an answer without a body."""
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": b""})

    async def settle(self) -> bool:
        """Answer for an app that got no whole body and gave up; returns whether it was that."""
        if self._refused is not None and not self.status:
            await self.refuse(self._refused)
        return self._refused is not None

    def end(self) -> None:
        """Give back what the visit took, however it ended."""
        self._room.give_back(self._taken)
        self._taken = 0

    async def _start(self, message: Message) -> None:
        headers: Headers = [(name.lower(), value) for name, value in message.get("headers", ())]
        length = next((int(value) for name, value in headers if name == b"content-length"), None)
        if length is not None and self.scope["method"] != "HEAD":
            try:
                # What was reserved may be more than is sent: a part of it, or what it became; the whole is in memory.
                self._taken += self._room.take(length - self._taken)
            except Refusal as refusal:
                await self.refuse(refusal)
                return
        self._open_ended = length is None
        self.status = message["status"]
        await self._send({**message, "headers": dress(headers, self._extra(), ours=self.ours)})

    def _extra(self) -> Headers:
        return [(b"x-request-id", self.request_id.encode()), *self.extra]

    async def _body(self, message: Message) -> None:
        body, more = message.get("body", b""), message.get("more_body", False)
        self.sent += len(body)
        if self._open_ended and self.token is not None and not await self._still_welcome(self.token):
            self._over = True  # an answer of unknown length ends here; what the app does next, it does for nobody
            await self._send({"type": "http.response.body", "body": b""})
            return
        if len(body) <= _PIECE:
            await self._send(message)
            return
        # The connection waits before each piece until the reader has taken most of those before.
        for first in range(0, len(body), _PIECE):
            last = first + _PIECE >= len(body)
            piece = body[first : first + _PIECE]
            await self._send({"type": "http.response.body", "body": piece, "more_body": more or not last})

    async def _still_welcome(self, token: AccessToken) -> bool:
        now = time.perf_counter()
        if now - self._looked_at < _AGAIN:
            return True
        self._looked_at = now
        return await self._callers.still(token)


def too_large() -> Refusal:
    """Return what is said to a body that is over `server.body`."""
    return Refusal(
        413,
        "too-large",
        "the request is larger than this server takes",
        hint="store it elsewhere and post its address, or raise server.body in the profile",
        close=True,
    )
