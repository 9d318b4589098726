"""A seeded schedule of faults: the same seed does the same things to the same workers in the same order.

python -m harness.nemesis --seed 7 --seconds 20 --kill-every 1 --freeze-every 5      # print a schedule
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterator, Mapping
from heapq import merge
from typing import NamedTuple

from harness.checker import Excuses
from harness.ledger import boot_time
from harness.server import FaultServer
from harness.workers import Fleet, WorkerProcess
from tests_support import wait_until

FAULTS = ("kill", "freeze", "restart")


class Fault(NamedTuple):
    """What happens when. `whom`: place of the worker; `seconds`: how long a freeze lasts."""

    at: float  # seconds after the beginning
    what: str  # one of FAULTS
    whom: int
    seconds: float


def schedule(seed: int, every: Mapping[str, float], workers: int, lease: float) -> Iterator[Fault]:
    """Yield faults for ever, each kind about every so many seconds: half to one and a half times."""
    return merge(*(_one_kind(what, seed, period, workers, lease) for what, period in every.items() if period))


def _one_kind(what: str, seed: int, period: float, workers: int, lease: float) -> Iterator[Fault]:
    chance = random.Random(f"{what} {seed}")
    at = 0.0
    while True:
        at += period * chance.uniform(0.5, 1.5)
        # Some freezes end before anybody could notice, some well after the lease.
        yield Fault(at, what, chance.randrange(workers), lease * chance.choice((0.2, 0.4, 1.5, 2.0)))


class Nemesis:
    """Does what the schedule says to a fleet and its server, whenever `step` is called; `heal` makes all well again."""

    def __init__(
        self, seed: int, fleet: Fleet, server: FaultServer, every: Mapping[str, float], *, lease: float
    ) -> None:
        print(f"nemesis: seed {seed}", file=sys.stderr)
        self._fleet, self._server = fleet, server
        self._faults = schedule(seed, every, len(fleet.alive), lease)
        self._next = next(self._faults)
        self._began = time.monotonic()
        self._frozen: dict[str, tuple[WorkerProcess, float, float]] = {}  # by name: since when, thaw at
        self.excuses = Excuses()
        self.done = dict.fromkeys(FAULTS, 0)

    def step(self) -> None:
        """Do the next fault if it is due, and thaw whom it is time for."""
        now = time.monotonic() - self._began
        for worker, _, thaw_at in list(self._frozen.values()):
            if now >= thaw_at:
                self._thaw(worker)
        if now < self._next.at:
            return
        fault, self._next = self._next, next(self._faults)
        self.done[fault.what] += 1
        if fault.what == "restart":
            killed_at = boot_time()
            self._server.restart()
            if "everysec" in self._server.options:
                # Redis puts its writes off while the disk is busy, for up to 2 s, and answers meanwhile.
                self.excuses.forgotten.append((killed_at, killed_at))
            return
        worker = self._fleet.alive[fault.whom]
        if fault.what == "freeze" and worker.name not in self._frozen:
            worker.freeze()
            self._frozen[worker.name] = (worker, boot_time(), now + fault.seconds)
        elif fault.what == "kill":
            if worker.name in self._frozen:
                self._thaw(worker)
            self._fleet.replace(worker)

    def _thaw(self, worker: WorkerProcess) -> None:
        _, since, _ = self._frozen.pop(worker.name)
        worker.thaw()
        self.excuses.frozen.append((worker.name, since, boot_time()))

    def heal(self) -> None:
        """Thaw everybody; whoever died by itself is replaced, and said."""
        for worker, *_ in list(self._frozen.values()):
            self._thaw(worker)
        for worker in list(self._fleet.alive):
            if worker.process.poll() is not None:
                print(f"nemesis: {worker.name} had ended by itself:\n{worker.log()[-2000:]}", file=sys.stderr)
                self._fleet.replace(worker)
        wait_until(lambda: self._server.command("PING") == b"PONG", seconds=60)


def main() -> None:
    parser = argparse.ArgumentParser(description="print a schedule of faults")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--lease", type=float, default=3.0)
    for what in FAULTS:
        parser.add_argument(f"--{what}-every", type=float, default=0.0)
    given = parser.parse_args()
    print(f"seed {given.seed}")
    every = {what: getattr(given, f"{what}_every") for what in FAULTS}
    if not any(every.values()):
        parser.error("which faults? say --kill-every SECONDS, for one")
    for fault in schedule(given.seed, every, given.workers, given.lease):
        if fault.at > given.seconds:
            break
        detail = f"for {fault.seconds:.1f} s" if fault.what == "freeze" else ""
        whom = "" if fault.what == "restart" else f"worker {fault.whom}"
        print(f"{fault.at:7.2f} s  {fault.what:8} {whom} {detail}".rstrip())


if __name__ == "__main__":
    main()
