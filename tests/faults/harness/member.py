"""One worker or reaper with failpoints and a clock of its own: `python -m harness.member '{…}'`.

`wall`: seconds that its `time.time` is ahead. `boot`: a file with the seconds that its boot-time clock has gained, as
when the machine slept. Neither touches the executors.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

from harness.failpoints import FailingStore, Failpoints
from mlq_cli import MLQ, MlqError
from mlq_cli.model.rules import Rules
from mlq_cli.store.redis.connect import UrlEndpoint
from mlq_cli.worker import run
from mlq_cli.worker.options import WorkerOptions


def shift_wall_clock(seconds: float) -> None:
    """Let the clock on the wall be wrong by so much."""
    real = time.time
    time.time = lambda: real() + seconds


def gain_boot_time(gained: Path) -> None:
    """Let the clock that goes on during a suspend be ahead of the monotonic one by what the file says."""
    real = time.clock_gettime

    def clock_gettime(clock: int) -> float:
        ahead = float(gained.read_text() or 0) if clock == time.CLOCK_BOOTTIME and gained.exists() else 0.0
        return real(clock) + ahead

    time.clock_gettime = clock_gettime


def main(given: dict[str, Any]) -> int:
    """Run until stopped; returns the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    if given.get("wall"):
        shift_wall_clock(given["wall"])
    if given.get("boot"):
        gain_boot_time(Path(given["boot"]))
    rules = Rules(**given["rules"])
    points = Failpoints(given["spec"], Path(given["hits"]))
    try:
        mlq = MLQ.from_profile(
            redis_url=given["url"], namespace=given["namespace"], limits_result=8_000_000, worker_lease=rules.lease
        )
        mlq._store = FailingStore(UrlEndpoint(given["url"]), given["namespace"], points)
        if given["role"] == "reaper":
            return run.run_reaper(mlq, interval=0.2, timeout=None, max_retries=rules.max_retries, once=False)
        options = {name: tuple(value) if isinstance(value, list) else value for name, value in given["options"].items()}
        return run.run_worker(mlq, WorkerOptions(**options), rules)
    except MlqError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
