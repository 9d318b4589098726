"""Named failpoints either side of every call to Redis, in a store that only tests use.

A spec names them: `finish:after=kill9@3;claim/callbacks:before=raise@2;heartbeat:after=sleep(6)`. Place, side, action,
and on which hit of that place in this process. Each strikes once in the life of its file of hits, so a worker that is
started again goes on.

    place    a verb (claim also with its lane: claim/jobs), bell/listen or bell/answered
    side     before: nothing was sent; after: Redis did it, and kill9 or raise lose the answer
    action   kill9, raise (StoreUnavailable), sleep(seconds)
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack
from one_by_one import OneByOne

from mlq_cli.model.errors import StoreUnavailable
from mlq_cli.store.base import Call
from mlq_cli.store.redis.connect import Endpoint
from mlq_cli.store.redis.store import RedisStore
from mlq_cli.store.redis.waiting import RedisBell

_SPEC = re.compile(r"([a-z/]+):(before|after)=(kill9|raise|sleep)(?:\(([0-9.]+)\))?(?:@(\d+))?")


@dataclass(frozen=True)
class Failpoint:
    """One of them: where, and what then."""

    text: str
    place: str
    side: str
    action: str
    seconds: float
    nth: int


def parse(spec: str) -> list[Failpoint]:
    """Read a spec. Raises ValueError."""
    points = []
    for text in filter(None, spec.split(";")):
        if (match := _SPEC.fullmatch(text)) is None:
            raise ValueError(f"no failpoint: {text}")
        place, side, action, seconds, nth = match.groups()
        points.append(Failpoint(text, place, side, action, float(seconds or 0), int(nth or 1)))
    return points


class Failpoints:
    """Counts hits and strikes; what struck is a line of the file `hits`, written before it happens."""

    def __init__(self, spec: str, hits: Path) -> None:
        self._points = parse(spec)
        self._hits = hits
        self._count: Counter[tuple[str, str]] = Counter()

    def hit(self, place: str, side: str) -> None:
        """Say that this place has been reached. May not return, or raise StoreUnavailable."""
        names = {place, place.partition("/")[0]}
        for name in names:
            self._count[name, side] += 1
        for point in self._points:
            if point.side == side and point.place in names and self._count[point.place, side] >= point.nth:
                self._strike(point)

    def _strike(self, point: Failpoint) -> None:
        if point.text in struck(self._hits):
            return
        with self._hits.open("a") as file:
            file.write(f"{point.text}\n")
        match point.action:
            case "kill9":
                os.kill(os.getpid(), signal.SIGKILL)
            case "sleep":
                time.sleep(point.seconds)
            case "raise":
                raise StoreUnavailable(f"a failpoint: {point.text}")


def struck(hits: Path) -> list[str]:
    """Return the failpoints that struck so far, each as its spec says it."""
    return hits.read_text().splitlines() if hits.exists() else []


class FailingBell(RedisBell):
    """A bell with failpoints around its two steps."""

    points: Failpoints

    def listen(self, seconds: float) -> None:
        self.points.hit("bell/listen", "before")
        super().listen(seconds)
        self.points.hit("bell/listen", "after")

    def answered(self) -> None:
        self.points.hit("bell/answered", "before")
        super().answered()
        self.points.hit("bell/answered", "after")


class FailingStore(RedisStore):
    """Sends the calls of a turn one at a time, with a failpoint on each side."""

    def __init__(self, endpoint: Endpoint, namespace: str, points: Failpoints) -> None:
        super().__init__(endpoint, namespace)
        self._points = points

    def run(self, *calls: Call[Any], meanwhile: Callable[[], None] | None = None) -> list[Any]:
        answers = []
        for call in calls:
            place = place_of(call)
            self._points.hit(place, "before")
            answers += super().run(call, meanwhile=meanwhile)
            self._points.hit(place, "after")
            meanwhile = None
        return answers

    def talk(self) -> Any:
        return OneByOne(self.run)

    def bell(self, queues: Sequence[str]) -> RedisBell:
        bell = super().bell(queues)
        bell.__class__ = FailingBell
        bell.points = self._points  # type: ignore[attr-defined]
        return bell


def place_of(call: Call[Any]) -> str:
    """Return the name of a call's failpoint: its verb, and of a claim the lane that it is for."""
    if call.verb != "claim":
        return call.verb
    lane: str = msgpack.unpackb(call.args[0], raw=True)[b"lane"].decode()
    return f"claim/{lane.rpartition(':')[2]}"
