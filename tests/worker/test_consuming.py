"""Consuming in one's own process: which messages a loop gets, when each is finished, and what goes back."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from mlq_cli import MLQ, Misuse, State, StoreUnavailable
from mlq_cli.model.generation import next_generation
from mlq_cli.model.options import PostOptions
from mlq_cli.model.rules import rules_of
from mlq_cli.store.redis.connect import UrlEndpoint, Wire
from mlq_cli.worker import consuming
from mlq_cli.worker.consuming import Consuming
from mlq_cli.worker.fence import boot_time
from mlq_cli.worker.keeper import Keeper
from mlq_cli.worker.outage import Outage
from mlq_cli.worker.outbox import Outbox
from tests_support import wait_until


def states(mlq: MLQ, ids: Any) -> list[str]:
    return [str(state) for state in mlq.states(ids)]


def running(mlq: MLQ) -> int:
    return sum(counts.states[State.RUNNING] for counts in mlq.counts())


@contextmanager
def in_a_while(seconds: float, function: Any, *args: Any) -> Iterator[None]:
    timer = threading.Timer(seconds, function, args)
    timer.start()
    yield
    timer.join()


# --- finished, or back ---------------------------------------------------------------------------------------------
def test_a_message_is_finished_when_the_loop_asks_for_the_next_one(mlq: MLQ) -> None:
    ids = mlq.post_many(["a", "b", "c"])
    seen = []
    for msg in mlq.consume(timeout=0, ahead=1):
        seen.append((msg, states(mlq, ids)))
    assert seen == [
        ("a", ["running", "queued", "queued"]),
        ("b", ["succeeded", "running", "queued"]),
        ("c", ["succeeded", "succeeded", "running"]),
    ]
    assert set(states(mlq, ids)) == {"succeeded"} and mlq.get_result(ids[0]) is None


def test_a_thousand_messages_come_once_each_and_in_order(mlq: MLQ) -> None:
    ids = mlq.post_many(range(1000))
    assert list(mlq.consume(timeout=0)) == list(range(1000))
    assert set(states(mlq, ids)) == {"succeeded"} and running(mlq) == 0


@pytest.mark.parametrize("how", ["break", "exception", "close", "with", "forgotten"])
def test_a_loop_that_is_left_gives_back_what_it_has_with_no_attempt_spent(mlq: MLQ, how: str) -> None:
    ids = mlq.post_many(range(500))
    seen = []

    def loop() -> None:
        messages = mlq.consume()
        for msg in messages:
            seen.append(msg)
            if msg == 300:
                if how == "break":
                    break
                if how == "exception":
                    raise KeyError("of the user")
                if how == "close":
                    messages.close()
                    assert list(messages) == []
                return

    if how == "exception":
        with pytest.raises(KeyError, match="of the user"):
            loop()
    elif how == "with":
        with mlq.consume() as messages:
            seen += [next(messages) for _ in range(301)]
            assert running(mlq) > 0
    else:
        loop()
    gc.collect()
    assert running(mlq) == 0
    assert states(mlq, ids)[:300] == ["succeeded"] * 300 and states(mlq, ids)[300:] == ["queued"] * 200
    assert mlq.get_job(ids[300])["attempt"] == 0
    assert seen + list(mlq.consume(timeout=0)) == [*range(301), *range(300, 500)]


def test_a_loop_that_its_owner_keeps_is_ended_with_the_program(mlq: MLQ, redis_url: str, namespace: str) -> None:
    job_id = mlq.post("kept")
    code = (
        "from mlq_cli import MLQ\n"
        f"mlq = MLQ.from_profile(redis_url={redis_url!r}, namespace={namespace!r})\n"
        "messages = mlq.consume()\nprint(next(messages))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "kept\n", "")
    assert states(mlq, [job_id]) == ["queued"] and mlq.workers() == []


def test_what_others_have_by_now_is_refused_and_told(mlq: MLQ, caplog: pytest.LogCaptureFixture) -> None:
    job_id = mlq.post("mine")
    with mlq.consume(timeout=0) as messages:
        assert next(messages) == "mine"
        mlq.release()  # as if the lease were lost
        assert mlq.pop() == "mine"
        assert list(messages) == []
    assert states(mlq, [job_id]) == ["succeeded"] and mlq.get_job(job_id)["attempt"] == 1
    assert any(f"job {job_id} is succeeded" in record.message for record in caplog.records)


def test_a_message_that_is_no_msgpack_fails_and_the_next_one_comes(mlq: MLQ) -> None:
    broken = mlq.store.ask(mlq.store.post([b"\xc1"], PostOptions())).ids[0]
    mlq.post("whole")
    assert list(mlq.consume(timeout=0)) == ["whole"]
    assert states(mlq, [broken]) == ["dead"]


# --- waiting -------------------------------------------------------------------------------------------------------
def test_the_timeout_is_counted_from_the_last_message(mlq: MLQ) -> None:
    def post_slowly() -> None:
        for number in range(4):
            time.sleep(0.25)
            mlq.post(number)

    began = time.monotonic()
    with in_a_while(0.0, post_slowly):
        assert list(mlq.consume(timeout=0.6)) == [0, 1, 2, 3]
    assert 1.5 < time.monotonic() - began < 5.0


def test_a_loop_without_a_timeout_waits_until_it_is_stopped_from_another_thread(mlq: MLQ) -> None:
    messages = mlq.consume()
    with in_a_while(0.3, mlq.post, "late"):
        assert next(messages) == "late"
    with in_a_while(0.3, messages.stop):
        assert list(messages) == []
    assert mlq.workers() == []


def test_a_delayed_message_comes_when_it_is_due(mlq: MLQ) -> None:
    mlq.post("later", delay=0.4)
    began = time.monotonic()
    assert next(mlq.consume(timeout=5)) == "later"
    assert 0.35 < time.monotonic() - began < 2.5


def test_several_queues_are_served_in_order(mlq: MLQ) -> None:
    for queue in ("b", "a", "b", "a"):
        mlq.post(queue, queue=queue)
    assert list(mlq.consume(["a", "b"], timeout=0)) == ["a", "a", "b", "b"]


def test_ctrl_c_ends_a_loop_that_waits_and_gives_back_what_the_body_has(mlq: MLQ) -> None:
    with in_a_while(0.3, os.kill, os.getpid(), signal.SIGINT):
        assert list(mlq.consume()) == []
    job_id = mlq.post("half done")
    with pytest.raises(KeyboardInterrupt):
        for _ in mlq.consume():
            signal.raise_signal(signal.SIGINT)
    assert states(mlq, [job_id]) == ["queued"] and mlq.get_job(job_id)["attempt"] == 0


# --- ahead ---------------------------------------------------------------------------------------------------------
def test_short_messages_are_claimed_ahead_and_long_ones_are_not(mlq: MLQ) -> None:
    mlq.post_many(range(600))
    with mlq.consume() as messages:
        assert next(messages) == 0 and running(mlq) == 1  # nothing is known yet
        for _ in range(250):
            next(messages)
        assert running(mlq) > 10
    with mlq.consume() as messages:
        for _ in range(4):
            next(messages)
            time.sleep(0.02)  # what the body does
            assert running(mlq) == 1


def test_what_waits_behind_a_long_message_goes_to_another_loop_and_what_is_done_is_told(mlq: MLQ) -> None:
    ids = mlq.post_many(range(600))
    with mlq.consume() as slow:
        for _ in range(301):
            next(slow)
        assert running(mlq) > 1
        began = time.monotonic()  # and now the body takes long
        wait_until(lambda: running(mlq) == 1)
        assert time.monotonic() - began < 1.0
        assert states(mlq, ids)[:300] == ["succeeded"] * 300
        assert list(mlq.consume(timeout=0)) == list(range(301, 600))
    assert list(mlq.consume(timeout=0)) == [300]


def test_two_loops_share_the_messages(mlq: MLQ) -> None:
    ids = mlq.post_many(range(2000))
    seen: list[list[int]] = [[], []]
    threads = [threading.Thread(target=lambda into=into: into.extend(mlq.consume(timeout=0.5))) for into in seen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen[0] + seen[1]) == list(range(2000))
    assert set(states(mlq, ids)) == {"succeeded"}


# --- leases --------------------------------------------------------------------------------------------------------
def test_the_lease_is_kept_while_the_body_is_at_work(mlq: MLQ) -> None:
    job_id = mlq.post("long")
    with mlq.consume(timeout=0, lease=0.5) as messages:
        assert next(messages) == "long"
        until = time.monotonic() + 1.2
        wait_until(lambda: time.monotonic() > until)
        assert mlq.sweep().given_back == 0 and mlq.pop() is None
        assert list(messages) == []
    assert mlq.get_job(job_id)["attempt"] == 1 and states(mlq, [job_id]) == ["succeeded"]


def test_what_was_canceled_or_lost_before_it_began_is_not_handed_out(mlq: MLQ) -> None:
    ids = mlq.post_many(range(5))
    loop = Consuming(mlq.store, ("default",), rules_of(mlq.profile))
    with loop.stock.lock:
        loop.stock.say(5)
        loop.stock.hear()
        mlq.cancel(ids[1], ids[3])
        loop.stock.beat()
    assert [int(values[0]) - int(ids[0]) for values in loop.stock.unbegun] == [0, 2, 4]
    loop.close()
    assert states(mlq, ids) == ["queued", "canceled", "queued", "canceled", "queued"] and mlq.workers() == []


def test_of_what_was_canceled_in_the_body_nobody_says_that_another_has_it(
    mlq: MLQ, caplog: pytest.LogCaptureFixture
) -> None:
    job_id = mlq.post("a")
    for _ in mlq.consume(timeout=0):
        mlq.cancel(job_id)
    assert states(mlq, [job_id]) == ["canceled"]
    assert caplog.messages[-1] == f"job {job_id} is canceled; what this loop did with it does not count"
    assert not [said for said in caplog.messages if "somebody else" in said], "a heartbeat may have told it before"


@pytest.mark.parametrize("then", ["take", "close"])
def test_what_a_claim_without_an_answer_has_taken_is_asked_for_again(mlq: MLQ, then: str) -> None:
    assert mlq.pop() is None  # now Redis knows the script: otherwise nothing is done before it has been sent
    job_id = mlq.post("a")
    loop = Consuming(mlq.store, ("default",), rules_of(mlq.profile))
    with loop.stock.lock:
        loop.stock.say(1)
        wait_until(lambda: states(mlq, [job_id]) == ["running"])
        loop.stock.forget()  # the connection broke before the answer came
    values = loop.take(0) if then == "take" else None
    assert (values is not None and values[0].decode() == job_id) or then == "close"
    loop.close()
    assert states(mlq, [job_id]) == ["queued"] and mlq.get_job(job_id)["attempt"] == 0


def test_nothing_is_handed_out_whose_lease_may_be_over(mlq: MLQ) -> None:
    ids = mlq.post_many(range(5))
    loop = Consuming(mlq.store, ("default",), rules_of(mlq.profile))
    with loop.stock.lock:
        loop.stock.say(5)
        loop.stock.hear()
    loop.stock.fresh_until = boot_time()  # as after the process was frozen
    values = loop.take(0)
    assert values is not None and values[0].decode() == ids[0] and loop.stock.fresh_until > boot_time()
    assert states(mlq, ids) == ["running", *["queued"] * 4]
    loop.close()


def test_a_loop_is_shown_beside_the_workers_and_leaves_no_key_behind_for_each_time(mlq: MLQ, redis_url: str) -> None:
    for number in range(30):
        mlq.post(number)
        for _ in mlq.consume(timeout=0):
            if number == 29:
                (shown,) = wait_until(mlq.workers)
                assert (shown["queues"], shown["functions"], shown["pid"]) == ("default", "", str(os.getpid()))
    assert mlq.workers() == []
    if redis_url.startswith("unix:"):
        ((keys),) = Wire(UrlEndpoint(redis_url)).exchange([("KEYS", f"mlq:{{{mlq.namespace}}}:*consume*")])
        assert len(keys) <= 2


# --- threads, forks, loops in loops --------------------------------------------------------------------------------
def test_two_threads_cannot_be_in_one_loop(mlq: MLQ) -> None:
    messages = mlq.consume()
    waiting = threading.Thread(target=lambda: next(messages, None))
    waiting.start()
    wait_until(lambda: messages._busy.locked())
    with pytest.raises(Misuse, match="another thread"):
        next(messages)
    messages.stop()
    waiting.join()


def test_a_fork_neither_takes_nor_gives_back_what_the_loop_has(mlq: MLQ) -> None:
    ids = mlq.post_many(range(400))
    with mlq.consume(timeout=0) as messages:
        for _ in range(201):
            next(messages)
        child = os.fork()
        if not child:
            code = 1
            try:
                next(messages)
            except Misuse:
                messages.close()
                code = 0 if mlq.get_job(ids[200])["state"] == "running" else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert states(mlq, [ids[200]]) == ["running"]
        assert list(messages) == list(range(201, 400))
    assert set(states(mlq, ids)) == {"succeeded"}


def test_a_loop_in_a_loop_and_in_a_job(mlq: MLQ, start_worker: Any) -> None:
    mlq.post("outer")
    mlq.post_many([1, 2], queue="inner")
    for msg in mlq.consume(timeout=0):
        assert (msg, list(mlq.consume("inner", timeout=0))) == ("outer", [1, 2])
    mlq.post_many([3, 4], queue="inner")
    job_id = mlq.post({"queue": "inner", "url": mlq.profile.redis.url, "namespace": mlq.namespace})
    assert start_worker("consuming:gather", burst=True).wait(20) == 0
    assert mlq.get_result(job_id) == [3, 4]


def test_what_the_body_posts_is_of_the_next_generation_and_the_loop_leaves_no_trace_of_that(mlq: MLQ) -> None:
    mlq.post("first")
    for _ in mlq.consume(timeout=0):
        assert next_generation(100, later=False) == 1
    assert next_generation(100, later=False) == 0
    mlq.post("second")
    for _ in mlq.consume(timeout=0):
        break
    assert next_generation(100, later=False) == 0


# --- the rest ------------------------------------------------------------------------------------------------------
def test_the_job_of_a_message_is_known(mlq: MLQ) -> None:
    job_id = mlq.post("x", queue="q")
    messages = mlq.consume("q", timeout=0)
    assert messages.job is None and next(messages) == "x"
    job = messages.job
    assert job is not None and (job.id, job.attempt, job.queue) == (job_id, 1, "q")
    assert list(messages) == [] and messages.job is None


def test_pop_takes_one_message_that_is_finished_already(mlq: MLQ) -> None:
    first, second = mlq.post("a"), mlq.post("b")
    assert mlq.pop() == "a" and states(mlq, [first, second]) == ["succeeded", "queued"]
    assert mlq.pop() == "b" and mlq.pop() is None
    with in_a_while(0.3, mlq.post, "late"):
        assert mlq.pop(timeout=10) == "late"


def test_the_length_is_what_waits_and_an_empty_mlq_is_true(mlq: MLQ) -> None:
    assert len(mlq) == 0 and mlq
    mlq.post_many(["a", "b"])
    assert len(mlq) == 2
    assert mlq.clear() == 2 and len(mlq) == 0


def test_a_redis_that_is_not_there_is_told_at_once() -> None:
    with MLQ("nowhere", "localhost", 1) as mlq, pytest.raises(StoreUnavailable):
        next(mlq.consume())


@pytest.mark.parametrize(
    "options", [{"timeout": -1}, {"ahead": 0}, {"lease": 0}, {"queue": []}, {"queue": "_callbacks"}, {"queue": "a b"}]
)
def test_options_that_make_no_sense_are_refused(mlq: MLQ, options: dict[str, Any]) -> None:
    with pytest.raises(Misuse):
        mlq.consume(**options)


def test_what_comes_in_while_the_keeper_looks_whether_it_may_doze_wakes_it() -> None:
    looks: list[float] = []

    class Late:
        """A stock into which something comes in the moment in which the keeper has seen that there is nothing."""

        lock, begun_at, held, under_way = threading.Lock(), None, dict[str, str](), False
        outbox = Outbox()

        def beat(self) -> float:
            return 60.0

        @property
        def unbegun(self) -> list[int]:
            looks.append(time.monotonic())
            if keeper.dozing:  # as the loop does it
                keeper.wake()
            return []

    stock: Any = Late()
    keeper = Keeper(stock, Outage())
    keeper.start()
    wait_until(lambda: len(looks) > 1, seconds=5)
    with stock.lock:
        keeper.close()


def test_a_name_that_another_thread_has_just_taken_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    class Late(list[tuple[int, str]]):
        def __bool__(self) -> bool:
            return True

    monkeypatch.setattr(consuming, "_free_names", Late([(os.getpid(), "one"), (os.getpid() + 1, "of-another")]))
    assert consuming._take_name(os.getpid()) == "one"
    assert consuming._take_name(os.getpid()).startswith("consume-")
