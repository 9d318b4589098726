"""Consuming: messages in the caller's own process, one after the other, as HotQueue and python-task-queue do it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from mlq_cli.api.changing import Changing
from mlq_cli.api.looking import Looking
from mlq_cli.model.errors import Misuse
from mlq_cli.model.job import check_name
from mlq_cli.model.rules import rules_of

if TYPE_CHECKING:
    from mlq_cli.mlq import MLQ
    from mlq_cli.worker.consuming import Consuming
    from mlq_cli.worker.messages import Messages

F = TypeVar("F", bound=Callable[..., Any])
Queues = str | Sequence[str]


class ConsumingHere(Looking, Changing):
    """Takes messages in loops of the caller's own process."""

    def consume(
        self,
        queue: Queues = "default",
        timeout: float | None = None,
        *,
        lease: float | None = None,
        ahead: int | None = None,
    ) -> Messages:
        """Return an iterator over messages; each is finished when the loop asks for the next one.

        When the loop is left by a `break` or an exception, or the process dies, the message that it has goes back to
        its queue. Redis may be away for a while: the loop waits and goes on. Ctrl-C while it waits ends it. In a `with`
        it is closed at the end of the block. `mlq worker` shows it beside the workers.

        Args:
            queue: a name or several, served in order.
            timeout: seconds to wait for a next message, counted from when the loop asks for it; None: for ever, 0: take
                what is there.
            lease: seconds of silence after which another gets what this loop holds; by default what the profile says.
            ahead: messages to hold at most; by default as many as are handled in 10 ms. With 1, one is handed out only
                when Redis has noted that the one before is finished.

        Raises:
            StoreUnavailable, NotAllowed: at the first message, or when Redis is away for longer than `timeout` and
                the lease.
        """
        from mlq_cli.worker.messages import Messages

        return Messages(self._loop(queue, lease, ahead), _seconds(timeout))

    def pop(self, queue: Queues = "default", timeout: float | None = 0) -> Any:
        """Take one message and finish it at once; None when there is none within `timeout` seconds (None: for ever).

        So it is delivered at most once: what becomes of it afterwards is nobody's business but yours.
        """
        from mlq_cli.worker.messages import pop

        return pop(self._loop(queue, None, 1, keeps=False), _seconds(timeout))

    @overload
    def worker(self, function: F, /) -> Callable[..., int]: ...
    @overload
    def worker(
        self, /, *, queue: Queues = ..., timeout: float | None = ..., lease: float | None = ...
    ) -> Callable[[F], Callable[..., int]]: ...
    def worker(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        queue: Queues = "default",
        timeout: float | None = None,
        lease: float | None = None,
    ) -> Any:
        """Make a function a worker: called, it runs for each message, which it gets as its last argument.

        `@mlq.worker` and `@mlq.worker(timeout=1)`, on functions and on methods. What it returns is the result of the
        job. What it raises is recorded as the failure of the attempt, and ends the loop. The call returns how many
        messages were handled when none has come for `timeout` seconds. The arguments are those of `consume`.
        """

        def decorator(function: Callable[..., Any]) -> Callable[..., int]:
            @functools.wraps(function)
            def work(*args: Any, **kwargs: Any) -> int:
                from mlq_cli.worker.hooks import Hooks
                from mlq_cli.worker.polling import Polling
                from mlq_cli.worker.repertoire import Repertoire

                repertoire = Repertoire()
                repertoire.add_bound(function, args, kwargs)
                loop = self._loop(queue, lease, None, runs=_name_of(function), functions=repertoire.names)
                limit = self.profile.limits.result
                return Polling(loop, cast("MLQ", self), repertoire, Hooks(), limit=limit).run(_seconds(timeout))

            return work

        return decorator if function is None else decorator(function)

    def poll(
        self,
        *functions: Callable[..., Any],
        queue: Queues = "default",
        timeout: float | None = None,
        stop_fn: Callable[..., object] | None = None,
        before_fn: Callable[..., object] | None = None,
        after_fn: Callable[..., object] | None = None,
        lease: float | None = None,
        backoff_exceptions: Sequence[type[BaseException]] = (),
        max_backoff_window: float = 120.0,
        calls: Sequence[str] = (),
    ) -> int:
        """Run jobs in this process, one after the other, until it is time to stop; returns how many succeeded.

        Every function runs for every message, as in `mlq worker`: `f(msg)` or `f(msg, ctx)`. What was posted as a call
        of one of them, by a `functools.partial`, is called. An error is recorded as the failure of the attempt and
        raised here. Ctrl-C and SIGTERM let it finish the job that it is at; when they come again, that goes back and
        the poll ends at once.

        Args:
            queue: a name or several, served in order.
            timeout: seconds to wait for a next job; None: for ever.
            stop_fn: asked after each job, and each second while none comes; true ends the poll. It gets by name what it
                asks for: `executed`, `tries` (in a row that brought nothing), `previous_execution_time` and
                `elapsed_time` in seconds.
            before_fn: called with the job before each attempt: its `id`, `attempt`, `full_message`, …
            after_fn: called with the job after each success. With a second parameter: after each attempt, and that is
                how it ended: `ok`, `seconds`, `error`.
            lease: seconds of silence after which another gets what this process holds.
            backoff_exceptions: errors after which the job is put off, and the poll waits too, instead of ending: a
                random time that grows from try to try up to `max_backoff_window` seconds. No attempt is spent.
            calls: further functions that messages may call: `package.module`, or `package.module:function`.
        """
        from mlq_cli.worker.hooks import Hooks
        from mlq_cli.worker.polling import Polling, interruptible
        from mlq_cli.worker.repertoire import Repertoire

        repertoire = Repertoire()
        for function in functions:
            repertoire.add(function)
        for told in calls:
            repertoire.allow(told)
        if not repertoire.names:
            raise Misuse("nothing to run", hint='mlq.poll(function), or mlq.poll(calls=["package.module"]) for calls')
        hooks = Hooks(before_fn, after_fn, stop_fn)
        runs = " ".join([*map(_name_of, functions), *calls])
        loop = self._loop(queue, lease, None, runs=runs, functions=repertoire.names)
        polling = Polling(
            loop, cast("MLQ", self), repertoire, hooks,
            limit=self.profile.limits.result, backs_off=tuple(backoff_exceptions), longest=max_backoff_window,
        )  # fmt: skip
        with interruptible(loop):
            return polling.run(_seconds(timeout))

    def clear(self, queue: str = "default") -> int:
        """Throw away the messages that wait in a queue. Returns how many."""
        return self.purge(queue)

    def __len__(self) -> int:
        """Return how many jobs wait in this namespace, as `job_count`."""
        return self.job_count()

    def __bool__(self) -> bool:
        """True, also when no job waits: an MLQ is there or it is not."""
        return True

    def _loop(self, queue: Queues, lease: float | None, ahead: int | None, **options: Any) -> Consuming:
        from mlq_cli.worker.consuming import Consuming

        queues = (queue,) if isinstance(queue, str) else tuple(queue)
        if not queues:
            raise Misuse("a loop needs a queue")
        for name in queues:
            check_name(name, "queue")
        if ahead is not None and ahead < 1:
            raise Misuse("ahead has to be at least 1")
        rules = rules_of(self.profile)
        if lease is not None:
            if lease <= 0:
                raise Misuse("a lease has to be longer than nothing")
            rules = replace(rules, lease=float(lease))
        return Consuming(self.store, queues, rules, ahead=ahead, **options)


def _name_of(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def _seconds(timeout: float | None) -> float | None:
    if timeout is not None and not timeout >= 0:
        raise Misuse(f"a timeout of {timeout} makes no sense", hint="seconds, 0 for what is there, None for ever")
    return timeout
