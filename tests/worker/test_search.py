"""When a lane that passes jobs over looks again: soon, then less and less, and not for ever from where it stopped."""

from __future__ import annotations

import pytest

from mlq_cli.store.base import Claimed, Claims
from mlq_cli.worker.search import LONGEST_PAUSE, LONGEST_REST, SHORTEST_REST, Search

JOBS = [Claimed("1", None, b"")]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def search(clock: Clock) -> Search:
    return Search(clock)


def answer(cursor: str | None, *, empty: bool = True, found: bool = False) -> Claims:
    return Claims(JOBS if found else [], empty, None, None, None if cursor is None else {"default": cursor})


def test_without_jobs_of_others_there_is_no_rest(search: Search, clock: Clock) -> None:
    assert search.answered(answer(None)) and not search.answered(answer(None, found=True))
    assert search.left(clock.now) == 0 and search.cursors == {}


def test_the_rest_doubles_while_nothing_is_found_and_begins_anew_when_something_is(
    search: Search, clock: Clock
) -> None:
    rests = []
    for _ in range(8):
        assert search.answered(answer("7")) or search.answered(answer("7"))  # now and then a round from the head
        rests.append(search.left(clock.now))
        clock.now += rests[-1]
        assert search.left(clock.now) == 0
    assert rests[:4] == pytest.approx([SHORTEST_REST * 2**n for n in range(4)]) and rests[-1] == LONGEST_REST
    assert not search.answered(answer("8", empty=False, found=True)) and search.left(clock.now) == 0
    assert search.answered(answer("8")) or search.answered(answer("8"))
    assert search.left(clock.now) == pytest.approx(SHORTEST_REST)


def test_the_search_goes_on_at_once_until_the_end_and_from_the_cursor_later(search: Search, clock: Clock) -> None:
    for cursor in ("200", "400"):
        assert not search.answered(answer(cursor, empty=False))
        assert search.left(clock.now) == 0 and search.cursors == {"default": cursor}
    assert search.answered(answer("450")) and search.cursors == {"default": "450"}
    assert search.answered(answer("460"))  # behind the cursor something new, and nothing of ours


def test_a_round_from_the_head_is_made_again_after_a_pause_that_grows_with_it(search: Search, clock: Clock) -> None:
    search.answered(answer("200", empty=False))
    clock.now += 2.0  # so long takes one round
    assert search.answered(answer("400"))
    clock.now += 99.0
    assert search.answered(answer("400")) and search.cursors
    clock.now += 2.0
    assert not search.answered(answer("400")) and search.cursors == {} and search.left(clock.now) == 0
    assert not search.answered(answer("200", empty=False))
    clock.now += 1000.0
    assert search.answered(answer("400"))
    clock.now += LONGEST_PAUSE - 1
    assert search.answered(answer("400"))
    clock.now += 2
    assert not search.answered(answer("400"))


def test_a_burst_knows_that_nothing_is_left_only_after_a_round_from_the_head(search: Search) -> None:
    assert not search.answered(answer("200", empty=False), hurry=True)
    assert not search.answered(answer("300", found=True), hurry=True)
    assert search.answered(answer("300"), hurry=True)
    assert not search.answered(answer("300"), hurry=True)  # asked again: something may have come back meanwhile
    assert search.cursors == {} and search.answered(answer("300"), hurry=True)


def test_what_can_be_run_here_has_changed_so_all_is_looked_at_again(search: Search, clock: Clock) -> None:
    search.answered(answer("300"))
    search.anew()
    assert search.cursors == {} and search.left(clock.now) == 0
