"""What a store of jobs promises: the verbs of a job's life, whatever keeps the jobs.

A verb does not act; it returns a `Call`. `ask` sends one call, `run` sends several in one write: a worker settles what
has finished and claims what there is room for in the same round trip. Each call is atomic by itself, takes many jobs,
and is harmless to send again when its answer was lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from mlq_cli.model.job import Record, State
from mlq_cli.model.options import PostOptions
from mlq_cli.model.outcome import Outcome
from mlq_cli.model.rules import Rules
from mlq_cli.store.calls import (
    Call,
    Caller,
    Claimed,
    Claims,
    Entry,
    Held,
    Part,
    Place,
    Posted,
    Progress,
    QueueCounts,
    ServerInfo,
    Swept,
)

if TYPE_CHECKING:
    from mlq_cli.model.finding import Finding
    from mlq_cli.store.access import Access
    from mlq_cli.store.data import Data
    from mlq_cli.store.functions import Changes, Functions
    from mlq_cli.store.moving import Moving
    from mlq_cli.store.waits import Waits

T = TypeVar("T")
__all__ = [
    "Bell",
    "Call",
    "Caller",
    "Claimed",
    "Claims",
    "Entry",
    "Held",
    "News",
    "Part",
    "Place",
    "Posted",
    "Progress",
    "QueueCounts",
    "ServerInfo",
    "Store",
    "Swept",
    "Talk",
    "Watch",
]


class Bell(Protocol):
    """A way to sleep until there may be work."""

    def fileno(self) -> int:
        """The descriptor that becomes readable when the bell rings."""

    def listen(self, seconds: float) -> None:
        """Begin to wait, for at most so long. Call again only after `answered`."""

    def answered(self) -> None:
        """Take the answer in after the descriptor became readable."""

    def close(self) -> None:
        """Stop waiting."""


class News(Protocol):
    """Hears of all jobs that they ended, emitted or made progress, inside a `with`. A hint: see Watch."""

    def next(self, seconds: float) -> list[tuple[str, str]]:
        """Return pairs of job id and word; an empty list after so many seconds at most. Raises StoreUnavailable.

        Words: `part`, `progress`, or the state that a job is in now. Not every job tells of states before its end.
        """

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...


class Watch(Protocol):
    """Hears of a job that it ended, emitted or made progress, inside a `with`.

    A hint: what was missed has to be looked up.
    """

    def next(self, seconds: float) -> list[str]:
        """Return what was said of the job; an empty list after so many seconds at most."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...


class Talk(Protocol):
    """Calls that are sent before those before them are answered. For one thread.

    After an error nothing is under way any more: all that has no answer has to be said again.
    """

    def fileno(self) -> int | None:
        """The descriptor that becomes readable when an answer comes, None while none is due there."""

    @property
    def answered(self) -> bool:
        """Whether answers are here that no descriptor tells of."""

    @property
    def room(self) -> bool:
        """Whether more may be said before an answer has come."""

    def silent_for(self, now: float) -> float:
        """Return the seconds, by time.monotonic, until `hear` takes silence for a failure."""

    def say(self, *calls: Call[Any]) -> None:
        """Send calls in one write. Raises StoreUnavailable and NotAllowed."""

    def hear(self) -> list[list[Any]]:
        """Return the answers that have come, a list for each `say`, as `run` does. Raises as `say` does."""

    def close(self) -> None:
        """Forget what is under way."""


