"""`mlq_cli.testing`: a listener, or code that posts, tested without a server."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest

from mlq_cli import JobFailed, JobNotFound, Misuse
from mlq_cli.model.errors import DataNotFound, NotCarried, TooLarge
from mlq_cli.model.job import State
from mlq_cli.testing import Posted, context, inline, run


def classify(msg: Any, ctx: Any) -> Any:
    ctx.update_progress(10)
    ctx["update_progress"](20)
    ctx.emit({"seen": msg["image"]})
    key = ctx.store_data(numpy.arange(3), key="pixels", expiry=60)
    ctx.post({"key": key}, functions=["thumbnail"], priority=2)
    return "cat", {"label": "cat", "attempt": ctx.attempt, "id": ctx.id}


# --- run -----------------------------------------------------------------------------------------------------------
def test_a_run_tells_all_that_the_listener_did() -> None:
    ran = run(classify, {"image": "a.png"}, attempt=2, id="img-1")
    assert ran.succeeded and ran.result == ran.unwrap() == {"label": "cat", "attempt": 2, "id": "img-1"}
    assert (ran.short_result, ran.progress, ran.parts) == ("cat", [10, 20], [{"seen": "a.png"}])
    assert ran.posted == [Posted("2", {"key": "pixels"}, None, ["thumbnail"], {"priority": 2})]
    assert ran.stored["pixels"].tolist() == [0, 1, 2] and 0 < ran.seconds < 5


def test_what_it_raises_is_told_and_not_raised() -> None:
    def fail(msg: Any) -> Any:
        raise ValueError("no such image")

    ran = run(fail, 1)
    assert not ran.succeeded and ran.result is None
    assert (ran.error, ran.error_type) == ("ValueError: no such image", "ValueError")
    assert isinstance(ran.exception, ValueError) and "in fail" in (ran.traceback or "")
    with pytest.raises(JobFailed, match="no such image") as failed:
        ran.unwrap()
    assert failed.value.__cause__ is ran.exception


def test_a_result_that_could_not_be_carried_fails_here_too() -> None:
    ran = run(lambda msg: {1, 2}, 1)
    assert ran.error_type == "NotCarried" and isinstance(ran.exception, NotCarried)
    with pytest.raises(NotCarried):
        run(lambda msg: 1, object())


def test_the_message_is_a_copy_as_from_a_queue() -> None:
    given: Any = {"list": (1, 2)}
    ran = run(lambda msg: msg["list"].append(3) or msg, given)
    assert ran.result == {"list": [1, 2, 3]} and given == {"list": (1, 2)}


def test_generators_and_async_functions_and_paths_run_too() -> None:
    def count(msg: int) -> Iterator[int]:
        yield from range(msg)
        return "counted"

    async def countdown(msg: int) -> AsyncIterator[int]:
        for number in range(msg):
            await asyncio.sleep(0)
            yield msg - number

    assert (run(count, 2).parts, run(count, 2).result) == ([0, 1], "counted")
    assert (run(countdown, 2).parts, run(countdown, 2).result) == ([2, 1], [2, 1])
    assert run("math:sqrt", 4).result == 2.0
    with pytest.raises(Misuse, match="more than a listener gets"):
        run(lambda a, b, c: 1, 1)


def test_a_timeout_interrupts() -> None:
    began = time.monotonic()
    ran = run(time.sleep, 60, timeout=0.1)
    assert (ran.error_type, time.monotonic() - began < 10) == ("JobTimeout", True)


def test_what_other_jobs_return_is_for_the_test_to_say() -> None:
    def parent(msg: Any, ctx: Any) -> Any:
        return [ctx.block_until_result(ctx.post(number, functions=["child"])) for number in msg]

    assert run(parent, [1, 2], results={"2": "one", "3": "two"}).result == ["one", "two"]
    assert run(parent, [1, 2], results=lambda posted: posted.msg * 10).result == [10, 20]
    assert (
        run(parent, [1], results={"2": JobFailed("2", "ValueError: no")}).error
        == "JobFailed: job 2 failed: ValueError: no"
    )
    assert isinstance(run(parent, [1]).exception, JobNotFound)


def test_what_others_have_stored_is_there() -> None:
    def read(msg: str, ctx: Any) -> Any:
        return ctx.fetch_data(msg)

    assert run(read, "model", data={"model": b"weights"}).result == b"weights"
    assert isinstance(run(read, "other").exception, DataNotFound)


def test_options_of_a_post_that_make_no_sense_are_refused_as_in_a_queue() -> None:
    assert run(lambda msg, ctx: ctx.post(1, priority=9999), 1).error_type == "Misuse"
    assert run(lambda msg, ctx: ctx.post(1, functions="one"), 1).error_type == "Misuse"
    assert isinstance(run(lambda msg, ctx: ctx.emit(b"x" * (2 << 20)), 1).exception, TooLarge)


def test_ctrl_c_and_pytests_own_ways_out() -> None:
    def interrupt(msg: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(interrupt, 1)


# --- context -------------------------------------------------------------------------------------------------------
def test_a_listener_may_be_called_by_hand() -> None:
    msg = {"image": "a.png"}
    ctx = context(msg, id="7")
    assert classify(msg, ctx)[0] == "cat"
    assert (ctx.progress, ctx.parts) == ([10, 20], [{"seen": "a.png"}])
    assert ctx.posted[0].functions == ["thumbnail"] and list(ctx.stored) == ["pixels"]
    assert ctx.full_message["id"] == ctx.id == "7" and ctx["full_message"]["progress"] == 20


# --- inline --------------------------------------------------------------------------------------------------------
@pytest.fixture
def inline_mlq() -> Iterator[Any]:
    with inline(classify) as mlq:
        yield mlq


def test_what_is_posted_has_run_when_post_returns(inline_mlq: Any) -> None:
    job_id = inline_mlq.post({"image": "a.png"}, callback="http://localhost/done")
    record = inline_mlq.get_job(job_id)
    assert (record["state"], record["short_result"]) == (State.SUCCEEDED, "cat")
    assert record["callback"] == "http://localhost/done" and inline_mlq.fetch_data("pixels").tolist() == [0, 1, 2]


def test_a_delay_is_the_tests_to_end_and_a_rerun_comes_at_once() -> None:
    def flaky(msg: Any, ctx: Any) -> int:
        if ctx.attempt < 3:
            raise OSError("not yet")
        return ctx.attempt

    began = time.monotonic()
    with inline(flaky) as mlq:
        later = mlq.post(1, delay=3600, retries=5)
        assert mlq.get_job(later)["state"] is State.SCHEDULED
        assert mlq.run() == 1 and mlq.get_result(later) == 3
        assert mlq.get_result(mlq.post(1, retries=5)) == 3
    assert time.monotonic() - began < 30


def test_a_job_that_fails_raises_where_its_result_is_asked_for() -> None:
    with inline(lambda msg: 1 // msg) as mlq:
        job_id = mlq.post(0)
        with pytest.raises(JobFailed, match="ZeroDivisionError"):
            mlq.get_result(job_id)


def test_what_a_listener_posts_runs_when_it_is_through() -> None:
    order: list[int] = []

    def listener(msg: int, ctx: Any) -> None:
        if msg < 3:
            ctx.post(msg + 1)
        order.append(msg)

    with inline(listener) as mlq:
        mlq.post(0)
        assert order == [0]
    assert order == [0, 1, 2, 3]


# --- what it costs -------------------------------------------------------------------------------------------------
def test_to_import_it_takes_no_server_no_rich_no_asyncio_and_little_time() -> None:
    heavy = (
        "redis",
        "rich",
        "typer",
        "yaml",
        "asyncio",
        "numpy",
        "cloudpickle",
        "subprocess",
        "mlq_cli.store.redis",
        "mlq_cli.worker.lane",
    )
    code = (
        "import sys, time; began = time.process_time(); import mlq_cli.testing; "
        f"print(time.process_time() - began, [name for name in {heavy} if name in sys.modules])"
    )
    seconds = []
    for _ in range(3):
        took, _, found = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.partition(" ")
        assert found.strip() == "[]"
        seconds.append(float(took))
    assert min(seconds) < 0.5, "it takes some 0.1 s"


def test_a_file_of_tests_needs_no_server(tmp_path: Path) -> None:
    """The example of the guide, run by pytest in a process of its own where any connection fails."""
    guide = (Path(__file__).parents[2] / "docs" / "guides" / "testing.md").read_text()
    for name in ("tasks.py", "test_tasks.py"):
        block = guide.partition(f"# {name}\n")[2].partition("```")[0]
        assert block, name
        (tmp_path / name).write_text(block)
    (tmp_path / "conftest.py").write_text(
        "import sys\n"
        "def hear(event, args):\n"
        "    assert event not in ('socket.connect', 'socket.bind')\n"
        "sys.addaudithook(hear)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(tmp_path)],
        cwd=tmp_path, text=True, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
