"""`mlq bench`."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys

import pytest

from mlq_cli.store.redis.connect import UrlEndpoint, Wire
from tests_support import wait_until

from .conftest import Run, one_line_error


def kinds(redis_url: str) -> set[str]:
    """Return what kinds of keys all benches have left."""
    (keys,) = Wire(UrlEndpoint(redis_url)).exchange([("KEYS", "mlq:{bench-*")])
    return {re.sub(r".*\}:|:.*", "", key.decode()) for key in keys}


def test_a_bench_measures_and_leaves_nothing_but_what_goes_by_itself(cli: Run, redis_url: str) -> None:
    done = cli("bench", "--seconds", "0.2", "--json")
    assert done.returncode == 0, done.stderr
    numbers = json.loads(done.stdout)
    for name in ("post_per_second", "post_many_per_second", "done_per_second", "latency_p50_ms", "round_trip_ms"):
        assert numbers[name] > 0
    assert numbers["latency_p50_ms"] <= numbers["latency_p99_ms"]
    assert numbers["post_many_per_second"] > numbers["post_per_second"]
    assert kinds(redis_url) <= {"once", "claim"}


def test_a_bench_in_a_pipe_is_one_line_a_number_and_says_which_server_it_was(cli: Run) -> None:
    done = cli("bench", "--seconds", "0.1")
    assert [line.split("\t")[0] for line in done.stdout.decode().splitlines()][-1] == "latency_p99_ms"
    assert b"1 executor" in done.stderr


def test_a_bench_without_executors_is_refused_before_it_posts(cli: Run) -> None:
    done = cli("bench", "-x", "0")
    assert (done.returncode, one_line_error(done)) == (2, "0 executors are out of range")


@pytest.mark.parametrize("begun", ["job", pytest.param("worker", marks=pytest.mark.minutes)])
def test_a_bench_that_is_interrupted_again_and_again_leaves_nothing_but_what_goes_by_itself(
    redis_url: str, begun: str
) -> None:
    words = [sys.executable, "-m", "mlq_cli", "bench", "--seconds", "1", "--redis-url", redis_url]
    quiet = subprocess.DEVNULL
    # a session of its own, for Ctrl-C reaches its worker too
    bench = subprocess.Popen(words, env=environment(), stdout=quiet, stderr=quiet, start_new_session=True)
    try:
        wait_until(lambda: begun in kinds(redis_url), seconds=30)
        while bench.poll() is None:
            os.killpg(bench.pid, signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                bench.wait(0.02)
        assert bench.returncode == 130
        assert kinds(redis_url) <= {"once", "claim"}
    finally:
        bench.kill()
        bench.wait()


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("MLQ_")}
