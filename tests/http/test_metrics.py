"""What Prometheus scrapes, read by its own parsers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from mlq_cli import MLQ, __version__
from mlq_cli.http.metrics import MOST_QUEUES, Seen, exposition, page
from mlq_cli.http.roles import ROLE, Role
from mlq_cli.http.routes.metrics import router
from mlq_cli.model.errors import NotAllowed
from mlq_cli.model.job import State
from mlq_cli.model.times import Histogram, Times
from mlq_cli.store.base import QueueCounts
from mlq_cli.store.redis import layout
from timed_store import Bench

OPENMETRICS = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3"
NOTHING = Histogram((1.0,), (0, 0), 0.0)


@pytest.fixture
def bench(redis_url: str, namespace: str) -> Iterator[Bench]:
    made = Bench(redis_url, namespace)
    yield made
    made.store.close()


def samples(body: bytes, parse: Any = prometheus) -> dict[str, dict[tuple[str, ...], float]]:
    """Return values by name, then by the values of the labels in the order of their names."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in parse(body.decode()):
        for name, labels, value, *_ in family.samples:
            found.setdefault(name, {})[tuple(labels[key] for key in sorted(labels))] = value
    return found


def test_the_page_tells_what_became_of_jobs_how_long_they_waited_and_how_long_they_ran(bench: Bench) -> None:
    bench.post(1, 2, 3, callback="http://localhost/x")
    bench.at(7.0)
    done, failed = bench.take(), bench.take()
    bench.finish(done)
    bench.fail(failed)
    bench.finish(bench.take(queues=["_callbacks"]))
    told = samples(exposition(bench.store)[0])
    assert told["mlq_jobs"][("default", "queued")] == told["mlq_jobs"][("default", "succeeded")] == 1
    assert told["mlq_jobs"][("default", "dead")] == told["mlq_jobs_dead_total"][("default",)] == 1
    assert told["mlq_jobs_posted_total"] == {("default",): 3, ("_callbacks",): 2}
    assert told["mlq_attempts_failed_total"][("default",)] == 1 and told["mlq_queue_paused"][("default",)] == 0
    assert told["mlq_callbacks_total"] == {("delivered",): 1, ("failed",): 0, ("dead",): 0}
    assert [told["mlq_wait_seconds_bucket"][(end, "default")] for end in ("5.0", "10.0", "+Inf")] == [0, 2, 2]
    assert told["mlq_wait_seconds_sum"][("default",)] == 14.0 and told["mlq_wait_seconds_count"][("default",)] == 2
    assert [told["mlq_run_seconds_bucket"][(end, "default")] for end in ("0.1", "0.5", "+Inf")] == [0, 1, 1]
    assert told["mlq_run_seconds_sum"] == {("default",): 0.5, ("_callbacks",): 0.5}
    assert told["mlq_failed_run_seconds_sum"] == {("default",): 0.5, ("_callbacks",): 0}
    assert told["mlq_oldest_waiting_seconds"].keys() == {("default",), ("_callbacks",)}
    assert told["mlq_build_info"] == {(__version__,): 1} and told["mlq_redis_up"] == {(): 1}


def test_lost_leases_and_refused_attempts_are_told(bench: Bench) -> None:
    bench.post()
    late = bench.take()
    bench.pass_to(31)
    bench.sweep()
    bench.finish(late)
    bench.finish(late)
    told = samples(exposition(bench.store)[0])
    assert told["mlq_lost_leases_total"] == {("default",): 1} and told["mlq_refused_outcomes_total"] == {
        ("default",): 1
    }


def test_both_formats_are_what_their_parsers_expect_and_say_the_same(bench: Bench) -> None:
    bench.post()
    bench.finish(bench.take())
    text, text_type = exposition(bench.store)
    newer, newer_type = exposition(bench.store, OPENMETRICS)
    assert text_type.startswith("text/plain; version=0.0.4") and newer_type.startswith("application/openmetrics-text")
    assert newer.endswith(b"# EOF\n") and b"# EOF" not in text
    assert samples(text) == samples(newer, openmetrics)


