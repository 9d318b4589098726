"""What a store promises to whoever takes waiting jobs from it to another one, or brings them in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from mlq_cli.model.job import State


class Packed(NamedTuple):
    """A waiting job and all that it takes along."""

    id: str  # where it comes from
    due_at: bytes  # when it is due, by the store's reckoning; empty for a queued one
    message: bytes  # msgpack
    fields: list[bytes]  # name, value, …, as they are stored


class Site(NamedTuple):
    """One end of the way."""

    id: str  # tells this queue from all others, wherever they are
    mark: str  # that was set last


class Embarked(NamedTuple):
    """Answer of `embark`."""

    word: str  # ok, or elsewhere: jobs are held for the destination `name`
    epoch: int  # tells this move from those before
    held: int  # jobs that those have held, and not seen off
    name: str


class Departing(NamedTuple):
    """Answer of `depart`."""

    word: str  # ok, or superseded: another move has begun
    gone: int  # jobs that were forgotten, for they have arrived
    ghosts: int  # entries without a job that were taken out
    fresh: bool  # these jobs are held from now on; otherwise they were already, and may have arrived
    jobs: list[Packed]


class Arrived(NamedTuple):
    """Answer of `arrive`."""

    word: str  # ok, or superseded
    created: int


class Shifted(NamedTuple):
    """Answer of `shift`."""

    moved: int
    looked: int  # entries that were taken out, among them some without a job


class Moving(Protocol):
    """The verbs. What is held to leave is neither lost nor taken by a worker, until it is said what became of it."""

    def site(self, queue: str, mark: str | None = None) -> Site:
        """Return what tells a queue from all others; `mark` is kept there, to be found by whoever looks there too."""

    def embark(self, queue: str, to: str, name: str) -> Embarked:
        """Begin to move a queue's jobs to the site of id `to`; those who began before are too late from now on."""

    def depart(self, queue: str, epoch: int, count: int, arrived: Sequence[str], *, more: bool) -> Departing:
        """Forget jobs that have arrived, then return those that are held, at most so many; if none, hold `more`."""

    def stay(self, queue: str, epoch: int | None, ids: Sequence[str]) -> int:
        """Let jobs that were held wait again; without an epoch any of them, a few at a time. Returns how many."""

    def pack(self, queue: str, state: State, ids: Sequence[str]) -> tuple[list[Packed], int]:
        """Return what those of the jobs would take along that wait in this state and queue; nothing is changed.

        With it, how many of the ids were looked at: fewer than all when their messages are long.
        """

    def arrive(
        self, queue: str, jobs: Sequence[Packed], *, source: str, namespace: str, epoch: int | None, fresh: bool
    ) -> Arrived:
        """Take in jobs that wait elsewhere, each once; with an epoch they are moved, without one copied.

        Each keeps an id of its own if that is free here, or has the one it had, `@` and its namespace; or a number.
        """

    def shift(self, queue: str, to: str, count: int) -> Shifted:
        """Take waiting jobs over to another queue of the same namespace, at most so many, in one step."""
