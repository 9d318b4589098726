"""class Local: what `MLQ.local` returns. It has the names of `MLQ`, and no server behind them."""

from __future__ import annotations

import os
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, TypeVar

from mlq_cli.bulk import Ids, processes
from mlq_cli.local.book import Book
from mlq_cli.local.entry import Entry
from mlq_cli.local.inline import Inline
from mlq_cli.model.errors import JobFailed, Misuse, Refused, WaitTimeout, WrongState
from mlq_cli.model.generation import next_generation
from mlq_cli.model.job import WAITING, Record, State, check_own_id, progress_of, result_of
from mlq_cli.model.options import PostOptions, names_of
from mlq_cli.model.profile import Profile, load
from mlq_cli.model.rules import rules_of
from mlq_cli.model.values import pack, unpack
from mlq_cli.progress_bar import progress_bar
from mlq_cli.worker.listeners import find, listener_of

F = TypeVar("F", bound=Callable[..., Any])
Function = Callable[..., Any] | str

AHEAD = 400  # jobs of a bulk run that each executor may be ahead of the first one that has not ended
HELD_BYTES = 64 << 20  # of messages and results, above which no more messages are drawn
NOTHING_NOW = 0.05  # seconds between two looks at messages of which none is there right now


class Local:
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
    ) -> None:
        """See `MLQ.local`. `patient`: wait for delays and backoffs; `callbacks`: take URLs, and call none of them."""
        self.profile = load() if profile is None else profile
        worker = self.profile.worker
        rules = rules_of(self.profile)
        self._book = Book(rules if retries is None else replace(rules, retries=retries), patient=patient)
        self._functions: list[Function] = []
        self._setup = setup
        self._timeout = worker.timeout if timeout is None else timeout
        self._memory_limit = worker.memory_limit if memory_limit is None else memory_limit
        self._paths = paths
        self._size = 0 if parallel == 1 and parallel is not True else processes(parallel)  # executors; 0: inline
        self._progress = progress
        self._callbacks = callbacks
        self._worker = f"local-{os.getpid()}"
        self._runner_made: Any = None
        for function in functions:
            self.create_listener(function)

    # --- functions -----------------------------------------------------------------------------------------------------
    def create_listener(self, function: F) -> F:
        """Run this function too, for every message, in order. Returns it, so it is a decorator."""
        listener_of(find(function) if isinstance(function, str) else function)  # Misuse comes now, and here
        self._change([*(each for each in self._functions if each is not function), function])
        return function

    def remove_listener(self, function: Callable[..., Any]) -> bool:
        """Run a function no more, found by itself or by its name. Returns whether it was there."""
        name = getattr(function, "__name__", None)
        same = [each for each in self._functions if each is function]
        same = same or [each for each in self._functions if getattr(each, "__name__", "") == name]
        self._change([each for each in self._functions if each not in same])
        return bool(same)

    def _change(self, functions: list[Function]) -> None:
        if self._size and self._runner_made is not None:
            self.run()
            self._let_go(hurried=False)
        self._functions = functions
        if isinstance(self._runner_made, Inline):
            self._runner_made.attempts.listeners = [listener_of(_found(each)) for each in functions]

    @property
    def _runner(self) -> Any:
        """What runs the jobs; made when that is first needed."""
        if self._runner_made is None:
            if self._size:
                from mlq_cli.local.crew import crew

                self._runner_made = crew(
                    self._book, self._worker, self._functions, self._setup, self._paths, size=self._size,
                    limit=self.profile.limits.result, timeout=self._timeout, memory_limit=self._memory_limit,
                )  # fmt: skip
                # Not by __del__, which a listener's own reference to us may put off for ever.
                weakref.finalize(self, self._runner_made.close, hurried=True)
            else:
                inline = Inline(self._book, self._worker, self.profile.limits.result, self._timeout)
                setup = None if self._setup is None else _found(self._setup)
                inline.prepare([listener_of(_found(each)) for each in self._functions], setup)
                self._runner_made = inline
        return self._runner_made

    # --- posting -------------------------------------------------------------------------------------------------------
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
        message = pack(msg, limit=self.profile.limits.message)
        entry = self._book.post(message, wanted, None if id is None else check_own_id(id))
        return entry.id

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
            for entry in self._each(self._packed(msgs), wanted, forget=False):
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
            yield self._result_of(record)

    def records(
        self, msgs: Iterable[Any], total: int | None = None, progress: bool | None = None, **options: Any
    ) -> Iterator[Record]:
        """The same, but yield the records, of those that have failed too."""
        callback, functions = options.pop("callback", None), options.pop("functions", None)
        wanted = self._options(callback, functions, options)
        with self._bar(progress, total, msgs) as advance:
            for done, entry in enumerate(self._each(self._packed(msgs), wanted, forget=True), 1):
                advance(done)
                yield entry.record()

    def _packed(self, msgs: Iterable[Any]) -> Iterator[bytes | None]:
        return (pack(msg, limit=self.profile.limits.message) for msg in msgs)

    def _options(self, callback: str | None, functions: Sequence[str] | None, options: dict[str, Any]) -> PostOptions:
        if callback is not None and not self._callbacks:
            raise Misuse("a local run calls no URL", hint="call it yourself, or post to a queue")
        options.pop("parallel", None)
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

    def _each(self, messages: Iterator[bytes | None], options: PostOptions, *, forget: bool) -> Iterator[Entry]:
        """Run messages and yield their jobs in order. None of them says that there is no message right now.

        What drawing one raises is raised when those before it have ended.
        """
        runner, book = self._runner, self._book
        ahead = max(1, self._size * AHEAD)
        begun: deque[Entry] = deque()
        error: Exception | None = None
        drawing = True
        try:
            while drawing or begun:
                waiting = False
                while drawing and not waiting and len(begun) < ahead and (not begun or book.bytes < HELD_BYTES):
                    try:
                        message = next(messages, b"")
                    except Exception as raised:  # noqa: BLE001  raised below
                        error, message = raised, b""
                    if message:
                        begun.append(book.post(message, options, lasting=False))
                        runner.wake()
                        waiting = begun[0].state.terminal
                    else:
                        drawing, waiting = message is None, True
                if begun:
                    deadline = time.monotonic() + NOTHING_NOW if drawing and waiting else None
                    runner.work(lambda: begun[0].state.terminal, deadline)
                    while begun and begun[0].state.terminal:
                        entry = begun.popleft()
                        if forget:
                            book.forget(entry)
                        yield entry
                elif drawing:
                    time.sleep(NOTHING_NOW)
            if error is not None:
                raise error
        finally:
            for entry in begun:
                self._cancel(entry)

    # --- running -------------------------------------------------------------------------------------------------------
    def run(self) -> int:
        """Run all that waits, and return how many jobs have ended meanwhile."""
        book, before = self._book, self._book.done
        if not book.open:
            return 0
        with progress_bar(self._progress, book.open, "running") as advance:

            def finished() -> bool:
                advance(book.done - before)
                return not book.open

            self._runner.work(finished)
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
        entry = self._book.find(job_id)
        deadline = None if timeout is None else time.monotonic() + timeout
        self._runner.work(lambda: entry.state.terminal, deadline)
        if not entry.state.terminal:
            if deadline is None or time.monotonic() < deadline:
                raise Refused(f"job {job_id} waits for itself", hint="it runs already, further up")
            raise WaitTimeout(f"job {job_id} has not ended in time")

    def stream(self, job_id: str | int, timeout: float | None = None) -> Iterator[Any]:
        """Yield the parts that a job emits, then raise as `wait` does. Inline, they come when its listener is through.

        Of another attempt they begin anew.
        """
        entry = self._book.find(str(job_id))
        deadline = None if timeout is None else time.monotonic() + timeout
        token, given = entry.token, 0
        ended = False
        while not ended:
            self._runner.work(lambda: entry.state.terminal or entry.emitted > given, deadline)
            with self._book.changed:
                ended = entry.state.terminal
                if entry.token != token:
                    token, given = entry.token, 0
                new = list(entry.parts)[len(entry.parts) - min(len(entry.parts), entry.emitted - given) :]
                given = entry.emitted
            yield from map(unpack, new)
            if deadline is not None and not ended and time.monotonic() > deadline:
                raise WaitTimeout(f"job {job_id} has not ended in time")
        self.get_result(job_id)

    # --- looking -------------------------------------------------------------------------------------------------------
    def get_job(self, job_id: str | int) -> Record:
        """Return the record of a job, as a queue would. Raises JobNotFound, which is also a KeyError."""
        with self._book.changed:
            entry = self._book.find(str(job_id))
            return entry.record(self._book.position(entry))

    def get_jobs(self, job_ids: Iterable[str | int]) -> list[Record | None]:
        """Return the records of many jobs, None for those that do not exist."""
        known = {entry.id: entry for entry in self._book.all()}
        found = (known.get(str(job_id)) for job_id in job_ids)
        return [None if entry is None else entry.record() for entry in found]

    def list_jobs(self, *, states: Iterable[State] | None = None, limit: int = 50) -> list[Record]:
        """Return records of jobs, the newest first, at most `limit`."""
        wanted = set(states or State)
        newest = [entry for entry in reversed(self._book.all()) if entry.state in wanted]
        return [entry.record() for entry in newest[:limit]]

    @property
    def failed(self) -> list[Record]:
        """The jobs that have failed for good, as far as they are known."""
        return [entry.record() for entry in self._book.all() if entry.state is State.DEAD]

    def get_result(self, job_id: str | int) -> Any:
        """Return the full result, None while there is none. Raises JobNotFound, JobFailed, JobCanceled."""
        return self._result_of(self.get_job(job_id), self._book.find(str(job_id)).exception)

    def _result_of(self, record: Record, cause: BaseException | None = None) -> Any:
        try:
            return result_of(record)
        except JobFailed as error:
            error.hint = None  # there is no dead-letter queue to look into
            if cause is None and error.traceback:
                error.add_note(error.traceback.rstrip())
            raise error from cause

    def get_progress(self, job_id: str | int) -> Any:
        """Return what a running listener said last, or how the job stands, in the words of `MLQ.get_progress`."""
        return progress_of(self.get_job(job_id))

    def job_count(self) -> int:
        """Return how many jobs wait."""
        return sum(entry.state in WAITING for entry in self._book.all())

    # --- changing ------------------------------------------------------------------------------------------------------
    def cancel(self, *job_ids: str | int) -> None:
        """Cancel jobs; the executor of a running one is killed. Raises JobNotFound, WrongState."""
        for job_id in job_ids:
            entry = self._book.find(str(job_id))
            if entry.state.terminal:
                raise WrongState(entry.id, entry.state.value, wanted="waiting or running")
            self._cancel(entry)

    def _cancel(self, entry: Entry) -> None:
        with self._book.changed:
            if entry.state.terminal:
                return
            running = entry.state is State.RUNNING
            self._book.cancel(entry)
        if running:
            self._runner.drop(entry)

    # --- the end -------------------------------------------------------------------------------------------------------
    def close(self) -> None:
        """End the executors; what still waits is not run."""
        self._let_go(hurried=bool(self._book.open))

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
        names = ", ".join(each if isinstance(each, str) else getattr(each, "__name__", "?") for each in self._functions)
        return f"<local {names or 'without a function'}: {self._book.open} open, {self._book.done} ended>"


def _found(function: Function) -> Callable[..., Any]:
    return find(function) if isinstance(function, str) else function
