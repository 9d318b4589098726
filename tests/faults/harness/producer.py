"""A producer that writes down what it posts and what it is told. As a program of its own it can be killed.

python -m harness.producer URL NAMESPACE FOLDER NAME JOBS [--own-ids] [--resume]
"""

from __future__ import annotations

import argparse
import random
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.ledger import History, Post, read_history
from mlq_cli import MLQ, StoreUnavailable
from mlq_cli.model.options import PostOptions
from mlq_cli.model.values import pack

REFUSING = "http://127.0.0.1:1/done"  # nobody listens there: cheap, and each of its callbacks ends in the same way
MOST_WAITING = 4000  # jobs that a producer lets pile up


class Producer:
    """Posts messages and keeps the history of it."""

    def __init__(self, url: str, namespace: str, folder: Path) -> None:
        self._mlq = MLQ.from_profile(redis_url=url, namespace=namespace)
        self._path = folder / "history"
        self._history = History(self._path)

    def post(self, messages: Sequence[dict[str, Any]], *, own_ids: bool = False, **options: Any) -> bool:
        """Post messages that share their options, in one call; False when nobody knows whether they are stored."""
        keys = [message["key"] for message in messages]
        self._history.invoke(keys)
        store = self._mlq.store
        packed = [pack(message) for message in messages]
        call = store.post(packed, PostOptions(**options), keys if own_ids else None)
        try:
            posted = store.ask(call)
        except StoreUnavailable:
            self._history.info(keys)
            return False
        self._history.ok(keys, posted.ids)
        return True

    def told(self) -> list[Post]:
        """Return the history so far."""
        return read_history(self._path)

    def waiting(self) -> int:
        """Return how many jobs wait, 0 when nobody can say."""
        try:
            return self._mlq.job_count()
        except StoreUnavailable:
            return 0

    def close(self) -> None:
        self._mlq.close()


class Load(threading.Thread):
    """Posts a mix of jobs of 0 to 5 ms in batches, a fifth of them with ids of its own, which it posts until it knows.

    3 % fail once or twice, 0.2 % for ever, 0.2 % crash their executor, 0.02 % for ever; 2 % have a callback that nobody
    answers.
    """

    def __init__(self, producer: Producer, jobs: int, seed: int, *, seconds: float) -> None:
        super().__init__(daemon=True)
        self._producer, self._jobs, self._chance = producer, jobs, random.Random(f"load {seed}")
        self._deadline = time.monotonic() + seconds
        self._told = threading.Event()
        self.posted = 0
        self.error: BaseException | None = None

    def run(self) -> None:
        """Post all, as fast as they are run."""
        try:
            while self.posted < self._jobs and not self._told.is_set() and time.monotonic() < self._deadline:
                self._batch(min(self._chance.randint(1, 200), self._jobs - self.posted))
                while self._producer.waiting() > MOST_WAITING and not self._told.wait(0.05):
                    pass
        except BaseException as error:
            self.error = error

    def stop(self) -> None:
        self._told.set()
        self.join()

    def _batch(self, size: int) -> None:
        chance = self._chance
        kinds: dict[str, list[dict[str, Any]]] = {}
        for number in range(self.posted, self.posted + size):
            message: dict[str, Any] = {"key": f"k{number}", "seconds": chance.uniform(0, 0.005)}
            draw = chance.random()
            if draw < 0.032:
                message |= {"do": "fail", "times": chance.randint(1, 2) if draw < 0.03 else 99}
            elif draw < 0.0342:
                message |= {"do": "crash", "times": 1 if draw < 0.034 else 99}
            kind = "callback" if chance.random() < 0.02 else "own" if chance.random() < 0.2 else "plain"
            kinds.setdefault(kind, []).append(message)
        for kind, messages in kinds.items():
            options = {"retries": 2, "callback": REFUSING if kind == "callback" else None}
            while not self._producer.post(messages, own_ids=kind == "own", **options) and kind == "own":
                time.sleep(0.1)
        self.posted += size


def main() -> None:
    parser = argparse.ArgumentParser(description="post jobs until killed; the history tells which")
    for name in ("url", "namespace", "folder", "name"):
        parser.add_argument(name)
    parser.add_argument("jobs", type=int)
    parser.add_argument("--own-ids", action="store_true")
    parser.add_argument("--resume", action="store_true", help="post again whatever was not acknowledged")
    given = parser.parse_args()
    folder = Path(given.folder)
    acknowledged = {post.key for post in read_history(folder / "history") if post.word == "ok"}
    producer = Producer(given.url, given.namespace, folder)
    for number in range(given.jobs):
        key = f"{given.name}-{number}"
        if not (given.resume and key in acknowledged):
            producer.post([{"key": key}], own_ids=given.own_ids)


if __name__ == "__main__":
    main()
