"""One contestant on the server: its client and its workers, started and ended; what its jobs have counted."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from contestants import Contestant
from processes import end, wait_for
from server import Server
from venvs import programs

HERE = Path(__file__).parent
PAUSE = 0.1  # seconds without a job after which the next one is the first of a burst, as in peers/ticking.py
PATIENCE = 120.0  # seconds after which a contestant counts as stuck


class Stuck(Exception):
    """A contestant did not do what it was started for; the text says what it said last."""


class Arena:
    """Where one contestant runs its loads."""

    def __init__(self, server: Server, contestant: Contestant, folder: Path, source: Path | None = None) -> None:
        """`source` is a folder with another mlq_cli, to be used instead of the installed one."""
        self.server = server
        self.contestant = contestant
        self._folder = folder
        self._ticks = folder / "ticks"
        self._programs = programs(contestant)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MLQ_", "PYTHON"))}
        paths = [*([source] if source else []), HERE / "peers", *([] if contestant.packages else [HERE])]
        self._environment = inherited | {
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "PYTHONDONTWRITEBYTECODE": "1",
            "BENCH_REDIS": server.url,
            "BENCH_TICKS": str(self._ticks),
            "MLQ_REDIS_URL": server.url,
            "MLQ_NAMESPACE": "bench",
            "BENCH_LOAD": "drain",
            **contestant.environment,
        }

    def clean(self) -> None:
        """Begin anew: an empty server, nothing counted."""
        self.server.empty()
        shutil.rmtree(self._ticks, ignore_errors=True)
        self._ticks.mkdir()

    def client(self, verb: str, count: int = 0, size: str = "0") -> Any:
        """Run the client and return its seconds: of all, or of each round trip. Raises Stuck."""
        return self.ask(verb, count, size)["seconds"]

    def ask(self, verb: str, count: int = 0, size: str = "0") -> dict[str, Any]:
        """Run the client and return all that it answers: seconds, and of a post its processor seconds. Raises Stuck."""
        command = [self._programs / "python", HERE / "peers" / "client.py", self.contestant.module, verb]
        environment = self._environment | {"BENCH_LOAD": verb}
        try:
            done = subprocess.run(
                [*command, str(count), size],
                env=environment, cwd=self._folder, capture_output=True, text=True, timeout=PATIENCE, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise Stuck(f"its client was still busy with {verb} after {PATIENCE:g} s") from None
        if not done.stdout.endswith("}\n"):
            raise Stuck(f"its client failed at {verb} with {done.returncode}: {last_line(done.stderr)}")
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer

    @contextmanager
    def worker(self, load: str = "drain", command: str = "", number: int = 1) -> Iterator[subprocess.Popen[bytes]]:
        """Run its worker, or several, while the block does."""
        line = (command or self.contestant.worker).format(bin=self._programs, url=self.server.url)
        environment = self._environment | {"BENCH_LOAD": load}
        self._log = self._folder / "worker.log"
        with self._log.open("wb") as log:
            started = [
                subprocess.Popen(
                    shlex.split(line), env=environment, cwd=self._folder,
                    stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                )
                for _ in range(number)
            ]  # fmt: skip
            try:
                yield started[0]
            finally:
                end(*started)

    def pair(self) -> tuple[str, int]:
        """Return the command and the number of workers that give two places to run jobs."""
        return (self.contestant.pair, 1) if self.contestant.pair else (self.contestant.worker, 2)

    def ticks(self) -> tuple[int, float, float]:
        """Return how many jobs have run, and when the first and the last began."""
        if not (slots := self._slots()):
            return 0, 0.0, 0.0
        counts, firsts, lasts, _ = zip(*slots, strict=True)
        return sum(counts), min(firsts), max(lasts)

    def burst(self) -> float:
        """Return when the first job after the latest pause began."""
        return max(burst for *_, burst in self._slots())

    def _slots(self) -> list[tuple[int, float, float, float]]:
        return [struct.unpack("qddd", path.read_bytes()) for path in self._ticks.glob("*.tick")]

    def begun(self) -> list[tuple[int, float]]:
        """Return number and beginning of the jobs of a mixed load."""
        return [pair for path in self._ticks.glob("*.begun") for pair in struct.iter_unpack("qd", path.read_bytes())]

    def wait_for_ticks(self, count: int, process: subprocess.Popen[bytes], pause: float = 0.02) -> None:
        """Wait until so many jobs have run. Raises Stuck."""

        def ready() -> bool:
            return self.ticks()[0] >= count or process.poll() is not None

        if not wait_for(ready, PATIENCE, pause) or self.ticks()[0] < count:
            said = last_line(self._log.read_text(errors="replace"))
            raise Stuck(f"its worker ran {self.ticks()[0]} of {count} jobs: {said}")


def last_line(text: str) -> str:
    """Return the last thing that was said, or that nothing was."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it said nothing"


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for logs and counters, in memory where there is such a place."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="mlq-bench-", dir=place))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def python_version(contestant: Contestant) -> str:
    """Return the version of the Python that a contestant runs on."""
    program = programs(contestant) / "python"
    return subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
