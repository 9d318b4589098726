"""The verbs of the store, one after another, on a clock that the test moves."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from mlq_cli.model.job import State
from mlq_cli.model.options import PostOptions
from mlq_cli.model.outcome import Kind, Outcome
from mlq_cli.model.rules import Retention, Rules
from mlq_cli.model.values import pack, unpack
from mlq_cli.store.base import Held, Progress
from mlq_cli.store.redis import layout
from mlq_cli.store.redis.link import SLOWEST
from timed_store import named_arguments

Bench = Any


# --- post -----------------------------------------------------------------------------------------------------------
def test_ids_are_numbers_that_follow_each_other(bench: Bench) -> None:
    assert bench.post("a", "b") == ["1", "2"]
    assert bench.post("c") == ["3"]


def test_an_id_of_ones_own_is_kept_and_posting_it_again_changes_nothing(bench: Bench) -> None:
    assert bench.post("first", ids=["order-7"]) == ["order-7"]
    assert bench.post("second", ids=["order-7"]) == ["order-7"]
    assert bench.record("order-7")["msg"] == "first"
    assert len(bench.store.ids(None, [State.QUEUED], None)) == 1


def test_a_job_with_an_id_of_its_own_waits_its_turn(bench: Bench) -> None:
    bench.post("a")
    bench.post("b", ids=["mine"])
    bench.post("c")
    assert [job.id for job in bench.claim(3).jobs] == ["1", "mine", "3"]


def test_a_post_whose_answer_was_lost_makes_no_second_job(bench: Bench) -> None:
    call = bench.store.post([pack("x")], PostOptions())
    assert bench.store.ask(call) == bench.store.ask(call)
    assert len(bench.store.ids(None, [State.QUEUED], None)) == 1


def test_the_answer_to_a_large_post_is_remembered_while_a_thin_line_may_carry_it_again(bench: Bench) -> None:
    def remembered_for(message: bytes) -> float:
        (posted,) = bench.store.run(call := bench.store.post([message], PostOptions()))
        key = layout.ONCE(bench.store.namespace, named_arguments(call)[b"client"].decode())
        assert bench.store.ask(call) == posted
        (milliseconds,) = bench.store._read([("PTTL", key)])
        return float(milliseconds) / 1000

    assert 30 < remembered_for(b"\xc0") <= 60
    large = 4 << 20
    assert remembered_for(pack("x" * large)) > 30 + large / SLOWEST


@pytest.mark.parametrize("size", [0, 61, 62, 124, 125, 250, 251, 1000])
def test_a_message_and_a_result_of_any_size_come_back_whole(bench: Bench, size: int) -> None:
    """In one field, in pieces, or beside the hash: `size` is that of the text, its msgpack has a head of 1 to 3."""
    long = bytes(number % 251 for number in range(size))
    (job_id,) = bench.post(long)
    assert bench.record(job_id)["msg"] == long
    (job,) = bench.claim().jobs
    assert unpack(msgpack.unpackb(job.record, raw=True)[1]) == long
    assert bench.finish(Held(job_id, bench.token), long) == {}
    assert (bench.record(job_id)["msg"], bench.record(job_id)["result"]) == (long, long)


@pytest.mark.parametrize(("size", "strings"), [(98, 0), (252, 0), (253, 2)])
def test_a_record_stays_compact_however_long_the_message(bench: Bench, size: int, strings: int) -> None:
    """With one value of more than 64 bytes a hash takes some 250 bytes more."""
    long = "x" * (size - 2)
    (job_id,) = bench.post(long)
    bench.finish(bench.take(), long)
    (encoding,) = bench.store._read([("OBJECT", "ENCODING", layout.JOB(bench.store.namespace, job_id))])
    assert encoding in (b"listpack", b"ziplist")
    beside = [key(bench.store.namespace, job_id) for key in (layout.MSG, layout.RESULT)]
    assert bench.store._read([("EXISTS", *beside)]) == [strings]


def test_a_delayed_job_is_queued_when_it_is_due_and_not_before(bench: Bench) -> None:
    (job_id,) = bench.post("later", delay=10)
    bench.at(9.9)
    answer = bench.claim()
    assert answer.jobs == [] and answer.next_due == pytest.approx(0.1, abs=0.001)
    assert bench.record(job_id)["due_at"] == pytest.approx(1_800_000_010)
    bench.at(10.1)
    assert [job.id for job in bench.claim().jobs] == [job_id]


def test_a_job_for_an_instant_in_the_past_is_queued_at_once(bench: Bench) -> None:
    (job_id,) = bench.post("now", at=1.0)
    assert bench.state(job_id) is State.QUEUED


# --- claim ----------------------------------------------------------------------------------------------------------
def test_jobs_are_claimed_in_the_order_of_posting(bench: Bench) -> None:
    ids = bench.post(*range(20))
    assert [job.id for job in bench.claim(20).jobs] == ids


def test_higher_priority_is_sooner_and_order_holds_within_it(bench: Bench) -> None:
    normal = bench.post("n1", "n2")
    high = bench.post("h1", "h2", priority=5)
    low = bench.post("l1", priority=-2047)
    highest = bench.post("x", priority=2047)
    assert [job.id for job in bench.claim(10).jobs] == highest + high + normal + low


def test_queues_are_served_in_the_order_in_which_they_are_named(bench: Bench) -> None:
    (slow,) = bench.post("s", queue="slow")
    (fast,) = bench.post("f", queue="fast")
    assert [job.id for job in bench.claim(2, queues=["fast", "slow"]).jobs] == [fast, slow]


def test_a_claim_that_is_sent_again_answers_the_same_jobs(bench: Bench) -> None:
    bench.post("a", "b", "c")
    first = bench.claim(2, token="same")
    again = bench.claim(2, token="same")
    assert [job.id for job in first.jobs] == [job.id for job in again.jobs] == ["1", "2"]
    assert bench.record("1")["attempt"] == 1


def test_a_claim_whose_token_begins_like_the_last_one_is_another_claim(bench: Bench) -> None:
    bench.post("a", "b")
    assert [job.id for job in bench.claim(1, token="token12").jobs] == ["1"]
    assert [job.id for job in bench.claim(1, token="token1").jobs] == ["2"]


def test_a_repeated_claim_leaves_out_what_has_ended_meanwhile(bench: Bench) -> None:
    bench.post("a", "b")
    bench.claim(2, token="same")
    bench.finish(Held("1", "same"))
    assert [job.id for job in bench.claim(2, token="same").jobs] == ["2"]


def test_a_claim_says_when_nothing_is_left(bench: Bench) -> None:
    bench.post("a", "b")
    assert not bench.claim(1).empty
    assert bench.claim(5).empty


def test_a_paused_queue_hands_out_nothing_until_it_is_resumed(bench: Bench) -> None:
    bench.post("a")
    bench.store.ask(bench.store.pause("default", paused=True))
    assert bench.claim().jobs == []
    assert bench.store.ask(bench.store.pause("default", paused=False)) == 1
    assert len(bench.claim().jobs) == 1


@pytest.mark.parametrize("number", [None, "many"])
def test_a_record_without_its_number_takes_no_other_job_down_with_it(bench: Bench, number: str | None) -> None:
    ids = bench.post(1, 2, ids=["broken", "sound"], delay=10)
    key, seq = layout.JOB(bench.store.namespace, "broken"), layout.field("seq")
    bench.store._read([("HDEL", key, seq) if number is None else ("HSET", key, seq, number)])
    bench.at(11)
    taken = [Held(job.id, bench.token) for job in bench.claim(2).jobs]
    assert {job.id for job in taken} == set(ids)
    bench.store._read([("HSET", key, layout.field("spent"), "several")])
    assert bench.store.ask(bench.store.release(taken)) == 2
    assert [bench.sets_of(job_id) for job_id in ids] == [[("default", State.QUEUED)]] * 2


def test_a_record_without_its_state_takes_no_other_job_down_with_it(bench: Bench) -> None:
    broken, finished, released, lost, waiting = bench.post(1, 2, 3, 4, 5)
    taken = {job.id: Held(job.id, bench.token) for job in bench.claim(4).jobs}
    bench.store._read([("HDEL", layout.JOB(bench.store.namespace, broken), layout.field("state"))])
    assert bench.beat(list(taken.values())) == {}
    assert {job.id for job in bench.claim(4, token=bench.token).jobs} == {finished, released, lost}
    assert bench.store.ask(bench.store.release([taken[broken], taken[released]])) == 1
    outcomes = [Outcome(*taken[job_id], Kind.DONE.value, 0.5, b"", pack(1)) for job_id in (broken, finished)]
    assert bench.store.ask(bench.store.finish(outcomes, rules=bench.rules)) == {broken: "missing"}
    bench.store._read([("HDEL", layout.JOB(bench.store.namespace, waiting), layout.field("state"))])
    bench.pass_to(100)
    assert bench.sweep().given_back == 2
    assert {job.id for job in bench.claim(4).jobs} == {released, lost}
    assert bench.state(finished) is State.SUCCEEDED


def test_an_entry_without_its_record_is_passed_over(bench: Bench) -> None:
    bench.post("a", "b")
    bench.store._read([("DEL", layout.JOB(bench.store.namespace, "1"))])
    assert [job.id for job in bench.claim(2).jobs] == ["2"]
    assert bench.store.ids(None, [State.QUEUED], None) == []


# --- finish ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("value", [None, 0, "", False, [], b"", {"a": [1, 2.5, None]}, "x" * 10_000, b"\x00\xff" * 50])
def test_every_result_comes_back_as_it_was(bench: Bench, value: Any) -> None:
    bench.post()
    held = bench.take()
    assert bench.finish(held, value) == {}
    record = bench.record(held.id)
    assert record["state"] is State.SUCCEEDED and record["progress"] == 100
    assert record["result"] == value and type(record["result"]) is type(value)


def test_a_job_claimed_ahead_of_its_turn_shows_when_its_listener_began(bench: Bench) -> None:
    bench.post()
    held = bench.take()
    bench.at(10)
    bench.finish(held)  # it ran half a second
    record = bench.record(held.id)
    assert (record["processing_finished"] or 0) - (record["processing_started"] or 0) == pytest.approx(0.5)


@pytest.mark.parametrize("short", ["", "cat", "=", "ünïcode"])
def test_a_short_result_is_kept_beside_the_result(bench: Bench, short: str) -> None:
    bench.post()
    held = bench.take()
    bench.finish(held, b"png", short)
    assert (bench.record(held.id)["short_result"], bench.record(held.id)["result"]) == (short, b"png")


def test_an_outcome_that_is_sent_again_is_neither_refused_nor_recorded_twice(bench: Bench) -> None:
    bench.post(callback="http://localhost/x")
    held = bench.take()
    assert bench.finish(held, 1) == {} and bench.finish(held, 2) == {}
    assert bench.record(held.id)["result"] == 1
    assert len(bench.store.ids(["_callbacks"], list(State), None)) == 1
    assert {c.queue: c.stats for c in bench.store.counts()}["default"]["succeeded"] == 1


def test_a_late_outcome_is_refused_and_counted(bench: Bench) -> None:
    (job_id,) = bench.post()
    late = bench.take()
    bench.pass_to(31)
    now = bench.take(worker="w2")
    assert now.id == job_id
    assert bench.finish(late, "late") == {job_id: "running"}
    assert bench.finish(now, "right") == {}
    assert bench.finish(late, "later") == {job_id: "succeeded"}
    assert bench.record(job_id)["result"] == "right"
    assert {c.queue: c.stats for c in bench.store.counts()}["default"]["refused"] == 1  # one attempt, however often


def test_an_expired_lease_that_nobody_took_still_settles(bench: Bench) -> None:
    bench.post()
    held = bench.take()
    bench.at(100)
    assert bench.finish(held, "fine") == {}


def test_the_outcome_of_a_job_that_never_was_is_answered_as_missing(bench: Bench) -> None:
    assert bench.finish(Held("99", "t")) == {"99": "missing"}


def test_an_exception_without_retries_leads_to_the_dead_with_its_traceback(bench: Bench) -> None:
    bench.post()
    held = bench.take()
    bench.fail(held)
    record = bench.record(held.id)
    assert (record["state"], record["error"], record["traceback"]) == (State.DEAD, "ValueError: no", "Traceback ...")
    assert record["progress"] == -1 and record["result"] == "no"


def test_retries_wait_longer_each_time_and_never_less_than_said(bench: Bench) -> None:
    (job_id,) = bench.post(retries=3)
    now, waits = 0.0, []
    for _ in range(3):
        bench.at(now)
        bench.fail(bench.take())
        assert bench.state(job_id) is State.SCHEDULED
        due_at = bench.record(job_id)["due_at"]
        assert due_at is not None
        waits.append(due_at - bench.store.now)
        now += waits[-1] + 0.01
    bench.at(now)
    bench.fail(bench.take())
    assert bench.state(job_id) is State.DEAD and bench.record(job_id)["attempt"] == 4
    for wait, least in zip(waits, [1, 2, 4], strict=True):
        assert least <= wait <= least * 1.2


def test_the_workers_retries_hold_for_jobs_that_say_none(bench: Bench) -> None:
    bench.rules = Rules(retries=1)
    said, silent = bench.post("a", retries=0) + bench.post("b")
    bench.fail(bench.take())
    bench.fail(bench.take())
    assert bench.state(said) is State.DEAD and bench.state(silent) is State.SCHEDULED


def test_a_success_after_a_failure_shows_no_error(bench: Bench) -> None:
    (job_id,) = bench.post(retries=1)
    bench.fail(bench.take())
    bench.at(5)
    bench.finish(bench.take(), "well")
    record = bench.record(job_id)
    assert (record["error"], record["traceback"], record["failures"]) == (None, None, 1)


def test_crashes_are_counted_apart_and_end_with_the_third(bench: Bench) -> None:
    (job_id,) = bench.post(retries=0)
    for seconds in (0, 10, 20):
        bench.at(seconds)
        bench.fail(bench.take(), Kind.CRASH)
    record = bench.record(job_id)
    assert (record["state"], record["crashes"], record["failures"]) == (State.DEAD, 3, 0)


def test_a_job_with_an_unknown_function_goes_back_and_in_the_end_is_dead(bench: Bench) -> None:
    bench.rules = Rules(max_retries=2, lease=10_000)
    (job_id,) = bench.post(functions=("f",))
    for attempt in range(3):
        bench.at(attempt * 100)
        bench.fail(bench.take(), Kind.UNKNOWN)
    assert bench.state(job_id) is State.DEAD and bench.record(job_id)["retries"] == 3


@pytest.mark.parametrize(("asked", "waits"), [("12.5", 12.5), ("0", 0.0), ("-7", 0.0), ("1e9", 3600.0), ("soon", 1.0)])
def test_a_job_that_is_put_off_comes_again_and_no_attempt_is_spent(bench: Bench, asked: str, waits: float) -> None:
    (job_id,) = bench.post()
    job = bench.take()
    later = Outcome(job.id, job.token, Kind.LATER, 0.1, asked.encode(), b"", b"")
    for _ in range(2):  # also when the answer was lost
        assert bench.store.ask(bench.store.finish([later], rules=bench.rules)) == {}
    record = bench.record(job_id)
    assert (record["state"], record["attempt"], record["failures"]) == (State.SCHEDULED, 0, 0)
    assert record["due_at"] == pytest.approx(bench.store.now + waits)
    bench.at(3700)
    again = bench.take()
    assert bench.store.ask(bench.store.finish([later], rules=bench.rules)) == {job_id: State.RUNNING}
    assert bench.record(job_id)["attempt"] == 1 and again.token != job.token


def test_a_failure_for_good_leaves_no_retries(bench: Bench) -> None:
    (job_id,) = bench.post(retries=5)
    bench.fail(bench.take(), Kind.FINAL)
    assert (bench.state(job_id), bench.record(job_id)["failures"]) == (State.DEAD, 1)


def test_a_callback_by_post_tells_all_that_its_body_needs(bench: Bench) -> None:
    bench.post(callback="http://localhost/x", callback_method="POST", callback_public=True, retries=1, queue="q")
    for _ in range(2):
        bench.fail(bench.take(queues=("q",)))
        bench.at(100)
    (callback,) = bench.store.ids(["_callbacks"], [State.QUEUED], None)
    told = bench.record(callback)["msg"]
    assert {name: told[name] for name in ("method", "public", "state", "queue", "attempt", "success")} == {
        "method": "POST", "public": 1, "state": "dead", "queue": "q", "attempt": 2, "success": 0,
    }  # fmt: skip
    assert told["error_type"] and told["error"]


def test_a_callback_is_stored_with_the_outcome_it_tells_of(bench: Bench) -> None:
    (job_id,) = bench.post(callback="http://localhost/x")
    bench.finish(bench.take(), "r", "short")
    (callback,) = bench.store.ids(["_callbacks"], [State.QUEUED], None)
    assert bench.record(callback)["msg"] == {
        "url": "http://localhost/x",
        "job_id": job_id,
        "short_result": "short",
        "success": 1,
    }
    assert bench.record(callback)["retries_allowed"] == 2


def test_a_death_has_its_callback_too(bench: Bench) -> None:
    bench.post(callback="http://localhost/x")
    bench.fail(bench.take())
    (callback,) = bench.store.ids(["_callbacks"], [State.QUEUED], None)
    assert bench.record(callback)["msg"]["success"] == 0


# --- heartbeat, progress, release -----------------------------------------------------------------------------------
def test_a_renewed_lease_is_not_lost(bench: Bench) -> None:
    bench.post()
    held = bench.take()
    for seconds in range(10, 200, 10):
        bench.at(seconds)
        assert bench.beat([held]) == {}
        assert bench.claim(worker="w2").jobs == []


def test_a_heartbeat_tells_what_is_no_longer_ours(bench: Bench) -> None:
    canceled, lost, _ = bench.post("a", "b", "c")
    held = [bench.take(), bench.take(), bench.take()]
    bench.store.ask(bench.store.cancel([canceled]))
    bench.store.ask(bench.store.release_queue("default", limit=1))
    bench.finish(held[2])
    strange = Held("99", "t")
    assert bench.beat([*held, strange]) == {held[0]: "canceled", held[1]: "lost", strange: "missing"}
    assert (held[0].id, held[1].id) == (canceled, lost)


def test_progress_is_kept_while_the_job_runs_and_only_from_its_holder(bench: Bench) -> None:
    (job_id,) = bench.post()
    held = bench.take()
    assert bench.record(job_id)["progress"] == 0
    assert bench.store.ask(bench.store.progress([Progress(job_id, held.token, pack("half"))])) == 0
    assert bench.store.ask(bench.store.progress([Progress(job_id, "stranger", pack("all"))])) == 1
    assert bench.record(job_id)["progress"] == "half"


def test_a_released_job_is_first_again_with_no_attempt_spent(bench: Bench) -> None:
    ids = bench.post("a", "b")
    held = bench.take()
    assert bench.store.ask(bench.store.release([held])) == 1
    assert bench.record(held.id)["attempt"] == 0
    assert [job.id for job in bench.claim(2).jobs] == ids
    assert bench.store.ask(bench.store.release([held])) == 0, "the old token gives nothing back"


# --- sweep ----------------------------------------------------------------------------------------------------------
def test_a_job_whose_worker_vanished_is_given_back_and_dead_after_five_times(bench: Bench) -> None:
    (job_id,) = bench.post(callback="http://localhost/x")
    now = 0.0
    for retries in range(1, 7):
        bench.at(now)
        bench.take()
        for _ in range(4):  # somebody sweeps often enough, so this is no outage
            now += 10
            bench.at(now)
            bench.sweep()
        assert bench.record(job_id)["retries"] == retries
    assert bench.state(job_id) is State.DEAD
    assert bench.record(job_id)["error"] == "WorkerLost: its worker vanished"
    assert len(bench.store.ids(["_callbacks"], [State.QUEUED], None)) == 1


def test_the_holder_of_a_job_that_was_given_back_too_often_is_told_and_refused(bench: Bench) -> None:
    bench.rules = Rules(max_retries=0)
    bench.post()
    held = bench.take()
    bench.pass_to(31)
    bench.sweep()
    assert bench.state(held.id) is State.DEAD
    assert bench.beat([held]) == {held: "lost"}
    assert bench.finish(held) == {held.id: "dead"}
    assert {c.queue: c.stats for c in bench.store.counts()}["default"]["refused"] == 1


def test_a_lost_job_shows_no_traceback_of_an_earlier_attempt(bench: Bench) -> None:
    (job_id,) = bench.post(retries=1)
    bench.fail(bench.take())
    bench.at(5)
    bench.take()
    bench.pass_to(40)
    bench.sweep()
    assert (bench.record(job_id)["error_type"], bench.record(job_id)["traceback"]) == ("WorkerLost", None)


def test_after_an_outage_living_workers_have_a_lease_to_speak_up(bench: Bench) -> None:
    (job_id,) = bench.post()
    held = bench.take()
    bench.at(300)
    assert bench.sweep() == (0, 0, 0, 30.0, None)
    assert bench.beat([held]) == {}
    for seconds in (310, 320, 329):
        bench.at(seconds)
        assert bench.sweep().given_back == 0
    assert bench.state(job_id) is State.RUNNING


def test_after_that_grace_a_silent_workers_job_is_given_back(bench: Bench) -> None:
    bench.post()
    bench.take()
    for seconds in (300, 310, 320):
        bench.at(seconds)
        assert bench.sweep().given_back == 0
    bench.at(331)
    assert bench.sweep().given_back == 1


def test_a_job_that_runs_longer_than_the_reaper_allows_is_given_back_though_its_worker_lives(bench: Bench) -> None:
    ids = bench.post(*range(30))
    held = [Held(job.id, bench.token) for job in bench.claim(30).jobs]
    for seconds in range(10, 310, 10):
        bench.at(seconds)
        assert bench.beat(held) == {}
    assert bench.sweep(timeout=320, limit=10) == (0, 0, 0, 0.0, 10)
    given, offset = 0, 0
    while offset is not None:
        swept = bench.sweep(timeout=250, limit=10, offset=offset)
        given, offset = given + swept.given_back, swept.next_offset
    assert given == 30
    assert bench.beat(held) == dict.fromkeys(held, "lost") and len(ids) == 30


def test_sweeping_twice_gives_a_job_back_once(bench: Bench) -> None:
    bench.post()
    bench.take()
    bench.pass_to(31)
    assert [bench.sweep().given_back for _ in range(3)] == [1, 0, 0]
    assert bench.record("1")["retries"] == 1


def test_retention_by_age_forgets_records_and_what_lies_beside_them(bench: Bench) -> None:
    bench.rules = Rules(retention=Retention(age=60))
    bench.post("m" * 300)
    bench.finish(bench.take(), "r" * 300)
    bench.at(59)
    assert bench.sweep().forgotten == 0
    bench.at(61)
    assert bench.sweep().forgotten == 1
    assert bench.state("1") is None
    (left,) = bench.store._read([("KEYS", layout.prefix(bench.store.namespace) + "*:1")])
    assert left == []


def test_retention_by_age_forgets_nobody_too_early_when_the_clock_is_set_back(bench: Bench) -> None:
    bench.rules = Rules(retention=Retention(age=60))
    ids = bench.post(*range(4))
    for seconds in (0, 100, 40, 50):  # the clock is set back after the second
        bench.at(seconds)
        bench.finish(bench.take())
    forgotten = {}
    for seconds in (61, 105, 159, 161):
        bench.at(seconds)
        bench.sweep()
        forgotten[seconds] = [job_id for job_id in ids if bench.state(job_id) is None]
    assert forgotten == {61: ids[:1], 105: ids[:1], 159: ids[:1], 161: ids}


def test_succeeded_jobs_are_purged_oldest_first(bench: Bench) -> None:
    ids = bench.post(*range(5))
    for _ in range(5):
        bench.finish(bench.take(), "r" * 300)
    assert bench.store.ids(None, [State.SUCCEEDED], 2) == ids[:-3:-1]
    assert bench.store.ask(bench.store.purge("default", State.SUCCEEDED, limit=3)) == (3, 2)
    assert bench.store.ids(None, [State.SUCCEEDED], None) == ids[:-3:-1]
    assert bench.store.states(ids[:3]) == [None] * 3
    assert bench.store.ask(bench.store.purge("default", State.SUCCEEDED, limit=3)) == (2, 0)


def test_retention_by_count_keeps_the_newest_and_spares_the_dead(bench: Bench) -> None:
    bench.rules = Rules(retention=Retention(count=2))
    ids = bench.post(*range(5))
    bench.fail(bench.take())
    for _ in range(4):
        bench.store.now += 1
        bench.finish(bench.take())
    assert bench.store.ids(None, [State.SUCCEEDED], None) == ids[:-3:-1]
    assert bench.store.ids(None, [State.DEAD], None) == ids[:1]


def test_retention_by_count_reaches_canceled_jobs_without_a_reaper(bench: Bench) -> None:
    bench.rules = Rules(retention=Retention(count=1))
    ids = bench.post(*range(4))
    bench.store.ask(bench.store.cancel(ids[:3]))
    bench.finish(bench.take())
    assert len(bench.store.ids(None, [State.CANCELED], None)) == 1


def test_calls_keep_their_order_when_redis_has_forgotten_one_of_their_scripts(bench: Bench) -> None:
    bench.post("a")
    held = bench.take()
    bench.store._read([("SCRIPT", "FLUSH")])
    bench.claim()  # this one is known again, release is not
    token = f"token{bench._tokens + 1}"
    release = bench.store.release([held])
    claim = bench.store.claim(["default"], 1, worker="w", lane="w2", token=token, rules=bench.rules)
    released, claims = bench.store.run(release, claim)
    assert released == 1 and [job.id for job in claims.jobs] == [held.id]


# --- what people do to jobs -----------------------------------------------------------------------------------------
def test_waiting_and_running_jobs_can_be_canceled_and_others_say_what_they_are(bench: Bench) -> None:
    scheduled = bench.post(delay=100)[0]
    done, running, queued = bench.post("a", "b", "c")
    bench.finish(bench.take())
    held = bench.take()
    words = bench.store.ask(bench.store.cancel([scheduled, queued, running, done, "99", queued]))
    assert words == ["ok", "ok", "ok", "succeeded", "missing", "ok"]
    assert bench.finish(held) == {running: "canceled"}
    assert [bench.state(i) for i in (scheduled, queued, running)] == [State.CANCELED] * 3


def test_a_dead_job_runs_again_with_all_its_attempts_back(bench: Bench) -> None:
    (job_id,) = bench.post(retries=1)
    bench.fail(bench.take())
    bench.at(10)
    bench.fail(bench.take())
    assert bench.store.ask(bench.store.requeue([job_id, "99"])) == ["ok", "missing"]
    record = bench.record(job_id)
    assert (record["state"], record["attempt"], record["failures"], record["error"]) == (State.QUEUED, 0, 0, None)
    assert bench.store.ask(bench.store.requeue([job_id])) == ["queued"]


def test_purging_throws_records_away(bench: Bench) -> None:
    bench.post(*["m" * 300] * 7)
    assert bench.store.ask(bench.store.purge("default", State.QUEUED, limit=5)) == (5, 2)
    assert bench.store.ask(bench.store.purge("default", State.QUEUED, limit=5)) == (2, 0)
    (left,) = bench.store._read([("KEYS", layout.prefix(bench.store.namespace) + "msg:*")])
    assert left == []


def test_a_queue_can_be_released_whoever_holds_its_jobs(bench: Bench) -> None:
    bench.post(*range(4))
    bench.claim(2, worker="w1")
    bench.claim(2, worker="w2")
    assert bench.store.ask(bench.store.release_queue("default", limit=3)) == 3
    assert bench.store.ask(bench.store.release_queue("default", limit=3)) == 1
    assert len(bench.store.ids(None, [State.QUEUED], None)) == 4


# --- the doorbell ---------------------------------------------------------------------------------------------------
def bells(bench: Bench) -> int:
    (length,) = bench.store._read([("LLEN", layout.BELL(bench.store.namespace, "default"))])
    return int(length)


def test_a_post_rings_once_for_each_job_and_an_empty_claim_silences_the_bell(bench: Bench) -> None:
    bench.post("a", "b", "c")
    assert bells(bench) == 3
    bench.claim(2)
    assert bells(bench) == 3
    bench.claim(2)
    assert bells(bench) == 0


@pytest.mark.minutes
def test_the_bell_is_bounded(bench: Bench) -> None:
    for _ in range(3):
        bench.post(*range(600))
    assert bells(bench) == 1000


def test_a_delayed_job_rings_so_that_somebody_learns_when_it_is_due(bench: Bench) -> None:
    bench.post(delay=1)
    assert bells(bench) == 1


def test_a_paused_queue_does_not_ring(bench: Bench) -> None:
    bench.post("a", "b")
    bench.store.ask(bench.store.pause("default", paused=True))
    bench.claim()
    assert bells(bench) == 0
    bench.store.ask(bench.store.pause("default", paused=False))
    assert bells(bench) == 2


def test_jobs_that_become_due_or_are_given_back_ring(bench: Bench) -> None:
    bench.post(*range(3), delay=10)
    bench.claim()
    bench.at(11)
    assert len(bench.claim(1).jobs) == 1 and bells(bench) == 3
    bench.pass_to(45)
    bench.sweep()
    assert bench.state("1") is State.QUEUED and bells(bench) == 4


def test_a_full_redis_still_lets_workers_settle(bench: Bench) -> None:
    from mlq_cli.model.errors import StoreFull

    bench.post("a", "b")
    held = bench.take()
    (memory,) = bench.store._read([("CONFIG", "GET", "maxmemory")])
    assert memory[1] == b"0"
    bench.store._read([("CONFIG", "SET", "maxmemory", "1")])
    try:
        with pytest.raises(StoreFull) as refused:
            bench.post("c")
        assert refused.value.exit_code == 75
        assert bench.beat([held]) == {}
        assert bench.finish(held, "r" * 1000) == {}
        assert bench.finish(bench.take()) == {}
    finally:
        bench.store._read([("CONFIG", "SET", "maxmemory", "0")])
    assert bench.post("d") == ["3"], "the refused post took no number"


@pytest.mark.parametrize("ids", [None, ["own-1", "own-2"]])
def test_a_post_that_is_sent_again_to_a_redis_that_is_full_by_now_is_answered(bench: Bench, ids: Any) -> None:
    from mlq_cli.model.errors import StoreFull

    call = bench.store.post([pack("x"), pack("y")], PostOptions(), ids)
    posted = bench.store.ask(call)
    bench.store._read([("CONFIG", "SET", "maxmemory", "1")])
    try:
        assert bench.store.ask(call) == posted
        with pytest.raises(StoreFull):
            bench.post("z")
    finally:
        bench.store._read([("CONFIG", "SET", "maxmemory", "0")])
    assert bench.store.ask(bench.store.post([pack("z")], PostOptions())) == (["3"], 1)


def test_a_bulk_post_with_ids_of_its_own_that_is_sent_again_says_how_many_were_new(bench: Bench) -> None:
    bench.post("first", ids=["b"])
    call = bench.store.post([pack(name) for name in "abc"], PostOptions(queue="other"), ["a", "b", "c"])
    assert bench.store.ask(call) == bench.store.ask(call) == (["a", "b", "c"], 2)
    assert bench.post("next") == ["5"], "sending it again took no numbers"
    assert bench.record("b")["queue"] == "default" and bench.record("c")["queue"] == "other"


# --- sent again after a lost reply ------------------------------------------------------------------------------------
def test_what_an_operator_asked_for_is_not_done_twice_when_its_answer_was_lost(bench: Bench) -> None:
    store = bench.store
    (dead,) = bench.post()
    bench.fail(bench.take())
    call = store.requeue([dead])
    assert store.ask(call) == ["ok"]
    bench.fail(bench.take())
    assert store.ask(call) == ["ok"] and bench.state(dead) is State.DEAD, "dead again, and left alone"
    assert store.ask(store.requeue([dead])) == ["ok"] and bench.state(dead) is State.QUEUED

    bench.take()
    call_release = store.release_queue("default")
    assert store.ask(call_release) == 1
    bench.take()
    assert store.ask(call_release) == 1 and bench.state(dead) is State.RUNNING, "the new attempt goes on"

    bench.post("a", "b", "c")
    call_purge = store.purge("default", State.QUEUED, limit=2)
    assert store.ask(call_purge) == (2, 1) == store.ask(call_purge)
    assert len(store.ids(["default"], [State.QUEUED], None)) == 1


def test_a_claim_that_is_sent_again_gives_a_whole_lease_again(bench: Bench) -> None:
    (job_id,) = bench.post()
    bench.claim(token="lost")
    bench.at(25)
    assert [job.id for job in bench.claim(token="lost").jobs] == [job_id]
    assert bench.record(job_id)["lease_until"] == bench.store.now + 30


def test_a_claim_of_many_queues_moves_so_many_due_jobs_and_no_more(bench: Bench) -> None:
    """Redis serves nobody else meanwhile; what is left comes with the next claims."""
    queues = [f"q{number}" for number in range(4)]
    for queue in queues:
        bench.post(*range(100), queue=queue, delay=1)
    bench.at(2)
    bench.claim(1, queues=queues)
    counts = {each.queue: each.states[State.SCHEDULED] for each in bench.store.counts()}
    assert counts == {"q0": 0, "q1": 0, "q2": 100, "q3": 100}
    bench.claim(1, queues=queues)
    assert sum(each.states[State.SCHEDULED] for each in bench.store.counts()) == 0


def test_counters_that_somebody_has_broken_stop_no_job(bench: Bench) -> None:
    key = layout.STATS(bench.store.namespace, "default")
    bench.store._read([("DEL", key), ("SET", key, "broken")])
    (job_id,) = bench.post()
    assert bench.finish(bench.take()) == {} and bench.state(job_id) is State.SUCCEEDED
    bench.store._read([("DEL", key)])
