"""What the tests of the HTTP server share: a small app behind the door, and tokens that need no store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from starlette.responses import StreamingResponse

from mlq_cli.http.door.book import Book
from mlq_cli.http.door.door import Door, Rules
from mlq_cli.http.door.hosts import Hosts
from mlq_cli.http.door.pages import Pages
from mlq_cli.http.door.visit import Visit
from mlq_cli.http.roles import ROLE, Role, needs
from mlq_cli.model.access import AccessToken, Key, digest, new_key


class Safe:
    """A store of tokens in memory; `broken` takes it away."""

    def __init__(self) -> None:
        self.tokens: dict[str, AccessToken] = {}
        self.broken: Exception | None = None
        self.asked = 0

    def add(self, role: Role, expires_at: float | None = None) -> Key:
        key = new_key(role)
        self.tokens[key.id] = AccessToken(key.id, role, digest(key.secret), 0.0, expires_at, "")
        return key

    def read(self) -> tuple[list[AccessToken], float]:
        self.asked += 1
        if self.broken is not None:
            raise self.broken
        return list(self.tokens.values()), time.time()


class Entrance:
    """A small app behind the door, asked without a network."""

    def __init__(self, *, token_needed: bool = True, body: int = 1000, host: str = "127.0.0.1", **more: Any) -> None:
        self.safe = Safe()
        self.seen: list[Visit] = []
        self.changed = 0
        self.clock = [0.0]
        self.book = Book(self.safe.read, lambda: self.clock[0])
        hosts = Hosts(host, 5001, more.get("hosts", ()))
        rules = Rules(hosts, Pages(more.get("origins", ())), body, token_needed)
        self.door = Door(self._app(), rules, self.book, self.seen.append)

    def _app(self) -> FastAPI:
        app = FastAPI()

        @app.get("/healthz")
        async def healthz() -> str:
            return "ok"

        @app.get("/role", dependencies=[needs(Role.READ)])
        async def role(request: Request) -> str:
            return Role(request.scope[ROLE]).name.lower()

        @app.post("/jobs", dependencies=[needs(Role.POST)])
        async def jobs(request: Request) -> int:
            self.changed += 1
            return len(await request.body())

        @app.delete("/jobs", dependencies=[needs(Role.ADMIN)])
        async def purge() -> None:
            self.changed += 1

        @app.get("/page")
        async def page(kind: str) -> Response:
            return Response("<script>alert(1)</script>", media_type=kind)

        @app.get("/large")
        async def large(size: int) -> Response:
            return Response(bytes(size), media_type="application/octet-stream")

        @app.get("/parts")
        async def parts() -> StreamingResponse:
            async def each() -> AsyncIterator[bytes]:
                for _ in range(60):
                    yield b"part\n"
                    await asyncio.sleep(0.01)

            return StreamingResponse(each(), media_type="text/event-stream")

        return app

    def key(self, role: Role, **more: Any) -> dict[str, str]:
        self.clock[0] += 0.2  # or it was read right before
        return {"Authorization": f"Bearer {self.safe.add(role, **more)}"}

    async def ask(self, method: str, path: str, headers: Any = None, *, peer: str = "127.0.0.1", **more: Any) -> Any:
        transport = httpx.ASGITransport(self.door, client=(peer, 4711), raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:5001") as client:
            return await client.request(method, path, headers=headers, **more)


Within = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture
def within() -> Within:
    """Run a coroutine to its end, within a time."""

    def run(work: Coroutine[Any, Any, None]) -> None:
        asyncio.run(asyncio.wait_for(work, 60))

    return run
