"""One process of the server: uvicorn with our connections, told when to stop.

SIGTERM ─▶ listen no more ─▶ app.state.stopping: streams end, waits are answered ─▶ the rest gets its grace ─▶ 0
a second signal ─▶ all at once
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

from mlq_cli.http.access_log import AccessLog
from mlq_cli.http.app import make_app
from mlq_cli.http.door.book import Book
from mlq_cli.http.door.door import Door, Rules
from mlq_cli.http.door.hosts import Hosts
from mlq_cli.http.door.pages import Pages
from mlq_cli.http.limits import Limits
from mlq_cli.http.protocol import Connection
from mlq_cli.http.registered import ENVELOPE, UNSIGNED
from mlq_cli.http.resources import allow_files, give_back_large_memory
from mlq_cli.http.sockets import Listening
from mlq_cli.mlq import MLQ
from mlq_cli.model.errors import MlqError
from mlq_cli.model.settings import Server as Settings

log = logging.getLogger("mlq.http")

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_LAST_WORDS = 5.0  # seconds for the app to put away what it has
_SPARE_FILES = 256  # descriptors beside those of connections


def serve(
    mlq: MLQ,
    settings: Settings,
    listening: Listening,
    *,
    token_needed: bool,
    unsigned: bool = False,
    parent: int | None = None,
) -> int:
    """Serve until a signal; returns the exit code. `parent`: a descriptor that ends when whoever started us has.

    `unsigned`: take functions that nobody has signed. Raises MlqError when the app cannot start.
    """
    app = make_app(mlq, unsigned=unsigned)
    book = Book(lambda: mlq.store.access().all())
    hosts = Hosts(listening.host, listening.port, settings.hosts)
    access = AccessLog()
    rules = Rules(hosts, Pages(settings.origins), settings.body, token_needed, UNSIGNED if unsigned else ENVELOPE)
    door = Door(app, rules, book, access.note)
    limits = Limits(connections=settings.connections)
    server = Server(door, limits, access, app.state.stopping.set, settings.grace, parent)
    try:
        server.run(listening.sockets)
    except SystemExit:
        raise MlqError("the HTTP server could not start", hint="the lines above say why") from None
    finally:
        access.flush()
        book.close()
    return 0


class Server(uvicorn.Server):
    """uvicorn's server; it looks after its connections, and stops in our way."""

    def __init__(
        self,
        app: Any,
        limits: Limits,
        access: AccessLog,
        stopping: Callable[[], None],
        grace: float,
        parent: int | None = None,
    ) -> None:
        config = uvicorn.Config(
            app,
            loop="uvloop",
            http=functools.partial(Connection, limits=limits, refused=access.note_refused),  # type: ignore[arg-type]
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=int(limits.idle_time),
        )
        super().__init__(config)
        self._files = limits.connections + _SPARE_FILES
        self._access = access
        self._stopping = stopping
        self._grace = grace
        self._parent = parent

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve on these sockets until told to stop."""
        allow_files(self._files)
        give_back_large_memory()
        super().run(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Do what is to be done ten times a second, and look after the connections once."""
        if counter % 10 == 0:
            now = asyncio.get_running_loop().time()
            for each in self._open():
                each.look(now)
        return await super().on_tick(counter)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Hear signals; uvicorn would end by the signal that it was stopped by, which is no success."""
        loop = asyncio.get_running_loop()
        for each in _SIGNALS:
            loop.add_signal_handler(each, self._told)
        if self._parent is not None:
            loop.add_reader(self._parent, self._left_alone)
        try:
            yield
        finally:
            if self._parent is not None:
                loop.remove_reader(self._parent)
            for each in _SIGNALS:
                loop.remove_signal_handler(each)

    def _told(self) -> None:
        self.should_exit, self.force_exit = True, self.should_exit

    def _left_alone(self) -> None:
        """Stop, since nobody would replace us or tell us to."""
        if self._parent is not None:
            asyncio.get_running_loop().remove_reader(self._parent)
            self._parent = None
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop: what runs may end within the grace."""
        for server in self.servers:
            server.close()
        self._stopping()
        for each in self._open():
            each.shutdown()
        loop = asyncio.get_running_loop()
        until = loop.time() + self._grace
        state = self.server_state
        while (state.connections or state.tasks) and not self.force_exit and loop.time() < until:
            await asyncio.sleep(0.02)
            for each in self._open():
                each.look(loop.time())
        if state.tasks:
            log.warning("%d requests are cut off: they were not over in time", len(state.tasks))
        for task in list(state.tasks):
            task.cancel()
        for each in self._open():
            each.abort()
        await asyncio.sleep(0)  # for those that were cut off to say so
        self._access.flush()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.lifespan.shutdown(), 0.5 if self.force_exit else _LAST_WORDS)

    def _open(self) -> list[Connection]:
        return [each for each in self.server_state.connections if isinstance(each, Connection)]
