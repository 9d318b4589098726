"""A private server that can be killed, frozen, started again, and robbed of the end of its append-only file."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from mlq_cli.store.redis.connect import UrlEndpoint, Wire
from tests_support import Server

ALWAYS = ("--appendonly", "yes", "--appendfsync", "always")
EVERYSEC = ("--appendonly", "yes", "--appendfsync", "everysec")


class FaultServer(Server):
    """A Server whose life the test decides on."""

    @property
    def options(self) -> tuple[str, ...]:
        """What it was started with."""
        return self._options

    def stop(self) -> None:
        """Freeze it: connections stay open and nothing answers."""
        self.process.send_signal(signal.SIGSTOP)

    def cont(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """Kill it and start it again; it reads what it had written."""
        self.kill()
        self.start()

    def cut_aof(self, bytes_off: int) -> int:
        """Take bytes from the end of the newest append-only file of a killed server; returns how many were there.

        What a power failure does to what was not synced: Redis itself loses nothing by a kill.
        """
        newest = max(Path(self._folder).rglob("*.incr.aof"), key=lambda path: path.stat().st_mtime)
        size = newest.stat().st_size
        os.truncate(newest, max(0, size - bytes_off))
        return min(size, bytes_off)

    def command(self, *words: Any) -> Any:
        """Send one plain command and return its answer, however long that takes; an error answer is raised."""
        patient = f"{self.url}{'&' if '?' in self.url else '?'}socket_timeout=60"
        (answer,) = Wire(UrlEndpoint(patient)).exchange([words])
        if isinstance(answer, Exception):
            raise answer
        return answer
