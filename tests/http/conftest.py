"""What the tests of the HTTP server share: a small app behind the door, and tokens that need no store."""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
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
from mlq_cli.http.roles import ROLE, STRANGER, Role, needs
from mlq_cli.model.access import AccessToken, Key, digest, new_key
from tests_support import wait_until


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
        rules = Rules(hosts, Pages(more.get("origins", ())), body, token_needed, more.get("function", 1 << 20))
        self.door = Door(self._app(), rules, self.book, self.seen.append)

    def _app(self) -> FastAPI:
        app = FastAPI()

        @app.get("/healthz")
        async def healthz() -> str:
            return "ok"

        @app.get("/role", dependencies=[needs(Role.READ)])
        async def role(request: Request) -> str:
            return Role(request.scope[ROLE]).name.lower()

        @app.get("/stranger")
        async def stranger(request: Request) -> bool:
            return bool(request.scope[STRANGER])

        @app.post("/jobs", dependencies=[needs(Role.POST)])
        async def jobs(request: Request) -> int:
            self.changed += 1
            return len(await request.body())

        @app.post("/consumer", dependencies=[needs(Role.ADMIN)])
        async def consumer(request: Request) -> int:
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


SMALL = Path(__file__).parent / "importable" / "small_server.py"


class Small:
    """A small app in a process of its own, behind our door and in our connections."""

    def __init__(self, log: Path, **given: Any) -> None:
        self._log = log
        with log.open("w") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, str(SMALL), json.dumps(given)], stdout=subprocess.PIPE, stderr=stderr, text=True
            )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.host = f"127.0.0.1:{self.port}"
        wait_until(lambda: self.ask(b"GET /healthz HTTP/1.1\r\nHost: %s\r\n\r\n" % self.host.encode()), seconds=20)

    def connect(self, timeout: float = 10.0) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout)

    def ask(self, request: bytes) -> bytes:
        """Send bytes and return the first bytes of the answer."""
        with self.connect() as connection:
            connection.sendall(request)
            return connection.recv(65536)

    def all(self, request: bytes, *, timeout: float = 10.0) -> bytes:
        """Send bytes and return all that is said until the other side closes, which it has to within the time."""
        with self.connect(timeout) as connection:
            said = b""
            try:
                connection.sendall(request)
                while data := connection.recv(65536):
                    said += data
            except (ConnectionResetError, BrokenPipeError):
                pass
            return said

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def resident(self) -> int:
        """Bytes of memory that it holds."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * resource.getpagesize()

    @property
    def open_files(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(15)
        finally:
            self.process.kill()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Callable[..., Small]]:
    """Return a function that starts a small server: `small(limits={"head_time": 1})`."""
    started: list[Small] = []

    def start(**given: Any) -> Small:
        started.append(Small(tmp_path / f"small{len(started)}.log", **given))
        return started[-1]

    yield start
    for each in started:
        each.stop()
