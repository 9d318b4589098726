"""Parts on their way from an executor to Redis: before the outcome of their job, and never too many."""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Thread
from typing import Any

import pytest
from tests_puppet import SETTINGS, Puppet, done, mark_of

from mlq_cli.store.base import Claimed, Part
from mlq_cli.worker.context import LONGEST
from mlq_cli.worker.executor import Executor
from mlq_cli.worker.lane import Lane
from mlq_cli.worker.outbox import Outbox
from mlq_cli.worker.parts import MOST, MOST_BYTES, Load, Parts


def part(name: str, serial: int, value: bytes = b"\x01") -> list[Any]:
    return ["part", name, "token", serial, value]


class Stage:
    """A lane with one executor that does what the test says, and jobs `a` and `b` in a slice; `a` has begun."""

    def __init__(self) -> None:
        self.outbox, self.puppet = Outbox(), Puppet()
        self.lane = Lane("jobs", ("default",), lambda number: self.puppet, SETTINGS, self.outbox, size=1)
        self.lane.look_after(time.monotonic())
        self.executor: Executor = self.lane.executors[0]
        self.executor.became_ready(1)
        self.lane._supply._pace = 1e-6
        self.lane.take([Claimed(name, None, b"record") for name in "ab"], "token")
        self.number = self.puppet.receive()

    def hear(self, *frames: Any) -> None:
        self.puppet.tell(*frames)
        self.lane._hearing.hear_all(self.executor)

    def parts(self) -> list[tuple[str, int]]:
        return [(each.id, each.serial) for each in self.outbox.parts.first(10_000, 1 << 30)]

    def outcomes(self) -> tuple[list[str], list[str]]:
        """Those that may be sent, and those that wait."""
        return [each.id for each in self.outbox.outcomes], [each.id for each in self.outbox.late]


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.lane.forget()
    made.lane.close()
    made.executor.close()
    made.puppet.outcomes.close()


def test_an_outcome_waits_for_the_parts_of_its_job_and_for_no_others(stage: Stage) -> None:
    stage.hear(part("a", 1), part("a", 2), done("a"), done("b"))
    assert stage.parts() == [("a", 1), ("a", 2)] and stage.outcomes() == (["b"], ["a"])
    assert {held.id for held in stage.outbox.held()} == {"a", "b"}, "its lease is renewed meanwhile"
    stage.outbox.stored(1)
    assert stage.outcomes() == (["b"], ["a"])
    stage.outbox.stored(1)
    assert stage.outcomes() == (["b", "a"], []) and not stage.outbox.parts


def test_parts_are_heard_before_an_outcome_that_was_not_sent(stage: Stage) -> None:
    stage.puppet.tell(part("a", 1))
    stage.puppet.keep(done("a"))
    stage.puppet.board.begin(mark_of(stage.number, 1), time.monotonic())
    stage.lane._hearing.hear_unsent(stage.executor)
    assert stage.parts() == [("a", 1)] and stage.outcomes() == ([], ["a"])


def test_parts_of_an_earlier_attempt_or_of_nobody_are_passed_over(stage: Stage) -> None:
    stage.hear(["part", "a", "other token", 1, b"\x01"], ["part", "nobody", "token", 1, b"\x01"], done("a"))
    stage.hear(part("a", 1))
    assert stage.parts() == [] and stage.outcomes() == (["a"], []) and not stage.executor.killed


@pytest.mark.parametrize(
    "frame",
    [
        part("a", 0),
        part("a", -1),
        part("a", 1 << 60),
        ["part", "a", "token", 1.0, b"\x01"],
        ["part", "a", "token", 1, "text"],
        ["part", ["a"], "token", 1, b"\x01"],
        ["part", "a", "token", 1],
        part("a", 1, bytes(LONGEST + 1)),
    ],
    ids=["zero", "negative", "huge", "float", "text", "list", "short", "too large"],
)
def test_a_forged_part_condemns_its_executor_and_gets_no_further(stage: Stage, frame: Any) -> None:
    sending = Thread(target=lambda: stage.puppet.tell(frame))  # more than the pipe holds
    sending.start()
    deadline = time.monotonic() + 10
    while stage.executor.verdict is None and time.monotonic() < deadline:
        stage.lane._hearing.hear(stage.executor)
    assert stage.executor.verdict is not None and stage.executor.verdict[0] == "ExecutorCrash"
    assert stage.parts() == []
    stage.executor.close()
    sending.join(5)


def test_an_executor_that_emits_without_end_keeps_nobody_listening_for_ever(stage: Stage) -> None:
    over = False

    def flood() -> None:
        serial = 0
        while not over:
            serial += 1
            try:
                stage.puppet.tell(part("a", serial, bytes(20_000)))
            except OSError:
                return

    sending = Thread(target=flood, daemon=True)
    sending.start()
    began = time.monotonic()
    stage.lane._hearing.hear_all(stage.executor)
    assert time.monotonic() - began < 10
    over = True
    stage.executor.close()
    sending.join(5)
    assert not sending.is_alive()


def test_a_load_is_full_by_number_or_by_bytes_and_light_when_half_is_gone() -> None:
    parts, small, large = Parts(), Load(), Load()
    for serial in range(1, MOST + 1):
        assert not small.full
        parts.add(Part("a", "t", serial, b"x"), small)
    assert small.full and not small.light
    for serial in range(1, 5):
        parts.add(Part("b", "t", serial, bytes(LONGEST)), large)
    assert large.full and large.bytes == MOST_BYTES
    parts.stored(MOST // 2)
    assert small.light and large.full and parts.of_jobs == {"a": MOST // 2, "b": 4}
    assert [len(parts.first(10, 1 << 30)), len(parts.first(MOST, 100))] == [10, 101], "so many, or about so many bytes"
    parts.stored(MOST // 2 + 4)
    assert not parts and not parts.of_jobs and (small, large.parts, large.bytes) == (small, 0, 0)
