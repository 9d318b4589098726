"""What tests over HTTP share: a server in a thread of theirs, jobs that end without a worker, events as they come."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import uvicorn

from mlq_cli import MLQ
from mlq_cli.http.app import make_app
from mlq_cli.http.roles import ROLE, STRANGER, Role
from mlq_cli.model.outcome import Kind, Outcome
from mlq_cli.model.rules import Rules
from mlq_cli.model.values import pack
from tests_support import wait_until

RULES = Rules()


class Served:
    """An application that listens."""

    def __init__(
        self,
        mlq: MLQ,
        role: Role | None = Role.ADMIN,
        *,
        fresh_keys: bool = False,
        strangers: bool = False,
        unsigned: bool = False,
    ) -> None:
        """`fresh_keys`: no two requests have the same idempotency key, whatever they say."""
        self.app = make_app(mlq, unsigned=unsigned)
        listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

        async def with_role(scope: Any, receive: Any, send: Any) -> None:
            scope[ROLE], scope[STRANGER] = role, strangers
            if fresh_keys and scope["type"] == "http":
                scope["headers"] = [_fresh(*pair) for pair in scope["headers"]]
            await self.app(scope, receive, send)

        config = uvicorn.Config(
            with_role, loop="uvloop", http="httptools", lifespan="on", log_level="warning", access_log=False
        )
        self.server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self.server.run, args=([listening],), daemon=True)

    def start(self) -> None:
        self._thread.start()
        wait_until(lambda: self.server.started)

    def tell_to_stop(self) -> None:
        """As a signal does."""
        self.app.state.served.hub._loop.call_soon_threadsafe(self.app.state.stopping.set)

    def stop(self) -> None:
        self.tell_to_stop()
        self.server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()


def _fresh(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    if name == b"idempotency-key" and re.fullmatch(rb"[!-~]{1,255}", value):
        return name, uuid4().hex.encode()
    return name, value


_tokens: dict[tuple[str, str], str] = {}  # by namespace and id


def claim(mlq: MLQ, job_id: str, lease: float = 30.0) -> str:
    """Let a worker that is none take a job, with all that is in its queue; returns the token."""
    queue, token = mlq.get_job(job_id)["queue"], uuid4().hex
    rules = Rules(lease=lease)
    claims = mlq.store.ask(mlq.store.claim([queue], 1000, worker="w", lane="w", token=token, rules=rules))
    _tokens.update({(mlq.namespace, job.id): token for job in claims.jobs})
    return _tokens[mlq.namespace, job_id]


def finish(mlq: MLQ, job_id: str, result: Any = None, short: str | None = None) -> None:
    """Let a job succeed with this result."""
    first = b"" if short is None else b"=" + short.encode()
    outcome = Outcome(job_id, claim(mlq, job_id), Kind.DONE, 0.1, first, pack(result))
    assert mlq.store.ask(mlq.store.finish([outcome], rules=RULES)) == {}


def fail(mlq: MLQ, job_id: str, kind: str = "ValueError") -> None:
    """Let a job die of an error."""
    outcome = Outcome(job_id, claim(mlq, job_id), Kind.ERROR, 0.1, kind.encode(), b"no such image", b"Traceback: \xff")
    assert mlq.store.ask(mlq.store.finish([outcome], rules=RULES)) == {}


class Event:
    """One server-sent event."""

    def __init__(self, lines: list[str]) -> None:
        fields = dict(line.split(": ", 1) for line in lines)
        self.id, self.kind = fields.get("id"), fields["event"]
        self.value = json.loads(fields["data"])

    def __repr__(self) -> str:
        return f"{self.kind} {self.value} ({self.id})"


def events(answer: httpx.Response) -> Iterator[Event]:
    """Yield the events of a stream as they come."""
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines: list[str] = []
    for line in answer.iter_lines():
        if line.startswith((":", "retry:")):
            continue
        if line:
            lines.append(line)
        elif lines:
            yield Event(lines)
            lines = []
