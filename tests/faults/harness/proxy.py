"""A bad network between mlq and a server: slow, thin, cut, silent in one direction, or losing exactly one reply.

    client ◀──▶ FaultProxy (TCP on loopback, or a unix socket) ◀──▶ the server's unix socket

It runs on an event loop in a thread; the test turns its knobs from outside. What a knob says holds for every
connection, old and new, until `heal`.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeVar

from harness.resp import Splitter, verb_of

Way = Literal["up", "down"]  # up: to the server
T = TypeVar("T")

PIECE = 2048  # bytes that a thin line carries at once


class Cut(Exception):
    """The network breaks this link now."""


@dataclass
class Weather:
    """What the network does to whatever it carries."""

    latency: float = 0.0  # seconds, each way
    jitter: float = 0.0
    bandwidth: float = 0.0  # bytes a second each way, for all links together; 0: as much as there is
    slice: int = 0  # bytes of a piece; 0: as it comes
    reset_each: int = 0  # one of so many chunks breaks its link
    limit: int = 0  # bytes a link carries before it breaks


class FaultProxy:
    """Stands in for the server at `server_url`; `url` is where clients connect to."""

    def __init__(self, server_url: str, *, folder: Path | None = None, seed: int = 1) -> None:
        """`folder`: listen on a unix socket in there, not on a TCP port of the loopback."""
        self._server = server_url.removeprefix("unix://")
        self._folder = folder
        self._random = random.Random(seed)
        self.weather = Weather()
        self.answered: Counter[str] = Counter()  # replies that came back from the server, by verb
        self.dropped: list[str] = []  # verbs whose reply was swallowed
        self.links_opened = 0
        self._to_drop: dict[str, int] = {}
        self._links: set[Link] = set()
        self._free_at: dict[Way, float] = {"up": 0.0, "down": 0.0}

    # --- life ------------------------------------------------------------------------------------------------------
    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        self._thread.start()
        self._on_loop(self._begin)
        self._accept()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.refuse()
        asyncio.run_coroutine_threadsafe(_cancel_all(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _begin(self) -> None:
        self._open: dict[Way, asyncio.Event] = {"up": asyncio.Event(), "down": asyncio.Event()}
        for way in self._open.values():
            way.set()
        self._listener: asyncio.Server | None = None
        self._port = 0

    def _accept(self) -> None:
        async def accept() -> None:
            if self._listener is not None:
                return
            if self._folder is not None:
                path = self._folder / "proxy"
                path.unlink(missing_ok=True)
                self._listener = await asyncio.start_unix_server(self._connected, path)
                self.url = f"unix://{path}"
            else:
                self._listener = await asyncio.start_server(self._connected, "127.0.0.1", self._port)
                self._port = self._listener.sockets[0].getsockname()[1]
                self.url = f"redis://127.0.0.1:{self._port}/0"

        asyncio.run_coroutine_threadsafe(accept(), self._loop).result(10)

    def _on_loop(self, action: Callable[[], T]) -> T:
        async def act() -> T:
            return action()

        return asyncio.run_coroutine_threadsafe(act(), self._loop).result(10)

    # --- knobs -----------------------------------------------------------------------------------------------------
    def latency(self, seconds: float, jitter: float = 0.0) -> None:
        """Whatever is carried arrives so much later, give or take the jitter."""
        self.weather.latency, self.weather.jitter = seconds, jitter

    def bandwidth(self, bytes_per_s: float) -> None:
        """All links together carry so many bytes a second, each way."""
        self.weather.bandwidth = bytes_per_s

    def slicer(self, size: int) -> None:
        """Whatever is carried arrives in pieces of so many bytes."""
        self.weather.slice = size

    def reset(self) -> None:
        """Break all links at once."""
        self._on_loop(lambda: [link.abort() for link in list(self._links)])

    def reset_each(self, chunks: int) -> None:
        """Break a link at one of so many chunks, by chance."""
        self.weather.reset_each = chunks

    def limit_data(self, size: int) -> None:
        """Break each link after so many bytes."""
        self.weather.limit = size
        self._on_loop(lambda: [setattr(link, "carried", 0) for link in self._links])

    def blackhole(self, way: Literal["up", "down", "both"] = "both") -> None:
        """Accept connections, carry nothing that way, close nothing: not even that the other side is gone is told.

        What is under way arrives when all is well again, as TCP sends it again and again.
        """
        ways: tuple[Way, ...] = ("up", "down") if way == "both" else (way,)
        self._on_loop(lambda: [self._open[each].clear() for each in ways])

    def refuse(self) -> None:
        """Break all links and refuse new ones."""

        def refuse() -> None:
            if self._listener is not None:
                self._listener.close()
                self._listener = None
            for link in list(self._links):
                link.abort()

        self._on_loop(refuse)

    def drop_reply(self, verb: str, nth: int = 1) -> None:
        """Let the server answer the `nth` next request of this verb, swallow the answer, close the connection."""
        self._to_drop[verb] = nth

    def heal(self) -> None:
        """Be a good network again."""
        self.weather = Weather()
        self._to_drop.clear()
        self._on_loop(lambda: [way.set() for way in self._open.values()])
        self._accept()

    # --- what links ask --------------------------------------------------------------------------------------------
    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.links_opened += 1
        try:
            server = await asyncio.open_unix_connection(self._server)
        except OSError:
            writer.transport.abort()
            return
        link = Link(self, (reader, writer), server)
        self._links.add(link)
        try:
            await link.run()
        except asyncio.CancelledError:
            pass  # the proxy ends
        finally:
            self._links.discard(link)

    def swallows(self, verb: str, reply: bytes) -> bool:
        """Count an answer of the server; whether it is to be swallowed."""
        if reply.startswith(b"-NOSCRIPT"):
            return False  # nothing has been done yet: the request comes again with the whole script
        self.answered[verb] += 1
        if verb not in self._to_drop:
            return False
        self._to_drop[verb] -= 1
        if self._to_drop[verb]:
            return False
        del self._to_drop[verb]
        self.dropped.append(verb)
        return True

    async def carry(self, link: Link, way: Way, data: bytes, writer: asyncio.StreamWriter) -> None:
        """Bring bytes to the other side, as well as this network does. Raises Cut."""
        weather = self.weather
        await self.passage(way)
        if weather.latency:
            await asyncio.sleep(max(0.0, weather.latency + self._random.uniform(-weather.jitter, weather.jitter)))
        if weather.reset_each and self._random.random() < 1 / weather.reset_each:
            raise Cut
        size = weather.slice or (PIECE if weather.bandwidth else len(data))
        for at in range(0, len(data), max(1, size)):
            piece = data[at : at + size]
            if weather.bandwidth:
                await self._pace(way, len(piece) / weather.bandwidth)
            await self.passage(way)
            if weather.limit and link.carried + len(piece) > weather.limit:
                writer.write(piece[: weather.limit - link.carried])
                raise Cut
            link.carried += len(piece)
            writer.write(piece)
            await writer.drain()
            if weather.slice:
                await asyncio.sleep(0)

    async def passage(self, way: Way) -> None:
        """Return when this way is open."""
        await self._open[way].wait()

    async def _pace(self, way: Way, seconds: float) -> None:
        now = self._loop.time()
        self._free_at[way] = max(now, self._free_at[way]) + seconds
        await asyncio.sleep(self._free_at[way] - now)


class Link:
    """One connection of a client, and ours to the server for it."""

    def __init__(
        self,
        proxy: FaultProxy,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._requests, self._replies = Splitter(), Splitter()
        self._asked: deque[str] = deque()  # verbs whose reply has not come
        self.carried = 0

    async def run(self) -> None:
        """Carry both ways until either side closes, or the network breaks it."""
        pumps = [asyncio.ensure_future(self._up()), asyncio.ensure_future(self._down())]
        try:
            done, _ = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            if any(isinstance(pump.exception(), Cut) for pump in done):
                self.abort()
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for _, writer in (self._client, self._server):
                writer.close()

    async def _up(self) -> None:
        reader, writer = self._client[0], self._server[1]
        while data := await _read(reader):
            self._asked += map(verb_of, self._requests.feed(data))
            await self._proxy.carry(self, "up", data, writer)
        await self._proxy.passage("up")

    async def _down(self) -> None:
        reader, writer = self._server[0], self._client[1]
        while data := await _read(reader):
            good, swallowed = self._filter(self._replies.feed(data))
            if good:
                await self._proxy.carry(self, "down", good, writer)
            if swallowed:
                return  # a quiet close, not a reset: what came before the swallowed reply has to arrive
        await self._proxy.passage("down")

    def _filter(self, replies: list[bytes]) -> tuple[bytes, bool]:
        good = []
        for reply in replies:
            if self._proxy.swallows(self._asked.popleft() if self._asked else "news", reply):
                return b"".join(good), True
            good.append(reply)
        return b"".join(good), False

    def abort(self) -> None:
        """Break it as a router does that has lost its memory: on TCP a reset, no goodbye."""
        for _, writer in (self._client, self._server):
            found = writer.get_extra_info("socket")
            if found is not None and found.fileno() >= 0 and found.family == socket.AF_INET:
                found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


async def _cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(1 << 16)
    except OSError:
        return b""
