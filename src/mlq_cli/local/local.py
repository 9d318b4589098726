"""class Local: what `MLQ.local` returns. It has the names of `MLQ`, and no server behind them."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from mlq_cli.bulk import Ids, processes
from mlq_cli.local.book import Book
from mlq_cli.local.entry import Entry
from mlq_cli.local.inline import Inline
from mlq_cli.local.kept import Kept
from mlq_cli.local.looking import Looking, result_or_failure
from mlq_cli.local.reach import LocalReach
from mlq_cli.local.stream import each
from mlq_cli.model.call import Call, importable_path, parts_of
from mlq_cli.model.errors import Misuse, Refused, WaitTimeout, WrongState
from mlq_cli.model.generation import next_generation
from mlq_cli.model.job import Record, State, check_own_id
from mlq_cli.model.options import PostOptions, names_of
from mlq_cli.model.profile import Profile, load
from mlq_cli.model.rules import rules_of
from mlq_cli.model.values import called_path, pack, unpack
from mlq_cli.progress_bar import progress_bar
from mlq_cli.worker.listeners import Listener, find, import_from, listener_of

Function = Callable[..., Any] | str
F = TypeVar("F", bound=Callable[..., Any] | str)

AHEAD = 400  # jobs of a bulk run that each executor may be ahead of the first one that has not ended


class Local(Looking):
    """Jobs without a server. Posted ones wait until `run`, `wait` or the end of a `with` block runs them."""

    def __init__(
        self,
        *functions: Function,
        parallel: int | bool = 1,
        progress: bool = False,
        setup: Function | None = None,
        timeout: float | None = None,
        retries: int | None = None,
        memory_limit: int | None = None,
        paths: Sequence[str] = (),
        profile: Profile | None = None,
        patient: bool = True,
        callbacks: bool = False,
        eager: bool = False,
    ) -> None:
        """See `MLQ.local`; what is said here is for `mlq_cli.testing`.

        `patient`: wait for delays and backoffs; `callbacks`: take URLs, and call none of them; `eager`: where jobs run
        inline, run what is posted before `post` returns.
        """
        self.profile = load() if profile is None else profile
        worker = self.profile.worker
        rules = rules_of(self.profile)
        self.book = Book(rules if retries is None else replace(rules, retries=retries), patient=patient)
        self._functions: list[Callable[..., Any] | str] = []
        self._setup = setup
        self._timeout = worker.timeout if timeout is None else timeout
        self._memory_limit = worker.memory_limit if memory_limit is None else memory_limit
        self._paths = paths
        self._size = _executors(parallel)
        self._ahead = max(1, self._size * AHEAD)
        self._progress = progress
        self._callbacks = callbacks
        self._eager = eager and not self._size
        self._worker = f"local-{os.getpid()}"
        self._kept = Kept(self.profile)
        self._runner_made: Any = None
        if paths and not self._size:
            import_from(paths)
        for function in functions:
            self.create_listener(function)

    # --- functions ---------------------------------------------------------------------------------------------------
    def create_listener(self, function: F) -> F:
        """Run this function too, for every message, in order. Returns it, so it is a decorator."""
        if not self._size or not isinstance(function, str):  # what only executors run is not imported here
            listener_of(_found(function))  # Misuse comes now
        self._change([*(known for known in self._functions if known is not function), function])
        return function

    def remove_listener(self, function: Callable[..., Any]) -> bool:
        """Run a function no more, found by itself or by its name. Returns whether it was there."""
        name = getattr(function, "__name__", None)
        same: list[Callable[..., Any] | str] = [known for known in self._functions if known is function]
        same = same or [known for known in self._functions if getattr(known, "__name__", "") == name]
        self._change([known for known in self._functions if known not in same])
        return bool(same)

    def _change(self, functions: list[Callable[..., Any] | str]) -> None:
        if self._size and self._runner_made is not None:
            self.run()
            self._let_go(hurried=False)
        self._functions = functions
        if isinstance(self._runner_made, Inline):
            self._runner_made.attempts.repertoire.listeners = self._listeners()

    def _listeners(self) -> list[Listener]:
        return [listener_of(_found(function)) for function in self._functions]

    @property
    def runner(self) -> Any:
        """What runs the jobs; made when that is first needed."""
        if self._runner_made is None:
            if self._size:
                from mlq_cli.local.crew import crew

                self._runner_made = crew(
                    self, self._functions, self._setup, self._paths, worker=self._worker, size=self._size,
                    limit=self.profile.limits.result, timeout=self._timeout, memory_limit=self._memory_limit,
                )  # fmt: skip
                weakref.finalize(self, self._runner_made.close, hurried=True)
            else:
                inline = Inline(self.book, LocalReach(self), self._worker, self.profile.limits.result, self._timeout)
                setup = None if self._setup is None else _found(self._setup)
                inline.prepare(self._listeners(), setup)
                self._runner_made = inline
        return self._runner_made

    # --- posting -----------------------------------------------------------------------------------------------------
    def post(
        self,
        msg: Any,
        callback: str | None = None,
        functions: Sequence[str] | None = None,
        *,
        id: str | None = None,
        **options: Any,
    ) -> str:
        """Take in one message and return the id of its job; it waits for `run`, `wait` or the end of the block.

        Options are those of `MLQ.post`: queue, priority, delay, at, retries, timeout, id. Raises as that does, and
        Misuse for a callback: there is no server to call it.
        """
        wanted = self._options(callback, functions, options)
        entry = self.book.post(self._pack(msg), wanted, None if id is None else check_own_id(id))
        if self._eager and not self.runner.depth and entry.state is State.QUEUED:
            self.runner.work(lambda: entry.state.terminal)
        return entry.id

    def post_call(self, call: Call | partial[Any] | Callable[..., Any], **options: Any) -> str:
        """Take in a call: `partial(function, 1, x=2)` of any function, also one that nobody could import.

        A partial that is posted is one too. Raises WrongCall when the arguments do not fit the function.
        """
        return self.post(call if isinstance(call, Call) else self._call_of(call), **options)

    def post_many(
        self,
        msgs: Iterable[Any],
        total: int | None = None,
        progress: bool | Callable[[int], None] | None = None,
        *,
        callback: str | None = None,
        functions: Sequence[str] | None = None,
        **options: Any,
    ) -> Ids:
        """Run many messages at once, while they are drawn; returns the ids in order when the last one has ended.

        A generator may go on for as long as it likes: memory stays constant, for of jobs that came this way only the
        last 10 000 (256 MiB) that have ended are known. Those that fail raise nothing here: `failed` counts them, and
        `results` raises. `total` gives the progress bar its end; a function is told how many have ended.
        """
        ids = Ids()
        wanted = self._options(callback, functions, options)
        with self._bar(progress, total, msgs) as advance:
            for entry in each(self, self._packed(msgs), wanted, ahead=self._ahead, forget=False):
                ids.add([entry.id])
                advance(len(ids))
        return ids

    def results(
        self, msgs: Iterable[Any], total: int | None = None, progress: bool | None = None, **options: Any
    ) -> Iterator[Any]:
        """Run many messages and yield their results in order, each as soon as those before it are known.

        Memory stays constant: messages are drawn as results are taken. Raises JobFailed for the first that fails; those
        that were drawn behind it are canceled.
        """
        for record in self.records(msgs, total, progress, **options):
            yield result_or_failure(record)

    def records(
        self, msgs: Iterable[Any], total: int | None = None, progress: bool | None = None, **options: Any
    ) -> Iterator[Record]:
        """The same, but yield the records, of those that have failed too."""
        with self._bar(progress, total, msgs) as advance:
            for done, record in enumerate(self.records_of(self._packed(msgs), **options), 1):
                advance(done)
                yield record

    def records_of(self, messages: Iterator[bytes | None], **options: Any) -> Iterator[Record]:
        """The same for messages that are packed already; None among them: there is none right now."""
        callback, functions = options.pop("callback", None), options.pop("functions", None)
        wanted = self._options(callback, functions, options)
        for entry in each(self, messages, wanted, ahead=self._ahead, forget=True):
            yield entry.record()

    def post_from_job(
        self, msg: Any, callback: str | None = None, functions: Sequence[str] | None = None, **options: Any
    ) -> str:
        """Take in what a job posts, which is known as long as jobs of bulk posts are."""
        own = options.pop("id", None)
        wanted = self._options(callback, functions, options)
        return self.book.post(self._pack(msg), wanted, None if own is None else check_own_id(own), lasting=False).id

    def _packed(self, msgs: Iterable[Any]) -> Iterator[bytes | None]:
        return (self._pack(msg) for msg in msgs)

    def _pack(self, msg: Any) -> bytes:
        packed = pack(self._call_of(msg) if isinstance(msg, partial) else msg, limit=self.profile.limits.message)
        if not self._functions and called_path(packed) is None:
            raise Misuse("a local run without a function runs calls only", hint="MLQ.local(function)")
        return packed

    def _call_of(self, bound: partial[Any] | Callable[..., Any]) -> Call:
        from mlq_cli.worker.travelling import own_call

        if self._size:
            return own_call(bound)
        function, args, kwargs = parts_of(bound)
        path = importable_path(function) or self.runner.attempts.repertoire.name_here(function)
        return Call.checked(path, function, args, kwargs)

    def _options(self, callback: str | None, functions: Sequence[str] | None, options: dict[str, Any]) -> PostOptions:
        if callback is not None and not self._callbacks:
            raise Misuse("a local run calls no URL", hint="call it yourself, or post to a queue")
        options.pop("parallel", None)  # of `MLQ.post_many`: who makes the messages, which is always this process here
        unknown = options.keys() - {"queue", "priority", "delay", "at", "retries", "timeout"}
        if unknown:
            raise Misuse(f"a local run knows no {sorted(unknown)[0]!r}", hint="see the options of MLQ.post")
        later = bool(options.get("delay")) or options.get("at") is not None
        generation = next_generation(self.profile.limits.chain, later=later)
        return PostOptions(callback=callback, functions=names_of(functions), generation=generation, **options)

    @contextmanager
    def _bar(
        self, wanted: bool | Callable[[int], None] | None, total: int | None, msgs: Any
    ) -> Iterator[Callable[[int], None]]:
        if total is None and hasattr(msgs, "__len__"):
            total = len(msgs)
        with progress_bar(self._progress if wanted is None else wanted, total, "running") as advance:
            yield advance

    # --- running -----------------------------------------------------------------------------------------------------
    def run(self) -> int:
        """Run all that waits, and return how many jobs have ended meanwhile."""
        book, before = self.book, self.book.done
        if not book.open:
            return 0
        with progress_bar(self._progress, book.open, "running") as advance:

            def finished() -> bool:
                advance(book.done - before)
                return not book.open

            self.runner.work(finished)
        return book.done - before

    def wait(self, job_id: str | int, timeout: float | None = None) -> Any:
        """Run what waits until this job has ended, and return its result.

        Raises:
            JobFailed, with the listener's own exception as its cause when that is known; JobCanceled; JobNotFound.
            WaitTimeout: it has not ended within `timeout` seconds, looked at between two jobs when they run inline.
        """
        self.wait_ended(str(job_id), timeout)
        return self.get_result(job_id)

    def wait_ended(self, job_id: str, timeout: float | None = None) -> None:
        """Run what waits until this job has ended, however."""
        entry = self.book.find(job_id)
        deadline = None if timeout is None else time.monotonic() + timeout
        self.runner.work(lambda: entry.state.terminal, deadline)
        if not entry.state.terminal:
            if deadline is None or time.monotonic() < deadline:
                raise Refused(f"job {job_id} waits for itself", hint="it runs already, further up")
            raise WaitTimeout(f"job {job_id} has not ended in time")

    def stream(self, job_id: str | int, timeout: float | None = None) -> Iterator[Any]:
        """Yield the parts that a job emits, then raise as `wait` does. Inline, they come when its listener is through.

        Of another attempt they begin anew.
        """
        entry = self.book.find(str(job_id))
        deadline = None if timeout is None else time.monotonic() + timeout
        token, given = entry.token, 0
        ended = False
        while not ended:
            self.runner.work(partial(_news, entry, given), deadline)
            with self.book.changed:
                ended = entry.state.terminal
                if entry.token != token:
                    token, given = entry.token, 0
                new = list(entry.parts)[len(entry.parts) - min(len(entry.parts), entry.emitted - given) :]
                given = entry.emitted
            yield from map(unpack, new)
            if deadline is not None and not ended and time.monotonic() > deadline:
                raise WaitTimeout(f"job {job_id} has not ended in time")
        self.get_result(job_id)

    # --- values that jobs leave for each other -----------------------------------------------------------------------
    def store_data(self, data: Any, key: str | None = None, expiry: float | None = None) -> str:
        """Keep a value for the jobs of this run, as `MLQ.store_data` does for those of a namespace."""
        return self._kept.store_data(data, key, expiry)

    def fetch_data(self, key: str) -> Any:
        """Return what is kept under a key. Raises DataNotFound."""
        return self._kept.fetch_data(key)

    # --- changing ----------------------------------------------------------------------------------------------------
    def cancel(self, *job_ids: str | int) -> None:
        """Cancel jobs; the executor of a running one is killed. Raises JobNotFound, WrongState."""
        for job_id in job_ids:
            entry = self.book.find(str(job_id))
            if entry.state.terminal:
                raise WrongState(entry.id, entry.state.value, wanted="waiting or running")
            self.cancel_entry(entry)

    def cancel_entry(self, entry: Entry) -> None:
        """Cancel a job unless it has ended."""
        with self.book.changed:
            if entry.state.terminal:
                return
            running = entry.state is State.RUNNING
            self.book.cancel(entry)
        if running:
            self.runner.drop(entry)

    # --- the end -----------------------------------------------------------------------------------------------------
    def close(self) -> None:
        """End the executors; what still waits is not run."""
        self._let_go(hurried=bool(self.book.open))

    def _let_go(self, *, hurried: bool) -> None:
        runner, self._runner_made = self._runner_made, None
        if runner is not None:
            runner.close(hurried=hurried)

    def shutdown(self) -> None:
        """The same, by the name that `MLQ` has for it."""
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.run()
        finally:
            self.close()

    def __repr__(self) -> str:
        names = ", ".join(getattr(known, "__name__", str(known)) for known in self._functions)
        return f"<local {names or 'without a function'}: {self.book.open} open, {self.book.done} ended>"


def _executors(parallel: int | bool) -> int:
    """Return how many executors are meant, 0 for none: then jobs run in this process. Raises Misuse."""
    if parallel is False or (parallel == 1 and parallel is not True):
        return 0
    try:
        return processes(parallel)
    except Misuse as error:
        raise Misuse(f"{parallel!r} processes are out of range", hint=error.hint) from None


def _news(entry: Entry, given: int) -> bool:
    """Whether there is more of a job than so many parts."""
    return entry.state.terminal or entry.emitted > given


def _found(function: Function) -> Callable[..., Any]:
    return find(function) if isinstance(function, str) else function
