"""Copy or move the waiting jobs of a queue: to another Redis, another namespace, or another queue of the same.

A move of one job has three steps, and each may be the last before a power cut:

    held at the source       no worker takes it, no lease of it ends: `depart`
    posted at the other end  unless it came before: `arrive` knows who has
    forgotten at the source  with the next `depart`

Who moves on after a cut finds what is held, and does for it whatever is left to do. A number that grows with each
move, the epoch, refuses those who wake up late: at the source, and at the other end.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

from mlq_cli.model.errors import Refused, StoreFull, StoreUnavailable
from mlq_cli.model.job import CALLBACKS, WAITING, State, check_name
from mlq_cli.store.base import Place, Store
from mlq_cli.store.moving import Departing, Packed

BATCH = 500  # jobs on the way at a time

Advance = Callable[[int], None]


def move_queue(source: Store, queue: str, to: Store, to_queue: str, advance: Advance) -> int:
    """Move waiting jobs, as many as there are now; `advance` is told how many have arrived. Returns how many.

    Raises Refused, and what the stores raise.
    """
    if _same_namespace(source, queue, to, to_queue):
        return _shift(source, queue, to_queue, advance)
    return _Move(source, queue, to, to_queue, advance).run()


def copy_queue(source: Store, queue: str, to: Store, to_queue: str, advance: Advance) -> int:
    """Copy waiting jobs; `advance` is told how many were looked at. Returns how many were not there yet."""
    _same_namespace(source, queue, to, to_queue)
    here, there = source.moving(), to.moving()
    site = here.site(queue)
    created = looked = 0
    for state in (State.SCHEDULED, State.QUEUED):  # in this order: what is due meanwhile is seen twice, never missed
        place: Place | None = None
        for _ in range(_count(source, queue, [state]) // BATCH + 1):  # others may post for as long as we copy
            ids, place = source.page([queue], [state], place, BATCH)
            while ids:
                jobs, seen = here.pack(queue, state, ids)
                if jobs:
                    arrived = there.arrive(
                        to_queue, jobs, source=site.id, namespace=source.namespace, epoch=None, fresh=True
                    )
                    created += arrived.created
                looked, ids = looked + seen, ids[seen:]
                advance(looked)
            if place is None:
                break
    return created


class _Move:
    """One move to another namespace."""

    def __init__(self, source: Store, queue: str, to: Store, to_queue: str, advance: Advance) -> None:
        self._source, self._queue = source, queue
        self._to, self._to_queue = to, to_queue
        self._here, self._there = source.moving(), to.moving()
        self._advance = advance
        self._moved = 0
        self._id = self._here.site(queue).id
        begun = self._here.embark(queue, self._there.site(to_queue).id, f"queue {to_queue} of {_place(to)}")
        if begun.word == "elsewhere":
            raise Refused(
                f"{begun.held} jobs of queue {queue} are on their way to {begun.name}: that move broke off, or goes on",
                hint="run it again first",
            )
        self._epoch = begun.epoch

    def run(self) -> int:
        """Move what waits now. Ctrl-C lets what is on its way arrive."""
        left = _count(self._source, self._queue, WAITING)
        try:
            arrived: Sequence[str] = ()
            while True:
                step = self._depart(min(BATCH, left), arrived, more=left > 0)
                if not step.jobs and not step.ghosts:
                    return self._moved
                left -= len(step.jobs) + step.ghosts
                arrived = self._arrive(step.jobs, fresh=step.fresh)
        except KeyboardInterrupt:
            self._see_off()
            raise

    def _see_off(self) -> None:
        """Let what is held arrive, and take no more."""
        arrived: Sequence[str] = ()
        while (step := self._depart(BATCH, arrived, more=False)).jobs:
            arrived = self._arrive(step.jobs, fresh=False)

    def _depart(self, count: int, arrived: Sequence[str], *, more: bool) -> Departing:
        step = self._here.depart(self._queue, self._epoch, count, arrived, more=more)
        if step.word == "superseded":
            raise self._superseded()
        self._moved += step.gone
        self._advance(self._moved)
        return step

    def _arrive(self, jobs: Sequence[Packed], *, fresh: bool) -> list[str]:
        """Bring jobs in and return their ids at the source. What surely did not arrive waits at the source again."""
        ids = [job.id for job in jobs]
        if not ids:
            return ids
        try:
            word, _ = self._there.arrive(
                self._to_queue,
                jobs,
                source=self._id,
                namespace=self._source.namespace,
                epoch=self._epoch,
                fresh=fresh,
            )
        except StoreFull:
            self._let_stay(ids, fresh)
            raise
        except StoreUnavailable as error:
            error.hint = f"{len(ids)} jobs are held on the way: move again once {self._to.address} answers"
            raise
        if word == "superseded":
            raise self._superseded()
        return ids

    def _let_stay(self, ids: Sequence[str], fresh: bool) -> None:
        if fresh:  # of others a part may be there since a move that broke off
            self._here.stay(self._queue, self._epoch, ids)

    def _superseded(self) -> Refused:
        return Refused(f"somebody else moves queue {self._queue} now", hint=f"{self._moved} jobs were moved before")


def undo_move(store: Store, queue: str) -> int:
    """Let whatever is held of a queue wait again, wherever it may have arrived. Returns how many."""
    moving, total = store.moving(), 0
    while number := moving.stay(queue, None, []):
        total += number
    return total


def _shift(source: Store, queue: str, to_queue: str, advance: Advance) -> int:
    here, left, moved = source.moving(), _count(source, queue, (State.QUEUED, State.SCHEDULED)), 0
    while left > 0:
        step = here.shift(queue, to_queue, min(BATCH, left))
        if not step.looked:
            break
        left, moved = left - step.looked, moved + step.moved
        advance(moved)
    return moved


def _same_namespace(source: Store, queue: str, to: Store, to_queue: str) -> bool:
    """Whether both are one namespace, however it is called. Raises Refused for what is not copied or moved."""
    if CALLBACKS in (queue, to_queue):
        raise Refused("callbacks stay in the namespace of their jobs", hint="name another queue")
    check_name(queue, "queue")
    check_name(to_queue, "queue")
    mark = secrets.token_hex(8)
    source.moving().site(queue, mark)
    same = to.moving().site(queue).mark == mark
    if same and queue == to_queue:
        raise Refused(f"queue {queue} of {_place(to)} is both source and destination", hint="name another one")
    return same


def _place(store: Store) -> str:
    return f"namespace {store.namespace} at {store.address}"


def _count(store: Store, queue: str, states: Sequence[State]) -> int:
    return sum(counts.states[state] for counts in store.counts() if counts.queue == queue for state in states)
