"""Stand-ins: when they are hired, what they take, and when they leave."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from tests_puppet import SETTINGS, Puppet, done, mark_of

from mlq_cli.store.base import Claimed, Held
from mlq_cli.worker import standins
from mlq_cli.worker.lane import Lane
from mlq_cli.worker.outbox import Outbox


class Stage:
    """A lane whose executors are puppets."""

    def __init__(self, size: int) -> None:
        self.puppets: dict[int, Puppet] = {}
        self.outbox = Outbox()
        self.lane = Lane("jobs", ("default",), self.host, SETTINGS, self.outbox, size=size)
        self.look()
        self.ready()

    def host(self, number: int) -> Puppet:
        self.puppets[number] = Puppet()
        return self.puppets[number]

    def look(self, later: float = 0.0) -> list[int]:
        """Let the lane look after its executors, so many seconds later, and return their numbers."""
        self.lane.look_after(time.monotonic() + later)
        return sorted(self.lane.executors)

    def ready(self, width: int = 1) -> None:
        for executor in self.lane.executors.values():
            if not executor.ready:
                executor.became_ready(width)

    def begin(self, number: int, name: str) -> None:
        """Let an executor begin a job."""
        self.lane.take([Claimed(name, None, b"record")], "token")
        self.lane.dispatch()
        self.puppets[number].receive()

    def say(self, number: int, *frames: list[object]) -> None:
        self.puppets[number].tell(*frames)
        self.lane.hear(self.lane.executors[number])

    def block(self, number: int, name: str) -> None:
        self.say(number, ["blocked", name, "token"])

    def resume(self, number: int, name: str) -> None:
        self.say(number, ["resumed", name, "token"])


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage(1)
    yield made
    made.lane.forget()
    made.lane.close()


def test_a_stand_in_is_hired_for_each_place_that_blocks_and_only_then(stage: Stage) -> None:
    stage.begin(0, "a")
    assert stage.look() == [0] and stage.lane.room() == 0
    stage.block(0, "a")
    assert stage.look() == [0, 1]
    assert stage.lane.room() == 0, "the stand-in is not ready"
    stage.ready()
    assert stage.lane.room() == 1 and stage.lane.slots == 1
    stage.begin(1, "b")
    assert stage.lane.room() == 0
    stage.block(1, "b")
    assert stage.look() == [0, 1, 2]
    stage.ready()
    stage.resume(1, "b")
    assert stage.look() == [0, 1, 2] and stage.lane.room() == 0, "what goes on has the only place"
    stage.say(1, done("b"))
    assert stage.lane.room() == 1
    stage.resume(0, "a")
    assert stage.lane.room() == 0
    stage.say(0, done("a"))
    assert stage.lane.room() == 1, "three are idle, and one job at a time is what was asked for"


def test_a_job_counts_once_however_many_of_its_threads_block(stage: Stage) -> None:
    stage.begin(0, "a")
    stage.block(0, "a")
    stage.block(0, "a")
    stage.look()
    stage.ready()
    stage.resume(0, "a")
    assert stage.lane.room() == 1, "one thread of it blocks still"
    stage.resume(0, "a")
    assert stage.lane.room() == 0


def test_a_word_of_a_job_that_is_not_there_means_nothing(stage: Stage) -> None:
    stage.begin(0, "a")
    stage.say(0, ["blocked", "a", "another"], ["blocked", "b", "token"], ["resumed", "a", "token"])
    assert stage.look() == [0]


def test_a_job_that_ends_without_a_word_blocks_no_more(stage: Stage) -> None:
    stage.begin(0, "a")
    stage.block(0, "a")
    stage.say(0, done("a"))
    assert stage.look() == [0] and stage.lane.room() > 0


def test_a_stand_in_that_dies_gives_its_place_to_another(stage: Stage) -> None:
    stage.begin(0, "a")
    stage.block(0, "a")
    stage.look()
    stage.ready()
    stage.begin(1, "b")
    stage.block(1, "b")
    assert stage.look() == [0, 1, 2]
    stage.ready()
    stage.puppets[1].killed = True
    assert stage.look() == [0, 2], "the other stand-in is at hand"
    assert [outcome.id for outcome in stage.outbox.outcomes] == ["b"]
    stage.begin(2, "c")
    stage.block(2, "c")
    assert stage.look() == [0, 1, 2], "and the number may be another's"


def test_an_executor_that_dies_while_its_job_blocks_comes_back_under_its_number(stage: Stage) -> None:
    stage.begin(0, "a")
    stage.block(0, "a")
    stage.look()
    stage.ready()
    stage.puppets[0].killed = True
    assert stage.look() == [0, 1]
    stage.ready()
    assert stage.lane.room() == 1
    stage.lane.drop(Held("a", "token"))
    assert stage.look() == [0, 1] and stage.lane.room() == 1


def test_stand_ins_are_asked_to_leave_when_nobody_has_needed_them_for_a_while(stage: Stage) -> None:
    stage.begin(0, "a")
    stage.block(0, "a")
    stage.look()
    stage.ready()
    stage.begin(1, "b")
    stage.block(1, "b")
    stage.look()
    stage.ready()
    assert not stage.puppets[2].board.asked_to_leave
    stage.resume(1, "b")
    stage.say(1, done("b"))
    stage.look(standins.RESTED + 1)  # the time in which it was needed ends
    asked = [number for number in (1, 2) if stage.puppets[number].board.asked_to_leave]
    stage.look(standins.RESTED + 2)
    stage.look(2 * standins.RESTED + 3)
    asked = [number for number in (1, 2) if stage.puppets[number].board.asked_to_leave]
    assert len(asked) == 1, "the other one is needed: a job blocks"
    stage.say(asked[0], ["leaving", "it was asked"])
    stage.puppets[asked[0]].killed = True
    assert len(stage.look(2 * standins.RESTED + 4)) == 2
    stage.resume(0, "a")
    stage.say(0, done("a"))
    for seconds in range(3, 8):
        stage.look(seconds * (standins.RESTED + 1))
    assert all(stage.puppets[number].board.asked_to_leave for number in (1, 2))
    assert not stage.puppets[0].board.asked_to_leave, "the lane's own stays"


def test_one_that_was_asked_to_leave_does_not_count(stage: Stage) -> None:
    stage.begin(0, "a")
    stage.block(0, "a")
    stage.look()
    stage.ready()
    stage.resume(0, "a")
    for seconds in (0, 1, 2, 3):
        stage.look(seconds * (standins.RESTED + 1))
    assert stage.puppets[1].board.asked_to_leave
    stage.block(0, "a")
    assert stage.look() == [0, 1, 2]


def test_there_are_only_so_many(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(standins, "MOST", 2)
    for number, name in enumerate("abc"):
        stage.begin(number, name)
        stage.block(number, name)
        stage.look()
        stage.ready()
    assert stage.look() == [0, 1, 2]
    assert caplog.text.count("jobs that block have taken all 2 stand-ins") == 1
    stage.resume(2, "c")
    stage.say(2, done("c"))
    assert stage.lane.room() == 1


def test_nobody_is_hired_while_the_worker_stops(stage: Stage) -> None:
    stage.begin(0, "a")
    stage.lane.stop()
    stage.block(0, "a")
    assert stage.look() == [0] and stage.lane.room() == 0


def test_an_executor_that_is_about_to_leave_and_only_waits_gets_one_too() -> None:
    """It takes no other jobs, so those that it waits for would have nobody, though it has a place free."""
    stage = Stage(1)
    executor = stage.lane.executors[0]
    executor.width = 2
    stage.begin(0, "a")
    stage.say(0, ["leaving", "it has run so many"])
    assert stage.look() == [0]
    stage.block(0, "a")
    assert stage.look() == [0, 1]
    stage.lane.forget()
    stage.lane.close()


def test_of_two_executors_each_gets_one() -> None:
    stage = Stage(2)
    stage.begin(0, "a")
    stage.block(0, "a")
    assert stage.look() == [0, 1, 2]
    stage.ready()
    assert stage.lane.room() == 2
    stage.begin(1, "b")
    assert stage.lane.room() == 1
    stage.block(1, "b")
    assert stage.look() == [0, 1, 2, 3]
    stage.lane.forget()
    stage.lane.close()


def test_where_many_run_at_a_time_all_of_them_have_to_block() -> None:
    stage = Stage(1)
    executor = stage.lane.executors[0]
    executor.width = 2
    numbers = []
    for name in "ab":
        stage.lane.take([Claimed(name, None, b"record")], "token")
        numbers.append(stage.puppets[0].receive())
    for slot, number in enumerate(numbers):
        stage.puppets[0].board.begin(mark_of(number, 0), time.monotonic(), slot)
    stage.block(0, "a")
    assert stage.look() == [0]
    stage.block(0, "b")
    assert stage.look() == [0, 1]
    stage.lane.forget()
    stage.lane.close()


def test_stand_ins_that_die_while_they_start_are_tried_again_less_and_less_often(stage: Stage) -> None:
    """A model for which the memory is too small crashes each of them: the machine has other things to do."""
    stage.begin(0, "a")
    stage.block(0, "a")
    waits, staff = [], stage.lane.staff
    staff.ready()
    for _ in range(1100):
        assert stage.look(later=60.0) == [0, 1]
        stage.puppets[1].killed = True
        assert stage.look() == [0]
        waits.append(round(staff.hire_at - time.monotonic(), 1))
    assert waits[:8] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert waits[-1] == 30.0, "nor is there an end to it"
