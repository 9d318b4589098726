"""What a worker does with jobs that behave."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from mlq_cli import MLQ, State
from tests_support import wait_until

numpy = pytest.importorskip("numpy")


def test_a_message_is_multiplied(mlq: MLQ, start_worker: Any) -> None:
    job_id = mlq.post({"arg1": 6, "arg2": 3})
    assert start_worker("jobs:multiply", burst=True).wait(20) == 0
    assert mlq.get_result(job_id) == 18


@pytest.mark.parametrize(
    "value",
    [
        None,
        0,
        "",
        b"",
        False,
        [],
        10**30,
        -(2**64),
        1.5,
        "\x00 emoji 🦊 ünïcode",
        bytes(range(256)) * 40,
        "m" * 900_000,
        dt.datetime(2026, 11, 21, 8, 30, tzinfo=dt.UTC),
        dt.datetime(2026, 11, 21, 8, 30),
        dt.date(2026, 11, 21),
        dt.time(8, 30),
        dt.timedelta(days=-1, microseconds=5),
        {"nested": [{"a": [1, {"b": None}]}], 3: "integer key"},
    ],
    ids=lambda value: repr(value)[:30],
)
def test_every_value_goes_through_unchanged(mlq: MLQ, running_echo: Any, value: Any) -> None:
    result = mlq.wait(mlq.post(value), 20)
    assert result == value and type(result) is type(value)


@pytest.fixture
def running_echo(start_worker: Any) -> Any:
    return start_worker("jobs:echo")


def test_a_hundred_levels_go_through(mlq: MLQ, running_echo: Any) -> None:
    value: Any = "bottom"
    for _ in range(100):
        value = [value]
    assert mlq.wait(mlq.post(value), 20) == value


def test_numpy_arrays_and_scalars_go_through(mlq: MLQ, running_echo: Any) -> None:
    array = numpy.arange(12, dtype="<f4").reshape(3, 4)
    result = mlq.wait(mlq.post({"array": array, "scalar": numpy.int16(7), "none": numpy.zeros((0, 3))}), 20)
    assert (result["array"] == array).all() and result["array"].dtype == array.dtype
    assert result["scalar"] == 7 and isinstance(result["scalar"], numpy.int16)
    assert result["none"].shape == (0, 3)


def test_the_context_is_an_object_and_a_mapping(mlq: MLQ, start_worker: Any) -> None:
    start_worker("jobs:with_context", name="me")
    job_id = mlq.post({"my": "data"}, callback="http://localhost:9/x")
    full = mlq.wait(job_id, 20)
    assert full["id"] == job_id and full["msg"] == {"my": "data"} and full["progress"] == 60
    assert full["worker"] == "me" and full["callback"] == "http://localhost:9/x" and full["retries"] == 0
    assert set(mlq.get_job(job_id)) >= {
        "id", "timestamp", "worker", "processing_started", "processing_finished", "progress", "short_result",
        "result", "callback", "retries", "functions", "msg",
    }  # fmt: skip


def test_a_second_parameter_with_a_default_is_the_users_own(mlq: MLQ, start_worker: Any) -> None:
    start_worker("jobs:with_setting")
    assert mlq.wait(mlq.post(2), 20) == 6


def test_only_a_tuple_that_begins_with_text_is_a_short_result(mlq: MLQ, start_worker: Any) -> None:
    start_worker("jobs:short_and_long", queues=["tuple"])
    start_worker("jobs:pair", queues=["list"])
    tuple_id, list_id = mlq.post(1, queue="tuple"), mlq.post(1, queue="list")
    assert mlq.wait(tuple_id, 20) == 1 and mlq.get_job(tuple_id)["short_result"] == "short"
    assert mlq.wait(list_id, 20) == ["short", 1] and mlq.get_job(list_id)["short_result"] is None


def test_several_functions_run_in_order_and_the_last_ones_output_is_the_result(mlq: MLQ, start_worker: Any) -> None:
    start_worker("jobs:first", "jobs:second")
    assert mlq.wait(mlq.post(None), 20) == "second"
    assert mlq.wait(mlq.post(None, functions=["first"]), 20) == "first"


def test_a_job_for_a_function_that_nobody_has_is_dead_in_the_end_and_says_so(mlq: MLQ, start_worker: Any) -> None:
    start_worker("jobs:first", backoff=0.01)
    job_id = mlq.post(None, functions=["elsewhere"])
    mlq.wait_ended(job_id, 20)
    record = mlq.get_job(job_id)
    assert record["state"] is State.DEAD and record["error_type"] == "UnknownFunction"
    assert "elsewhere" in str(record["error"]) and record["retries"] == 6


def test_the_setup_is_called_once_in_each_executor(mlq: MLQ, start_worker: Any) -> None:
    start_worker("jobs:loads", setup="jobs:load", executors=2)
    ids = mlq.post_many(range(40))
    loads = [tuple(mlq.wait(job_id, 20)) for job_id in ids]
    assert all(len(load) == 1 for load in loads) and len(set(loads)) <= 2


def test_an_executor_finds_its_number_in_its_environment(mlq: MLQ, start_worker: Any) -> None:
    start_worker("jobs:environment", name="me")
    assert mlq.wait(mlq.post(None), 20) == {"MLQ_WORKER": "me", "MLQ_EXECUTOR": "0"}


def test_async_listeners_run_many_at_a_time(mlq: MLQ, start_worker: Any) -> None:
    start_worker("jobs:nap")
    assert mlq.wait(mlq.post(0), 20) == 0  # it is up
    ids = mlq.post_many([0.2] * 200)
    assert [mlq.wait(job_id, 20) for job_id in ids] == [0.2] * 200
    records = [mlq.get_job(job_id) for job_id in ids]
    span = max(r["processing_finished"] or 0 for r in records) - min(r["timestamp"] for r in records)
    assert span < 5, f"200 naps of 0.2 s took {span} s; one after another they take 40"


def test_async_jobs_whose_executor_dies_have_run_for_as_long_as_they_did(mlq: MLQ, start_worker: Any) -> None:
    start_worker("jobs:nap_or_die")
    ids = mlq.post_many([None, None, 0.3])
    wait_until(lambda: mlq.states(ids) == [State.DEAD] * 3, seconds=30)
    (times,) = (counts.times for counts in mlq.counts() if counts.queue == "default")
    assert 0.3 <= times.fail.total < 30 and sum(times.fail.numbers) == 9


def test_queues_are_served_in_order(mlq: MLQ, start_worker: Any) -> None:
    later = mlq.post("later", queue="low")
    sooner = mlq.post("sooner", queue="high")
    assert start_worker("jobs:echo", queues=["high", "low"], burst=True).wait(20) == 0
    assert (mlq.get_job(sooner)["processing_started"] or 0) <= (mlq.get_job(later)["processing_started"] or 0)
    assert mlq.get_result(later) == "later"


def test_progress_is_seen_while_the_job_runs(mlq: MLQ, start_worker: Any) -> None:
    start_worker("jobs:report_forever")
    job_id = mlq.post(None)
    assert mlq.get_progress(job_id) in ("[queued; not started]", "[started]")
    seen = wait_until(lambda: isinstance(got := mlq.get_progress(job_id), dict) and got)
    assert 0 <= seen["done"] < 100
    assert mlq.wait(job_id, 20) == "done" and mlq.get_progress(job_id) == "[completed]"


def test_executors_are_replaced_after_their_number_of_jobs(mlq: MLQ, start_worker: Any) -> None:
    start_worker("jobs:pid", max_jobs=5)
    pids = [mlq.wait(job_id, 20) for job_id in mlq.post_many(range(20))]
    assert [len(set(pids[i : i + 5])) for i in range(0, 20, 5)] == [1, 1, 1, 1] and len(set(pids)) == 4


def test_an_executor_that_has_grown_is_replaced_between_two_jobs(mlq: MLQ, start_worker: Any) -> None:
    start_worker("jobs:misbehave", max_memory=64 << 20)
    grown = mlq.wait(mlq.post("grow"), 20)
    wait_until(lambda: mlq.wait(mlq.post("grow"), 20) != grown)
    assert all(counts.stats.get("crashed", 0) == 0 for counts in mlq.counts())


def test_code_is_imported_anew_when_its_file_changes(mlq: MLQ, start_worker: Any, tmp_path: Path) -> None:
    (tmp_path / "changing.py").write_text("def f(msg):\n    return 'old'\n")
    start_worker("changing:f", reload=True)
    assert mlq.wait(mlq.post(None), 20) == "old"
    (tmp_path / "changing.py").write_text("def f(msg):\n    return 'the new one'\n")
    assert wait_until(lambda: mlq.wait(mlq.post(None), 20) == "the new one")


@pytest.mark.minutes
def test_a_hundred_thousand_jobs_of_a_generator_are_all_right_in_flat_memory(mlq: MLQ, start_worker: Any) -> None:
    import resource

    count = 100_000
    worker = start_worker("jobs:echo", burst=False)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ids = mlq.post_many({"i": i, "text": "t" * 20} for i in range(count))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 20_000, f"posting took {grown} KiB more"
    mlq.wait(ids[-1], 60)
    early = resident(worker.pid)
    for first in range(0, count, 10_000):
        for job_id in ids[first : first + 10_000 : 2500]:
            mlq.wait(job_id, 60)
        records = mlq.get_jobs(ids[first : first + 10_000])
        assert [record["result"]["i"] for record in records if record] == list(range(first, first + 10_000))
    assert resident(worker.pid) - early < 5_000, "the worker grew"
    assert resident(worker.pid) < 80_000


def resident(pid: int) -> int:
    """Return the resident memory of a process in KiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def test_each_run_of_a_job_has_a_token_of_its_own(mlq: MLQ, start_worker: Any) -> None:
    start_worker("jobs:token")
    job_id = mlq.post(None)
    first = mlq.wait(job_id, 20)
    mlq.store.ask(mlq.store.cancel([other := mlq.post(None, delay=60)]))
    mlq.retry(other)
    assert first.isdigit() and mlq.wait(other, 20) not in (None, first)
