"""A small app behind our door, in our connections, as a process of its own. One argument: JSON."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from functools import cache

from fastapi import FastAPI, Request, Response
from starlette.responses import StreamingResponse

from mlq_cli.http.access_log import AccessLog
from mlq_cli.http.door.book import Book
from mlq_cli.http.door.door import Door, Rules
from mlq_cli.http.door.hosts import Hosts
from mlq_cli.http.door.pages import Pages
from mlq_cli.http.limits import Limits
from mlq_cli.http.serving import Server
from mlq_cli.http.sockets import listen_tcp

given = json.loads(sys.argv[1])
logging.basicConfig(level=logging.INFO, stream=sys.stderr)
app = FastAPI()
app.state.stopping = asyncio.Event()


@app.get("/healthz")
async def healthz() -> str:
    return "ok"


@app.post("/echo")
async def echo(request: Request) -> dict[str, object]:
    body = await request.body()
    return {"length": len(body), "path": request.url.path}


@app.get("/large")
async def large(size: int) -> Response:
    return Response(_bytes(size), media_type="application/octet-stream")


@cache
def _bytes(size: int) -> bytes:
    """Return one and the same bytes: what is looked at is what sending them costs, not having them."""
    return b"x" * size


@app.get("/slow")
async def slow(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "done"


@app.get("/events")
async def events() -> StreamingResponse:
    async def each():  # type: ignore[no-untyped-def]
        while not app.state.stopping.is_set():
            yield b": here\n\n"
            try:
                await asyncio.wait_for(app.state.stopping.wait(), 15)
            except TimeoutError:
                pass

    return StreamingResponse(each(), media_type="text/event-stream")


def main() -> None:
    limits = Limits(**given.get("limits", {}))
    listening = listen_tcp("127.0.0.1", 0)
    hosts = Hosts("127.0.0.1", listening.port)
    rules = Rules(hosts, Pages(), given.get("body", 1 << 24), token_needed=False)
    book = Book(lambda: ([], time.time()))
    log = AccessLog()
    door = Door(app, rules, book, log.note if given.get("log", True) else None)
    sys.stdout.write(f"{listening.port}\n")
    sys.stdout.flush()
    Server(door, limits, log, app.state.stopping.set, given.get("grace", 3.0)).run(listening.sockets)


if __name__ == "__main__":
    main()
