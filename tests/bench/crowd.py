"""Many idle workers at once: `crowd.py N` does for N of them what a worker does with Redis, in one process.

Each has a doorbell of its own, wakes when it rings, claims one job, settles it, and goes back to sleep; every five
seconds it looks by itself, every ten it sends a heartbeat. Unlike with real ones, no executor runs anything.
Prints `ready`, and when its input ends how many claims there were.
"""

from __future__ import annotations

import os
import resource
import selectors
import sys
import time

from mlq_cli import MLQ
from mlq_cli.model.outcome import Kind, Outcome
from mlq_cli.model.rules import Rules

TICK, BEAT = 5.0, 10.0  # as in worker/worker.py


class Crowd:
    """So many workers on one selector."""

    def __init__(self, number: int) -> None:
        self.store = MLQ().store
        self.selector = selectors.DefaultSelector()
        self.claims = 0
        self.beats = []
        for each in range(number):
            bell = self.store.bell(["default"])
            self.selector.register(bell, selectors.EVENT_READ, (each, bell))
            bell.listen(TICK * (0.5 + each / number / 2))  # not all at the same time
            self.beats.append(time.monotonic() + BEAT * each / number)

    def claim_some(self, each: int) -> None:
        """Claim and settle until nothing is left."""
        store, rules, name = self.store, Rules(), f"idle-{each}"
        settle = []
        while True:
            token = os.urandom(8).hex()
            claim = store.claim(["default"], 1, worker=name, lane=f"{name}:jobs", token=token, rules=rules)
            claims = store.run(*settle, claim)[-1]
            self.claims += 1
            if not claims.jobs:
                return
            outcomes = [Outcome(job.id, token, Kind.DONE.value, 0.0, b"", b"\xc0") for job in claims.jobs]
            settle = [store.finish(outcomes, rules=rules)]

    def run(self) -> None:
        """Work until the input ends."""
        self.selector.register(sys.stdin, selectors.EVENT_READ, None)
        print("ready", flush=True)
        while True:
            for key, _ in self.selector.select(0.5):
                if key.data is None:
                    print(self.claims)
                    return
                each, bell = key.data
                bell.answered()
                self.claim_some(each)
                bell.listen(TICK)
            now = time.monotonic()
            for each, due in enumerate(self.beats):
                if now > due:
                    self.beats[each] = now + BEAT
                    about = {"host": "bench", "pid": each}
                    self.store.ask(self.store.heartbeat(f"idle-{each}", [], rules=Rules(), life=30.0, about=about))


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    Crowd(int(sys.argv[1])).run()
