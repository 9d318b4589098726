"""Slices, the supply they come from, and what executors say of them: no job is lost, and none has two owners."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgpack
import pytest
from tests_puppet import SETTINGS, Puppet, done, mark_of

from mlq_cli.store.base import Claimed
from mlq_cli.worker.executor import Executor
from mlq_cli.worker.hearing import Hearing
from mlq_cli.worker.line import LONGEST
from mlq_cli.worker.outbox import Outbox
from mlq_cli.worker.slices import Sent, Slices
from mlq_cli.worker.supply import SLICE_JOBS, Supply


def sent(name: str, place: int = 0) -> Sent:
    return Sent(name, "token", None, b"record", place)


class Stage:
    """A supply with executors that do what the test says."""

    def __init__(self, executors: int, pace: float = 1e-6) -> None:
        self.supply = Supply(executors)
        self.supply._pace = pace
        self.outbox = Outbox()
        self.words: list[list[Any]] = []
        self.hearing = Hearing(self.supply, self.outbox, lambda executor, frame: self.words.append(frame))
        self.puppets = [Puppet() for _ in range(executors)]
        end, slices = self.supply.line.receiving_end, self.supply.slices
        self.executors = [Executor(puppet, SETTINGS, end, slices) for puppet in self.puppets]
        for executor in self.executors:
            executor.became_ready(1)

    def add(self, *names: str, token: str = "token", record: bytes = b"r") -> None:
        self.supply.add([Claimed(name, None, record) for name in names], token)

    def hand_out(self) -> None:
        self.supply.hand_out(self.executors)

    def backlog(self) -> list[str]:
        return [job.id for job in self.supply.backlog]

    def outcomes(self) -> list[str]:
        return [outcome.id for outcome in self.outbox.outcomes]

    def die(self, number: int) -> list[str]:
        """Let an executor die, as a lane would; returns what it had begun."""
        dead, alive = self.executors[number], [each for each in self.executors if each is not self.executors[number]]
        self.hearing.hear_last(dead)
        begun = [job.id for job, _ in self.supply.reclaim(dead)]
        self.supply.find(alive, self.hearing.hear_all)
        return begun


@pytest.fixture
def one() -> Iterator[Stage]:
    yield from staged(1)


@pytest.fixture
def two() -> Iterator[Stage]:
    yield from staged(2)


def staged(executors: int) -> Iterator[Stage]:
    stage = Stage(executors)
    yield stage
    stage.supply.line.close()
    for executor, puppet in zip(stage.executors, stage.puppets, strict=True):
        executor.close()
        puppet.outcomes.close()


# --- slices ---------------------------------------------------------------------------------------------------------
def test_a_mark_whose_job_has_moved_on_does_not_count() -> None:
    slices = Slices()
    jobs = [sent(name) for name in "abc"]
    slices.add(1, [*jobs])
    moved = slices.take_behind(mark_of(1, 0))
    slices.add(2, moved)
    assert moved == jobs[1:] and slices.at(mark_of(1, 1)) is None and slices.at(mark_of(2, 0)) is jobs[1]
    slices.jobs["a"] = again = sent("a", 7)  # a later attempt
    slices.add(3, [again])
    assert slices.at(mark_of(1, 0)) is None and slices.at(mark_of(3, 0)) is again
    assert slices.numbers() == {2, 3}


def test_jobs_up_to_a_mark_and_behind_it_are_those_without_an_outcome() -> None:
    slices = Slices()
    slices.add(1, [sent(name) for name in "abcde"])
    del slices.jobs["a"], slices.jobs["d"]
    assert [job.id for job in slices.up_to(mark_of(1, 2))] == ["b", "c"]
    assert [job.id for job in slices.behind(mark_of(1, 2))] == ["e"]
    assert [job.id for job in slices.take(1)] == ["b", "c", "e"] and not slices.jobs and not slices.numbers()


def test_slices_that_are_over_are_forgotten_and_open_ones_are_kept() -> None:
    slices = Slices()
    for number in range(1, 2001):
        slices.add(number, [sent(f"{number}")])
        if number % 20:
            del slices.jobs[f"{number}"]
    assert slices.numbers() == set(range(20, 2001, 20))
    assert len(slices._slices) <= 3 * 100 + 64


# --- the supply -----------------------------------------------------------------------------------------------------
def test_slices_are_bounded_in_jobs_and_bytes_and_only_for_one_executor(one: Stage, two: Stage) -> None:
    one.add(*(f"{n}" for n in range(150)))
    two.add(*(f"{n}" for n in range(3)))
    one.hand_out()
    two.hand_out()
    assert [len(jobs) for jobs in one.supply.slices._slices.values()] == [SLICE_JOBS, 50]
    assert [len(jobs) for jobs in two.supply.slices._slices.values()] == [1, 1, 1], (
        "or one might wait behind a long one"
    )
    one.add(*(f"large{n}" for n in range(10)), record=b"r" * (LONGEST // 3))
    one.hand_out()
    large = [jobs for jobs in one.supply.slices._slices.values() if jobs[0].id.startswith("large")]
    assert sum(map(len, large)) == 10 and 1 < max(map(len, large)) <= 3


def test_jobs_of_unknown_length_go_out_one_by_one(one: Stage) -> None:
    one.supply._pace = None
    one.add("a", "b")
    one.hand_out()
    assert [len(jobs) for jobs in one.supply.slices._slices.values()] == [1, 1]


def test_what_comes_back_stands_where_it_was_claimed(one: Stage) -> None:
    one.add("a", "b", "c")
    one.hand_out()
    one.add("d")
    one.supply.take_back()
    assert one.backlog() == ["a", "b", "c", "d"]


def test_a_full_line_leaves_the_rest_in_the_backlog(two: Stage) -> None:
    names = [f"{n}" for n in range(2000)]
    two.add(*names, record=b"r" * 4000)
    two.hand_out()
    handed = list(two.supply.slices.jobs)
    assert 0 < len(handed) < 2000 and handed + two.backlog() == names
    assert len(two.supply.line.take_back()) == len(handed)


def test_what_an_executor_has_not_begun_is_recalled(one: Stage) -> None:
    one.add("a", "b", "c", "d")
    one.hand_out()
    number = one.puppets[0].receive()
    one.puppets[0].board.begin(mark_of(number, 1), 0.0)
    one.supply.recall(one.executors[0])
    assert one.backlog() == ["c", "d"] and one.executors[0].running() == {"b"}
    assert one.puppets[0].board.recalled(mark_of(number, 2)) and not one.puppets[0].board.recalled(mark_of(number, 1))


# --- after a death --------------------------------------------------------------------------------------------------
def test_one_job_is_blamed_for_a_death_and_those_behind_it_come_back(one: Stage) -> None:
    one.add("a", "b", "c", "d")
    one.hand_out()
    one.add("e")
    one.hand_out()
    puppet = one.puppets[0]
    number = puppet.receive()
    puppet.board.keep(msgpack.packb(done("a")))
    puppet.board.begin(mark_of(number, 1), 0.0)
    assert one.die(0) == ["b"] and one.outcomes() == ["a"]
    assert one.backlog() == ["c", "d", "e"] and not one.supply.slices.jobs


def test_a_job_that_cannot_be_sent_stays_and_is_told_of_once(
    one: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_descriptor(number: int, records: Sequence[bytes]) -> bool:
        raise OSError(24, "Too many open files")

    one.add("a")
    with monkeypatch.context() as patched:
        patched.setattr(one.supply.line, "send", no_descriptor)
        one.hand_out()
        one.hand_out()
    assert one.backlog() == ["a"] and caplog.text.count("Too many open files") == 1
    one.hand_out()
    assert one.backlog() == []


def test_a_slice_that_was_received_and_not_noted_comes_back(two: Stage) -> None:
    two.add("a", "b", "c")
    two.hand_out()
    two.puppets[0].receive()
    assert two.puppets[1].receiver.receive_now() is not None  # and dies before it has noted it
    assert two.die(1) == []
    assert two.backlog() == ["b", "c"] and two.executors[0].running() == {"a"}


def test_one_that_lives_and_was_about_to_note_a_slice_does_not_run_it(two: Stage) -> None:
    two.add("a")
    two.hand_out()
    received = two.puppets[0].receiver.receive_now()
    assert received is not None
    assert two.die(1) == [] and two.backlog() == ["a"]
    mark = mark_of(received[0], 0)
    two.puppets[0].board.begin(mark, 0.0)
    assert two.puppets[0].board.recalled(mark), "it goes to somebody else"


def test_what_others_run_or_have_run_is_not_taken_for_lost(two: Stage) -> None:
    two.add("a", "b", "c")
    two.hand_out()
    busy = two.puppets[0]
    busy.receive()
    busy.tell(done("a"))  # nobody has read that yet
    busy.receive()
    two.executors[0].leave()  # and it is about to leave
    two.puppets[1].receive()
    assert two.die(1) == ["c"]
    assert two.outcomes() == ["a"] and two.backlog() == [] and two.executors[0].running() == {"b"}


# --- what is said ---------------------------------------------------------------------------------------------------
def test_an_async_executor_of_which_nothing_was_heard_keeps_what_it_has_begun(two: Stage) -> None:
    two.add("a")
    two.hand_out()
    number = two.puppets[0].receiver.receive_now()
    assert number is not None
    two.puppets[0].board.begin(mark_of(number[0], 0), 0.0, 99)
    assert two.die(1) == [] and two.backlog() == []


def test_a_thread_that_was_given_up_runs_nothing_that_is_given_to_another(one: Stage) -> None:
    one.add(*"abc")
    one.hand_out()
    number = one.puppets[0].receive()
    one.executors[0].kill()
    assert one.die(0) == ["a"] and one.backlog() == ["b", "c"]
    board = one.puppets[0].board
    board.begin(mark_of(number, 1), 0.0)
    assert board.recalled(mark_of(number, 1)) and board.asked_to_leave


def test_outcomes_that_were_read_from_the_board_count_once(one: Stage) -> None:
    one.add("a", "b")
    one.hand_out()
    puppet, executor = one.puppets[0], one.executors[0]
    puppet.receive()
    puppet.board.keep(msgpack.packb(done("a")))
    one.hearing.hear_unsent(executor)
    assert one.outcomes() == ["a"]
    puppet.tell(done("a"), done("b"))
    puppet.board.sent()
    one.hearing.hear(executor)
    assert one.outcomes() == ["a", "b"] and one.hearing.done == 2


def test_an_outcome_that_is_sent_late_does_not_count_for_the_next_attempt(one: Stage) -> None:
    """It was read from the board, settled, and the job claimed again before the executor came to send it."""
    one.add("a", "b")
    one.hand_out()
    puppet, executor = one.puppets[0], one.executors[0]
    puppet.receive()
    puppet.board.keep(msgpack.packb(["error", "a", "token", 0.001, b"E", b"", b""]))
    one.hearing.hear_unsent(executor)
    one.add("a", token="second")
    one.hand_out()
    puppet.tell(["error", "a", "token", 0.001, b"E", b"", b""], done("b"))
    puppet.board.sent()
    one.hearing.hear(executor)
    assert [(each.id, each.token) for each in one.outbox.outcomes] == [("a", "token"), ("b", "token")]
    assert one.supply.slices.jobs["a"].token == "second"
    puppet.tell(done("a", token="second"))
    one.hearing.hear(executor)
    assert one.outbox.outcomes[-1].token == "second", "its own outcome counts"


def test_outcomes_and_progress_of_jobs_that_are_not_ours_are_ignored(one: Stage) -> None:
    one.add("a")
    one.hand_out()
    one.puppets[0].tell(done("strange"), ["progress", "strange", "token", b"\x01"], ["progress", "a", "token", b"\x02"])
    one.hearing.hear(one.executors[0])
    assert one.outcomes() == [] and list(one.outbox.progress) == ["a"] and one.hearing.done == 0
    one.puppets[0].tell(done("a"))
    one.hearing.hear(one.executors[0])
    assert one.outcomes() == ["a"] and not one.outbox.progress, "progress of what has ended is not told"
    assert one.executors[0].verdict is None


@pytest.mark.parametrize(
    "frame",
    [
        17,
        {"done": "a"},
        ["crash", "a", "token", 0.1, b"", b"", b""],
        ["done", "a", "token", 1, b"", b"", b""],
        ["done", "a", "token", -1.0, b"", b"", b""],
        ["done", "a", "token", float("nan"), b"", b"", b""],
        ["done", "a", "token", 1e11, b"", b"", b""],
        ["done", "a", "token", 0.1, "text", b"", b""],
        ["done", "a", "token", 0.1, b"", None, b""],
        ["done", ["a"], "token", 0.1, b"", b"", b""],
        [["done"], "a", "token", 0.1, b"", b"", b""],
        msgpack.ExtType(5, b"x"),
    ],
    ids=str,
)
def test_a_broken_frame_condemns_its_executor_and_settles_nothing(one: Stage, frame: Any) -> None:
    one.add("a")
    one.hand_out()
    one.puppets[0].tell(frame, done("a"))
    one.hearing.hear(one.executors[0])
    assert one.outcomes() == [] and one.supply.slices.jobs
    verdict = one.executors[0].verdict
    assert verdict is not None and verdict[0] == "ExecutorCrash" and one.puppets[0].killed


def test_words_of_an_executor_about_itself_are_passed_on(one: Stage) -> None:
    one.puppets[0].tell(["leaving", "why"])
    one.hearing.hear(one.executors[0])
    assert one.words == [["leaving", "why"]]