def test_names_follow_the_rules_of_promtool(bench: Bench) -> None:
    bench.post()
    families = list(openmetrics(exposition(bench.store, OPENMETRICS)[0].decode()))
    assert len(families) > 20
    for family in families:
        assert (
            family.name.startswith("mlq_") and family.documentation.endswith(".") and family.name == family.name.lower()
        )
        assert not family.name.endswith(("_total", "_count", "_sum", "_bucket", "_info"))  # the format adds these
        assert not any(unit in family.name.split("_") for unit in ("ms", "milliseconds", "us", "minutes", "kb"))
        for name, labels, *_ in family.samples:
            assert (family.type == "counter") == name.endswith("_total"), name
            assert family.type == "info" or labels.keys() <= {"queue", "state", "outcome", "le"}


def test_a_queue_however_named_in_redis_cannot_break_the_page(bench: Bench) -> None:
    """No client of ours posts to such a queue; whoever writes to Redis may."""
    name = 'a"b\\c\nd{}'
    bench.store._read([("SADD", layout.QUEUES(bench.store.namespace), name)])
    for accept, parse in (("", prometheus), (OPENMETRICS, openmetrics)):
        assert (name, "queued") in samples(exposition(bench.store, accept)[0], parse)["mlq_jobs"]


def test_only_so_many_queues_are_told_and_ours_always() -> None:
    times = Times(NOTHING, NOTHING, NOTHING, None)
    names = [*(f"q{number:04}" for number in range(MOST_QUEUES + 50)), "_callbacks"]
    counts = [QueueCounts(name, False, dict.fromkeys(State, 0), {"succeeded": 3.0}, times) for name in names]
    metrics = {metric.name: metric for metric in page(Seen(counts, {}, []))}
    told = [sample.labels["queue"] for sample in metrics["mlq_queue_paused"].samples]
    assert len(told) == MOST_QUEUES and "_callbacks" in told
    assert metrics["mlq_queues_left_out"].samples[0].value == 51
    assert metrics["mlq_callbacks"].samples[0].value == 3


def test_workers_and_reapers_are_told_apart() -> None:
    alive = [{"queues": "a b", "executors": "3"}, {"queues": "b", "executors": "2"}, {"queues": "", "executors": "0"}]
    values = {metric.name: metric.samples[0].value for metric in page(Seen([], {}, alive)) if metric.samples}
    assert (values["mlq_workers"], values["mlq_executors"], values["mlq_reapers"]) == (2, 5, 1)


def site(url: str, namespace: str) -> tuple[FastAPI, MLQ]:
    """An app with nothing but this route, and no door in front."""
    app = FastAPI()
    app.include_router(router)
    mlq = MLQ.from_profile(redis_url=url, namespace=namespace)
    app.state.served = SimpleNamespace(mlq=mlq)
    return app, mlq


def get(app: FastAPI, role: Role | None, accept: str = "*/*") -> httpx.Response:
    async def door(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, ROLE: role}, receive, send)

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(door), base_url="http://mlq") as client:
            return await client.get("/metrics", headers={"Accept": accept})

    return asyncio.run(ask())


def test_the_route_asks_for_the_role_read_and_negotiates(redis_url: str, namespace: str) -> None:
    app, mlq = site(redis_url, namespace)
    with mlq:
        mlq.post("x")
        with pytest.raises(NotAllowed):
            get(app, None)
        answer = get(app, Role.READ)
        assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert samples(answer.content)["mlq_jobs"][("default", "queued")] == 1
        newer = get(app, Role.READ, OPENMETRICS)
        assert newer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")


def test_while_redis_is_away_the_page_says_so_and_nothing_else(namespace: str, short_folder: Any) -> None:
    app, mlq = site(f"unix://{short_folder}/nobody", namespace)
    with mlq:
        answer = get(app, Role.READ)
    assert answer.status_code == 200
    assert samples(answer.content) == {"mlq_build_info": {(__version__,): 1}, "mlq_redis_up": {(): 0}}
