"""Workers as real processes, each in a process group of its own, to be killed, frozen and replaced."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import Any

from harness.listeners import LEDGER

FAULTS = Path(__file__).parents[1]
RUN_WORKER = FAULTS.parent / "worker" / "importable" / "run_worker.py"


class WorkerProcess:
    """One worker; what it is called is also its name in the ledger."""

    def __init__(self, name: str, settings: dict[str, Any], folder: Path) -> None:
        self.name = name
        self._log = folder / f"{name}.log"
        settings = {**settings, "options": {**settings["options"], "name": name}}
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(RUN_WORKER), json.dumps(settings)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env={**os.environ, LEDGER: str(folder / "ledger")},
                start_new_session=True,
            )

    def log(self) -> str:
        """Return what it has said so far."""
        return self._log.read_text(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its process group; its executors have sessions of their own."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """End it as a crash of the machine would."""
        self.signal(signal.SIGKILL)
        self.process.wait()

    def freeze(self) -> None:
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def executors(self) -> list[int]:
        """Return the process ids of its executors."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in children if b"mlq_cli.worker.child" in _command(pid)]


class Fleet:
    """Some workers that serve the same queues. `folder` gets their logs and the ledger."""

    def __init__(
        self, url: str, namespace: str, folder: Path, *, lease: float = 3.0, first: int = 0, **given: Any
    ) -> None:
        """`first`: number of the first worker; `given`: options of all, and `rules`, a mapping of further Rules."""
        rules = {"lease": lease, "backoff": 0.05, **given.pop("rules", {})}
        options = {"functions": ["harness.listeners:run"], "paths": [str(FAULTS)], "grace": 10.0, **given}
        self._settings = {"url": url, "namespace": namespace, "options": options, "rules": rules}
        self._folder = folder
        self._numbers = count(first)
        self.ledger = folder / "ledger"
        self.all: list[WorkerProcess] = []
        self.alive: list[WorkerProcess] = []

    def start(self, workers: int = 1) -> WorkerProcess:
        """Start workers; returns the last of them."""
        for _ in range(workers):
            worker = WorkerProcess(f"w{next(self._numbers)}", self._settings, self._folder)
            self.all.append(worker)
            self.alive.append(worker)
        return worker

    def replace(self, worker: WorkerProcess) -> WorkerProcess:
        """Kill a worker and start a new one in its place."""
        worker.kill()
        place = self.alive.index(worker)
        fresh = self.start()
        self.alive.pop()
        self.alive[place] = fresh
        return fresh

    def stop(self, seconds: float = 30.0) -> list[int]:
        """Stop all living workers warmly; returns their exit codes. Raises TimeoutExpired."""
        for worker in self.alive:
            worker.thaw()
            worker.signal(signal.SIGTERM)
        codes = [worker.process.wait(seconds) for worker in self.alive]
        self.alive.clear()
        return codes

    def close(self) -> None:
        """End all there are."""
        for worker in self.all:
            worker.kill()
        self.alive.clear()


def _command(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""  # it has ended meanwhile: guards and orphans are the worker's children too
