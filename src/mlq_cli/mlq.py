"""class MLQ: the Python API, with the original's method names. Everything above goes through it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from mlq_cli.bulk import CHUNK, Ids, packed, post_all, processes
from mlq_cli.model.errors import JobNotFound, Misuse, WrongState
from mlq_cli.model.generation import next_generation
from mlq_cli.model.job import CALLBACKS, WAITING, Record, State, check_name, check_own_id, progress_of, result_of
from mlq_cli.model.options import PostOptions, names_of
from mlq_cli.model.profile import Profile, load
from mlq_cli.model.rules import rules_of
from mlq_cli.model.values import pack
from mlq_cli.progress_bar import progress_bar
from mlq_cli.store.base import Call, QueueCounts, Store, Swept
from mlq_cli.waiting import wait_ended

if TYPE_CHECKING:
    from mlq_cli.model.finding import Finding
    from mlq_cli.worker.inprocess import Listening, Reaping

F = TypeVar("F", bound=Callable[..., Any])

_options = lru_cache(maxsize=64, typed=True)(PostOptions)  # they are mostly those of the post before


class MLQ:
    """One namespace of jobs: post to it, look at it, wait for it, listen to it. Threads may share one.

    `MLQ()` takes the profile, or the embedded server when there is none; `MLQ("example_app", "localhost", 6379, 0)`
    names a Redis as the original does. Nothing is connected before the first call that needs it.
    """

    def __init__(
        self,
        namespace: str | None = None,
        host: str | None = None,
        port: int = 6379,
        db: int = 0,
        *,
        profile: Profile | None = None,
    ) -> None:
        flags: dict[str, object] = {}
        if namespace is not None:
            flags["namespace"] = check_name(namespace, "namespace")
        if host is not None:
            flags["redis.url"] = f"redis://{f'[{host}]' if ':' in host else host}:{port}/{db}"
        if profile is not None and flags:
            raise Misuse("a profile and an address exclude each other", hint="say MLQ.from_profile(…, namespace=…)")
        self.profile = profile if profile is not None else load(flags=flags)
        self._store: Store | None = None
        self._listening: Listening | None = None
        self._reapings: list[Reaping] = []

    @classmethod
    def from_profile(cls, profile: str | None = None, **flags: object) -> Self:
        """Return an MLQ by the name or file of a profile; `flags` win over it: `namespace=…`, `redis_url=…`."""
        dotted = {name.replace("_", ".", 1): value for name, value in flags.items()}
        return cls(profile=load(profile, flags=dotted))

    @property
    def store(self) -> Store:
        """Where the jobs are."""
        if self._store is None:
            from mlq_cli.store.redis import open_store  # `import redis` takes longer than all the rest

            self._store = open_store(self.profile)
        return self._store

    @property
    def namespace(self) -> str:
        """The namespace of all jobs that this object knows."""
        return self.profile.namespace

    # --- posting ---------------------------------------------------------------------------------------------------
    def post(
        self,
        msg: Any,
        callback: str | None = None,
        functions: Sequence[str] | None = None,
        *,
        queue: str = "default",
        priority: int = 0,
        delay: float | None = None,
        at: float | None = None,
        retries: int | None = None,
        timeout: float | None = None,
        id: str | None = None,
    ) -> str:
        """Post one message and return the id of its job. When this returns, the job is stored.

        Args:
            msg: what the listener gets: anything msgpack carries, dates, big integers and numpy arrays too.
            callback: URL that is told the outcome: `GET <url>?success=0|1&job_id=…&short_result=…`.
            functions: names of the listeners to run; all of them by default.
            queue: name of the line to wait in.
            priority: higher is sooner, -2047 to 2047.
            delay: seconds before it may run; `at`: the instant (Unix seconds), instead.
            retries: reruns after an exception; by default what the worker says.
            timeout: seconds one attempt may take before it is killed.
            id: an id of your own; posting it again returns it and changes nothing.

        Raises:
            Misuse: an option makes no sense, or the message cannot be carried or is too large.
            Refused: called in a job that stands at the end of a chain of more than `limits.chain`.
            StoreUnavailable, StoreFull, NotAllowed: Redis says no.
        """
        deep = self._generation(delay, at)
        options = _options(queue, priority, delay, at, retries, timeout, callback, names_of(functions), deep)
        message = pack(msg, limit=self.profile.limits.message)
        own = None if id is None else [check_own_id(id)]
        store = self.store
        return store.ask(store.post([message], options, own)).ids[0]

    def post_many(
        self,
        msgs: Iterable[Any],
        total: int | None = None,
        progress: bool | Callable[[int], None] = False,
        *,
        callback: str | None = None,
        functions: Sequence[str] | None = None,
        queue: str = "default",
        priority: int = 0,
        delay: float | None = None,
        at: float | None = None,
        retries: int | None = None,
        timeout: float | None = None,
        parallel: int | bool = 1,
    ) -> Ids:
        """Post many messages that share their options; generators are welcome, memory stays constant.

        `progress=True` shows a bar on a terminal (`total` gives it an end); a function is called with how many are in.
        Returns the ids in order, as a sequence that takes next to no memory. What was posted before an error stays.

        `parallel=4` lets four processes make, pack and post the messages, True one for each core; they are forks of
        this one, and `msgs` has to have a length and slices. It pays when it takes long to make or to pack a message.
        Raises as `post` does.
        """
        deep = self._generation(delay, at)
        options = PostOptions(queue, priority, delay, at, retries, timeout, callback, names_of(functions), deep)
        limit = self.profile.limits.message
        if (count := processes(parallel)) == 1:
            with progress_bar(progress, total) as advance:
                return post_all(self.store, packed(msgs, limit), options, advance)
        from mlq_cli.parallel import Posters, shared

        posters = Posters(self.store, shared(msgs, limit), options, count)
        with posters, progress_bar(progress, total) as advance:  # in this order: the bar has a thread
            return posters.post_all(advance)

    def _generation(self, delay: float | None, at: float | None) -> int:
        return next_generation(self.profile.limits.chain, later=bool(delay) or at is not None)

    # --- looking ---------------------------------------------------------------------------------------------------
    def get_job(self, job_id: str | int) -> Record:
        """Return the record of a job. Raises JobNotFound, which is also a KeyError."""
        (record,) = self.store.records([str(job_id)])
        if record is None:
            raise JobNotFound(str(job_id))
        return record

    def get_jobs(self, job_ids: Iterable[str | int]) -> list[Record | None]:
        """Return the records of many jobs in one go, None for those that do not exist."""
        return self.store.records([str(job_id) for job_id in job_ids])

    def get_result(self, job_id: str | int) -> Any:
        """Return the full result, None while there is none. Raises JobNotFound, JobFailed, JobCanceled."""
        return result_of(self.get_job(job_id))

    def get_progress(self, job_id: str | int) -> Any:
        """Return what a running listener said last, or how the job stands.

        That is one of `[queued; not started]`, `[started]`, `[completed]`, `[failed]`, `[canceled]`.
        """
        return progress_of(self.get_job(job_id))

    def job_count(self) -> int:
        """Return how many jobs wait in this namespace: queued, scheduled or blocked, our own callbacks not counted."""
        ours = (counts for counts in self.store.counts() if not counts.queue.startswith("_"))
        return sum(counts.states[state] for counts in ours for state in WAITING)

    def list_jobs(
        self, *, states: Iterable[State] | None = None, queue: str | None = None, limit: int = 50
    ) -> list[Record]:
        """Return records of jobs, the newest first, at most `limit`.

        Of a long line with more than two priorities, those in the middle may be left out.
        """
        queues = None if queue is None else [check_name(queue, "queue", ours=True)]
        ids = self.store.ids(queues, list(states or State), limit)
        posted = ((at, len(job_id), job_id) for job_id, at in zip(ids, self.store.posted_at(ids), strict=True) if at)
        newest = [job_id for _, _, job_id in sorted(posted, reverse=True)[:limit]]
        return [record for record in self.store.records(newest) if record is not None]

    def states(self, job_ids: Iterable[str | int]) -> list[State | None]:
        """Return only the states of jobs, None for those that do not exist."""
        return self.store.states([str(job_id) for job_id in job_ids])

    def counts(self) -> list[QueueCounts]:
        """Return every queue with its jobs by state and its counters."""
        return self.store.counts()

    def workers(self) -> list[dict[str, str]]:
        """Return what the living workers say of themselves."""
        return self.store.workers()

    def wait(self, job_id: str | int, timeout: float | None = None) -> Any:
        """Wait for a job and return its result.

        Raises:
            JobFailed: it is dead; JobCanceled; JobNotFound.
            WaitTimeout: it has not ended within `timeout` seconds, and goes on.
        """
        self.wait_ended(str(job_id), timeout)
        return self.get_result(job_id)

    def wait_ended(
        self, job_id: str, timeout: float | None = None, on_progress: Callable[[], None] | None = None
    ) -> None:
        """Return when the job has ended, however. `on_progress` is called when the listener said how far it is."""
        wait_ended(self.store, job_id, timeout, on_progress)

    # --- changing --------------------------------------------------------------------------------------------------
    def cancel(self, *job_ids: str | int) -> None:
        """Cancel jobs. A running one is stopped by its worker within seconds. Raises JobNotFound, WrongState."""
        self._change(self.store.cancel, job_ids, wanted="waiting or running")

    def retry(self, *job_ids: str | int) -> None:
        """Run dead or canceled jobs again, with all their attempts back. Raises JobNotFound, WrongState."""
        self._change(self.store.requeue, job_ids, wanted="dead or canceled")

    def _change(
        self, verb: Callable[[Sequence[str]], Call[list[str]]], job_ids: Iterable[str | int], *, wanted: str
    ) -> None:
        """Do this to all jobs, then raise for the first one that was not in the state for it."""
        ids = [str(job_id) for job_id in job_ids]
        words: list[str] = []
        for first in range(0, len(ids), CHUNK):
            answered: list[str] = self.store.ask(verb(ids[first : first + CHUNK]))
            words += answered
        for job_id, word in zip(ids, words, strict=True):
            if word == "missing":
                raise JobNotFound(job_id)
            if word != "ok":
                raise WrongState(job_id, word, wanted=wanted)

    def retry_all(self, queue: str | None = None, error_type: str | None = None) -> int:
        """Run all dead jobs again, of one queue or with one type of error if told so. Returns how many.

        Callbacks that nobody took are none of them; they are meant when their queue is named.
        """
        if queue is None:
            queues = [name for name in self.store.queues() if name != CALLBACKS]
        else:
            queues = [check_name(queue, "queue", ours=True)]
        ids = self.store.ids(queues, [State.DEAD], None)
        total = 0
        for first in range(0, len(ids), CHUNK):
            page = ids[first : first + CHUNK]
            if error_type is not None:
                records = (record for record in self.store.records(page) if record is not None)
                page = [record["id"] for record in records if record["error_type"] == error_type]
            if page:
                # Somebody else may have retried one of them meanwhile; that is no error when all were meant.
                total += self.store.ask(self.store.requeue(page)).count("ok")
        return total

    def pause(self, queue: str = "default") -> int:
        """Stop handing out the jobs of a queue; running ones go on. Returns how many wait."""
        return self.store.ask(self.store.pause(check_name(queue, "queue", ours=True), paused=True))

    def resume(self, queue: str = "default") -> int:
        """Hand out the jobs of a queue again. Returns how many wait."""
        return self.store.ask(self.store.pause(check_name(queue, "queue", ours=True), paused=False))

    def purge(self, queue: str = "default", states: Iterable[State] = WAITING) -> int:
        """Throw away jobs with their records, by default those that wait. Returns how many."""
        check_name(queue, "queue", ours=True)
        total = 0
        for state in states:
            if state is State.RUNNING:
                raise Misuse("running jobs cannot be purged", hint="cancel them, or release the queue first")
            left = 1
            while left:
                gone, left = self.store.ask(self.store.purge(queue, state))
                total += gone
        return total

    def release(self, queue: str = "default") -> int:
        """Give every running job of a queue back to it; what their workers still say is refused. Returns how many."""
        check_name(queue, "queue", ours=True)
        running = sum(counts.states[State.RUNNING] for counts in self.store.counts() if counts.queue == queue)
        total = 0
        while total < running and (released := self.store.ask(self.store.release_queue(queue))):
            total += released
        return total

    def sweep(self, *, timeout: float | None = None, max_retries: int | None = None) -> Swept:
        """Do what a reaper does, once: promote what is due, give back what is lost, forget what is old enough."""
        rules = rules_of(self.profile, max_retries=max_retries)
        total = Swept()
        for queue in self.store.queues():
            offset: int | None = 0
            while offset is not None:
                swept = self.store.ask(self.store.sweep(queue, rules=rules, timeout=timeout, offset=offset))
                total, offset = total.plus(swept), swept.next_offset
        return total

    def doctor(self, *, repair: bool = False, looked: Callable[[int], None] | None = None) -> Iterator[Finding]:
        """Yield how the installation, the server and the jobs are, in this order, well or not.

        `repair` puts right what needs no guess, without harm to whoever works meanwhile. `looked` is called now and
        then with how much of the namespace was looked at. Raises StoreUnavailable when it comes to the server.
        """
        from mlq_cli.doctor.diagnosis import diagnose  # rarely wanted

        return diagnose(self.profile, lambda: self.store, repair=repair, looked=looked or (lambda done: None))

    # --- listening in this process ---------------------------------------------------------------------------------
    def create_listener(self, function: F) -> F:
        """Listen in this process, in the background: every listener created runs for every message, in order.

        The first call starts a thread that keeps the process alive until `shutdown`. A function that crashes the
        interpreter takes this process with it; `mlq worker` isolates it. Returns the function, so it is a decorator.
        """
        if self._listening is None:
            from mlq_cli.worker.inprocess import Listening

            self._listening = Listening(self)
        self._listening.add(function)
        return function

    def remove_listener(self, function: Callable[..., Any]) -> bool:
        """Stop running a listener, found by its name. Returns whether it was there."""
        return self._listening is not None and self._listening.remove(function)

    def create_reaper(self, call_how_often: float = 60, job_timeout: float | None = 300, max_retries: int = 5) -> None:
        """Give stalled jobs back in the background, every so many seconds, until `shutdown`.

        Args:
            job_timeout: seconds that a job may run at all before it counts as stalled, even if its worker lives;
                None: only jobs whose worker vanished are given back.
            max_retries: how often a job is given back before it is dead.
        """
        from mlq_cli.worker.inprocess import Reaping

        self._reapings.append(Reaping(self, call_how_often, job_timeout, max_retries))

    def shutdown(self) -> None:
        """Stop what `create_listener` and `create_reaper` began in this process; a running job is finished first."""
        if self._listening is not None:
            self._listening.stop()
            self._listening = None
        while self._reapings:
            self._reapings.pop().stop()

    def close(self) -> None:
        """Stop listening and close all connections."""
        self.shutdown()
        if self._store is not None:
            self._store.close()
            self._store = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"MLQ({self.namespace!r}, {self.store.address!r})"
