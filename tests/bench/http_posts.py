"""How many posts a second one HTTP server process takes, beside what its framework reaches when it does nothing.

    python tests/bench/http_posts.py [--seconds 3] [--rounds 3]

Two servers with the same settings of uvicorn take turns: `bare`, a FastAPI route with a pydantic model as body that
answers 202 and a text; and mlq's own application, which stores each message in a private Redis. A load generator in a
process of its own speaks HTTP over raw sockets that stay open, one request at a time on each.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import shutil
import statistics
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pydantic import BaseModel

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

CONNECTIONS = (1, 16, 64)
BODY = b'{"msg": {"arg1": 6, "arg2": 3}}'


class Message(BaseModel):
    """The body of the bare route."""

    msg: Any
    callback: str | None = None
    functions: list[str] | None = None
    queue: str | None = None
    priority: int | None = None


def serve(kind: str, url: str, ready: Connection) -> None:
    """Run one server until it is terminated; says its port when it listens."""
    import socket

    import uvicorn

    made = bare() if kind == "bare" else ours(url)
    listening = socket.create_server(("127.0.0.1", 0), backlog=256)
    config = uvicorn.Config(made, log_level="warning", access_log=False, loop="uvloop", http="httptools", lifespan="on")
    ready.send(listening.getsockname()[1])
    uvicorn.Server(config).run([listening])


def bare() -> Any:
    """Return the framework alone, as its documentation begins."""
    from fastapi import FastAPI
    from fastapi.responses import PlainTextResponse

    app = FastAPI()

    @app.post("/jobs", status_code=202, response_class=PlainTextResponse)
    async def post(message: Message) -> str:
        return "53"

    return app


def ours(url: str) -> Any:
    """Return mlq's application, for whoever comes."""
    from mlq_cli import MLQ
    from mlq_cli.http.app import make_app
    from mlq_cli.http.roles import ROLE, Role

    app = make_app(MLQ.from_profile(redis_url=url, namespace="bench"))

    async def open_to_all(scope: Any, receive: Any, send: Any) -> None:
        scope[ROLE] = Role.ADMIN
        await app(scope, receive, send)

    return open_to_all


def load(port: int, connections: int, seconds: float, told: Connection) -> None:
    """Send posts over so many connections for so long, and tell how many a second were answered."""
    import uvloop

    told.send(uvloop.run(_load(port, connections, seconds)))


async def _load(port: int, connections: int, seconds: float) -> float:
    request = (
        b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
    )
    loop = asyncio.get_running_loop()
    ends_at = time.perf_counter() + seconds
    counts = [0] * connections

    class Client(asyncio.Protocol):
        def __init__(self, number: int, done: asyncio.Future[None]) -> None:
            self.number, self.done, self.seen = number, done, b""

        def connection_made(self, transport: Any) -> None:
            self.transport = transport
            transport.write(request)

        def data_received(self, data: bytes) -> None:
            self.seen += data
            head, found, body = self.seen.partition(b"\r\n\r\n")
            if not found:
                return
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            if len(body) < length:
                return
            if not head.startswith(b"HTTP/1.1 202"):
                self.transport.close()
                raise SystemExit(f"the server says {head!r}")
            self.seen = b""
            counts[self.number] += 1
            if time.perf_counter() < ends_at:
                self.transport.write(request)
            else:
                self.transport.close()

        def connection_lost(self, error: Exception | None) -> None:
            self.done.set_result(None)

    ends = [loop.create_future() for _ in range(connections)]
    began = time.perf_counter()
    for number, end in enumerate(ends):
        await loop.create_connection(lambda number=number, end=end: Client(number, end), "127.0.0.1", port)
    await asyncio.gather(*ends)
    return sum(counts) / (time.perf_counter() - began)


def measured(context: Any, port: int, connections: int, seconds: float) -> float:
    """Return posts a second."""
    here, there = context.Pipe()
    process = context.Process(target=load, args=(port, connections, seconds, there))
    process.start()
    rate: float = here.recv()
    process.join()
    return rate


def compare(seconds: float, rounds: int, connections: tuple[int, ...] = CONNECTIONS) -> dict[int, tuple[float, float]]:
    """Return posts a second by the number of connections: the framework's, and ours; the median of the rounds."""
    from tests_support import Server

    context = multiprocessing.get_context("spawn")
    folder = Path(tempfile.mkdtemp(prefix="mlq", dir="/tmp"))
    servers: dict[str, tuple[Any, int]] = {}
    try:
        with Server(folder, "--appendonly", "yes") as redis:
            for kind in ("bare", "ours"):
                here, there = context.Pipe()
                process = context.Process(target=serve, args=(kind, redis.url, there), daemon=True)
                process.start()
                servers[kind] = process, here.recv()
            found = {}
            for number in connections:
                rates: dict[str, list[float]] = {"bare": [], "ours": []}
                for _ in range(rounds):
                    for kind, (_, port) in servers.items():
                        rates[kind].append(measured(context, port, number, seconds))
                found[number] = statistics.median(rates["bare"]), statistics.median(rates["ours"])
            for process, _ in servers.values():
                process.terminate()
                process.join(10)
            return found
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print(f"{os.cpu_count()} processors, {given.rounds} rounds of {given.seconds:g} s")
    print(f"{'connections':>12} {'framework/s':>12} {'mlq/s':>12} {'ratio':>7}")
    for number, (framework, mine) in compare(given.seconds, given.rounds).items():
        print(f"{number:>12} {framework:>12,.0f} {mine:>12,.0f} {mine / framework:>7.2f}")


if __name__ == "__main__":
    main()
