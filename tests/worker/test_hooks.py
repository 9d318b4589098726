"""Hooks of `mlq worker`: before and after each attempt, and one that says when to stop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlq_cli import MLQ, Misuse
from mlq_cli.worker.hooks import Hooks
from tests_support import wait_until


@pytest.fixture
def noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOOKED", str(tmp_path / "noted"))
    return tmp_path / "noted"


@pytest.mark.parametrize("function", ["consuming:echo", "consuming:echo_async"])
def test_hooks_are_called_in_the_executor_around_each_attempt(
    mlq: MLQ, start_worker: Any, noted: Path, function: str
) -> None:
    good, bad = mlq.post("good"), mlq.post("fail")
    hooks = {"before_fn": "consuming:before", "after_fn": "consuming:after"}
    assert start_worker(function, burst=True, **hooks).wait(20) == 0
    lines = noted.read_text().splitlines()
    assert [line for line in lines if f" {good}" in line] == [f"before {good}", f"after {good} True NoneType"]
    assert [line for line in lines if f" {bad}" in line] == [f"before {bad}", f"after {bad} False ValueError"]


def test_a_hook_of_one_argument_is_called_after_successes_alone(mlq: MLQ, start_worker: Any, noted: Path) -> None:
    good = mlq.post("good")
    mlq.post("fail")
    assert start_worker("consuming:echo", burst=True, after_fn="consuming:after_success").wait(20) == 0
    assert noted.read_text() == f"done {good}\n"


def test_a_worker_stops_warmly_when_its_hook_says_so(mlq: MLQ, start_worker: Any) -> None:
    ids = mlq.post_many(range(100))
    worker = start_worker("consuming:echo", stop_fn="consuming:after_three")
    assert worker.wait(20) == 0
    states = [str(state) for state in mlq.states(ids)]
    assert states == ["succeeded"] * 3 + ["queued"] * 97, states
    assert "a hook says that it is time to stop" in worker.log()
    assert [mlq.get_job(job_id)["attempt"] for job_id in ids[3:6]] == [0, 0, 0]


@pytest.mark.parametrize("function", ["consuming:echo", "consuming:echo_async"])
def test_a_worker_with_several_executors_stops_once(mlq: MLQ, start_worker: Any, function: str) -> None:
    mlq.post_many(range(300))
    assert start_worker(function, executors=2, stop_fn="consuming:after_three").wait(20) == 0
    assert mlq.counts()[0].states["running"] == 0 and mlq.workers() == []  # type: ignore[index]


@pytest.mark.minutes
@pytest.mark.parametrize("function", ["consuming:echo", "consuming:echo_async"])
def test_a_hook_is_asked_while_there_is_nothing_to_do(mlq: MLQ, start_worker: Any, function: str) -> None:
    assert start_worker(function, stop_fn="consuming:after_a_second").wait(20) == 0


def test_a_hook_before_that_raises_fails_the_attempt(mlq: MLQ, start_worker: Any) -> None:
    job_id = mlq.post("x")
    assert start_worker("consuming:echo", burst=True, before_fn="consuming:refuse").wait(20) == 0
    assert mlq.get_job(job_id)["error"] == "PermissionError: not this one"


def test_hooks_that_raise_after_a_job_are_told_in_the_log_and_change_nothing(mlq: MLQ, start_worker: Any) -> None:
    ids = mlq.post_many(range(20))
    worker = start_worker("consuming:echo", burst=True, after_fn="consuming:burst", stop_fn="consuming:burst")
    assert worker.wait(20) == 0
    assert [mlq.get_result(job_id) for job_id in ids] == list(range(20))
    assert worker.log().count("RuntimeError: a hook that is broken") == 1  # not once a job


@pytest.mark.parametrize("hook", ["consuming:wants_too_much", "consuming:missing"])
def test_a_hook_that_cannot_be_called_keeps_the_worker_from_starting(mlq: MLQ, start_worker: Any, hook: str) -> None:
    worker = start_worker("consuming:echo", stop_fn=hook)
    assert worker.wait(20) == 2 and "error: the worker cannot start" in worker.log()


def test_what_a_hook_is_told_is_counted() -> None:
    told: list[tuple[int, int]] = []
    hooks = Hooks(stop_fn=lambda executed, tries: told.append((executed, tries)))
    hooks.in_vain()
    assert not hooks.stops() and told == [(0, 1)]
    with pytest.raises(Misuse):
        Hooks(before_fn="no function")  # type: ignore[arg-type]
    wait_until(lambda: hooks.elapsed_time > 0)
