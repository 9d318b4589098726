"""Calls: a worker runs the functions that it was told, and nothing else that a message may name."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy
import pytest

from mlq_cli import MLQ
from mlq_cli.model.call import Call
from mlq_cli.model.errors import JobFailed, Misuse, WrongCall
from mlq_cli.worker.repertoire import Repertoire
from tests_support import wait_until


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, as a program that posts calls of it has it."""
    from pathlib import Path

    monkeypatch.syspath_prepend(str(Path(__file__).parent / "importable"))
    import called

    return called


def test_partials_run_on_a_worker_that_was_told_the_module(mlq: MLQ, start_worker: Any, called: Any) -> None:
    ids = [
        mlq.post_call(partial(called.add, 1, 2, times=10)),
        mlq.post(partial(called.add, "a", "b")),
        mlq.post_call(partial(called.total, numpy.arange(4, dtype="float32"))),
        mlq.post_call(partial(called.slowly, [1, {"x": b"y"}])),
        mlq.post_call(partial(called.count, 3)),
        mlq.post_call(partial(called.count_slowly, 3)),
        mlq.post_call(partial(called.shout, "hello")),
        mlq.post_call(Call("called:add", (5,))),
    ]
    assert start_worker(calls=["called"], burst=True).wait(20) == 0
    results = [mlq.get_result(job_id) for job_id in ids]
    assert results == [30, "ab", 6.0, [1, {"x": b"y"}], [0, 1, 2], [0, 1, 2], "HELLO", 6]
    assert mlq.get_job(ids[2])["short_result"] == "float32"


def test_a_call_gets_the_context_and_its_record_shows_it(mlq: MLQ, start_worker: Any, called: Any) -> None:
    job_id = mlq.post_call(partial(called.tell, "hello"))
    assert mlq.get_job(job_id)["functions"] == ["called:tell"]
    assert str(mlq.get_job(job_id)["msg"]) == "called:tell('hello')"
    assert start_worker(calls=["called:tell"], burst=True).wait(20) == 0
    assert mlq.get_result(job_id) == ["hello", job_id, ["called:tell"]]


def test_a_listener_may_be_called_by_the_path_of_its_worker(mlq: MLQ, start_worker: Any, called: Any) -> None:
    plain, call = mlq.post(1), mlq.post_call(partial(called.plain, 2))
    by_path = mlq.post(3, functions=["called:plain"])
    assert start_worker("called:plain", burst=True).wait(20) == 0
    assert [mlq.get_result(job_id) for job_id in (plain, call, by_path)] == [["plain", n] for n in (1, 2, 3)]


@pytest.mark.parametrize("parallel", [1, 2])
def test_partials_are_posted_in_bulk_each_for_its_own_function(
    mlq: MLQ, start_worker: Any, called: Any, parallel: int
) -> None:
    messages: list[Any] = [partial((called.add, called.slowly)[n % 2], n) for n in range(700)]
    messages[350] = {"no": "call"}
    ids = mlq.post_many(messages, parallel=parallel)
    records = mlq.get_jobs(ids)
    asked = [record and record["functions"] for record in records]
    assert asked[:2] == [["called:add"], ["called:slowly"]] and asked[350] is None and asked[351] == ["called:slowly"]
    assert start_worker("called:plain", calls=["called"], burst=True).wait(30) == 0
    results = [record and record["result"] for record in mlq.get_jobs(ids)]
    expected: list[Any] = [n if n % 2 else n + 1 for n in range(700)]
    expected[350] = ["plain", {"no": "call"}]
    assert results == expected


def test_what_does_not_fit_is_refused_before_anything_is_posted(mlq: MLQ, called: Any) -> None:
    with pytest.raises(WrongCall, match="called:add\\(\\) does not fit its function: missing a required argument"):
        mlq.post_call(called.add)
    with pytest.raises(TypeError, match="unexpected keyword argument 'tims'"):
        mlq.post(partial(called.add, 1, tims=2))
    with pytest.raises(Misuse, match="says by itself what it runs"):
        mlq.post(partial(called.add, 1), functions=["add"])
    with pytest.raises(Misuse, match="is a class"):
        mlq.post_call(partial(called.Tool))
    with pytest.raises(Misuse, match="cannot be the name of a function"):
        mlq.post_call(Call("called:add\n"))
    assert mlq.job_count() == 0


