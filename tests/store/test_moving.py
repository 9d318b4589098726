"""Jobs on their way to another queue, step by step: what is held, what has come, and who is too late."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mlq_cli.model.errors import WrongState
from mlq_cli.model.job import State
from mlq_cli.model.options import PostOptions
from mlq_cli.model.outcome import Kind
from mlq_cli.model.rules import Rules
from mlq_cli.model.values import pack
from mlq_cli.moving import move_queue
from mlq_cli.store.moving import Departing, Embarked
from timed_store import Bench


@pytest.fixture
def other(redis_url: str, namespace: str) -> Iterator[Bench]:
    made = Bench(redis_url, f"{namespace}b")
    yield made
    made.store.close()


def begin(bench: Bench, other: Bench) -> Embarked:
    return bench.store.moving().embark("default", other.store.moving().site("default").id, "there")


def depart(bench: Bench, epoch: int, *arrived: str, count: int = 500, more: bool = True) -> Departing:
    return bench.store.moving().depart("default", epoch, count, arrived, more=more)


def arrive(bench: Bench, other: Bench, step: Departing, epoch: int | None) -> tuple[str, int]:
    source = bench.store.moving().site("default").id
    return other.store.moving().arrive(
        "default", step.jobs, source=source, namespace=bench.store.namespace, epoch=epoch, fresh=step.fresh
    )


def test_what_is_held_is_taken_by_no_worker_and_given_back_by_no_sweep(bench: Bench, other: Bench) -> None:
    bench.post("a", "b")
    epoch = begin(bench, other).epoch
    step = depart(bench, epoch)
    assert step.fresh and [job.id for job in step.jobs] == ["1", "2"]
    bench.pass_to(100_000)
    bench.sweep()
    assert bench.claim(5).jobs == [] and bench.state("1") is State.BLOCKED
    again = depart(bench, epoch)
    assert not again.fresh and again.jobs == step.jobs, "an answer that was lost is given again"


def test_a_job_that_is_on_its_way_cannot_be_canceled_and_one_that_stays_can(bench: Bench, other: Bench) -> None:
    bench.post("a")
    epoch = begin(bench, other).epoch
    step = depart(bench, epoch)
    assert bench.store.ask(bench.store.cancel(["1"])) == ["leaving"]
    assert bench.store.moving().stay("default", epoch, [job.id for job in step.jobs]) == 1
    assert bench.store.ask(bench.store.cancel(["1"])) == ["ok"]
    assert bench.state("1") is State.CANCELED


def test_what_has_arrived_does_so_once_even_if_it_ran_and_was_forgotten_since(bench: Bench, other: Bench) -> None:
    bench.post("a", "b")
    epoch = begin(bench, other).epoch
    assert arrive(bench, other, depart(bench, epoch), epoch) == ("ok", 2)
    other.finish(other.take())
    for state in (State.SUCCEEDED, State.QUEUED):
        other.store.ask(other.store.purge("default", state))
    # Here whoever moved them was killed. Another one goes on.
    later = begin(bench, other)
    assert (later.word, later.held) == ("ok", 2)
    assert arrive(bench, other, depart(bench, later.epoch), later.epoch) == ("ok", 0)
    done = depart(bench, later.epoch, "1", "2")
    assert (done.gone, done.jobs) == (2, []) and bench.state("1") is None
    assert other.claim(5).jobs == []


def test_what_came_before_is_known_until_nothing_of_it_is_held(bench: Bench, other: Bench) -> None:
    """Of jobs that were held in two parts, the first may be all that one who goes on asks for."""
    bench.post(*"abc")
    epoch = begin(bench, other).epoch
    assert arrive(bench, other, depart(bench, epoch), epoch) == ("ok", 3)
    other.store.ask(other.store.purge("default", State.QUEUED))
    for _ in range(2):
        epoch = begin(bench, other).epoch
        first = depart(bench, epoch, count=2)
        assert len(first.jobs) == 2 and arrive(bench, other, first, epoch) == ("ok", 0)
    second = depart(bench, epoch, *(job.id for job in first.jobs))
    assert not second.fresh and arrive(bench, other, second, epoch) == ("ok", 0)
    assert other.claim(9).jobs == []


def test_who_wakes_up_late_is_refused_on_both_sides(bench: Bench, other: Bench) -> None:
    bench.post("a")
    late = begin(bench, other).epoch
    held = depart(bench, late)
    epoch = begin(bench, other).epoch
    assert arrive(bench, other, depart(bench, epoch), epoch) == ("ok", 1)
    depart(bench, epoch, "1")
    for state in (State.QUEUED,):
        other.store.ask(other.store.purge("default", state))
    bench.post("b")
    assert arrive(bench, other, depart(bench, epoch), epoch) == ("ok", 1)
    assert arrive(bench, other, held, late) == ("superseded", 0)
    assert depart(bench, late, "2").word == "superseded" and bench.state("2") is State.BLOCKED
    assert bench.store.moving().stay("default", late, ["2"]) == 0
    assert len(other.claim(9).jobs) == 1


def test_jobs_that_are_held_for_one_place_do_not_go_to_another(bench: Bench, other: Bench) -> None:
    bench.post("a")
    depart(bench, begin(bench, other).epoch)
    refused = bench.store.moving().embark("default", "somewhere else", "elsewhere")
    assert (refused.word, refused.held, refused.name) == ("elsewhere", 1, "there")
    assert begin(bench, other).word == "ok"


def test_a_job_takes_along_all_that_was_said_of_it_and_how_often_it_was_tried(bench: Bench, other: Bench) -> None:
    options = PostOptions(
        priority=7,
        retries=3,
        timeout=9.5,
        callback="http://localhost:1/told",
        functions=("f", "g"),
        generation=4,
        callback_method="POST",
        callback_public=True,
    )
    long = {"of": ["any", {"kind": b"\x00\xff" * 5000}]}
    messages = [pack(long), pack("b"), pack("c")]
    bench.store.ask(bench.store.post(messages, options, ids=["mine", "order:7@x", "third"]))
    bench.at(1)
    bench.fail(bench.take(), Kind.ERROR)
    (due,) = bench.post("later", delay=100)
    before = bench.store.records(["mine", "order:7@x", due])
    other.post("taken", ids=["third"])
    assert move_queue(bench.store, "default", other.store, "default", lambda done: None) == 4
    after = other.store.records(["mine", "order:7@x", f"{due}@{bench.store.namespace}"])
    changing = ("id", "position", "estimated_wait", "worker", "processing_started")
    for old, new in zip(before, after, strict=True):
        assert old and new
        assert {k: v for k, v in old.items() if k not in changing} == {
            k: v for k, v in new.items() if k not in changing
        }
    assert other.record("third")["msg"] == "taken"
    assert other.record(f"third@{bench.store.namespace}")["msg"] == "c"
    assert after[0] and after[0]["state"] is State.SCHEDULED and after[0]["failures"] == 1
    assert bench.store.ids(None, list(State), None) == []


def test_the_order_of_jobs_is_that_of_their_priority_and_then_of_the_queue_they_left(
    bench: Bench, other: Bench
) -> None:
    first = other.post("here")
    low, high = bench.post("a", "b"), bench.post("c", "d", priority=5)
    move_queue(bench.store, "default", other.store, "default", lambda done: None)
    name = bench.store.namespace
    expected = [*(f"{each}@{name}" for each in high), *first, *(f"{each}@{name}" for each in low)]
    assert [job.id for job in other.claim(9).jobs] == expected


def test_what_is_due_at_the_other_end_already_is_queued_there(bench: Bench, other: Bench) -> None:
    bench.post("later", delay=10)
    other.at(20)
    move_queue(bench.store, "default", other.store, "default", lambda done: None)
    (job,) = other.claim().jobs
    assert job.id == f"1@{bench.store.namespace}"
    assert other.store.counts()[0].times.wait.total == pytest.approx(10)


def test_entries_without_a_job_and_jobs_without_a_message_stop_no_move(bench: Bench, other: Bench) -> None:
    ids = bench.post("a", "b", "x" * 1000)
    name = bench.store.namespace
    bench.store._read([("DEL", f"mlq:{{{name}}}:job:{ids[0]}"), ("DEL", f"mlq:{{{name}}}:msg:{ids[2]}")])
    assert move_queue(bench.store, "default", other.store, "default", lambda done: None) == 2
    assert len(other.claim(9).jobs) == 2 and bench.store.counts()[0].states[State.QUEUED] == 0


def test_a_cancel_of_a_job_on_its_way_says_why_not(bench: Bench, other: Bench) -> None:
    from mlq_cli.changing import change

    bench.post("a")
    depart(bench, begin(bench, other).epoch)
    with pytest.raises(WrongState, match="leaving"):
        change(bench.store, bench.store.cancel, ["1"], wanted="waiting or running")


def test_a_job_that_is_held_is_whole_for_the_audit_and_put_back_at_the_head_of_its_set(
    bench: Bench, other: Bench
) -> None:
    bench.post("a")
    epoch = begin(bench, other).epoch
    depart(bench, epoch)
    key = f"mlq:{{{bench.store.namespace}}}:q:default:blocked"
    findings: list[Any] = list(bench.store.audit(rules=Rules(), repair=True, looked=lambda done: None))
    assert not [f for f in findings if f.level.name not in ("OK", "INFO")], findings
    bench.store._read([("ZREM", key, "1")])
    list(bench.store.audit(rules=Rules(), repair=True, looked=lambda done: None))
    assert [job.id for job in depart(bench, epoch).jobs] == ["1"]
