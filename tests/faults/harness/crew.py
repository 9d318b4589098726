"""Workers and reapers of a fault test: started, frozen, killed, started again, and all ended with the test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from harness.failpoints import struck
from tests_support import wait_until

HERE = Path(__file__).parents[1]
IMPORTABLE = HERE / "importable"


class Member:
    """One worker or reaper, and those that were started in its place."""

    def __init__(self, given: dict[str, Any], folder: Path) -> None:
        self._given = given
        self.log_file = folder / "log"
        self.hits = Path(given["hits"])
        self.starts = 0
        self.start()

    def start(self) -> None:
        """Start it, or another in its place."""
        path = os.pathsep.join(map(str, (HERE, HERE.parent / "support")))
        self.starts += 1
        with self.log_file.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "harness.member", json.dumps(self._given)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.log_file.parent,
                env={**os.environ, "PYTHONPATH": path},
            )

    def log(self) -> str:
        """Return all that it has logged."""
        return self.log_file.read_text()

    def lines(self, word: str) -> list[str]:
        """Return the lines of its log that hold this word."""
        return [line for line in self.log().splitlines() if word in line]

    def at_work(self) -> bool:
        """Whether the newest of them has begun to work: before that a signal to stop simply ends it."""
        return len(self.lines(" serves ")) + len(self.lines("this reaper sweeps")) >= self.starts

    def struck(self) -> list[str]:
        """Return its failpoints that struck."""
        return struck(self.hits)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal: SIGSTOP freezes only the worker, for executors are in sessions of their own."""
        self.process.send_signal(number)

    def alive(self) -> bool:
        """Whether it runs."""
        return self.process.poll() is None


class Crew:
    """Starts members for one namespace and sees them off; those that are supervised are replaced when killed."""

    def __init__(self, url: str, namespace: str, folder: Path) -> None:
        self._url = url
        self._namespace = namespace
        self._folder = folder
        self.members: list[Member] = []
        self._supervised: list[Member] = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, name="supervisor", daemon=True)

    def __enter__(self) -> Self:
        self._supervisor.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._supervisor.join()
        for member in self.members:
            if member.alive():
                member.process.kill()
            member.process.wait()
            print(f"--- {member.log_file}\n{member.log()[-6000:]}")  # shown when the test fails

    def worker(
        self,
        *functions: str,
        url: str | None = None,
        spec: str = "",
        supervised: bool = False,
        rules: dict[str, Any] | None = None,
        lease: float = 3.0,
        wall: float = 0.0,
        boot: Path | None = None,
        **options: Any,
    ) -> Member:
        """Start a worker: `crew.worker("steps:step", lease=3.0, executors=2)`."""
        given = {
            "options": {"functions": functions or ["steps:step"], "paths": [str(IMPORTABLE)], "grace": 5.0, **options},
            "wall": wall,
            "boot": str(boot) if boot else None,
        }
        return self._add("worker", url, spec, supervised, {"lease": lease, "backoff": 0.05, **(rules or {})}, given)

    def reaper(self, *, url: str | None = None, spec: str = "", supervised: bool = False, lease: float = 3.0) -> Member:
        """Start a reaper that sweeps five times a second."""
        return self._add("reaper", url, spec, supervised, {"lease": lease}, {})

    def dismiss(self, member: Member) -> int:
        """Stop a member warmly, supervised or not, and return its exit code."""
        with self._lock:
            if member in self._supervised:
                self._supervised.remove(member)
        wait_until(lambda: member.at_work() or not member.alive(), seconds=20)
        member.process.terminate()
        return member.process.wait(20)

    def _add(
        self, role: str, url: str | None, spec: str, supervised: bool, rules: dict[str, Any], more: dict[str, Any]
    ) -> Member:
        folder = self._folder / f"{role}{len(self.members)}"
        folder.mkdir()
        given = {"role": role, "url": url or self._url, "namespace": self._namespace, "rules": rules}
        member = Member({**given, "spec": spec, "hits": str(folder / "hits"), **more}, folder)
        self.members.append(member)
        if supervised:
            with self._lock:
                self._supervised.append(member)
        return member

    def _supervise(self) -> None:
        while not self._over.wait(0.05):
            with self._lock:
                for member in self._supervised:
                    if not member.alive():
                        member.start()
