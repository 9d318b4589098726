"""A reply that is lost on its way is asked for again, and nothing happens twice: for every script."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.crew import Crew
from harness.endings import assert_each_ended_once
from harness.proxy import FaultProxy
from mlq_cli import MLQ, State
from mlq_cli.model.errors import Refused
from mlq_cli.model.options import PostOptions
from mlq_cli.model.outcome import Kind
from mlq_cli.model.values import pack
from mlq_cli.moving import copy_queue, move_queue, undo_move
from mlq_cli.store.base import Held, Part, Progress
from mlq_cli.store.redis import endpoint_at
from mlq_cli.store.redis.layout import STATE
from mlq_cli.store.redis.scripts import verbs
from mlq_cli.store.redis.store import RedisStore
from tests_support import wait_until
from timed_store import Bench


@pytest.fixture
def proxy(redis_url: str) -> Iterator[FaultProxy]:
    with FaultProxy(redis_url) as made:
        yield made


@pytest.fixture
def bench(proxy: FaultProxy, namespace: str) -> Iterator[Any]:
    made = Bench(proxy.url, namespace)
    made.url = proxy.url
    yield made
    for job_id in made.store.ids(None, list(State), None):
        assert len(made.sets_of(job_id)) == 1 and made.sets_of(job_id)[0][1] == made.state(job_id)
    made.store.close()
    if hasattr(made, "there"):
        made.there.close()


def there(bench: Any) -> Any:
    """Return another namespace on the same server."""
    if not hasattr(bench, "there"):
        bench.there = RedisStore(endpoint_at(bench.url, f"{bench.store.namespace}b"), f"{bench.store.namespace}b")
    return bench.there


# What is done with each verb, and what has to be true afterwards. `n` counts the
# calls, so that all jobs of a test can be told apart.
def post(bench: Any, n: int) -> None:
    (job_id,) = bench.post(f"message {n}")
    assert len(bench.store.ids(None, [State.QUEUED], None)) == n and bench.state(job_id) is State.QUEUED
    assert stats(bench)["posted"] == n


def post_own_id(bench: Any, n: int) -> None:
    posted = bench.store.ask(bench.store.post([pack(n)], PostOptions(), [f"own{n}"]))
    assert posted == ([f"own{n}"], 1), "created, not found"


def claim(bench: Any, n: int) -> None:
    (job_id,) = bench.post("x")
    claims = bench.claim(5)
    assert [job.id for job in claims.jobs] == [job_id]
    record = bench.record(job_id)
    assert (record["state"], record["attempt"], stats(bench)["claimed"]) == (State.RUNNING, 1, n)


def finish(bench: Any, n: int) -> None:
    (job_id,) = bench.post("x", callback="http://127.0.0.1:1/")
    assert bench.finish(bench.take(), n) == {}
    assert bench.record(job_id)["result"] == n and stats(bench)["succeeded"] == n
    assert "refused" not in stats(bench) and len(bench.store.ids(["_callbacks"], [State.QUEUED], None)) == n


def finish_with_an_error(bench: Any, n: int) -> None:
    (job_id,) = bench.post("x", retries=3)
    assert bench.fail(bench.take(), Kind.ERROR) == {}
    record = bench.record(job_id)
    assert (record["state"], record["failures"], stats(bench)["retried"]) == (State.SCHEDULED, 1, n)


def heartbeat(bench: Any, n: int) -> None:
    bench.post("x")
    assert bench.beat([bench.take()]) == {}
    assert bench.beat([Held("missing", "t")]) == {Held("missing", "t"): "missing"}


def release(bench: Any, n: int) -> None:
    (job_id,) = bench.post("x")
    bench.store.ask(bench.store.release([bench.take()]))
    record = bench.record(job_id)
    assert (record["state"], record["attempt"], stats(bench)["released"]) == (State.QUEUED, 0, n)
    bench.finish(bench.take())


def release_by_an_operator(bench: Any, n: int) -> None:
    bench.post("x")
    bench.take()
    assert bench.store.ask(bench.store.release_queue("default")) == 1
    assert stats(bench)["released"] == n
    bench.finish(bench.take())


def progress(bench: Any, n: int) -> None:
    bench.post("x")
    held = bench.take()
    assert bench.store.ask(bench.store.progress([Progress(held.id, held.token, pack(n))])) == 0
    assert bench.record(held.id)["progress"] == n
    assert [entry.kind for entry in bench.store.entries(held.id, None, 100)] == ["state", "progress"]


def emit(bench: Any, n: int) -> None:
    bench.post("x")
    held = bench.take()
    parts = [Part(held.id, held.token, serial, pack(serial)) for serial in range(1, n + 1)]
    assert bench.store.ask(bench.store.emit(parts)) == 0
    kept = [entry.value for entry in bench.store.entries(held.id, None, 100) if entry.kind == "part"]
    assert kept == [part.value for part in parts]


def cancel(bench: Any, n: int) -> None:
    ids = bench.post("queued", "running", callback="http://127.0.0.1:1/")
    held = bench.take()
    assert bench.store.ask(bench.store.cancel(ids)) == ["ok", "ok"]
    assert bench.beat([held]) == {held: "canceled"}
    assert stats(bench)["canceled"] == 2 * n == len(bench.store.ids(["_callbacks"], [State.QUEUED], None))


def requeue(bench: Any, n: int) -> None:
    (job_id,) = bench.post("x")
    bench.store.ask(bench.store.cancel([job_id]))
    assert bench.store.ask(bench.store.requeue([job_id])) == ["ok"]
    assert stats(bench)["requeued"] == n and bench.state(job_id) is State.QUEUED
    bench.finish(bench.take())


def sweep(bench: Any, n: int) -> None:
    bench.pass_to(n * 100)
    (lost,), (due,) = bench.post("lost"), bench.post("due", delay=40)
    bench.take()
    bench.pass_to(n * 100 + 50)
    bench.sweep()
    record = bench.record(lost)
    assert (record["state"], record["retries"], stats(bench)["lost"]) == (State.QUEUED, 1, n)
    assert bench.state(due) is State.QUEUED
    for _ in range(2):
        bench.finish(bench.take())


def purge(bench: Any, n: int) -> None:
    bench.post("x", "y")
    assert bench.store.ask(bench.store.purge("default", State.QUEUED)) == (2, 0)
    assert bench.store.ids(None, list(State), None) == []


def pause(bench: Any, n: int) -> None:
    bench.post("x")
    assert bench.store.ask(bench.store.pause("default", paused=True)) == n
    assert bench.claim(5).jobs == []
    assert bench.store.ask(bench.store.pause("default", paused=False)) == n


def audit(bench: Any, n: int) -> None:
    (job_id,) = bench.post("x")
    bench.store._read([("ZREM", STATE(bench.store.namespace, "default", State.QUEUED), job_id)])
    list(bench.store.audit(rules=bench.rules, repair=True, looked=lambda done: None))
    assert bench.sets_of(job_id) == [("default", State.QUEUED)]
    bench.finish(bench.take())
    again = bench.store.audit(rules=bench.rules, repair=True, looked=lambda done: None)
    assert sum(finding.count for finding in again) == 0, "all fits together"


def wait_for_another(bench: Any, n: int) -> None:
    bench.post("blocks", "is waited for")
    held = bench.take()
    (other,) = bench.store.ids(None, [State.QUEUED], None)
    waits = bench.store.waits()
    assert waits.wait(held.id, held.token, 1, other) is State.QUEUED
    with pytest.raises(Refused, match="for itself"):
        waits.wait(held.id, held.token, 2, held.id)
    waits.over(held.id, held.token, 1)
    bench.finish(held)
    bench.finish(bench.take())


def register(bench: Any, n: int) -> None:
    functions = bench.store.functions()
    version = functions.clock()
    assert functions.register(f"f{n}", version, b"an envelope"), "not told that there is one as new"
    assert functions.get_all() == {f"f{n}": b"an envelope"}
    assert functions.remove(f"f{n}"), "not told that it is gone already"
    assert not functions.register(f"f{n}", version, b"an envelope"), "it does not come back"


def ask_for_functions(bench: Any, n: int) -> None:
    functions = bench.store.functions()
    functions.register(f"f{n}", functions.clock(), b"an envelope")
    changes = bench.store.ask(bench.store.registered(0))
    assert [change.name for change in changes.changes] == [f"f{each}" for each in range(1, n + 1)]


def move(bench: Any, n: int) -> None:
    """Between two namespaces; `depart`, `arrive` and `embark` are each asked once or more."""
    other = there(bench)
    bench.post("x", "y")
    bench.post("later", delay=500)
    assert move_queue(bench.store, "default", other, "default", lambda done: None) == 3
    assert bench.store.ids(None, list(State), None) == []
    assert len(other.ids(None, [State.QUEUED], None)) == 2 * n and len(other.ids(None, [State.SCHEDULED], None)) == n
    (counts,) = other.counts()
    assert counts.stats["posted"] == 3 * n


def copy(bench: Any, n: int) -> None:
    bench.post("x", "y")
    assert copy_queue(bench.store, "default", there(bench), "default", lambda done: None) == 2
    assert len(there(bench).ids(None, [State.QUEUED], None)) == 2 * n


def move_within(bench: Any, n: int) -> None:
    bench.post("x", "y")
    assert move_queue(bench.store, "default", bench.store, "other", lambda done: None) == 2
    assert len(bench.store.ids(["other"], [State.QUEUED], None)) == 2 * n


def undo_a_move(bench: Any, n: int) -> None:
    moving = bench.store.moving()
    bench.post("x", "y")
    begun = moving.embark("default", "elsewhere", "elsewhere")
    assert len(moving.depart("default", begun.epoch, 100, [], more=True).jobs) == 2 * n
    assert undo_move(bench.store, "default") == 2 * n
    assert len(bench.store.ids(None, [State.QUEUED], None)) == 2 * n


SCENES: dict[str, list[Callable[[Any, int], None]]] = {
    "arrive": [move, copy],
    "audit": [audit],
    "await": [wait_for_another],
    "cancel": [cancel],
    "claim": [claim],
    "depart": [move],
    "embark": [move],
    "emit": [emit],
    "finish": [finish, finish_with_an_error],
    "functions": [ask_for_functions],
    "heartbeat": [heartbeat],
    "pack": [copy],
    "pause": [pause],
    "post": [post, post_own_id],
    "progress": [progress],
    "purge": [purge],
    "register": [register],
    "release": [release, release_by_an_operator],
    "requeue": [requeue],
    "shift": [move_within],
    "stay": [undo_a_move],
    "sweep": [sweep],
}


def test_no_script_is_forgotten_here() -> None:
    assert sorted(SCENES) == verbs()


@pytest.mark.parametrize("nth", [1, 3], ids=["the first", "the third"])
@pytest.mark.parametrize(
    ("verb", "scene"),
    [pytest.param(verb, scene, id=scene.__name__) for verb, scenes in SCENES.items() for scene in scenes],
)
def test_a_lost_reply_changes_nothing_for_the_caller(
    bench: Any, proxy: FaultProxy, verb: str, scene: Callable[[Any, int], None], nth: int
) -> None:
    for n in range(1, 4):
        if n == nth:
            proxy.drop_reply(verb)
        scene(bench, n)
    assert proxy.dropped == [verb]


@pytest.mark.parametrize("nth", [1, pytest.param(3, marks=pytest.mark.minutes)])
@pytest.mark.parametrize(
    "verb",
    ["claim", "finish", *(pytest.param(verb, marks=pytest.mark.minutes) for verb in ("heartbeat", "progress"))],
)
def test_a_worker_that_misses_a_reply_runs_each_job_once(
    proxy: FaultProxy, mlq: MLQ, tmp_path: Path, verb: str, nth: int
) -> None:
    """One job at a time: a claim whose answer is lost and not asked for again would be a job that nobody runs."""
    with Crew(proxy.url, mlq.namespace, tmp_path) as crew:
        proxy.drop_reply(verb, nth)
        worker = crew.worker(lease=3.0)
        ids = []
        for n in range(4):
            ids.append(mlq.post({"file": str(tmp_path / "runs"), "seconds": 0.1, "result": n}))
            assert mlq.wait(ids[-1], 20) == n
        wait_until(lambda: proxy.dropped == [verb])
        stats = assert_each_ended_once(mlq, ids)
        assert stats["claimed"] == 4 and not {"lost", "refused", "released"} & set(stats)
        assert len((tmp_path / "runs").read_text().splitlines()) == 2 * 4
        assert not worker.lines("ERROR"), "one reply was lost, and the next connection was good"


@pytest.mark.minutes
@pytest.mark.parametrize("nth", [1, 2])
def test_a_worker_that_misses_the_answer_to_a_release_gives_back_once(
    proxy: FaultProxy, mlq: MLQ, tmp_path: Path, nth: int
) -> None:
    with Crew(proxy.url, mlq.namespace, tmp_path) as crew:
        proxy.drop_reply("release", nth)
        worker = crew.worker(lease=3.0, grace=0.1)
        job_id = mlq.post({"file": str(tmp_path / "runs"), "seconds": 20})
        wait_until((tmp_path / "runs").exists, seconds=20)
        worker.process.terminate()
        assert worker.process.wait(10) == 0
    assert proxy.dropped == ["release"]
    record = mlq.get_job(job_id)
    assert (record["state"], record["attempt"]) == (State.QUEUED, 0)
    assert mlq.counts()[0].stats["released"] == 1


def test_mlq_post_makes_one_job_although_its_reply_was_lost(proxy: FaultProxy, mlq: MLQ, tmp_path: Path) -> None:
    proxy.drop_reply("post")
    environment = {**os.environ, "MLQ_REDIS_URL": proxy.url, "MLQ_NAMESPACE": mlq.namespace, "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "mlq_cli", "post", "hello"], env=environment, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"1\n", b"")
    assert proxy.dropped == ["post"] and mlq.job_count() == 1


def stats(bench: Any) -> dict[str, float]:
    return next(counts.stats for counts in bench.store.counts() if counts.queue == "default")
