"""An HTTP target for callbacks."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest


class Target:
    """A server on loopback that notes what it is asked, and answers as told."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.posted: list[tuple[dict[str, str], bytes]] = []  # headers and body of each POST
        self.times: list[float] = []
        self.answers: list[int] = []  # statuses of the next answers; 200 afterwards
        self.hang = threading.Event()
        target = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                target.asked.append((parts.path, dict(parse_qsl(parts.query, keep_blank_values=True))))
                if parts.path == "/hang":
                    target.hang.wait(60)
                self.answer()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                target.posted.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.answer()

            def answer(self) -> None:
                target.times.append(time.monotonic())
                status = target.answers.pop(0) if target.answers else 200
                self.send_response(status)
                if status in (301, 302):
                    self.send_header("Location", "/elsewhere")
                if status == 503:
                    self.send_header("Retry-After", "3")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.hang.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def target() -> Iterator[Target]:
    made = Target()
    yield made
    made.close()
