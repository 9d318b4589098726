"""The desk: one thread posts for all requests of the process, another one reads records for them.

What comes while a thread is away with Redis gathers, and leaves together when it is back (group commit): a busy server
posts many jobs in each round trip, and an idle one loses no time waiting for more. Answers go back to the event loop
with one wake-up for all of them. Whatever is neither a post nor a look at a record is done by a few further threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, NamedTuple, TypeVar

from mlq_cli.bulk import CHUNK, CHUNK_BYTES
from mlq_cli.http.problems import RETRY_SECONDS, Problem
from mlq_cli.model.errors import JobNotFound, MlqError, NotAllowed, StoreUnavailable
from mlq_cli.model.job import Record
from mlq_cli.model.options import PostOptions
from mlq_cli.store.base import Call, Caller, Posted, Store

MOST = 4096  # requests of a kind that wait for Redis at once; to more of them the server says that it is busy
MOST_BYTES = 256 << 20  # of messages that wait
CALLS = 64  # calls that leave together; each needs a caller of its own, and Redis remembers an answer for each
RECORDS = 64  # that are read together
LARGE = 1 << 20  # bytes of message and result, from which on a record is read by itself
HANDS = 4  # threads for all that is neither a post nor a look at a record

Room = Callable[[int], bool]

T = TypeVar("T")
Q = TypeVar("Q")


class Posting(NamedTuple):
    """One message to post."""

    message: bytes
    options: PostOptions
    own_id: str | None


class Answer(NamedTuple):
    """What became of it."""

    job_id: str
    created: bool  # False when a job of that id existed


class Look(NamedTuple):
    """A record to read, and what to make of it in the thread that reads."""

    job_id: str
    make: Callable[[Record], Any]
    brief: bool


class Large(NamedTuple):
    """What was asked for is large: it is not read before there is room for it."""

    size: int


class Gathering(Generic[Q]):
    """A thread that handles together whatever was asked while it was away."""

    def __init__(self, name: str, handle: Callable[[list[Q]], Sequence[Any]], together: int) -> None:
        self._handle = handle
        self._together = together
        self._asked: queue.SimpleQueue[tuple[Q, asyncio.Future[Any]] | None] = queue.SimpleQueue()
        self._under_way = 0
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin; answers go to this loop."""
        self._loop = loop
        self._thread.start()

    def stop(self) -> None:
        """Answer what was asked, then end."""
        self._asked.put(None)
        self._thread.join()

    def ask(self, question: Q) -> asyncio.Future[Any]:
        """Return what will be the answer. Raises Problem when too many wait already. For the thread of the loop."""
        if self._under_way >= MOST:
            raise busy()
        self._under_way += 1
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._asked.put((question, answer))
        return answer

    def _work(self) -> None:
        going = True
        while going:
            asked = [self._asked.get()]
            with contextlib.suppress(queue.Empty):
                while len(asked) < self._together:
                    asked.append(self._asked.get_nowait())
            if None in asked:
                going, asked = False, [one for one in asked if one is not None]
            pairs = [one for one in asked if one is not None]
            if not pairs:
                continue
            try:
                answers = self._handle([question for question, _ in pairs])
            except Exception as error:  # noqa: BLE001  whatever it is, each of them has to hear of it
                answers = [error] * len(pairs)
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._deliver, pairs, answers)

    def _deliver(self, pairs: list[tuple[Q, asyncio.Future[Any]]], answers: Sequence[Any]) -> None:
        self._under_way -= len(pairs)
        for (_, future), answer in zip(pairs, answers, strict=True):
            if future.done():  # whoever asked has gone
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)


