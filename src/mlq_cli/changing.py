"""Do something to many jobs, a few at a time: cancel them, run them again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from mlq_cli.bulk import CHUNK
from mlq_cli.model.errors import JobNotFound, WrongState
from mlq_cli.model.job import CALLBACKS, State
from mlq_cli.store.base import Call, Store


def change(
    store: Store, verb: Callable[[Sequence[str]], Call[list[str]]], job_ids: Iterable[str | int], *, wanted: str
) -> None:
    """Do this to all jobs, then raise for the first one that was not in the state for it."""
    ids = [str(job_id) for job_id in job_ids]
    words: list[str] = []
    for first in range(0, len(ids), CHUNK):
        answered: list[str] = store.ask(verb(ids[first : first + CHUNK]))
        words += answered
    for job_id, word in zip(ids, words, strict=True):
        if word == "missing":
            raise JobNotFound(job_id)
        if word != "ok":
            raise WrongState(job_id, word, wanted=wanted)


def retry_all(store: Store, queue: str | None, error_type: str | None) -> int:
    """Run all dead jobs again, of one queue or of all but our own, of one type of error or any. Returns how many."""
    queues = [name for name in store.queues() if name != CALLBACKS] if queue is None else [queue]
    ids = store.ids(queues, [State.DEAD], None)
    total = 0
    for first in range(0, len(ids), CHUNK):
        page = ids[first : first + CHUNK]
        if error_type is not None:
            records = (record for record in store.records(page) if record is not None)
            page = [record["id"] for record in records if record["error_type"] == error_type]
        if page:
            # Somebody else may have retried one of them meanwhile; that is no error when all were meant.
            total += store.ask(store.requeue(page)).count("ok")
    return total
