"""A server that gives every request the same answer: for words that a real one says only in rare moments."""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType
from typing import Self

from harness.resp import Splitter


class FakeRedis:
    """Speaks RESP on a TCP port of the loopback."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.asked = 0

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake-redis", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        splitter = Splitter()
        while data := await reader.read(1 << 16):
            for _ in splitter.feed(data):
                self.asked += 1
                writer.write(self.answer)
        writer.close()