class Desk:
    """Where requests ask for what is in Redis."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._posts: Gathering[Posting] = Gathering("mlq-posts", self._post, CALLS)
        self._looks: Gathering[Look] = Gathering("mlq-looks", self._look, RECORDS)
        self._hands = ThreadPoolExecutor(HANDS, "mlq-hands")
        self._callers = [Caller() for _ in range(CALLS)]
        self._bytes = 0  # of messages under way
        self._in_hand = 0

    def start(self) -> None:
        """Begin. For the thread of the event loop."""
        self._loop = asyncio.get_running_loop()
        self._posts.start(self._loop)
        self._looks.start(self._loop)

    def stop(self) -> None:
        """Answer what was asked, then end."""
        self._posts.stop()
        self._looks.stop()
        self._hands.shutdown()

    async def post(self, message: bytes, options: PostOptions, own_id: str | None = None) -> Answer:
        """Post a message. Raises MlqError."""
        size = len(message)
        if self._bytes + size > MOST_BYTES and self._bytes:
            raise busy()
        self._bytes += size
        try:
            answer: Answer = await self._posts.ask(Posting(message, options, own_id))
        finally:
            self._bytes -= size
        return answer

    async def look(
        self, job_id: str, make: Callable[[Record], T], *, brief: bool = False, room: Room | None = None
    ) -> T:
        """Read a record and return what `make` makes of it, in a thread. Raises JobNotFound, MlqError.

        `brief`: without its message and its result. `room` is asked before something large is read, by how many bytes
        it has; when there is no room for them, Problem is raised.
        """
        answer: T | Large = await self._looks.ask(Look(job_id, make, brief))
        if not isinstance(answer, Large):
            return answer
        if room is not None and not room(answer.size):
            raise no_room()
        return await self.do(self._whole, Look(job_id, make, brief))

    async def do(self, act: Callable[..., T], *arguments: Any) -> T:
        """Do something that takes a while, or asks for more than a record. Raises what it raises."""
        if self._in_hand >= MOST:
            raise busy()
        self._in_hand += 1
        try:
            return await self._loop.run_in_executor(self._hands, _translating, act, *arguments)
        finally:
            self._in_hand -= 1

    # --- in the threads --------------------------------------------------------------------------------------------
    def _post(self, postings: list[Posting]) -> list[Any]:
        """Post what shares its options in one call, and what has an id of its own in a call for itself."""
        calls: list[Call[Posted]] = []
        members: list[list[int]] = []
        open_groups: dict[PostOptions, tuple[list[int], list[bytes]]] = {}

        def close(options: PostOptions) -> None:
            indices, messages = open_groups.pop(options)
            calls.append(self._store.post(messages, options, None, self._callers[len(calls)]))
            members.append(indices)

        sizes: dict[PostOptions, int] = {}
        for index, (message, options, own_id) in enumerate(postings):
            if own_id is not None:
                calls.append(self._store.post([message], options, [own_id], self._callers[len(calls)]))
                members.append([index])
                continue
            if options not in open_groups:
                open_groups[options], sizes[options] = ([], []), 0
            indices, messages = open_groups[options]
            indices.append(index)
            messages.append(message)
            sizes[options] += len(message)
            if len(messages) >= CHUNK or sizes[options] > CHUNK_BYTES:
                close(options)
        for options in list(open_groups):
            close(options)
        try:
            answered = self._store.run(*calls)
        except NotAllowed as error:
            raise _no_access() from error
        answers: list[Any] = [None] * len(postings)
        for indices, posted in zip(members, answered, strict=True):
            for place, index in enumerate(indices):
                if isinstance(posted, MlqError):
                    answers[index] = _no_access() if isinstance(posted, NotAllowed) else posted
                else:
                    answers[index] = Answer(posted.ids[place], posted.created == len(indices))
        return answers

    def _look(self, looks: list[Look]) -> list[Any]:
        answers: list[Any] = [None] * len(looks)
        for brief in (True, False):
            places = [place for place, look in enumerate(looks) if look.brief is brief]
            if places:
                ids = list(dict.fromkeys(looks[place].job_id for place in places))
                large = {} if brief else self._large(ids)
                found = self._records([job_id for job_id in ids if job_id not in large], brief)
                for place in places:
                    job_id = looks[place].job_id
                    answers[place] = large[job_id] if job_id in large else _made(looks[place], found[job_id])
        return answers

    def _large(self, ids: list[str]) -> dict[str, Large]:
        """Return which of these jobs are not read together with others."""
        try:
            sizes = self._store.sizes(ids)
        except MlqError:  # whoever reads them hears of it
            return {}
        return {job_id: Large(size) for job_id, size in zip(ids, sizes, strict=True) if size >= LARGE}

    def _whole(self, look: Look) -> Any:
        """Read one record, however large it is; as many at a time as there are hands."""
        answer = _made(look, self._records([look.job_id], look.brief)[look.job_id])
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _records(self, ids: list[str], brief: bool) -> dict[str, Record | MlqError | None]:
        """Read records by id; where one of them cannot be read, the error of each stands in its place."""
        try:
            return dict(zip(ids, self._store.records(ids, values=not brief), strict=True))
        except StoreUnavailable as error:
            return dict.fromkeys(ids, error)
        except MlqError as error:
            if isinstance(error, NotAllowed):
                return dict.fromkeys(ids, _no_access())
            if len(ids) == 1:
                return {ids[0]: error}
            return {job_id: self._records([job_id], brief)[job_id] for job_id in ids}


def _made(look: Look, record: Record | MlqError | None) -> Any:
    if isinstance(record, MlqError):
        return record
    if record is None:
        return JobNotFound(look.job_id)
    try:
        return look.make(record)
    except Exception as error:  # noqa: BLE001  is raised again where it was asked for
        return error


def _translating(act: Callable[..., T], *arguments: Any) -> T:
    try:
        return act(*arguments)
    except NotAllowed as error:
        raise _no_access() from error


def busy() -> Problem:
    """Return what a client is told when too many wait already."""
    return Problem(
        503, "busy", "too many requests wait for Redis", hint="try again", headers={"retry-after": str(RETRY_SECONDS)}
    )


def no_room() -> Problem:
    """Return what a client is told when too much of what is large is on its way already."""
    return Problem(
        503, "busy", "too many large results are being read",
        hint="try again", headers={"retry-after": str(RETRY_SECONDS)},
    )  # fmt: skip


def _no_access() -> Problem:
    """Return what a client is told when Redis refuses us: that is nothing it could mend by another token."""
    return Problem(503, "store-refuses", "Redis refuses this server", hint="mlq doctor says why")
