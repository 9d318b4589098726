"""Run many short jobs while workers and the server are killed, and judge what became of them.

    make chaos ARGS='--jobs 20000 --kill-every 0.5 --restart-every 5 --fsync always --seed 7'

Without arguments two rounds: workers killed each second under `everysec`, and the server killed too under `always`.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.checker import check
from harness.nemesis import Nemesis
from harness.producer import Load, Producer
from harness.server import ALWAYS, EVERYSEC, FaultServer
from harness.workers import Fleet
from mlq_cli import MLQ, State, StoreUnavailable
from tests_support import wait_until

NAMESPACE = "chaos"


@dataclass(frozen=True)
class Plan:
    """One round."""

    jobs: int
    seed: int
    kill_every: float = 0.0  # seconds; 0: never
    restart_every: float = 0.0
    freeze_every: float = 0.0
    fsync: str = "everysec"
    workers: int = 4
    executors: int = 2
    lease: float = 3.0
    seconds: float = 600.0  # after which no more is posted and no more is broken
    drain: float = 120.0  # seconds that what is left then may take


def run(plan: Plan, folder: Path) -> dict[str, Any]:
    """Run one round in a folder whose path is short enough for a socket; returns the verdict and what was done."""
    with ExitStack() as stack:
        server = stack.enter_context(FaultServer(folder, *(ALWAYS if plan.fsync == "always" else EVERYSEC)))
        fleet = Fleet(server.url, NAMESPACE, folder, lease=plan.lease, executors=plan.executors)
        stack.callback(fleet.close)
        fleet.start(plan.workers)
        producer = Producer(server.url, NAMESPACE, folder)
        stack.callback(producer.close)
        mlq = stack.enter_context(MLQ.from_profile(redis_url=server.url, namespace=NAMESPACE))
        began = time.monotonic()
        load = Load(producer, plan.jobs, plan.seed, seconds=plan.seconds)
        stack.callback(load.stop)
        load.start()
        every = {"kill": plan.kill_every, "restart": plan.restart_every, "freeze": plan.freeze_every}
        nemesis = Nemesis(plan.seed, fleet, server, every, lease=plan.lease)
        while time.monotonic() - began < plan.seconds and (load.is_alive() or left(mlq)):
            nemesis.step()
            time.sleep(0.02)
        nemesis.heal()
        broken_for = time.monotonic() - began
        load.join(plan.drain)
        drained = drain(mlq, plan.drain)
        # One that has only just been started does not yet know what a signal is.
        wait_until(
            lambda: {worker.name for worker in fleet.alive} <= {each["name"] for each in mlq.workers()}, seconds=30
        )
        exits = fleet.stop()
        verdict = check(server.url, NAMESPACE, folder, nemesis.excuses).json()
        if load.error is not None:
            raise load.error
    told = {
        **verdict,
        "seed": plan.seed,
        "fsync": plan.fsync,
        "faults": nemesis.done,
        "broken_seconds": round(broken_for, 1),
        "drain_seconds": round(drained, 1),
        "exits": exits,
        "valid": verdict["valid"] and not any(exits),
    }
    print(json.dumps(told, indent=2))
    return told


def left(mlq: MLQ) -> int:
    """Return how many jobs have not ended, callbacks too; 1 when nobody can say."""
    try:
        counts = mlq.counts()
    except StoreUnavailable:
        return 1
    return sum(number for each in counts for state, number in each.states.items() if not State(state).terminal)


def drain(mlq: MLQ, seconds: float) -> float:
    """Wait until nothing is left, or long enough for the checker to find what is; returns the seconds it took."""
    began = time.monotonic()
    while left(mlq) and time.monotonic() - began < seconds:
        time.sleep(0.1)
    return time.monotonic() - began


def plans(given: argparse.Namespace) -> list[Plan]:
    """Return the rounds that were asked for."""
    if given.kill_every is None and given.restart_every is None and given.fsync is None:
        return [
            Plan(given.jobs, given.seed, kill_every=1.0),
            Plan(given.jobs, given.seed, kill_every=1.0, restart_every=10.0, fsync="always"),
        ]
    faults = {"kill_every": given.kill_every or 0.0, "restart_every": given.restart_every or 0.0}
    if not any((*faults.values(), given.freeze_every)):
        faults["kill_every"] = 1.0
    return [Plan(given.jobs, given.seed, **faults, freeze_every=given.freeze_every, fsync=given.fsync or "everysec")]


def main() -> int:
    parser = argparse.ArgumentParser(prog="make chaos", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="of the faults and of the jobs")
    parser.add_argument("--kill-every", type=float, metavar="SECONDS", help="kill -9 a worker")
    parser.add_argument("--restart-every", type=float, metavar="SECONDS", help="kill -9 the server and start it again")
    parser.add_argument("--freeze-every", type=float, metavar="SECONDS", default=0.0, help="stop a worker for a while")
    parser.add_argument("--fsync", choices=["everysec", "always"], help="of the server's append-only file")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all is cleaned up then too
    valid = True
    try:
        for plan in plans(given):
            print(f"chaos: {plan}", file=sys.stderr)
            folder = Path(tempfile.mkdtemp(prefix="mlq", dir="/tmp"))
            guilty = False
            try:
                verdict = run(plan, folder)
                guilty = not verdict["valid"]
            finally:
                if not guilty:
                    shutil.rmtree(folder, ignore_errors=True)
            if guilty:
                valid = False
                print(f"chaos: the evidence is kept in {folder}", file=sys.stderr)
    except KeyboardInterrupt:
        print("chaos: stopped; nothing is left behind", file=sys.stderr)
        return 130
    return 0 if valid else 1


if __name__ == "__main__":
    sys.exit(main())
