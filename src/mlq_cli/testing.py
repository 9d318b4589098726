"""Run a listener in a test: no server, no process, no thread.

from mlq_cli.testing import inline, run

def test_it_counts_the_words() -> None:
    ran = run(count_words, {"text": "to be or not to be"})
    assert ran.result == 6 and ran.progress == [50, 100]

def test_the_page_that_posts_shows_the_count() -> None:
    with inline(count_words) as mlq:
        assert page(mlq, "to be") == "2 words"
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from mlq_cli.local.entry import Entry, new_token
from mlq_cli.local.inline import InlineAttempts
from mlq_cli.local.kept import Kept
from mlq_cli.local.local import Local
from mlq_cli.model.call import Call, importable_path, name_of, parts_of
from mlq_cli.model.errors import JobFailed, JobNotFound
from mlq_cli.model.options import PostOptions, names_of
from mlq_cli.model.outcome import Kind
from mlq_cli.model.profile import Profile
from mlq_cli.model.values import pack, unpack
from mlq_cli.worker.context import Context, Job, jobs_in
from mlq_cli.worker.listeners import find, listener_of

__all__ = ["FakeContext", "Posted", "Ran", "context", "inline", "run"]

#: What `block_until_result` finds: results by id, or what makes one of what was posted. Exceptions are raised.
Results = Mapping[str, Any] | Callable[["Posted"], Any]


@dataclass(frozen=True, slots=True)
class Posted:
    """What a listener has posted."""

    id: str
    msg: Any
    callback: str | None
    functions: list[str] | None
    options: dict[str, Any]  # those that were given


@dataclass(frozen=True, slots=True)
class Ran:
    """How an attempt of a listener went."""

    result: Any
    short_result: str | None
    progress: list[Any]  # all that it said, in order
    parts: list[Any]  # what it emitted, or yielded as a generator
    posted: list[Posted]
    stored: dict[str, Any]  # what it stored for others, by key
    error: str | None  # "ValueError: no such image", as in the job's record
    error_type: str | None
    traceback: str | None
    exception: BaseException | None  # what it raised
    seconds: float

    @property
    def succeeded(self) -> bool:
        """Whether the attempt would count as a success."""
        return self.error is None

    def unwrap(self) -> Any:
        """Return the result. Raises JobFailed as `MLQ.get_result` would, with what the listener raised as its cause."""
        if self.error is not None:
            raise JobFailed("1", self.error, self.traceback) from self.exception
        return self.result


@dataclass(slots=True)
class _Fakes:
    """Stands in for worker and namespace, and remembers what it was told."""

    kept: Kept
    results: Results
    progress: list[Any] = field(default_factory=list)
    parts: list[Any] = field(default_factory=list)
    posted: list[Posted] = field(default_factory=list)
    stored: dict[str, Any] = field(default_factory=dict)

    @property
    def reach(self) -> _Fakes:
        """How the job gets at its namespace."""
        return self

    def tell(self, frame: tuple[Any, ...]) -> None:
        """Remember progress."""
        if frame[0] == "progress":
            self.progress.append(unpack(frame[3]))

    def tell_part(self, job: Job, packed: bytes) -> None:
        """Remember a part."""
        job.emitted += 1
        self.parts.append(unpack(packed))

    def post(
        self,
        job: Job,
        msg: Any,
        callback: str | None = None,
        functions: Sequence[str] | None = None,
        **options: Any,
    ) -> str:
        """Remember a post, when it makes sense."""
        checked = dict(options)
        own_id = checked.pop("id", None)
        PostOptions(callback=callback, functions=names_of(functions), **checked)
        job_id = own_id or str(len(self.posted) + 2)
        if isinstance(msg, partial):
            function, args, kwargs = parts_of(msg)
            msg = Call.checked(importable_path(function) or name_of(function), function, args, kwargs)
        value = unpack(pack(msg, limit=self.kept.profile.limits.message))
        names = None if functions is None else list(functions)
        self.posted.append(Posted(job_id, value, callback, names, options))
        return job_id

    def store_data(self, data: Any, key: str | None, expiry: float | None) -> str:
        """Keep a value."""
        key = self.kept.store_data(data, key, expiry)
        self.stored[key] = self.kept.fetch_data(key)
        return key

    def fetch_data(self, key: str) -> Any:
        """Return a value that is kept."""
        return self.kept.fetch_data(key)

    def block_until_result(self, job: Job, job_id: str, timeout: float | None) -> Any:
        """Return, or raise, what the test has said."""
        if callable(self.results):
            posted = next((posted for posted in self.posted if posted.id == job_id), None)
            if posted is None:
                raise JobNotFound(job_id)
            found = self.results(posted)
        elif job_id in self.results:
            found = self.results[job_id]
        else:
            raise JobNotFound(job_id)
        if isinstance(found, BaseException):
            raise found
        return found


class FakeContext(Context):
    """A context to call a listener with; it remembers what the listener did with it."""

    _voice: _Fakes

    @property
    def progress(self) -> list[Any]:
        """All progress that was said, in order."""
        return self._voice.progress

    @property
    def parts(self) -> list[Any]:
        """What was emitted."""
        return self._voice.parts

    @property
    def posted(self) -> list[Posted]:
        """What was posted."""
        return self._voice.posted

    @property
    def stored(self) -> dict[str, Any]:
        """What was stored for others, by key."""
        return self._voice.stored


def run(
    function: Callable[..., Any] | str,
    msg: Any = None,
    *,
    id: str = "1",
    queue: str = "default",
    attempt: int = 1,
    timeout: float | None = None,
    results: Results | None = None,
    data: Mapping[str, Any] | None = None,
) -> Ran:
    """Run one attempt of a listener as an executor would, and say how it went. What it raises is told, not raised.

    The message is packed and unpacked on its way, so that the listener gets what it would get from a queue, and a
    result that could not be carried fails here too. Plain, async and generator functions alike, with or without ctx.

    Args:
        function: the listener, or its path as "package.module:function".
        msg: what it gets.
        id: of the job, as `ctx.id` tells; likewise `queue` and `attempt`.
        timeout: seconds after which the attempt is interrupted and has failed with JobTimeout.
        results: what `ctx.block_until_result` returns: by id, or made of what was posted; an exception is raised.
        data: what `ctx.fetch_data` finds.

    Raises:
        Misuse: the function can be no listener, or the message cannot be carried.
    """
    fakes, frame = _prepared(msg, id, queue, attempt, results, data)
    attempts = InlineAttempts("test", Profile().limits.result, fakes)
    attempts.repertoire.listeners = [listener_of(find(function) if isinstance(function, str) else function)]
    (values,) = jobs_in(frame)
    (kind, _, _, seconds, first, second, third), exception = attempts.run_within(values, timeout)
    seen = (fakes.progress, fakes.parts, fakes.posted, fakes.stored)
    if kind == Kind.DONE:
        short = first[1:].decode() if first else None
        return Ran(unpack(second), short, *seen, None, None, None, None, seconds)
    error_type, message = first.decode(), second.decode()
    error = f"{error_type}: {message}" if message else error_type
    return Ran(None, None, *seen, error, error_type, third.decode() or None, exception, seconds)


def context(
    msg: Any = None,
    *,
    id: str = "1",
    queue: str = "default",
    attempt: int = 1,
    results: Results | None = None,
    data: Mapping[str, Any] | None = None,
) -> FakeContext:
    """Return a context to call a listener with by hand: `classify(msg, context(msg))`; arguments as of `run`."""
    fakes, frame = _prepared(msg, id, queue, attempt, results, data)
    (values,) = jobs_in(frame)
    job = Job(values)
    return FakeContext(job, unpack(job.packed_msg), "test", fakes, time.monotonic())


def inline(*functions: Callable[..., Any] | str, **options: Any) -> Local:
    """Return a local MLQ for a test: what is posted runs at once, in this thread, before `post` returns.

    For code that takes an MLQ and posts to it. Settings are the defaults, whatever mlq.yaml says. Nobody waits: a rerun
    comes at once, and a job with a delay when the test says `run()` or `wait(id)`. A callback URL stays in the record,
    and is not called. `options`: those of `MLQ.local`.
    """
    return Local(*functions, **{"profile": Profile(), "patient": False, "callbacks": True, "eager": True, **options})


def _prepared(
    msg: Any, job_id: str, queue: str, attempt: int, results: Results | None, data: Mapping[str, Any] | None
) -> tuple[_Fakes, bytes]:
    profile = Profile()
    kept = Kept(profile)
    for key, value in (data or {}).items():
        kept.store_data(value, key)
    entry = Entry(job_id, 1, pack(msg, limit=profile.limits.message), PostOptions(queue=queue), time.time())
    entry.spent, entry.token = attempt - 1, new_token()
    return _Fakes(kept, {} if results is None else results), entry.frame()
