"""Claims of a lane that cannot run everything: what is others' stays in its place, and no claim looks for long."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from mlq_cli.model.job import State
from mlq_cli.model.outcome import Kind
from mlq_cli.store.base import Held
from mlq_cli.store.redis import layout
from timed_store import Bench

ALL = ["f", "m:f", "*"]  # what a worker with the listener m:f can run


@pytest.fixture
def raw(redis_url: str) -> Any:
    with redis.Redis.from_url(redis_url) as connection:
        yield connection


def ids_of(claims: Any) -> list[str]:
    return [job.id for job in claims.jobs]


def test_a_job_is_left_to_a_living_worker_that_has_its_function(bench: Bench) -> None:
    bench.beat([], worker="other", functions=["g", "*"])
    theirs, plain, ours, by_path, either = (
        bench.post(functions=["g"])[0],
        bench.post()[0],
        bench.post(functions=["f"])[0],
        bench.post(functions=["m:f"])[0],
        bench.post(functions=["g", "f"])[0],
    )
    claims = bench.claim(10, functions=ALL)
    assert ids_of(claims) == [plain, ours, by_path, either] and claims.passed and claims.empty
    assert bench.state(theirs) is State.QUEUED and bench.record(theirs)["position"] == 0
    assert ids_of(bench.claim(10, worker="other", functions=["g", "*"])) == [theirs]


def test_a_job_whose_function_nobody_alive_has_is_handed_out_as_before(bench: Bench) -> None:
    (job_id,) = bench.post(functions=["g"])
    bench.beat([], worker="other", functions=["g"])
    assert ids_of(bench.claim(functions=ALL)) == []
    bench.pass_to(119)
    assert ids_of(bench.claim(functions=ALL)) == []
    bench.pass_to(121)
    claims = bench.claim(functions=ALL)
    assert ids_of(claims) == [job_id] and not claims.passed


def test_a_key_that_somebody_has_broken_does_not_cost_the_leases(bench: Bench, raw: Any) -> None:
    (job_id,) = bench.post()
    raw.set(layout.ABLE(bench.store.namespace), "x")
    claims = bench.claim(functions=ALL, token="t")
    assert ids_of(claims) == [job_id]
    assert bench.beat([Held(job_id, "t")], functions=ALL) == {}


def test_a_worker_of_other_queues_does_not_count(bench: Bench) -> None:
    bench.beat([], worker="other", functions=["g", "m:"], queues=["gpu"])
    ids = [bench.post(functions=[name], queue=queue)[0] for queue in ("default", "gpu") for name in ("g", "m:f")]
    claims = bench.claim(10, queues=("default", "gpu"), functions=["f"])
    assert ids_of(claims) == ids[:2] and claims.passed
    assert bench.store.unable() == {} and bench.beat([], functions=["g"], queues=["default"]) == {}
    assert ids_of(bench.claim(10, queues=("gpu",), functions=["g", "m:"])) == ids[2:]


def test_jobs_that_only_workers_of_other_queues_could_run_are_told_of(bench: Bench) -> None:
    bench.beat([], worker="other", functions=["g"], queues=["gpu"])
    bench.post(functions=["g"])
    bench.post(functions=["g"], queue="gpu")
    assert bench.store.unable() == {"default": {"g": 1}}


def test_no_filter_takes_whatever_comes(bench: Bench) -> None:
    bench.beat([], worker="other", functions=["g"])
    (job_id,) = bench.post(functions=["g"])
    assert ids_of(bench.claim()) == [job_id]


def test_all_functions_of_a_module_are_one_name(bench: Bench) -> None:
    bench.beat([], worker="other", functions=["their.tasks:"])
    theirs, ours = bench.post(functions=["their.tasks:run"])[0], bench.post(functions=["our.tasks:run"])[0]
    assert ids_of(bench.claim(10, functions=["our.tasks:"])) == [ours]
    assert ids_of(bench.claim(10, functions=["their.tasks:"], worker="other")) == [theirs]
    assert ids_of(bench.claim(10, functions=["tasks:"], worker="third")) == []


def test_a_lane_without_listeners_never_takes_what_names_no_function(bench: Bench) -> None:
    plain, call = bench.post()[0], bench.post(functions=["m:f"])[0]
    claims = bench.claim(10, functions=["m:"])
    assert ids_of(claims) == [call] and claims.passed
    bench.pass_to(20)
    assert ids_of(bench.claim(10, functions=["m:"])) == [] and bench.state(plain) is State.QUEUED
    assert ids_of(bench.claim(10, functions=["*"])) == [plain]


def test_own_jobs_behind_thousands_of_others_are_reached_by_claims_that_look_at_few(bench: Bench) -> None:
    bench.beat([], worker="other", functions=["g"])
    for _ in range(8):
        bench.post(*range(500), functions=["g"])
    own = bench.post(*range(3), functions=["f"])
    (urgent,) = bench.post(functions=["f"], priority=1)
    cursors, found, claims = {}, [], 0
    while len(found) < 4:
        answer = bench.claim(1, functions=ALL, cursors=cursors)
        found += ids_of(answer)
        cursors = answer.cursors or cursors
        claims += 1
        assert claims < 30 and not (answer.empty and len(found) < 4)
    assert found == [urgent, *own] and claims >= 4000 // 250
    end = bench.claim(1, functions=ALL, cursors=cursors)
    assert end.empty and not end.jobs
    (late,) = bench.post(functions=["f"])
    assert ids_of(bench.claim(1, functions=ALL, cursors=end.cursors)) == [late]
    bench.store.ask(bench.store.purge("default", State.QUEUED, limit=4000))


def test_the_head_is_looked_at_whatever_the_cursor_says(bench: Bench) -> None:
    bench.beat([], worker="other", functions=["g"])
    (given_back,) = bench.post(functions=["f"])
    bench.post(*range(300), functions=["g"])
    held = bench.take(functions=ALL)
    answer = bench.claim(1, functions=ALL)
    while not answer.empty:
        answer = bench.claim(1, functions=ALL, cursors=answer.cursors)
    bench.store.ask(bench.store.release([held]))
    assert ids_of(bench.claim(1, functions=ALL, cursors=answer.cursors)) == [given_back]


def test_each_queue_is_looked_through_however_many_there_are(bench: Bench) -> None:
    queues = [f"q{number}" for number in range(12)]
    bench.beat([], worker="other", functions=["g"])
    for queue in queues:
        bench.post(*range(60), functions=["g"], queue=queue)
    (own,) = bench.post(functions=["f"], queue=queues[-1])
    answer = bench.claim(1, functions=ALL, queues=queues)
    for _ in range(6):
        if answer.jobs:
            break
        answer = bench.claim(1, functions=ALL, queues=queues, cursors=answer.cursors)
    assert ids_of(answer) == [own]
    for queue in queues:
        bench.store.ask(bench.store.purge(queue, State.QUEUED))


def test_a_claim_with_much_room_takes_own_jobs_from_among_others(bench: Bench) -> None:
    bench.beat([], worker="other", functions=["g"])
    own = [bench.post(functions=["f" if number % 3 == 0 else "g"])[0] for number in range(120)][::3]
    assert ids_of(bench.claim(500, functions=ALL)) == own
    assert len(bench.store.ids(["default"], [State.QUEUED], None)) == 80


def test_whoever_passes_a_job_over_rings_for_those_who_can_run_it(bench: Bench, raw: Any) -> None:
    bell = layout.BELL(bench.store.namespace, "default")
    bench.beat([], worker="other", functions=["g"])
    bench.post(functions=["g"])
    assert raw.lpop(bell) == b"1"  # somebody idle is woken, and it is the wrong one
    bench.claim(functions=ALL)
    assert raw.llen(bell) == 1
    bench.claim(functions=ALL)
    assert raw.llen(bell) == 1  # one token is enough
    bench.claim(2, worker="other", functions=["g"])
    assert raw.llen(bell) == 0


def test_functions_that_cannot_be_read_are_for_anybody(bench: Bench, raw: Any) -> None:
    for broken in (b"\xc1", b"\x01", b"\xa1g", b"\x91\x01", b""):
        (job_id,) = bench.post()
        raw.hset(layout.JOB(bench.store.namespace, job_id), layout.field("functions"), broken)
        assert ids_of(bench.claim(functions=ALL)) == [job_id]


def test_a_key_of_the_wrong_type_lets_jobs_through(bench: Bench, raw: Any) -> None:
    raw.set(layout.ABLE(bench.store.namespace), "broken")
    (job_id,) = bench.post(functions=["g"])
    assert ids_of(bench.claim(functions=ALL)) == [job_id]
    raw.delete(layout.ABLE(bench.store.namespace))


def test_a_job_that_comes_back_unknown_waits_for_its_worker(bench: Bench) -> None:
    """Nobody had the function; now somebody has."""
    (job_id,) = bench.post(functions=["g"])
    bench.fail(bench.take(functions=ALL), Kind.UNKNOWN)
    bench.beat([], worker="other", functions=["g"])
    bench.pass_to(10)
    assert ids_of(bench.claim(functions=ALL)) == []
    assert ids_of(bench.claim(worker="other", functions=["g"])) == [job_id]


def test_calls_ask_for_what_they_call(bench: Bench) -> None:
    from mlq_cli.model.call import Call
    from mlq_cli.model.options import PostOptions
    from mlq_cli.model.values import pack

    messages = [pack(Call("m:a")), pack("plain"), pack(Call("m:b")), pack(Call("m:a", (1,)))]
    posted = bench.store.ask(bench.store.post(messages, PostOptions(retries=2, queue="default"), None))
    records = [bench.record(job_id) for job_id in posted.ids]
    assert [record["functions"] for record in records] == [["m:a"], None, ["m:b"], ["m:a"]]
    assert [record["retries_allowed"] for record in records] == [2] * 4
    own = bench.store.ask(bench.store.post(messages[:2], PostOptions(), ["mine-1", "mine-2"]))
    assert [bench.record(job_id)["functions"] for job_id in own.ids] == [["m:a"], None]