def test_what_a_call_raises_is_the_failure_of_its_job(mlq: MLQ, start_worker: Any, called: Any) -> None:
    failing, wrong = mlq.post_call(partial(called.fail, "no")), mlq.post_call(Call("called:add", (1, 2, 3)))
    assert start_worker(calls=["called"], burst=True).wait(20) == 0
    with pytest.raises(JobFailed, match="ValueError: no"):
        mlq.get_result(failing)
    with pytest.raises(JobFailed, match="TypeError: add"):
        mlq.get_result(wrong)


@pytest.mark.minutes
def test_a_call_of_what_nobody_has_gives_up_and_says_so(mlq: MLQ, start_worker: Any) -> None:
    job_id = mlq.post_call(Call("called:_private"))
    start_worker(calls=["called"])
    with pytest.raises(JobFailed, match="no worker has the function called:_private; the last one asked has called:"):
        mlq.wait(job_id, 30)


@pytest.fixture
def repertoire(called: Any) -> Repertoire:
    told = Repertoire()
    told.allow("called")
    told.allow("exporting")
    return told


@pytest.mark.parametrize(
    "path",
    [
        "called:_private",
        "called:__builtins__",
        "called:__loader__",
        "called:os.getcwd",
        "called:os",
        "called:getcwd",
        "called:Tool",
        "called:Tool.method",
        "called:table",
        "called:instance",
        "called:asyncio.run",
        "called:",
        "called:nothing",
        "called",
        ":add",
        "os:getcwd",
        "os:system",
        "builtins:eval",
        "called.os:system",
        "exporting:hidden",
        "exporting:__all__",
        "",
    ],
)
def test_no_message_reaches_what_its_worker_was_not_told(repertoire: Repertoire, path: str) -> None:
    assert not repertoire.choose(Call(path), None) and not repertoire.choose(Call(path), [path])


@pytest.mark.parametrize(
    "path", ["called:add", "called:shout", "called:slowly", "exporting:shown", "exporting:basename"]
)
def test_what_a_module_defines_or_exports_may_be_called(repertoire: Repertoire, path: str) -> None:
    (callee,) = repertoire.choose(Call(path), None)
    assert callee.name == path


def test_a_worker_may_be_told_a_single_function_wherever_it_is(called: Any) -> None:
    told = Repertoire()
    told.allow("called:Tool.method")
    assert told.names == ["called:Tool.method"]
    (callee,) = told.choose(Call("called:Tool.method"), None)
    assert callee.call(Call("called:Tool.method"), None) == called.Tool.method()
    assert not told.choose(Call("called:add"), None) and not told.choose({"plain": 1}, None)


def test_a_module_that_is_not_there_stops_the_worker_with_a_clear_word(start_worker: Any) -> None:
    worker = start_worker(calls=["nowhere.tasks"])
    wait_until(lambda: worker.poll() is not None)
    assert "there is no module 'nowhere' whose functions could be called" in worker.log()


def test_a_worker_for_calls_alone_leaves_messages_to_others(mlq: MLQ, start_worker: Any, called: Any) -> None:
    message, call = mlq.post("for a listener"), mlq.post_call(partial(called.add, 1))
    assert start_worker(calls=["called"], burst=True).wait(20) == 0
    assert mlq.get_result(call) == 2 and mlq.get_job(message)["state"] == "queued"
    assert start_worker("called:plain", burst=True).wait(20) == 0
    assert mlq.get_result(message) == ["plain", "for a listener"]


def test_a_lambda_and_a_closure_are_registered_and_called_by_name(
    mlq: MLQ, redis_url: str, start_worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLQ_SECRET", "a secret of the test's own, long enough")
    mlq, factor = MLQ.from_profile(redis_url=redis_url, namespace=mlq.namespace), 3
    ids = [mlq.post_call(partial(lambda x: x * factor, 14)), mlq.post(partial(lambda x, ctx: [x, ctx.id], "x"))]
    ids += mlq.post_many(partial(lambda n: n + factor, n) for n in range(3))
    start_worker(registered=True)
    assert [mlq.wait(job_id, 20) for job_id in ids] == [42, ["x", ids[1]], 3, 4, 5]
    mlq.close()
