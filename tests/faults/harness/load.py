"""Somebody who posts without a pause and notes what was acknowledged when, and what was refused for how long."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mlq_cli import MLQ
from mlq_cli.model.errors import StoreUnavailable
from mlq_cli.model.job import State


class Poster:
    """Posts from a thread until the block ends. Each job leaves a line in a file of its own for each of its runs."""

    def __init__(self, url: str, namespace: str, folder: Path, *, pause: float = 0.01) -> None:
        self.mlq = MLQ.from_profile(redis_url=url, namespace=namespace)
        self.acknowledged: dict[str, float] = {}  # when, by time.monotonic
        self.refused: list[tuple[float, float, str]] = []  # when, after how long, why
        self.unexpected: list[BaseException] = []
        self._folder = folder
        self._pause = pause
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        number = 0
        try:
            while not self._done.is_set():
                began = time.monotonic()
                job_id = f"job{number}"
                message = {"file": str(self._folder / job_id), "seconds": 0.0}
                try:
                    self.mlq.post(message, id=job_id)
                except StoreUnavailable as error:  # try the same again: it makes no second job
                    now = time.monotonic()
                    self.refused.append((now, now - began, str(error)))
                else:
                    self.acknowledged[job_id] = time.monotonic()
                    number += 1
                self._done.wait(self._pause)
        except BaseException as error:
            self.unexpected.append(error)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end()
        self.mlq.close()

    def end(self) -> None:
        """Post no more."""
        self._done.set()
        self._thread.join()

    def resumed_after(self, instant: float) -> float | None:
        """Return the seconds from an instant to the first post after the last refusal; None: it is still refused."""
        since = max([instant, *(at for at, _, _ in list(self.refused))])
        later = [at for at in list(self.acknowledged.values()) if at > since]
        return min(later) - instant if later else None

    def slowest_refusal(self) -> float:
        """Return the longest time after which a post was refused."""
        return max((seconds for _, seconds, _ in self.refused), default=0.0)

    def lost(self) -> list[str]:
        """Return the acknowledged jobs that are gone."""
        ids = list(self.acknowledged)
        return [job_id for job_id, state in zip(ids, self.mlq.states(ids), strict=True) if state is None]

    def ended(self) -> bool:
        """Whether every job that is there has ended."""
        return all(state is None or state.terminal for state in self.mlq.states(list(self.acknowledged)))

    def outcomes(self) -> dict[str, Any]:
        """Return how many jobs are in which state, how often their ends were counted, and how many ran twice."""
        (counts,) = (each for each in self.mlq.counts() if each.queue == "default")
        runs = [len(path.read_text().splitlines()) for path in self._folder.glob("job*")]
        return {
            "succeeded": counts.states[State.SUCCEEDED],
            "others": sum(number for state, number in counts.states.items() if state is not State.SUCCEEDED),
            "counted": counts.stats.get("succeeded"),
            "ran twice": sum(number > 1 for number in runs),
        }
