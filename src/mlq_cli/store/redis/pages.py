"""Ids of jobs a page at a time, for as long as somebody goes on: at the cost of the page, however many there are.

A page begins behind a place, not after a number of jobs: so nobody sees a job twice, or misses one that stayed, because
others come and go meanwhile. Sets are gone through one after the other, by state, then by queue:

* what waits in the order in which it will be looked at again, the soonest first; what is dead or canceled the newest
  first. The place is a score, and an id among those of the same score.
* what runs by id, for its score grows with each heartbeat. These sets are short: as many as there are executors.
* what has succeeded the newest first, by the place in its list. Retention takes entries away at the other end and so
  moves all places: a place is looked for again by the time of ending.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product

from mlq_cli.model.job import State
from mlq_cli.store.base import Place
from mlq_cli.store.redis import layout
from mlq_cli.store.redis.link import Command, Read

#: In this order states are gone through: what happens, what will happen, what has happened.
ORDER = (
    State.RUNNING, State.QUEUED, State.SCHEDULED, State.BLOCKED, State.DEAD, State.CANCELED, State.SUCCEEDED,
)  # fmt: skip
_SOONEST_FIRST = (State.QUEUED, State.SCHEDULED, State.BLOCKED)
_MOST_RUNNING = 50_000
_NEAR = 200  # entries of a list that are looked at around where one was


class Pages:
    """The sets of a namespace."""

    def __init__(self, namespace: str, read: Read) -> None:
        self._namespace = namespace
        self._read = read

    def page(
        self, queues: Sequence[str], states: Sequence[State], after: Place | None, most: int
    ) -> tuple[list[str], Place | None]:
        """Return ids behind a place, at most so many, and the place to go on from; None when these were the last."""
        places: list[Place] = []
        for state, queue in self._filled(queues, [state for state in ORDER if state in states]):
            start = None
            if after is not None:
                here, there = (ORDER.index(state), queue), (ORDER.index(State(after.state)), after.queue)
                if here < there:
                    continue
                start = after if here == there else None
            places += self._of(queue, state, start, most + 1 - len(places))
            if len(places) > most:
                return [place.id for place in places[:most]], places[most - 1]
        return [place.id for place in places], None

    def newest(self, queues: Iterable[str], states: Iterable[State], limit: int | None) -> list[str]:
        """Return ids by queue and state, as `Store.ids` promises."""
        first = 0 if limit is None else -limit
        commands: list[Command] = []
        for queue, state in product(queues, states):
            key = layout.STATE(self._namespace, queue, state)
            commands.append(("LRANGE" if state is State.SUCCEEDED else "ZRANGE", key, first, -1))
            if state is State.QUEUED and limit is not None:
                commands.append(("ZREVRANGE", key, -limit, -1))
        return list(dict.fromkeys(job_id.decode() for answer in self._read(commands) for job_id in reversed(answer)))

    def _filled(self, queues: Sequence[str], states: Sequence[State]) -> list[tuple[State, str]]:
        """Return the sets that hold anything."""
        sets = [(state, queue) for state in states for queue in queues]
        counts = self._read([layout.count(self._namespace, queue, state) for state, queue in sets])
        return [each for each, number in zip(sets, counts, strict=True) if number]

    def _of(self, queue: str, state: State, after: Place | None, most: int) -> list[Place]:
        key = layout.STATE(self._namespace, queue, state)
        if state is State.RUNNING:
            return self._by_id(key, queue, state, after, most)
        if state is State.SUCCEEDED:
            return self._by_index(key, queue, after, most)
        return self._by_score(key, queue, state, after, most)

    def _by_score(self, key: str, queue: str, state: State, after: Place | None, most: int) -> list[Place]:
        rising = state in _SOONEST_FIRST
        command, low, high = ("ZRANGEBYSCORE", "-inf", "+inf") if rising else ("ZREVRANGEBYSCORE", "+inf", "-inf")
        found: list[Place] = []
        skip, step = 0, max(most, _NEAR)  # there may be many of one score
        while len(found) < most:
            start = low if after is None else after.at
            (flat,) = self._read([(command, key, start, high, "WITHSCORES", "LIMIT", skip, step)])
            for job_id, score in zip(flat[::2], flat[1::2], strict=True):
                place = Place(state.value, queue, score.decode(), job_id.decode())
                if after is None or place.at != after.at or _beyond(place.id, after.id, rising):
                    found.append(place)
            skip += step
            if len(flat) < 2 * step:
                break
        return found[:most]

    def _by_id(self, key: str, queue: str, state: State, after: Place | None, most: int) -> list[Place]:
        (flat,) = self._read([("ZRANGE", key, 0, _MOST_RUNNING)])
        ids = sorted((job_id.decode() for job_id in flat), key=_by_length, reverse=True)
        if after is not None:
            ids = [job_id for job_id in ids if _by_length(job_id) < _by_length(after.id)]
        return [Place(state.value, queue, "", job_id) for job_id in ids[:most]]

    def _by_index(self, key: str, queue: str, after: Place | None, most: int) -> list[Place]:
        (length,) = self._read([("LLEN", key)])
        end = length if after is None else self._find(key, int(after.at.partition("/")[0]), after, length)
        first = max(end - most, 0)
        if end <= 0:
            return []
        (found,) = self._read([("LRANGE", key, first, end - 1)])
        ended = self._read([self._ask_end(job_id) for job_id in found])
        places = [
            Place(State.SUCCEEDED.value, queue, f"{first + number}/{int(at or 0)}", job_id.decode())
            for number, (job_id, at) in enumerate(zip(found, ended, strict=True))
            if job_id  # else it was struck out
        ]
        return places[::-1]

    def _find(self, key: str, index: int, after: Place, length: int) -> int:
        """Return where an entry is now, or where it would be: it can only have moved to the front."""
        first = max(index - _NEAR, 0)
        (near,) = self._read([("LRANGE", key, first, index)])
        for place in range(len(near) - 1, -1, -1):
            if near[place] == after.id.encode():
                return first + place
        ended_at = int(after.at.partition("/")[2] or 0)
        low, high = 0, min(index, length)
        while low < high:  # the first entry that ended then or later
            middle = (low + high) // 2
            (job_id,) = self._read([("LINDEX", key, middle)])
            (at,) = self._read([self._ask_end(job_id or b"")])
            if at is not None and int(at) >= ended_at:
                high = middle
            else:
                low = middle + 1
        (near,) = self._read([("LRANGE", key, low, low + _NEAR)])  # those that ended in the same moment
        wanted = after.id.encode()
        return low + near.index(wanted) if wanted in near else low

    def _ask_end(self, job_id: bytes) -> Command:
        return ("HGET", layout.JOB(self._namespace, job_id.decode()), layout.field("processing_finished"))


def _by_length(job_id: str) -> tuple[int, str]:
    """What sorts ids that are numbers by their number."""
    return len(job_id), job_id


def _beyond(job_id: str, last: str, rising: bool) -> bool:
    """Whether an id comes behind another one of the same score; Redis compares their bytes."""
    return job_id > last if rising else job_id < last
