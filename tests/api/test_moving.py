"""A queue as a whole: copied, moved, tallied, waited for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlq_cli import MLQ, Refused, State, WaitTimeout, moving
from mlq_cli.model.errors import StoreFull
from mlq_cli.model.rates import Rates
from tests_support import Server, wait_until


@pytest.fixture
def there(redis_url: str, namespace: str) -> Iterator[MLQ]:
    """Another namespace on the same server."""
    with MLQ.from_profile(redis_url=redis_url, namespace=f"{namespace}b") as opened:
        yield opened


def messages(mlq: MLQ, queue: str = "default") -> list[Any]:
    return [record["msg"] for record in reversed(mlq.list_jobs(queue=queue, limit=5000))]


def waiting(mlq: MLQ, queue: str = "default") -> int:
    return mlq.tally(queue).enqueued


# --- moving ---------------------------------------------------------------------------------------------------------
def test_a_queue_moves_to_another_namespace_and_workers_run_it_there(mlq: MLQ, there: MLQ) -> None:
    mlq.post_many(range(1200))
    seen: list[int] = []
    assert mlq.move_queue("default", there, progress=seen.append) == 1200
    assert messages(there) == list(range(1200)) and messages(mlq) == []
    assert seen == sorted(seen) and seen[-1] == 1200
    assert there.get_job(f"1@{mlq.namespace}")["msg"] == 0
    there.create_listener(lambda msg: msg * 2)
    there.wait_until_empty(timeout=20)
    assert there.get_result(f"7@{mlq.namespace}") == 12


def test_jobs_change_the_queue_within_a_namespace_and_keep_their_ids(mlq: MLQ) -> None:
    ids = [*mlq.post_many(range(600)), mlq.post("own", id="own"), mlq.post("later", delay=500)]
    assert mlq.move_queue("default", mlq, "slow") == 602
    records = mlq.get_jobs(ids)
    assert {record["queue"] for record in records if record} == {"slow"}
    assert [record["position"] for record in records[:601] if record] == list(range(601))
    assert records[-1] and records[-1]["state"] is State.SCHEDULED and records[-1]["due_at"]
    assert mlq.move_queue("slow", mlq, "default") == 602, "and back"
    assert mlq.get_job(ids[0])["queue"] == "default"


def test_jobs_that_come_while_a_queue_is_moved_keep_nobody_busy_for_ever(mlq: MLQ, there: MLQ) -> None:
    mlq.post_many(range(1000))
    moved = mlq.move_queue("default", there, progress=lambda done: list(mlq.post_many(range(500))) and None)
    assert moved == 1000 and waiting(mlq) >= 500


@pytest.mark.parametrize("verb", ["move_queue", "copy_queue"])
def test_what_makes_no_sense_is_refused(mlq: MLQ, there: MLQ, redis_url: str, verb: str) -> None:
    mlq.post("x")
    go = getattr(mlq, verb)
    same = MLQ.from_profile(redis_url=redis_url + "?", namespace=mlq.namespace)
    for other in (mlq, same):
        with pytest.raises(Refused, match="both source and destination"):
            go("default", other)
    for queue, to_queue in (("_callbacks", "x"), ("default", "_callbacks")):
        with pytest.raises(Refused, match="callbacks stay"):
            go(queue, there, to_queue)
    assert waiting(mlq) == 1 and waiting(there) == 0
    same.close()


@pytest.mark.parametrize("verb", ["move_queue", "copy_queue"])
@pytest.mark.parametrize("within", [True, False])
def test_a_pause_is_about_workers_and_keeps_no_job_from_going(mlq: MLQ, there: MLQ, verb: str, within: bool) -> None:
    mlq.post_many(range(1100))
    other = mlq if within else there
    mlq.pause()
    other.pause("to")
    assert getattr(mlq, verb)("default", other, "to") == 1100
    assert waiting(other, "to") == 1100 and {c.queue for c in other.counts() if c.paused} >= {"to"}
    assert mlq.counts()[0].states[State.BLOCKED] == 0


def test_a_destination_without_room_sends_back_what_it_did_not_take(mlq: MLQ, short_folder: Path) -> None:
    mlq.post_many(["x" * 2000] * 3000)
    mlq.post("later", delay=500)
    with Server(short_folder, "--maxmemory", "4mb") as server:
        there = MLQ.from_profile(redis_url=server.url, namespace="small")
        with pytest.raises(StoreFull):
            mlq.move_queue("default", there)
        states = mlq.counts()[0].states
        assert 0 < waiting(there) == 3001 - waiting(mlq) and states[State.BLOCKED] == 0
        assert states[State.SCHEDULED] == 1
        there.close()


def test_ctrl_c_lets_what_is_on_its_way_arrive(mlq: MLQ, there: MLQ, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "BATCH", 100)
    mlq.post_many(range(1000))

    pressed: list[int] = []

    def interrupt(done: int) -> None:
        if done == 300 and not pressed:
            pressed.append(done)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mlq.move_queue("default", there, progress=interrupt)
    assert mlq.counts()[0].states[State.BLOCKED] == 0
    assert waiting(there) == 400 and waiting(mlq) == 600
    assert mlq.move_queue("default", there) == 600
    assert messages(there) == list(range(1000))


def test_a_move_that_broke_off_goes_nowhere_else_until_it_is_done_or_undone(mlq: MLQ, there: MLQ) -> None:
    mlq.post_many(range(10))
    here = mlq.store.moving()
    begun = here.embark("default", there.store.moving().site("default").id, "queue default elsewhere")
    assert len(here.depart("default", begun.epoch, 4, [], more=True).jobs) == 4
    (told,) = [finding for finding in mlq.doctor() if finding.name == "leaving"]
    assert told.count == 4 and told.examples == ("default (4)",) and "move again" in told.advice
    with pytest.raises(Refused, match="4 jobs of queue default are on their way to queue default elsewhere"):
        mlq.move_queue("default", there, "other")
    assert mlq.undo_move("default") == 4 and mlq.counts()[0].states[State.QUEUED] == 10
    assert mlq.move_queue("default", there, "other") == 10
    assert messages(there, "other") == list(range(10))


# --- copying --------------------------------------------------------------------------------------------------------
def test_a_copy_has_a_life_of_its_own(mlq: MLQ, there: MLQ) -> None:
    first = mlq.post({"a": 1}, priority=2, retries=4, callback="http://localhost:1/", timeout=3)
    mlq.post("own", id="own")
    later = mlq.post("later", delay=300)
    assert mlq.copy_queue("default", there, "new") == 3
    copy, original = there.get_job(f"{first}@{mlq.namespace}"), mlq.get_job(first)
    same = ("msg", "priority", "retries_allowed", "callback", "timeout", "functions", "state", "callback_method")
    assert {name: copy[name] for name in same} == {name: original[name] for name in same}  # type: ignore[literal-required]
    assert copy["timestamp"] > original["timestamp"] and copy["queue"] == "new"
    assert there.get_job("own")["msg"] == "own"
    assert there.get_job(f"{later}@{mlq.namespace}")["due_at"] == mlq.get_job(later)["due_at"]
    mlq.purge()
    assert waiting(there, "new") == 3


def test_copying_again_adds_what_is_not_there_yet(mlq: MLQ, there: MLQ) -> None:
    mlq.post_many(range(700))
    assert mlq.copy_queue("default", there) == 700
    mlq.post("more", priority=9)
    assert mlq.copy_queue("default", there) == 1
    assert mlq.copy_queue("default", there, "second") == 701, "another queue is another place"
    assert waiting(there) == 701 and waiting(there, "second") == 701 and waiting(mlq) == 701


def test_copies_within_a_namespace_get_ids_that_name_it(mlq: MLQ) -> None:
    first, own = mlq.post(1), mlq.post(2, id="own")
    assert mlq.copy_queue("default", mlq, "again") == 2
    assert sorted(record["id"] for record in mlq.list_jobs(queue="again")) == sorted(
        f"{job_id}@{mlq.namespace}" for job_id in (first, own)
    )


def test_running_and_ended_jobs_stay_where_they_are(mlq: MLQ, there: MLQ) -> None:
    begun, go = threading.Event(), threading.Event()

    def listener(msg: str) -> str:
        begun.set()
        return msg if go.wait(20) else ""

    job_id = mlq.post("runs")
    mlq.create_listener(listener)
    assert begun.wait(20)
    mlq.post("waits")
    assert mlq.copy_queue("default", there) == 1
    go.set()
    assert mlq.wait(job_id, timeout=20) == "runs"
    mlq.shutdown()
    mlq.move_queue("default", there, "moved")
    assert mlq.get_result(job_id) == "runs" and messages(there) == ["waits"]


def test_long_messages_go_a_few_at_a_time(mlq: MLQ, there: MLQ) -> None:
    mlq.post_many([bytes([number]) * 1_500_000 for number in range(12)])
    sizes: list[int] = []
    assert mlq.copy_queue("default", there, progress=sizes.append) == 12
    assert max(b - a for a, b in zip([0, *sizes], sizes, strict=False)) <= 3
    assert mlq.move_queue("default", there, "moved") == 12
    assert all(len(set(each)) == 1 and len(each) == 1_500_000 for each in messages(there, "moved"))


# --- the tally ------------------------------------------------------------------------------------------------------
def test_a_tally_counts_from_the_last_rezero_and_rates_do_not_notice(mlq: MLQ) -> None:
    assert mlq.tally() == (0, 0, 0, 0)
    mlq.rezero("never-used")
    assert mlq.counts() == []
    ids = list(mlq.post_many(range(10)))
    mlq.create_listener(lambda msg: msg)
    mlq.wait_until_empty(timeout=20)
    mlq.shutdown()
    assert mlq.tally() == (10, 0, 10, 0)
    ticks = iter(range(10))
    before, rates = mlq.counts()[0], Rates(lambda: float(next(ticks)))
    rates.take({"default": before.stats})
    mlq.rezero()
    after = mlq.counts()[0]
    rates.take({"default": after.stats})
    assert after.stats == before.stats and after.times == before.times
    assert set(rates.over(0.5)["default"].values()) == {0.0}
    assert mlq.tally() == (0, 0, 0, 0)
    mlq.post_many(range(4))
    mlq.post("later", delay=500)
    tally = mlq.tally()
    assert tally == (5, 5, 0, 0) and (tally.left, tally.done) == (1.0, 0.0)
    mlq.cancel(*[record["id"] for record in mlq.list_jobs(states=[State.QUEUED])][:2])
    assert mlq.tally() == (5, 3, 0, 0) and mlq.get_result(ids[3]) == 3


def test_a_wait_until_empty_hears_of_the_last_end_and_asks_seldom(mlq: MLQ, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = list(mlq.post_many(range(3)))
    looks: list[int] = []
    counts = mlq.store.counts
    monkeypatch.setattr(mlq.store, "counts", lambda: looks.append(1) or counts())
    with pytest.raises(WaitTimeout, match="queue default is not empty yet"):
        mlq.wait_until_empty(timeout=0.5)
    assert len(looks) <= 3
    over = threading.Event()
    waiter = threading.Thread(target=lambda: (mlq.wait_until_empty(timeout=30), over.set()))
    waiter.start()
    wait_until(lambda: len(looks) > 2)
    before = len(looks)
    mlq.cancel(*ids)
    assert over.wait(1.5), "long before it would have looked by itself"
    waiter.join()
    assert len(looks) - before <= 3
