"""How long a job will wait, by plain arithmetic."""

from __future__ import annotations

import pytest

from mlq_cli.model.outlook import Crew, Line, estimated_wait

ONE = [Crew(("q",), 1)]


def line(queued: int = 10, running: int = 0, *, paused: bool = False, run: float | None = 4.0) -> Line:
    return Line(queued, running, paused, run)


def test_a_job_begins_at_once_when_a_slot_is_free() -> None:
    assert estimated_wait("q", 0, ONE, {"q": line()}) == 0.0
    assert estimated_wait("q", 2, [Crew(("q",), 4)], {"q": line(running=1)}) == 0.0


def test_behind_others_it_waits_for_their_share_of_all_slots() -> None:
    assert estimated_wait("q", 5, ONE, {"q": line(running=1)}) == pytest.approx(
        5 * 4 + 2
    )  # the running one is half done
    crews = [Crew(("q",), 3), Crew(("q", "other"), 1)]
    assert estimated_wait("q", 40, crews, {"q": line(running=4)}) == pytest.approx(40 * 4 / 4, rel=0.05)


def test_what_workers_have_claimed_ahead_stands_before_it() -> None:
    assert estimated_wait("q", 0, ONE, {"q": line(running=100, run=0.01)}) == pytest.approx(1.0, rel=0.02)


def test_a_queue_that_every_worker_serves_first_stands_before_it() -> None:
    lines = {"first": line(queued=6, running=1, run=10.0), "q": line(queued=1, run=1.0)}
    assert estimated_wait("q", 0, [Crew(("first", "q"), 1)], lines) == pytest.approx(65.0)
    assert estimated_wait("first", 0, [Crew(("first", "q"), 1)], lines) == pytest.approx(5.0)
    both = [Crew(("first", "q"), 1), Crew(("q",), 1)]
    assert estimated_wait("q", 0, both, lines) == 0.0  # one of them has nothing else to do


def test_a_paused_queue_before_it_holds_nobody_up() -> None:
    lines = {"first": line(queued=600, paused=True), "q": line()}
    assert estimated_wait("q", 0, [Crew(("first", "q"), 1)], lines) == 0.0


def test_what_others_run_counts_by_the_share_of_their_workers_that_serve_this_queue() -> None:
    lines = {"q": line(run=2.0), "other": line(queued=0, running=10, run=2.0)}
    crews = [Crew(("q", "other"), 1), Crew(("other",), 9)]
    assert estimated_wait("q", 0, crews, lines) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("crews", "lines"),
    [
        ([], {"q": line()}),
        ([Crew(("other",), 1)], {"other": line()}),
        ([Crew(("q",), 0)], {"q": line()}),
        (ONE, {"q": line(paused=True)}),
        (ONE, {"q": line(run=None)}),
        (ONE, {}),
    ],
    ids=["nobody", "nobody for this queue", "nobody with room", "paused", "nothing has ended", "an unknown queue"],
)
def test_it_is_not_told_when_nobody_can_tell(crews: list[Crew], lines: dict[str, Line]) -> None:
    assert estimated_wait("q", 3, crews, lines) is None
