"""The dashboard in a real browser: a server, pages that note what they must not do, a worker that obeys."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from mlq_cli import MLQ
from mlq_cli.http.app import make_app
from mlq_cli.http.door.book import Book
from mlq_cli.http.door.door import Door, Rules
from mlq_cli.http.door.hosts import Hosts
from mlq_cli.http.door.pages import Pages
from mlq_cli.model.access import Role, digest, new_key
from tests_support import wait_until

expect.set_options(timeout=15_000)
SHOW = Path(__file__).parent / "importable"
BELOW = "/queue/a"  # where the same is served once more, as by a proxy
#: What a page that is attacked would do, noted before any script of the page runs.
_WATCH = """
window.noted = [];
addEventListener("securitypolicyviolation", (event) => noted.push(`${event.violatedDirective} ${event.blockedURI}`));
for (const name of ["alert", "confirm", "prompt", "open"]) window[name] = () => noted.push(name);
"""


class Served:
    """The app behind its door, on a port of its own. Without a token one may do all, or nothing if `token_needed`."""

    def __init__(self, mlq: MLQ) -> None:
        self.token_needed = False
        self.unsigned = False
        self._mlq = mlq
        self._address = ("127.0.0.1", 0)

    def start(self) -> None:
        """Start it; again on the same port."""
        listening = socket.create_server(self._address)
        self._address = listening.getsockname()
        self.host = f"127.0.0.1:{self._address[1]}"
        self.url = f"http://{self.host}/"
        self._app = make_app(self._mlq, unsigned=self.unsigned)
        self._book = Book(lambda: self._mlq.store.access().all())
        rules = Rules(Hosts(*self._address), Pages(), 1 << 24, self.token_needed)
        self._door = Door(self._app, rules, self._book)
        config = uvicorn.Config(self._proxied, log_level="warning", interface="asgi3", proxy_headers=False)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listening]}, daemon=True)
        self._thread.start()
        wait_until(lambda: self._server.started)

    def stop(self) -> None:
        """End it, and all streams."""
        self._app.state.stopping.set()
        self._server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()
        self._book.close()

    def token(self, role: Role) -> str:
        """Return a new token."""
        key = new_key(role)
        self._mlq.store.access().add(key.id, role, digest(key.secret))
        return str(key)

    async def _proxied(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope = {**scope, "path": scope["path"].removeprefix(BELOW)}
        await self._door(scope, receive, send)


@pytest.fixture
def served(mlq: MLQ) -> Iterator[Served]:
    made = Served(mlq)
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")  # not longer: while it is open there is a loop in this thread, and asyncio.run refuses
def browser() -> Iterator[Browser]:
    """A Chromium that is installed here; playwright's own is not asked for."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = next((path for path in map(shutil.which, names) if path), None)
    if found is None:
        pytest.skip("no Chromium is installed here")
    with sync_playwright() as playwright:
        # Root may not have the sandbox.
        launched = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"] if os.geteuid() == 0 else [])
        yield launched
        launched.close()


class Tab:
    """One page, and what it did that it must not do."""

    def __init__(self, context: BrowserContext, served: Served) -> None:
        self.page: Page = context.new_page()
        self.page.set_default_timeout(15_000)
        self.served = served
        self.trouble: list[str] = []
        self.page.add_init_script(_WATCH)
        self.page.on("pageerror", lambda error: self.trouble.append(f"error {error}"))
        self.page.on("console", self._console)
        self.page.on("dialog", lambda dialog: (self.trouble.append(f"dialog {dialog.message}"), dialog.dismiss()))
        context.on("request", self._request)

    def go(self, hash_: str) -> Page:
        """Show a view."""
        self.page.goto(f"{self.served.url}{hash_}")
        return self.page

    def _console(self, message: Any) -> None:
        if message.type == "error" and "Content Security Policy" in message.text:
            self.trouble.append(message.text)

    def _request(self, request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.netloc != self.served.host and parts.scheme not in ("blob", "data"):
            self.trouble.append(f"request {request.url}")

    def blame(self) -> list[str]:
        """Return all that it did."""
        return self.trouble + self.page.evaluate("window.noted || []")


@pytest.fixture
def open_tab(browser: Browser, served: Served) -> Iterator[Callable[..., Tab]]:
    """Return what opens a tab: `open_tab(width=390, color_scheme="dark")`; in the end none did what it must not."""
    contexts: list[BrowserContext] = []
    tabs: list[Tab] = []

    def opened(width: int = 1280, height: int = 800, **options: Any) -> Tab:
        contexts.append(browser.new_context(viewport={"width": width, "height": height}, **options))
        tabs.append(Tab(contexts[-1], served))
        return tabs[-1]

    yield opened
    blamed = [each for tab in tabs for each in tab.blame()]
    for context in contexts:
        context.close()
    assert not blamed


@pytest.fixture
def tab(open_tab: Callable[..., Tab]) -> Tab:
    return open_tab()


@pytest.fixture
def act(start_worker: Callable[..., Any]) -> Callable[..., Any]:
    """Return what starts a worker whose listener does what each message says."""
    return lambda **options: start_worker("show:act", paths=(str(SHOW),), **options)
