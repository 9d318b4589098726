"""Follow one job: what is stored of it, and how it stands, made into a series of events that never tells a thing twice.

`Following` decides, and talks to nobody; `look` asks the store on its behalf. All who follow a job do it with these:
`MLQ.events`, `mlq get --follow` and the HTTP server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mlq_cli.model.errors import JobNotFound, Misuse
from mlq_cli.model.job import TERMINAL, Record, State
from mlq_cli.model.values import unpack
from mlq_cli.store.base import Entry, Store

PAGE = 200  # entries that are read at once

_PROGRESS = {State.RUNNING: 0, State.SUCCEEDED: 100, State.DEAD: -1}  # of a state that was just entered
_CLOSE = 0.2  # by which part of it an estimated wait has to change to be told again, and
_SECONDS = 1.0  # by how many seconds


class Event(NamedTuple):
    """Something that happened to a job."""

    id: str | None  # what is stored has one: a follower may go on behind it; None for how the job stands right now
    kind: str
    #: state: a dict with state, attempt, progress, position, estimated_wait, error
    #: progress: what the listener said; part: what it emitted; position: a dict with position, estimated_wait
    #: reset: a dict with attempt; the parts so far were another attempt's and do not count any more
    value: Any


class Following:
    """What one follower was told."""

    def __init__(self, job_id: str, after: str | None = None) -> None:
        """`after`: the id of the last stored event that it has, from an earlier time."""
        self.job_id = job_id
        self.after = after  # the id of the newest stored event
        self.ended = False  # the job has, and all of it was told
        self.more = True  # whether to look again at once
        self._told: tuple[State, int] | None = None  # state and attempt
        self._place: tuple[int | None, float | None] = (None, None)  # position and estimated wait that were told

    @property
    def state(self) -> State | None:
        """The state that was told last."""
        return None if self._told is None else self._told[0]

    def take(self, entries: Sequence[Entry], record: Record | None, *, most: int = PAGE) -> list[Event]:
        """Return what is new.

        `entries` are what the store has behind `after`, read after the record. While there are any, the record does not
        matter: it may be older than they. Once there are none it says how the job stands, and whether this is the end.
        `most`: how many entries were asked for. Raises JobNotFound when there is neither.
        """
        if entries:
            events = [event for entry in entries if (event := self._of(entry)) is not None]
            self.more = len(entries) >= most or self._told is None or self._told[0] in TERMINAL
            return events
        if record is None:
            raise JobNotFound(self.job_id)
        self.more, self.ended = False, record["state"] in TERMINAL
        return self._standing(record)

    def _of(self, entry: Entry) -> Event | None:
        self.after = entry.id
        try:
            value = unpack(entry.value)
        except Misuse:
            return None
        if entry.kind == "unreadable":
            return None
        if entry.kind == "reset":
            value = {"attempt": entry.attempt}
        elif entry.kind == "state":
            state = State(value["state"])
            if self._told == (state, entry.attempt):
                return None
            self._told, self._place = (state, entry.attempt), (None, None)
            value = _state(state, entry.attempt, _PROGRESS.get(state), None, None, value["error"])
        return Event(entry.id, entry.kind, value)

    def _standing(self, record: Record) -> list[Event]:
        fields: Mapping[str, Any] = record
        place = fields.get("position"), fields.get("estimated_wait")
        now = (record["state"], record["attempt"])
        if self._told != now:
            self._told, self._place = now, place
            error = None if record["state"] in (State.RUNNING, State.SUCCEEDED) else record["error"]
            return [Event(None, "state", _state(*now, record["progress"], *place, error))]
        if _same(self._place, place):
            return []
        self._place = place
        return [Event(None, "position", {"position": place[0], "estimated_wait": place[1]})]


def look(store: Store, following: Following, most: int = PAGE, *, standing: bool = True) -> list[Event]:
    """Return what is new of a job; while `following.more`, there may be more. Raises JobNotFound, StoreUnavailable.

    `standing`: whether to look how the job stands when nothing new is stored; not needed after the hint `part`.
    """
    job_id = following.job_id
    entries, record = store.entries(job_id, following.after, most), None
    if not entries and (standing or following.more):
        (record,) = store.records([job_id], values=False)
        entries = store.entries(job_id, following.after, most)  # or an end might be told before what came before it
    elif not entries:
        return []
    return following.take(entries, record, most=most)


def _state(
    state: State, attempt: int, progress: Any, position: int | None, estimated_wait: float | None, error: str | None
) -> dict[str, Any]:
    return {
        "state": state,
        "attempt": attempt,
        "progress": progress,
        "position": position,
        "estimated_wait": estimated_wait,
        "error": error,
    }


def _same(told: tuple[int | None, float | None], now: tuple[int | None, float | None]) -> bool:
    """Whether a place in the line is not worth being told again."""
    before, after = told[1], now[1]
    if told[0] != now[0] or (before is None) != (after is None):
        return False
    return before is None or after is None or abs(after - before) <= max(_SECONDS, _CLOSE * before)
