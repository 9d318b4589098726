"""The door: a middleware that every request passes.

Host ─▶ headers ─▶ Origin, Sec-Fetch-… ─▶ content ─▶ token ─▶ role ─▶ app
 421      400             403             413, 415   401, 429            └─▶ headers of the answer, access log
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from starlette.requests import ClientDisconnect

from mlq_cli.http.door.book import Book
from mlq_cli.http.door.caller import Callers
from mlq_cli.http.door.head import FORWARDED, Head, read_head
from mlq_cli.http.door.hosts import Hosts
from mlq_cli.http.door.pages import Pages, check_content
from mlq_cli.http.door.refusal import Refusal, retry_after
from mlq_cli.http.door.room import Room
from mlq_cli.http.door.visit import Receive, Scope, Send, Visit, too_large
from mlq_cli.http.roles import ROLE, STRANGER, is_open
from mlq_cli.model.envelope import LONGEST

App = Callable[[Scope, Receive, Send], Awaitable[None]]

FUNCTIONS = "/consumer"  # where functions come in, as bytes

#: What no path of ours has, once decoded: what is left of a second encoding, a way up, another separator, NUL.
_STRANGE = re.compile(r"[\x00-\x1f\x7f%\\]|(?:^|/)\.\.?(?:/|$)")


class Rules(NamedTuple):
    """What the door goes by."""

    hosts: Hosts
    pages: Pages
    body: int  # bytes
    token_needed: bool  # whether somebody without one may do nothing; else they may do all
    function: int = LONGEST  # bytes of a body at FUNCTIONS, if it may have so many

    def most(self, path: str) -> int:
        """Return how many bytes a body may have."""
        return min(self.body, self.function) if path == FUNCTIONS else self.body


class Door:
    """Lets requests in to the app. `log` is told of each visit when it has ended."""

    def __init__(self, app: App, rules: Rules, book: Book, log: Callable[[Visit], None] | None = None) -> None:
        self._app = app
        self._rules = rules
        self._callers = Callers(book)
        self._room = Room()
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request in, or not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        visit = Visit(scope, receive, send, self._callers, self._room, self._rules.most(scope["path"]))
        try:
            if await self._let_in(visit):
                await self._app(scope, visit.receive, visit.send)
                await visit.settle()
        except Refusal as refusal:
            await visit.refuse(refusal)
        except ClientDisconnect:
            await visit.settle()  # nobody waits for an answer, unless it was us who would not read on
        except asyncio.CancelledError:  # the server stops, and this took longer than its grace
            if not visit.status:
                await visit.refuse(Refusal(503, "stopping", "the server stops", headers=[retry_after(1)], close=True))
        except Exception:
            if not await visit.settle():  # then it was the rest of the body that the app missed
                raise
        finally:
            visit.end()
            if self._log is not None:
                self._log(visit)

    async def _let_in(self, visit: Visit) -> bool:
        """Give the request its role; returns whether the app has to see it. Raises Refusal."""
        scope, rules = visit.scope, self._rules
        head = read_head(scope["headers"])
        visit.name(head.get(b"x-request-id"))
        rules.hosts.check(head.get(b"host"), scope.get("server"))
        method, path = scope["method"], scope["path"]
        rules.pages.check(method, head)
        visit.extra = rules.pages.cors(head)
        allowed = rules.pages.preflight(method, head)
        if allowed is not None:
            await visit.answer(204, allowed)
            return False
        if _STRANGE.search(path):
            raise Refusal(404, "no-such-route", "there is nothing at this address")
        check_content(method, head, octets=path == FUNCTIONS)
        _check_length(head, rules.most(path))
        visit.ours = is_open(path)
        if visit.ours:
            scope[ROLE] = None
            return True
        client = scope.get("client")
        # What a proxy on this machine sends comes from anywhere.
        needed = rules.token_needed or FORWARDED in head or not rules.hosts.means_this_machine(head[b"host"])
        peer = client[0] if client else "unix"
        scope[STRANGER] = needed
        role, visit.token = await self._callers.role_of(head.get(b"authorization"), peer, needed=needed)
        scope[ROLE] = role
        return True


def _check_length(head: Head, most: int) -> None:
    length = head.get(b"content-length")
    if length is not None and (len(length) > 18 or not length.isdigit()):
        raise Refusal(400, "content-length", "the Content-Length is no length", close=True)
    if length is not None and int(length) > most:
        raise too_large()
