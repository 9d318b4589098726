"""Every defect that `mlq doctor` knows, made by hand: named, repaired where that needs no guess, and then gone."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlq_cli import MLQ
from mlq_cli.doctor.operation import CASES
from mlq_cli.model.errors import StoreFull, StoreUnavailable
from mlq_cli.model.finding import Finding, Level
from mlq_cli.model.job import State
from mlq_cli.model.outcome import Kind, Outcome
from mlq_cli.model.rules import Retention, Rules
from mlq_cli.model.values import pack
from mlq_cli.store.redis import audit, layout
from mlq_cli.store.redis.connect import UrlEndpoint, Wire
from mlq_cli.store.redis.defects import DEFECTS
from tests_support import Server

LONG = "x" * 300  # a message, or a result, that is stored beside the hash

Command = Callable[..., Any]


@pytest.fixture
def command(redis_url: str, namespace: str) -> Iterator[Command]:
    """Send one raw command; its second word is a key without the prefix, or None."""
    wire = Wire(UrlEndpoint(redis_url))

    def send(name: str, key: str, *rest: str | float) -> Any:
        (answer,) = wire.exchange([(name, f"mlq:{{{namespace}}}:{key}", *rest)])
        assert not isinstance(answer, Exception), answer
        return answer

    yield send
    wire.close()


def micro(seconds: float) -> int:
    return int(seconds * 1e6)


def look(mlq: MLQ, *, repair: bool = False, rules: Rules | None = None) -> dict[str, Finding]:
    """Walk once and return what is wrong, by name."""
    found = mlq.store.audit(rules=rules or Rules(), repair=repair, looked=lambda done: None)
    return {finding.name: finding for finding in found if finding.level is not Level.OK}


def run(mlq: MLQ, message: Any = 1) -> tuple[str, str]:
    """Post a job and claim it; return its id and its token."""
    job_id = mlq.post(message)
    claims = mlq.store.ask(mlq.store.claim(["default"], 1, worker="w", lane="l", token=f"t{job_id}", rules=Rules()))
    assert [job.id for job in claims.jobs] == [job_id]
    return job_id, f"t{job_id}"


def finish(mlq: MLQ, job_id: str, token: str, result: Any = None) -> dict[str, str]:
    outcome = Outcome(job_id, token, Kind.DONE, 0.1, b"", pack(result))
    return mlq.store.ask(mlq.store.finish([outcome], rules=Rules()))


def one_of_each_state(mlq: MLQ) -> dict[State, str]:
    """Return a job in each state that there is a way into."""
    succeeded, running = run(mlq, LONG), run(mlq)
    dead = run(mlq)
    finish(mlq, *succeeded, result=LONG)
    error = Outcome(*dead, Kind.ERROR, 0.1, b"ValueError", b"no", b"Traceback")
    mlq.store.ask(mlq.store.finish([error], rules=Rules()))
    canceled = mlq.post(1)
    mlq.cancel(canceled)
    return {
        State.SCHEDULED: mlq.post(1, delay=60),
        State.QUEUED: mlq.post(LONG, priority=3),
        State.RUNNING: running[0],
        State.SUCCEEDED: succeeded[0],
        State.CANCELED: canceled,
        State.DEAD: dead[0],
    }


def test_a_namespace_that_was_never_touched_and_one_with_a_job_in_each_state_are_well(mlq: MLQ) -> None:
    assert look(mlq) == {}
    for state, job_id in one_of_each_state(mlq).items():
        assert mlq.get_job(job_id)["state"] is state
    assert look(mlq) == {}
    assert look(mlq, repair=True) == {}


@pytest.mark.parametrize("state", [state for state in State if state not in (State.BLOCKED, State.SUCCEEDED)])
def test_a_job_that_is_missing_in_its_set_is_entered_again(mlq: MLQ, command: Command, state: State) -> None:
    job_id = one_of_each_state(mlq)[state]
    before = float(command("ZSCORE", f"q:default:{state}", job_id))
    command("ZREM", f"q:default:{state}", job_id)
    found = look(mlq)["unlisted"]
    assert (found.count, found.examples, found.repairable, found.repaired) == (1, (job_id,), True, False)
    assert command("ZSCORE", f"q:default:{state}", job_id) is None
    repaired = look(mlq, repair=True)
    assert set(repaired) == {"unlisted"} and repaired["unlisted"].well
    after = float(command("ZSCORE", f"q:default:{state}", job_id))
    if state is State.SCHEDULED:
        assert abs(after / 1e6 - time.time()) < 30  # when it was due is not known any more: now
    elif state is State.RUNNING:
        assert abs(after / 1e6 - time.time() - Rules().lease) < 30
    else:
        assert after == pytest.approx(before, abs=1e-3)
    assert look(mlq) == {}


def succeed(mlq: MLQ, jobs: int) -> list[str]:
    """Return jobs that have succeeded one after another."""
    ids = list(mlq.post_many([1] * jobs))
    claims = mlq.store.ask(mlq.store.claim(["default"], jobs, worker="w", lane="l", token=ids[0], rules=Rules()))
    for job in claims.jobs:
        finish(mlq, job.id, ids[0])
    return ids


def test_a_succeeded_job_that_is_missing_in_its_list_is_entered_again(mlq: MLQ, command: Command) -> None:
    ids = succeed(mlq, 5)
    command("LREM", "q:default:succeeded", 0, ids[2])
    found = look(mlq)["unlisted"]
    assert (found.count, found.examples, found.repairable, found.repaired) == (1, (ids[2],), True, False)
    assert command("LLEN", "q:default:succeeded") == 4
    repaired = look(mlq, repair=True)
    assert set(repaired) == {"unlisted"} and repaired["unlisted"].well
    assert {job["id"] for job in mlq.list_jobs(states=[State.SUCCEEDED])} == set(ids)
    assert look(mlq) == {}


def test_a_list_of_succeeded_jobs_that_is_lost_is_written_again_and_retention_goes_on(
    mlq: MLQ, command: Command
) -> None:
    ids = succeed(mlq, 30)
    command("DEL", "q:default:succeeded")
    ids += succeed(mlq, 1)
    assert look(mlq)["unlisted"].count == 30
    assert look(mlq, repair=True)["unlisted"].repaired
    assert look(mlq) == {}
    listed = [job_id.decode() for job_id in command("LRANGE", "q:default:succeeded", 0, -1)]
    assert sorted(listed, key=int) == ids and listed[-1] == ids[-1]
    rules = Rules(retention=Retention(age=1e-6))
    assert mlq.store.ask(mlq.store.sweep("default", rules=rules)).forgotten == 31
    assert look(mlq) == {} and mlq.states(ids) == [None] * 31


def test_entries_of_the_list_of_succeeded_jobs_that_do_not_belong_are_taken_out(mlq: MLQ, command: Command) -> None:
    ids = succeed(mlq, 250)
    waiting = mlq.post(1)
    command("RPUSH", "q:default:succeeded", waiting)
    command("LPUSH", "q:default:succeeded", b"\xff\xfe")
    for job_id in ids[::50]:
        command("DEL", f"job:{job_id}")
    found = look(mlq)
    assert {name: finding.count for name, finding in found.items()} == {"misplaced": 1, "ghost": 6}
    assert found["misplaced"].examples == (f"{waiting} in default:succeeded",)
    repaired = look(mlq, repair=True)
    assert repaired["misplaced"].repaired and repaired["ghost"].repaired
    assert look(mlq) == {}
    left = [job_id.decode() for job_id in command("LRANGE", "q:default:succeeded", 0, -1)]
    assert left == [job_id for job_id in ids if job_id not in ids[::50]]


def test_a_running_job_that_is_entered_again_stays_with_the_worker_that_holds_it(mlq: MLQ, command: Command) -> None:
    job_id, token = run(mlq)
    command("ZREM", "q:default:running", job_id)
    look(mlq, repair=True)
    assert mlq.sweep().given_back == 0
    assert finish(mlq, job_id, token, "done") == {}
    assert mlq.get_result(job_id) == "done"


def test_a_queued_job_that_is_entered_again_is_handed_out(mlq: MLQ, command: Command) -> None:
    job_id = mlq.post("found again", id="my:own")
    command("DEL", "q:default:queued")
    command("DEL", "queues")
    command("DEL", "bell:default")
    assert look(mlq, repair=True)["unlisted"].repaired
    assert command("LLEN", "bell:default") == 1
    assert mlq.store.queues() == ["default"]
    assert look(mlq) == {}
    claims = mlq.store.ask(mlq.store.claim(["default"], 1, worker="w", lane="l", token="t", rules=Rules()))
    assert [job.id for job in claims.jobs] == [job_id]


def test_entries_that_no_record_names_are_taken_out(mlq: MLQ, command: Command) -> None:
    job_id = mlq.post(1)
    for key in ("q:default:running", "q:default:dead", "q:other:queued"):
        command("ZADD", key, time.time(), job_id)
    command("SADD", "queues", "other")
    found = look(mlq)["misplaced"]
    assert found.count == 3
    assert set(found.examples) == {
        f"{job_id} in default:running",
        f"{job_id} in default:dead",
        f"{job_id} in other:queued",
    }
    assert look(mlq, repair=True)["misplaced"].repaired
    assert look(mlq) == {}
    assert mlq.get_job(job_id)["state"] is State.QUEUED
    assert float(command("ZSCORE", "q:default:queued", job_id)) == int(job_id)


def test_entries_without_a_record_are_taken_out(mlq: MLQ, command: Command) -> None:
    job_id = mlq.post(1)
    command("DEL", f"job:{job_id}")
    command("ZADD", "q:default:running", micro(time.time()), b"\xff\xfe")
    found = look(mlq)["ghost"]
    assert found.count == 2 and f"{job_id} in default:queued" in found.examples
    assert look(mlq, repair=True)["ghost"].repaired
    assert look(mlq) == {}


def test_messages_and_results_without_a_job_are_deleted(mlq: MLQ, command: Command) -> None:
    job_id, token = run(mlq, LONG)
    finish(mlq, job_id, token, LONG)
    command("DEL", f"job:{job_id}")
    command("LREM", "q:default:succeeded", 0, job_id)
    found = look(mlq)["orphan"]
    assert (found.count, found.level) == (2, Level.WARNING)
    assert {example.rpartition("}:")[2] for example in found.examples} == {f"msg:{job_id}", f"result:{job_id}"}
    assert look(mlq, repair=True)["orphan"].repaired
    assert look(mlq) == {}
    assert command("EXISTS", f"msg:{job_id}") == 0


def test_a_lease_far_ahead_ends_one_lease_from_now(mlq: MLQ, command: Command) -> None:
    job_id, token = run(mlq)
    command("ZADD", "q:default:running", micro(time.time() + 2 * 86_400), job_id)
    assert look(mlq, rules=Rules(lease=3 * 86_400)) == {}  # where leases are that long, it is nothing strange
    assert look(mlq)["far-lease"].count == 1
    assert look(mlq, repair=True)["far-lease"].repaired
    assert look(mlq) == {}
    assert abs(float(command("ZSCORE", "q:default:running", job_id)) / 1e6 - time.time() - Rules().lease) < 30
    assert finish(mlq, job_id, token) == {}


def test_a_time_to_live_is_taken_off_but_not_where_it_belongs(mlq: MLQ, command: Command) -> None:
    jobs = one_of_each_state(mlq)
    for key in (f"job:{jobs[State.DEAD]}", f"msg:{jobs[State.QUEUED]}", "q:default:queued", "queues", "id"):
        command("EXPIRE", key, 600)
    found = look(mlq)["expires"]
    assert found.count == 5 and not found.repaired
    assert look(mlq, repair=True)["expires"].repaired
    assert look(mlq) == {}
    assert command("TTL", "claim:l") > 0


def test_a_queue_that_is_in_no_list_is_entered(mlq: MLQ, command: Command) -> None:
    mlq.post(1, queue="lost")
    command("SREM", "queues", "lost")
    assert look(mlq)["unknown-queue"].examples == ("lost",)
    assert look(mlq, repair=True)["unknown-queue"].repaired
    assert look(mlq) == {}
    assert mlq.store.queues() == ["lost"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("state", "strange"),
        ("queue", "no queue"),
        ("timestamp", "yesterday"),
        ("spent", "nan"),
        ("priority", "1e400"),
    ],
)
def test_a_record_that_makes_no_sense_is_reported_and_left_alone(
    mlq: MLQ, command: Command, namespace: str, field: str, value: str
) -> None:
    job_id = mlq.post(1)
    command("HSET", f"job:{job_id}", layout.field(field), value)
    for repair in (False, True):
        found = look(mlq, repair=repair)
        assert set(found) == {"corrupt"}
        assert found["corrupt"].examples == (f"mlq:{{{namespace}}}:job:{job_id}",)
        assert not found["corrupt"].repairable and not found["corrupt"].well
    assert command("HGET", f"job:{job_id}", layout.field(field)) == value.encode()
    command("DEL", f"job:{job_id}", "q:default:queued")


@pytest.mark.parametrize("field", ["state", "timestamp"])
def test_a_record_without_what_every_job_has_is_reported_and_left_alone(mlq: MLQ, command: Command, field: str) -> None:
    job_id = mlq.post(1)
    command("HDEL", f"job:{job_id}", layout.field(field))
    assert set(look(mlq, repair=True)) == {"corrupt"}
    assert command("ZSCORE", "q:default:queued", job_id) is not None


def test_lost_messages_and_results_are_reported(mlq: MLQ, command: Command) -> None:
    jobs = one_of_each_state(mlq)
    command("DEL", f"msg:{jobs[State.QUEUED]}")
    command("DEL", f"result:{jobs[State.SUCCEEDED]}")
    command("HDEL", f"job:{jobs[State.RUNNING]}", layout.field("msg"))
    found = look(mlq, repair=True)
    assert (found["no-message"].count, found["no-result"].count) == (2, 1)
    assert not found["no-message"].well and not found["no-result"].well


def test_foreign_keys_are_reported_and_left_alone(mlq: MLQ, command: Command) -> None:
    foreign = ("cache:1", "q:default:asleep", "q:-:queued", "idx")
    for key in foreign:
        command("SET", key, "theirs")
    try:
        found = look(mlq, repair=True)
        assert set(found) == {"foreign"}
        assert (found["foreign"].count, found["foreign"].well) == (4, False)
    finally:
        for key in foreign:
            assert command("DEL", key) == 1


@pytest.mark.parametrize(
    "key",
    ["job:1", "msg:1", "q:default:queued", "q:default:succeeded", "queues", "bell:default", "stats:default", "id"],
)
def test_a_key_of_the_wrong_type_is_reported_and_stops_nothing(mlq: MLQ, command: Command, key: str) -> None:
    job_id = mlq.post(LONG, queue="other")
    command("ZREM", "q:other:queued", job_id)
    if job_id != key.removeprefix("job:"):
        mlq.post(1)
    command("DEL", key)
    command("XADD", key, "*", "a", "b")
    found = look(mlq, repair=True)
    assert found["wrong-type"].count == 1 and found["wrong-type"].examples[0].endswith(key)
    assert any(finding.name == "wrong-type" for finding in mlq.doctor(repair=True))
    command("DEL", key)


def test_leases_and_due_times_that_nobody_looks_at_are_told(mlq: MLQ, command: Command) -> None:
    running, scheduled = run(mlq)[0], mlq.post(1, delay=60)
    command("ZADD", "q:default:running", micro(time.time() - 100), running)
    command("ZADD", "q:default:scheduled", micro(time.time() - 100), scheduled)
    assert look(mlq) == {}  # a sweep may still come
    command("ZADD", "q:default:running", micro(time.time() - 1000), running)
    command("ZADD", "q:default:scheduled", micro(time.time() - 1000), scheduled)
    found = look(mlq, repair=True)
    assert {name: finding.examples for name, finding in found.items()} == {
        "stalled": (f"{running} in default:running",),
        "overdue": (f"{scheduled} in default:scheduled",),
    }
    assert not found["stalled"].well


@pytest.mark.parametrize("repair", [False, True])
def test_jobs_that_move_between_being_seen_and_being_judged_are_no_defect(
    mlq: MLQ, redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch, repair: bool
) -> None:
    mlq.post_many([LONG] * 400)
    delayed = list(mlq.post_many([1] * 400, delay=60))
    ask, read = mlq.store.ask, mlq.store._read  # type: ignore[attr-defined]
    other = MLQ.from_profile(redis_url=redis_url, namespace=namespace)
    moves = 0

    def move_some() -> None:
        """Let jobs of every state go on: queued ▷ running ▷ succeeded ▷ gone, scheduled ▷ canceled ▷ queued."""
        nonlocal moves
        moves += 1
        token = f"move{moves}"
        claims = other.store.ask(other.store.claim(["default"], 30, worker="w", lane="l", token=token, rules=Rules()))
        outcomes = [Outcome(job.id, token, Kind.DONE, 0.1, b"", pack(LONG)) for job in claims.jobs[:20]]
        other.store.ask(other.store.finish(outcomes, rules=Rules()))
        other.store.ask(other.store.purge("default", State.SUCCEEDED, limit=10))
        other.store.ask(other.store.cancel(delayed[moves * 10 : moves * 10 + 10]))
        other.store.ask(other.store.requeue(delayed[moves * 10 : moves * 10 + 5]))
        other.post_many([LONG] * 10)

    def moving_ask(call: Any) -> Any:
        move_some()
        return ask(call)

    def moving_read(commands: Any) -> Any:
        answers = read(commands)
        move_some()
        return answers

    monkeypatch.setattr(mlq.store, "ask", moving_ask)
    monkeypatch.setattr(mlq.store, "_read", moving_read)
    found = list(mlq.store.audit(rules=Rules(), repair=repair, looked=lambda done: None))
    monkeypatch.undo()
    other.close()
    assert [finding.name for finding in found] == ["walk"]
    assert moves > 30
    assert look(mlq) == {}


def test_a_full_server_can_be_looked_at_and_mended(short_folder: Path) -> None:
    with Server(short_folder) as server, MLQ.from_profile(redis_url=server.url, namespace="full") as mlq:
        exchange = Wire(UrlEndpoint(server.url)).exchange
        job_id = mlq.post(LONG)
        key = "mlq:{full}:q:default:queued"
        assert exchange([("ZREM", key, job_id), ("CONFIG", "SET", "maxmemory", "1000")]) == [1, b"OK"]
        with pytest.raises(StoreFull):
            mlq.post(LONG)
        assert look(mlq)["unlisted"].count == 1
        assert look(mlq, repair=True)["unlisted"].repaired
        assert look(mlq) == {}


def test_a_replica_can_be_looked_at(short_folder: Path) -> None:
    with Server(short_folder) as server, MLQ.from_profile(redis_url=server.url, namespace="copy") as mlq:
        exchange = Wire(UrlEndpoint(server.url)).exchange
        exchange([("ZREM", "mlq:{copy}:q:default:queued", mlq.post(1)), ("REPLICAOF", "127.0.0.1", "1")])
        assert look(mlq)["unlisted"].count == 1
        with pytest.raises(StoreUnavailable, match="replica"):
            look(mlq, repair=True)


@pytest.mark.minutes
def test_a_walk_goes_page_by_page(mlq: MLQ, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs, broken = 20_000, 50
    mlq.post_many({"n": n} for n in range(jobs))
    for job_id in range(1, broken + 1):
        command("ZREM", "q:default:queued", str(job_id))
    sizes: list[int] = []
    looked: list[int] = []
    ask = mlq.store.ask
    monkeypatch.setattr(mlq.store, "ask", lambda call: sizes.append((len(call.args) - 1) // 4) or ask(call))
    tracemalloc.start()
    found = {f.name: f for f in mlq.store.audit(rules=Rules(), repair=False, looked=looked.append)}
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found["unlisted"].count == broken and len(found["unlisted"].examples) == audit.EXAMPLES
    assert sum(sizes) >= 2 * jobs - broken and max(sizes) <= audit.PAGE
    assert len(sizes) < 2.5 * 2 * jobs / audit.PAGE
    assert peak < 4 << 20, "more is held than a few pages"
    assert looked == sorted(looked) and looked[-1] >= 2 * jobs - broken


def test_the_guide_names_every_finding() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "guides" / "doctor.md").read_text()
    for name in (*DEFECTS, *CASES):
        assert f"| `{name}` |" in guide, name
