"""A function that does not come back, or eats memory, while an executor takes it up."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from tests_puppet import SETTINGS, Puppet

from mlq_cli.model.envelope import seal
from mlq_cli.store.base import Claimed
from mlq_cli.store.functions import Change, Changes
from mlq_cli.worker import memory
from mlq_cli.worker.executor import TAKES
from mlq_cli.worker.lane import Lane
from mlq_cli.worker.memory import MemoryLimit
from mlq_cli.worker.outbox import Outbox
from mlq_cli.worker.shelf import Shelf

KEY = b"k" * 32


class Stage:
    """A lane of one executor, a puppet, that has just begun to take up a function."""

    def __init__(self) -> None:
        self.puppets: list[Puppet] = []
        self.outbox = Outbox()
        self.shelf = Shelf([KEY], "ns", "3.11")
        sealed = seal(KEY, "ns", "slow", 1, b"", python="3.11", cloudpickle="3.1.2", created_at=1.0)
        self.shelf.heard(Changes([Change("slow", 1, sealed)], 1))
        limit = MemoryLimit(1 << 20)
        self.lane = Lane("jobs", ("default",), self.host, SETTINGS, self.outbox, size=1, memory=limit, shelf=self.shelf)
        self.lane.look_after(time.monotonic())
        self.lane.executors[0].became_ready(1)
        self.puppets[0].tell(["functions", ["own", "*"], {}])
        self.lane.hear(self.lane.executors[0])
        self.puppets[0].tell(["taking", "slow", 1])
        self.lane.hear(self.lane.executors[0])

    def host(self, number: int) -> Puppet:
        self.puppets.append(Puppet())
        return self.puppets[-1]


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.lane.forget()
    made.lane.close()
    made.shelf.close()


def test_no_job_waits_for_an_executor_that_takes_a_function_up(stage: Stage) -> None:
    assert stage.lane.room() == 0
    stage.lane.take([Claimed("a", None, b"record")], "token")  # it was claimed a moment before
    stage.lane.look_after(time.monotonic() + 1)
    assert [held.id for held in stage.outbox.releases] == ["a"], "another worker may have it"
    stage.puppets[0].tell(["functions", ["own", "slow", "*"], {}])
    stage.lane.hear(stage.lane.executors[0])
    assert stage.lane.room() == 1


def test_an_executor_that_never_comes_back_from_a_function_is_killed_and_it_is_left_out(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    now = time.monotonic()
    stage.lane.look_after(now + TAKES / 2)
    assert not stage.puppets[0].killed
    stage.lane.look_after(now + TAKES + 1)
    assert stage.puppets[0].killed
    stage.lane.look_after(now + TAKES + 1)
    assert "was killed after 120 s when it took up the function slow, which is left out from now on" in caplog.text
    assert stage.shelf.bare and len(stage.puppets) == 2, "another executor begins without it"


def test_a_function_that_eats_memory_when_it_is_taken_up_is_left_out(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(memory, "resident_bytes", lambda pid: 2 << 20)
    stage.lane.look_after(time.monotonic() + 1)
    stage.lane.look_after(time.monotonic() + 1)
    assert "an executor used 2 MiB of memory, over the limit of 1 MiB, and was killed when it took up" in caplog.text
    assert stage.puppets[0].killed and stage.shelf.bare
