"""`mlq bench`."""

from __future__ import annotations

import json
import re

from mlq_cli.store.redis.connect import UrlEndpoint, Wire

from .conftest import Run, one_line_error


def test_a_bench_measures_and_leaves_nothing_but_what_goes_by_itself(cli: Run, redis_url: str) -> None:
    done = cli("bench", "--seconds", "0.2", "--json")
    assert done.returncode == 0, done.stderr
    numbers = json.loads(done.stdout)
    for name in ("post_per_second", "post_many_per_second", "done_per_second", "latency_p50_ms", "round_trip_ms"):
        assert numbers[name] > 0
    assert numbers["latency_p50_ms"] <= numbers["latency_p99_ms"]
    assert numbers["post_many_per_second"] > numbers["post_per_second"]
    (keys,) = Wire(UrlEndpoint(redis_url)).exchange([("KEYS", "mlq:{bench-*")])
    assert {re.sub(r".*\}:|:.*", "", key.decode()) for key in keys} <= {"once", "claim"}


def test_a_bench_in_a_pipe_is_one_line_a_number_and_says_which_server_it_was(cli: Run) -> None:
    done = cli("bench", "--seconds", "0.1")
    assert [line.split("\t")[0] for line in done.stdout.decode().splitlines()][-1] == "latency_p99_ms"
    assert b"1 executor" in done.stderr


def test_a_bench_without_executors_is_refused_before_it_posts(cli: Run) -> None:
    done = cli("bench", "-x", "0")
    assert (done.returncode, one_line_error(done)) == (2, "0 executors are out of range")
