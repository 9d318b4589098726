"""What several tests need beside fixtures: to wait, to look at a process, a server that can be killed and started."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from mlq_cli.store.redis.connect import UrlEndpoint, Wire
from mlq_cli.store.redis.server_binary import find_binary

T = TypeVar("T")


def wait_until(condition: Callable[[], T], *, seconds: float = 10.0) -> T:
    """Return what `condition` returns once it is true; fail after so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if value := condition():
                return value
        except Exception:
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline, f"not true after {seconds} s"
        time.sleep(0.005)


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has asked about does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Server:
    """A private server on a socket in `folder`; its data are there too, written at once."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._folder = folder
        self._options = options
        self.url = f"unix://{folder}/s"

    def start(self) -> None:
        """Start it and wait until it answers."""
        binary = os.environ.get("MLQ_TEST_SERVER") or str(find_binary(None))
        place = ["--port", "0", "--unixsocket", f"{self._folder}/s", "--dir", str(self._folder), "--save", ""]
        self.process = subprocess.Popen([binary, *place, *self._options], stdout=subprocess.DEVNULL)
        wait_until(lambda: Wire(UrlEndpoint(self.url)).exchange([("PING",)]) == [b"PONG"])

    def kill(self) -> None:
        """End it as if the power were cut."""
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()