class Store(Protocol):
    """Where jobs live."""

    namespace: str

    @property
    def address(self) -> str:
        """Where the store is, for people; holds no password."""

    # --- sending ---------------------------------------------------------------------------------------------------
    def ask(self, call: Call[T]) -> T:
        """Send one call and return its answer. Raises MlqError."""

    def run(self, *calls: Call[Any], meanwhile: Callable[[], None] | None = None) -> list[Any]:
        """Send calls in one write, in this order; an MlqError of one stands in its place. Raises StoreUnavailable.

        `meanwhile` is called between the write and the wait for the answers: work to do while the store does its own.
        """

    def talk(self) -> Talk:
        """Return a way to send calls before those before them are answered."""

    # --- the life of a job -----------------------------------------------------------------------------------------
    def post(
        self,
        messages: Sequence[bytes],
        options: PostOptions,
        ids: Sequence[str] | None = None,
        caller: Caller | None = None,
    ) -> Call[Posted]:
        """Add jobs; returns only when they are stored. An id that exists already is left as it is.

        `caller`: who asks, by default this thread: somebody else when a thread may post more before this is answered.
        """

    def claim(
        self,
        queues: Sequence[str],
        count: int,
        *,
        worker: str,
        lane: str,
        token: str,
        rules: Rules,
        functions: Sequence[str] | None = None,
        cursors: Mapping[str, str] | None = None,
    ) -> Call[Claims]:
        """Take up to `count` queued jobs, each under a lease. The same token claims the same jobs again.

        `functions`: what can be run here, as `repertoire.py` names it; None: whatever comes. A job that asks for others
        stays where it is as long as some living worker has them. `cursors`: of an earlier answer, to go on from there.
        """

    def heartbeat(
        self,
        worker: str,
        held: Sequence[Held],
        *,
        rules: Rules,
        life: float,
        about: dict[str, str | float],
        functions: Sequence[str] = (),
        queues: Sequence[str] | None = None,
    ) -> Call[dict[Held, str]]:
        """Renew leases; returns which are no longer this worker's, and why: canceled, lost or missing.

        `functions`: what jobs of these queues may ask this worker for, which is remembered for two minutes at least;
        None: of all queues.
        """

    def finish(self, outcomes: Sequence[Outcome], *, rules: Rules) -> Call[dict[str, str]]:
        """Record how attempts ended. Returns the refused ones by id, with the state that the job is in."""

    def release(self, held: Sequence[Held]) -> Call[int]:
        """Give jobs back with no attempt spent; returns how many were still held."""

    def progress(self, values: Sequence[Progress]) -> Call[int]:
        """Keep what listeners say; returns how many were refused."""

    def emit(self, parts: Sequence[Part]) -> Call[int]:
        """Keep what listeners emit, in this order; returns how many were refused. A part sent again is kept once."""

    def registered(self, after: int) -> Call[Changes]:
        """Ask what has changed among the functions since a revision, 0: what there is. Some of it: ask on from it."""

    def sweep(
        self, queue: str, *, rules: Rules, timeout: float | None = None, limit: int = 500, offset: int = 0
    ) -> Call[Swept]:
        """Promote what is due in a queue, give back what is lost, forget what was kept long enough."""

    # --- what people do to jobs ------------------------------------------------------------------------------------
    def cancel(self, ids: Sequence[str]) -> Call[list[str]]:
        """End jobs that have not ended; for each id `ok`, `missing`, or the state that does not allow it."""

    def requeue(self, ids: Sequence[str]) -> Call[list[str]]:
        """Run dead or canceled jobs again; for each id `ok`, `missing`, or the state that does not allow it."""

    def release_queue(self, queue: str, *, limit: int = 500) -> Call[int]:
        """Give running jobs of a queue back, whoever holds them; returns how many."""

    def purge(self, queue: str, state: State, *, limit: int = 500) -> Call[tuple[int, int]]:
        """Throw jobs away with their records; returns how many, and how many are left."""

    def pause(self, queue: str, *, paused: bool) -> Call[int]:
        """Stop or go on handing out a queue's jobs; returns how many wait."""

    # --- looking ---------------------------------------------------------------------------------------------------
    def records(self, ids: Sequence[str], *, values: bool = True) -> list[Record | None]:
        """Return the records of jobs, None for those that do not exist.

        `values`: with long messages and results; without, these two may be None though there is something.
        """

    def sizes(self, ids: Sequence[str]) -> list[int]:
        """Return how many bytes the long messages and results of jobs have, which `records` reads; 0: none."""

    def entries(self, job_id: str, after: str | None, most: int) -> list[Entry]:
        """Return what is kept for those who follow a job, the oldest first, at most so many, all behind `after`.

        Raises Misuse when that is no id of an entry.
        """

    def states(self, ids: Sequence[str]) -> list[State | None]:
        """Return only the states."""

    def posted_at(self, ids: Sequence[str]) -> list[float | None]:
        """Return only when jobs were posted."""

    def ids(self, queues: Iterable[str] | None, states: Iterable[State], limit: int | None) -> list[str]:
        """Return ids by queue and state; None means all queues, or no limit.

        Of each set the newest first; those of queued jobs by their place, and with a limit from both ends of the line.
        """

    def page(
        self, queues: Sequence[str] | None, states: Sequence[State], after: Place | None, most: int
    ) -> tuple[list[str], Place | None]:
        """Return ids behind a place, at most so many, and the place to go on from; None when these were the last.

        By state, then by queue. Jobs that stay where they are come once each, however others move meanwhile.
        """

    def queues(self) -> list[str]:
        """Return the names of all queues that ever got a job, ours last."""

    def counts(self) -> list[QueueCounts]:
        """Return every queue with its numbers, ours last."""

    def oldest_waiting(self) -> dict[str, float]:
        """Return for how many seconds the job that waits longest does so, of each queue in which one waits.

        It waits since it was posted, due or given back. Of very many priorities some are not looked at.
        """

    def unable(self) -> dict[str, Counter[str]]:
        """Return how many queued jobs ask for functions that no living worker has, by queue and function.

        `*` stands for a job that names none. Only the first thousand jobs of each queue are looked at.
        """

    def workers(self) -> list[dict[str, str]]:
        """Return what living workers say of themselves."""

    def bell(self, queues: Sequence[str]) -> Bell:
        """Return a bell that rings when jobs come into these queues."""

    def watch(self, job_id: str) -> tuple[State | None, Watch]:
        """Return the state of a job, and a watch that hears of it from then on."""

    def news(self) -> News:
        """Return what hears of all jobs from now on. Raises StoreUnavailable and NotAllowed."""

    def server(self, largest: int = 0) -> ServerInfo:
        """Return what keeps the jobs, and what about it puts them at risk.

        `largest`: bytes that a message or a result may have, to know whether it could be kept; 0: do not look.
        """

    def examine(self, largest: int) -> Iterator[Finding]:
        """Yield how what keeps the jobs is right now, well or not; `largest` as above. Raises MlqError."""

    def audit(self, *, rules: Rules, repair: bool, looked: Callable[[int], None]) -> Iterator[Finding]:
        """Look at all that is kept, in constant memory and while others work, and yield what does not fit together.

        Nothing false is said of jobs that move meanwhile. With `repair` whatever needs no guess is put right at once.
        `looked` is told now and then how many things were looked at. Raises MlqError.
        """

    def functions(self) -> Functions:
        """Return what keeps the functions that are registered at run time."""

    def access(self) -> Access:
        """Return what keeps the access tokens of the HTTP server."""

    def data(self) -> Data:
        """Return what keeps the values that jobs store for each other."""

    def waits(self) -> Waits:
        """Return what knows which running jobs block on which."""

    def moving(self) -> Moving:
        """Return what takes waiting jobs elsewhere and brings them in."""

    def rezero(self, queue: str) -> None:
        """Let the tally of a queue begin anew; counters go on as they are."""

    def forget(self) -> None:
        """Delete what the namespace keeps beside its jobs: for one that is not used any more."""

    def close(self) -> None:
        """Close all connections."""
