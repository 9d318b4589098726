"""What becomes of the jobs of a slice when one of them takes long, fails or takes its executor with it."""

from __future__ import annotations

import heapq
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mlq_cli import MLQ, State
from tests_support import wait_until


class Book:
    """Messages for `jobs:act`, and the file in which each run of theirs is a line."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def job(self, name: str, do: str = "", seconds: float = 0.0, **more: Any) -> dict[str, Any]:
        return {"file": str(self._path), "name": name, "do": do, "seconds": seconds, **more}

    def lines(self) -> list[tuple[str, int]]:
        """Return the name and the process of each run, in the order in which they began."""
        text = self._path.read_text() if self._path.exists() else ""
        return [(name, int(pid)) for name, _, pid in (line.partition(" ") for line in text.splitlines())]

    def runs(self) -> Counter[str]:
        return Counter(name for name, _ in self.lines())

    def pid(self, name: str) -> int:
        return next(pid for each, pid in self.lines() if each == name)


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path / "runs")


def settled(mlq: MLQ, ids: list[str], seconds: float = 20.0) -> None:
    wait_until(lambda: all(job and job["processing_finished"] for job in mlq.get_jobs(ids)), seconds=seconds)


# --- executors that leave -------------------------------------------------------------------------------------------
def both_ready(mlq: MLQ, book: Book) -> None:
    """Wait until jobs run in two executors."""

    def two() -> bool:
        settled(mlq, mlq.post_many(book.job("warm", "sleep", 0.2) for _ in range(2)))
        return len({pid for _, pid in book.lines()}) == 2

    wait_until(two)


def test_a_warm_stop_lets_a_job_finish_while_other_executors_end_before_it(
    mlq: MLQ, start_worker: Any, book: Book, tmp_path: Path
) -> None:
    worker = start_worker("jobs:act", executors=2, grace=20.0)
    both_ready(mlq, book)
    goodbye = tmp_path / "goodbye"
    long = mlq.post(book.job("long", "sleep", 1.0, goodbye=str(goodbye)))
    wait_until(lambda: book.runs()["long"])
    worker.send_signal(signal.SIGTERM)
    assert mlq.wait(long, 20) == "long"
    began = time.monotonic()
    assert worker.wait(20) == 0
    assert time.monotonic() - began < 1.5, "each executor is told to stop"
    assert goodbye.exists(), "and has time for its exit handlers"
    assert book.runs()["long"] == 1 and mlq.get_job(long)["attempt"] == 1


def test_what_waits_behind_an_executor_that_ends_slowly_is_given_to_another_worker(
    mlq: MLQ, start_worker: Any, book: Book
) -> None:
    first, second = start_worker("jobs:act", max_jobs=20), None
    settled(mlq, mlq.post_many(book.job("warm") for _ in range(18)))
    slow = mlq.post_many([book.job("slow", "leave slowly", 3.0), *(book.job(f"{n}") for n in range(300))])
    wait_until(lambda: book.runs()["slow"])
    began = time.monotonic()
    second = start_worker("jobs:act")
    settled(mlq, slow)
    assert time.monotonic() - began < 2.0 and first.poll() is second.poll() is None
    assert max(book.runs()[f"{n}"] for n in range(300)) == 1


def test_each_async_job_has_a_place_of_its_own_on_the_board(mlq: MLQ, start_worker: Any) -> None:
    """Or one of them is noted over another, which has no timeout then, and no crash."""
    start_worker("jobs:nap")
    assert mlq.wait(mlq.post(0.1), 20) == 0.1
    timed = mlq.post(30, timeout=0.5)
    wait_until(lambda: mlq.get_job(timed)["state"] is State.RUNNING)
    mlq.post(20)
    began = time.monotonic()
    mlq.wait_ended(timed, 10)
    assert mlq.get_job(timed)["error_type"] == "JobTimeout" and time.monotonic() - began < 3


@pytest.mark.minutes
def test_jobs_of_one_executor_run_once_while_another_dies_again_and_again(
    mlq: MLQ, start_worker: Any, book: Book
) -> None:
    """Their outcomes are on the way, or they have been received a moment ago: neither is to be taken for lost."""
    start_worker("jobs:act", executors=2)
    both_ready(mlq, book)
    ids = mlq.post_many(book.job(f"{n}", "crash" if n % 50 == 25 else "") for n in range(400))
    settled(mlq, ids, 60)
    runs = book.runs()
    assert {runs[f"{n}"] for n in range(400) if n % 50 != 25} == {1}
    assert {runs[f"{n}"] for n in range(25, 400, 50)} == {3}, "tried, and twice again"


# --- one executor, slices of many -----------------------------------------------------------------------------------
def sliced(mlq: MLQ, book: Book, count: int = 60) -> None:
    """Let a worker see that jobs are brief, so that it makes slices of many."""
    settled(mlq, mlq.post_many(book.job("warm") for _ in range(count)))


def crowd(book: Book, count: int, special: dict[int, dict[str, Any]]) -> list[dict[str, Any]]:
    return [special.get(n) or book.job(f"{n}") for n in range(count)]


@pytest.mark.parametrize("deed", [pytest.param("sleep", marks=pytest.mark.minutes), "hold the lock"])
def test_outcomes_before_a_long_job_are_told_and_jobs_behind_it_go_to_another_worker(
    mlq: MLQ, start_worker: Any, book: Book, deed: str
) -> None:
    start_worker("jobs:act")
    sliced(mlq, book)
    ids = mlq.post_many(crowd(book, 200, {40: book.job("long", deed, 2.5)}))
    wait_until(lambda: book.runs()["long"])
    began = time.monotonic()
    settled(mlq, ids[:40])
    assert time.monotonic() - began < 0.25, "an outcome is not held back by the job behind it"
    behind = wait_until(lambda: all(job and job["state"] is State.QUEUED for job in mlq.get_jobs(ids[41:])))
    assert behind and time.monotonic() - began < 0.75, "they are back in Redis"
    start_worker("jobs:act")
    settled(mlq, ids[41:])
    assert time.monotonic() - began < 2.5 and book.pid("long") != book.pid("199")
    settled(mlq, ids)
    runs = book.runs()
    del runs["warm"]
    assert set(runs.values()) == {1} and len(runs) == 200
    assert {job["attempt"] for job in mlq.get_jobs(ids) if job} == {1}


def test_an_executor_that_is_killed_in_a_slice_is_one_crash_of_one_job(mlq: MLQ, start_worker: Any, book: Book) -> None:
    start_worker("jobs:act")
    sliced(mlq, book)
    ids = mlq.post_many(crowd(book, 100, {50: book.job("crash", "crash")}), retries=0)
    settled(mlq, ids)
    runs, records = book.runs(), [job for job in mlq.get_jobs(ids) if job]
    assert [job["state"] for job in records].count(State.SUCCEEDED) == 99
    assert records[50]["state"] is State.DEAD and records[50]["crashes"] == runs["crash"] == 3
    assert {runs[f"{n}"] for n in range(100) if n != 50} == {1}, "no other is blamed, and none runs again"
    assert {job["crashes"] for job in records} == {0, 3}


def test_a_timeout_in_a_slice_ends_one_job(mlq: MLQ, start_worker: Any, book: Book) -> None:
    start_worker("jobs:act", timeout=0.4)
    sliced(mlq, book)
    ids = mlq.post_many(crowd(book, 100, {50: book.job("long", "hold the lock", 30.0)}))
    settled(mlq, ids)
    runs, records = book.runs(), [job for job in mlq.get_jobs(ids) if job]
    assert [job["error_type"] for job in records] == [None] * 50 + ["JobTimeout"] + [None] * 49
    assert {runs["long"], *(runs[f"{n}"] for n in range(100) if n != 50)} == {1}


def test_a_job_that_waits_behind_a_long_one_can_be_canceled_and_never_runs(
    mlq: MLQ, start_worker: Any, book: Book
) -> None:
    start_worker("jobs:act")
    sliced(mlq, book)
    ids = mlq.post_many(crowd(book, 30, {5: book.job("long", "sleep", 0.5)}))
    wait_until(lambda: book.runs()["long"])
    mlq.cancel(ids[20])
    settled(mlq, ids)
    runs = book.runs()
    assert mlq.get_job(ids[20])["state"] is State.CANCELED and runs["20"] == 0
    assert {runs[f"{n}"] for n in range(30) if n not in (5, 20)} == {1} and runs["long"] == 1


@pytest.mark.minutes
def test_executors_are_replaced_after_their_number_of_jobs_in_the_middle_of_slices(
    mlq: MLQ, start_worker: Any, book: Book
) -> None:
    start_worker("jobs:act", max_jobs=7)
    ids = mlq.post_many(crowd(book, 50, {}))
    settled(mlq, ids, 60)
    assert set(book.runs().values()) == {1} and len(book.runs()) == 50
    per_executor = Counter(pid for _, pid in book.lines())
    assert max(per_executor.values()) == 7 and len(per_executor) == 8
    assert {job["attempt"] for job in mlq.get_jobs(ids) if job} == {1}


def test_a_job_that_forks_in_a_slice_answers_once_and_those_behind_it_run_once(
    mlq: MLQ, start_worker: Any, book: Book
) -> None:
    start_worker("jobs:act")
    sliced(mlq, book)
    ids = mlq.post_many(crowd(book, 100, {n: book.job("fork", "fork") for n in (10, 11, 50)}))
    settled(mlq, ids)
    assert {mlq.get_result(ids[n]) for n in (10, 11, 50)} == {"the original"}
    runs = book.runs()
    assert runs["fork"] == 3 and {runs[f"{n}"] for n in range(100) if n not in (10, 11, 50)} == {1}


def test_a_job_that_closes_all_descriptors_in_a_slice_takes_no_outcome_with_it(
    mlq: MLQ, start_worker: Any, book: Book
) -> None:
    start_worker("jobs:act")
    sliced(mlq, book)
    ids = mlq.post_many(crowd(book, 100, {50: book.job("close", "close all")}))
    settled(mlq, ids)
    records = [job for job in mlq.get_jobs(ids) if job]
    assert {job["state"] for job in records} == {State.SUCCEEDED} and {job["crashes"] for job in records} == {0}
    runs = book.runs()
    assert {runs["close"], *(runs[f"{n}"] for n in range(100) if n != 50)} == {1}


def test_with_two_executors_no_short_job_begins_long_after_its_turn(mlq: MLQ, start_worker: Any) -> None:
    """Its turn has come when one that was posted later begins, but not before both places could have been free."""
    start_worker("jobs:begun_at", executors=2)
    settled(mlq, mlq.post_many({"long": True} for _ in range(8)))
    long = [n % 100 == 30 for n in range(600)]
    ids = mlq.post_many({"long": each} for each in long)
    settled(mlq, ids, 60)
    begun = [float(job["result"]) for job in mlq.get_jobs(ids) if job]
    turns, free = [], [min(begun)] * 2
    for each in long:
        turns.append(heapq.heappop(free))
        heapq.heappush(free, turns[-1] + 0.2 * each)
    worst, soonest = 0.0, float("inf")
    for number in reversed(range(600)):
        if not long[number]:
            worst = max(worst, begun[number] - max(soonest, turns[number]))
        soonest = min(soonest, begun[number])
    assert worst < 0.15, f"a job began {worst:.3f} s after its turn"
