"""What a follower is told, decided without any store."""

from __future__ import annotations

from typing import Any

import pytest

from mlq_cli.following import Event, Following, look
from mlq_cli.model.errors import JobNotFound
from mlq_cli.model.job import Record, State
from mlq_cli.model.values import pack
from mlq_cli.store.base import Entry


def record(state: State, attempt: int = 0, **more: Any) -> Record:
    return {"state": state, "attempt": attempt, "progress": None, "error": None, **more}  # type: ignore[typeddict-item]


def state(number: int, word: str, attempt: int = 1, error: str | None = None) -> Entry:
    return Entry(f"{number}-0", "state", pack({"state": word, "error": error}), attempt)


def part(number: int, value: Any, attempt: int = 1) -> Entry:
    return Entry(f"{number}-0", "part", pack(value), attempt)


def brief(events: list[Event]) -> list[Any]:
    return [event.value["state"] if event.kind == "state" else (event.kind, event.value) for event in events]


def test_a_plain_job_is_told_by_its_record_alone() -> None:
    following = Following("7")
    assert following.take([], record(State.QUEUED)) == [
        Event(
            None,
            "state",
            {
                "state": "queued",
                "attempt": 0,
                "progress": None,
                "position": None,
                "estimated_wait": None,
                "error": None,
            },
        )
    ]
    assert following.take([], record(State.QUEUED)) == []
    assert brief(following.take([], record(State.RUNNING, 1))) == ["running"] and not following.ended
    (ended,) = following.take([], record(State.SUCCEEDED, 1, progress=100))
    assert following.ended and (ended.id, ended.value["state"], ended.value["progress"]) == (None, "succeeded", 100)


def test_what_is_stored_comes_in_its_order_with_ids_to_go_on_behind() -> None:
    following = Following("7")
    events = following.take([state(1, "running"), part(2, "a"), part(3, [1])], None)
    assert [event.id for event in events] == ["1-0", "2-0", "3-0"] and following.after == "3-0"
    assert brief(events) == ["running", ("part", "a"), ("part", [1])] and not following.more


def test_a_state_that_the_record_told_is_not_told_again_by_the_stream() -> None:
    following = Following("7")
    following.take([], record(State.RUNNING, 1))
    assert brief(following.take([state(1, "running"), part(2, "a")], None)) == [("part", "a")]


def test_an_older_record_tells_nothing_beside_newer_entries() -> None:
    following = Following("7")
    events = following.take([state(1, "running"), part(2, "a"), state(3, "succeeded")], record(State.QUEUED))
    assert brief(events) == ["running", ("part", "a"), "succeeded"]
    assert following.more and not following.ended, "somebody may have run it again since"
    assert following.take([], record(State.SUCCEEDED, 1)) == [] and following.ended


def test_a_job_that_was_run_again_after_its_end_has_not_ended() -> None:
    following = Following("7")
    entries = [state(1, "running"), state(2, "dead", error="ValueError: no"), state(3, "queued", 0)]
    events = following.take(entries, None)
    assert events[1].value["error"] == "ValueError: no" and events[1].value["progress"] == -1
    assert following.take([], record(State.QUEUED, 0)) == [] and not following.ended


def test_another_attempt_says_that_the_parts_so_far_do_not_count() -> None:
    following = Following("7")
    reset = Entry("3-0", "reset", pack(None), 2)
    events = following.take([state(1, "running"), part(2, "a"), reset, state(4, "running", 2)], None)
    assert brief(events) == ["running", ("part", "a"), ("reset", {"attempt": 2}), "running"]


def test_who_goes_on_is_told_what_came_since_and_then_how_the_job_stands() -> None:
    following = Following("7", after="1-0")
    assert brief(following.take([part(2, "b")], None)) == [("part", "b")] and following.more
    assert brief(following.take([], record(State.RUNNING, 1, progress=50))) == ["running"]


def test_a_full_page_is_looked_behind() -> None:
    following = Following("7")
    following.take([state(1, "running"), part(2, "a")], None, most=2)
    assert following.more


def test_a_place_in_the_line_is_told_when_it_changes() -> None:
    following = Following("7")
    (first,) = following.take([], record(State.QUEUED, position=3, estimated_wait=60.0))
    assert (first.value["position"], first.value["estimated_wait"]) == (3, 60.0)
    assert following.take([], record(State.QUEUED, position=3, estimated_wait=55.0)) == []
    (moved,) = following.take([], record(State.QUEUED, position=2, estimated_wait=55.0))
    assert moved == Event(None, "position", {"position": 2, "estimated_wait": 55.0})
    (slower,) = following.take([], record(State.QUEUED, position=2, estimated_wait=90.0))
    assert slower.value["estimated_wait"] == 90.0
    (unknown,) = following.take([], record(State.QUEUED, position=2, estimated_wait=None))
    assert unknown.value["estimated_wait"] is None


def test_what_does_not_exist_is_not_followed() -> None:
    with pytest.raises(JobNotFound):
        Following("7").take([], None)


def test_an_end_is_never_told_before_what_came_before_it() -> None:
    """The job emits and ends between the two looks of one `look`."""

    class Late:
        said: tuple[Entry, ...] = ()

        def entries(self, job_id: str, after: str | None, most: int) -> list[Entry]:
            return [entry for entry in self.said if after is None or entry.id > after]

        def records(self, ids: list[str], *, values: bool) -> list[Record]:
            self.said = (state(1, "running"), part(2, "a"), state(3, "succeeded"))
            return [record(State.SUCCEEDED, 1)]

    store, following = Late(), Following("7")
    told: list[Event] = []
    while not following.ended:
        told += look(store, following)  # type: ignore[arg-type]
    assert brief(told) == ["running", ("part", "a"), "succeeded"]
