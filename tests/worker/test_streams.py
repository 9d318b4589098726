"""What listeners emit reaches whoever follows: in order, once, at once, and without filling anybody's memory."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from mlq_cli import MLQ, State
from mlq_cli.model.values import unpack
from tests_support import Server, wait_until


def parts(mlq: MLQ, job_id: str) -> list[Any]:
    return [unpack(entry.value) for entry in mlq.store.entries(job_id, None, 100_000) if entry.kind == "part"]


def kinds(mlq: MLQ, job_id: str) -> list[str]:
    return [
        unpack(entry.value)["state"] if entry.kind == "state" else entry.kind
        for entry in mlq.store.entries(job_id, None, 100_000)
    ]


PLAIN = [
    ("emits", [1, "two", b"3", None, {"four": 4}], [1, "two", b"3", None, {"four": 4}], "all"),
    ("emits", [], [], "all"),
    ("emits_like_the_original", "x", ["x"], None),
    ("counts", 3, [0, 1, 2], [0, 1, 2]),
    ("counts", 0, [], []),
    ("counts_and_returns", 2, [0, 1], 2),
    ("wrapped", 4, [0, 1, 4, 9], [0, 1, 4, 9]),
]
ASYNC = [
    ("counts_async", 3, [0, 1, 2], [0, 1, 2]),
    ("emits_async", [1, 2], [1, 2], None),
    ("counts", 2, [0, 1], [0, 1]),
]


@pytest.mark.parametrize("cases", [PLAIN, ASYNC], ids=["plain", "async"])
def test_what_a_listener_emits_or_yields_is_kept_in_order(
    mlq: MLQ, start_worker: Any, cases: list[tuple[str, Any, list[Any], Any]]
) -> None:
    ids = [mlq.post(msg, functions=[function]) for function, msg, _, _ in cases]
    functions = sorted({f"streams:{function}" for function, *_ in cases})
    assert start_worker(*functions, burst=True).wait(20) == 0
    for job_id, (function, _, emitted, result) in zip(ids, cases, strict=True):
        assert (parts(mlq, job_id), mlq.get_result(job_id)) == (emitted, result), function
        assert kinds(mlq, job_id) == (["running", *["part"] * len(emitted), "succeeded"] if emitted else [])


def test_several_listeners_emit_into_one_stream_and_the_last_gives_the_result(mlq: MLQ, start_worker: Any) -> None:
    job_id = mlq.post(2)
    assert start_worker("streams:counts", "streams:wrapped", "jobs:echo", burst=True).wait(20) == 0
    assert parts(mlq, job_id) == [0, 1, 0, 1] and mlq.get_result(job_id) == 2


def test_every_thread_of_a_listener_may_emit(mlq: MLQ, start_worker: Any) -> None:
    job_id = mlq.post(500)
    assert start_worker("streams:emits_from_threads", burst=True).wait(20) == 0
    found = parts(mlq, job_id)
    assert len(found) == 2000
    for name in range(4):
        assert [number for thread, number in found if thread == name] == list(range(500))


def test_a_forked_process_cannot_emit_and_is_told_so(mlq: MLQ, start_worker: Any) -> None:
    job_id = mlq.post(None)
    assert start_worker("streams:emits_in_a_fork", burst=True).wait(20) == 0
    assert "forked cannot emit" in mlq.get_result(job_id) and parts(mlq, job_id) == []


def test_parts_come_at_once_while_the_job_runs(mlq: MLQ, start_worker: Any, tmp_path: Path) -> None:
    file = tmp_path / "letters"
    file.touch()
    job_id = mlq.post({"file": str(file), "parts": 3})
    start_worker("streams:emits_one_by_one")
    for number in range(3):
        with file.open("a") as letters:
            letters.write("x")
        wait_until(lambda expected=number: parts(mlq, job_id) == list(range(expected + 1)), seconds=20)
        assert number == 2 or mlq.states([job_id]) == [State.RUNNING]
    assert mlq.wait(job_id, 20) == 2


def test_parts_of_a_job_in_a_slice_are_not_held_back(mlq: MLQ, start_worker: Any) -> None:
    ids = mlq.post_many([{}] * 300)
    assert len(ids) == 300
    slow = mlq.post({"slow": 20.0})
    start_worker("streams:brief_then_slow")
    wait_until(lambda: parts(mlq, slow) == ["begun"], seconds=15)
    assert mlq.states([slow]) == [State.RUNNING]


def test_another_attempt_begins_anew(mlq: MLQ, start_worker: Any) -> None:
    job_id = mlq.post("try", retries=1)
    start_worker("streams:fails_first")
    assert mlq.wait(job_id, 20) == ["try 2"]
    expected = ["running", "part", "scheduled", "queued", "reset", "running", "part", "succeeded"]
    assert kinds(mlq, job_id) == expected and parts(mlq, job_id) == ["try 1", "try 2"]


def test_a_part_that_is_too_large_is_an_error_that_says_so(mlq: MLQ, start_worker: Any) -> None:
    fits, over = mlq.post((1 << 20) - 5), mlq.post(1 << 20)
    assert start_worker("streams:too_large", burst=True).wait(20) == 0
    assert len(parts(mlq, fits)[0]) == (1 << 20) - 5
    record = mlq.get_job(over)
    assert record["error"] and record["error"].startswith("TooLarge: the part is 1,048,581 bytes, over the limit of")
    assert parts(mlq, over) == []


def test_what_a_generator_yields_is_a_result_only_as_far_as_that_may_be(mlq: MLQ, start_worker: Any) -> None:
    fits, over = mlq.post(900), mlq.post(1100)
    assert start_worker("streams:too_many", burst=True).wait(20) == 0
    assert len(mlq.get_result(fits)) == 900
    error = mlq.get_job(over)["error"]
    assert error and error.startswith(
        "TooLarge: the 1,100 parts are 1,103,305 bytes together, over the limit of 1,000,000"
    )
    assert len(parts(mlq, over)) == 1100, "whoever followed has them"


def test_a_generator_is_closed_when_a_part_cannot_be_carried(mlq: MLQ, start_worker: Any, tmp_path: Path) -> None:
    job_id = mlq.post(str(tmp_path / "note"))
    assert start_worker("streams:leaves_a_note", burst=True).wait(20) == 0
    assert (tmp_path / "note").read_text() == "closed" and parts(mlq, job_id) == [1]
    assert "object cannot be carried" in (mlq.get_job(job_id)["error"] or "")


def test_listeners_of_this_process_emit_as_well(mlq: MLQ) -> None:
    def counting(msg: int, ctx: Any) -> Any:
        ctx.emit("first")
        yield from range(msg)

    mlq.create_listener(counting)
    job_id = mlq.post(3)
    assert mlq.wait(job_id, 20) == [0, 1, 2]
    assert parts(mlq, job_id) == ["first", 0, 1, 2]


def test_a_flood_fills_no_memory_and_a_canceled_one_is_stopped(mlq: MLQ, start_worker: Any, tmp_path: Path) -> None:
    """One job emits without end; another, of the same worker, is not kept waiting for long."""
    file = tmp_path / "emitted"
    flood = mlq.post({"file": str(file), "bytes": 20_000})
    worker = start_worker("streams:floods", "jobs:echo", executors=2)
    wait_until(lambda: file.exists() and int(file.read_text() or 0) > 3000, seconds=30)
    began = time.monotonic()
    assert mlq.wait(mlq.post("beside it", functions=["echo"]), 20) == "beside it"
    assert time.monotonic() - began < 3.0
    resident = int(Path(f"/proc/{worker.pid}/statm").read_text().split()[1]) * 4096
    assert resident < 150 << 20
    mlq.cancel(flood)
    assert len(mlq.store.entries(flood, None, 100_000)) < 10_700
    wait_until(lambda: mlq.workers()[0].get("running") == "0", seconds=20)
    assert "Traceback" not in worker.log()


@pytest.mark.minutes
def test_while_redis_is_away_parts_are_kept_up_to_a_limit_and_the_listener_waits(
    short_folder: Path, namespace: str, start_worker: Any, tmp_path: Path
) -> None:
    file, server = tmp_path / "emitted", Server(short_folder, "--appendonly", "yes")

    def stopped(seen: list[int]) -> bool:
        """Nothing was emitted for a second."""
        seen.append(int(file.read_text() or 0))
        return len(seen) > 200 and seen[-200] == seen[-1]

    with server, MLQ.from_profile(redis_url=server.url, namespace=namespace) as own:
        start_worker("streams:emits_many", url=server.url, lease=60.0)
        job_id = own.post({"file": str(file), "parts": 5000, "bytes": 2000, "slowly": 300})
        wait_until(lambda: file.exists() and int(file.read_text() or 0) > 100, seconds=20)
        server.kill()
        seen: list[int] = []
        wait_until(lambda: stopped(seen), seconds=30)
        assert 500 < seen[-1] < 4000, "some are kept, and not all"
        server.start()
        assert own.wait(job_id, 40) == 5000
        assert [number for number, _ in parts(own, job_id)] == list(range(5000))
        assert (kinds(own, job_id)[0], kinds(own, job_id)[-1]) == ("running", "succeeded")
