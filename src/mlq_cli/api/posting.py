"""Posting: messages in, ids out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from typing import Any

from mlq_cli.api.functions import Registering
from mlq_cli.bulk import Ids, packed, post_all, processes
from mlq_cli.model.call import Call, importable_path, name_of, parts_of
from mlq_cli.model.errors import Misuse
from mlq_cli.model.generation import next_generation
from mlq_cli.model.job import check_own_id
from mlq_cli.model.options import PostOptions, check_functions, names_of
from mlq_cli.model.values import pack
from mlq_cli.progress_bar import progress_bar

_options = lru_cache(maxsize=64, typed=True)(PostOptions)  # they are mostly those of the post before


class Posting(Registering):
    """The ways into a queue."""

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
        callback_method: str | None = None,
        callback_public: bool = False,
    ) -> str:
        """Post one message and return the id of its job. When this returns, the job is stored.

        Args:
            msg: what the listener gets: anything msgpack carries, dates, big integers and numpy arrays too; or a
                `functools.partial`, see `post_call`.
            callback: URL that is told the outcome: `GET <url>?success=0|1&job_id=…&short_result=…`.
            functions: names of the listeners to run; all of them by default.
            queue: name of the line to wait in.
            priority: higher is sooner, -2047 to 2047.
            delay: seconds before it may run; `at`: the instant (Unix seconds), instead.
            retries: reruns after an exception; by default what the worker says.
            timeout: seconds one attempt may take before it is killed.
            id: an id of your own; posting it again returns it and changes nothing.
            callback_method: POST sends signed JSON instead; by default what the profile says.
            callback_public: for a URL by a stranger: call it only on the public internet, whatever the profile allows.

        Raises:
            Misuse: an option makes no sense or is not allowed, or the message cannot be carried or is too large.
            Refused: called in a job that stands at the end of a chain of more than `limits.chain`.
            StoreUnavailable, StoreFull, NotAllowed: Redis says no.
        """
        if type(msg) is partial or type(msg) is Call:
            msg = self._call(msg, functions)
        deep = self._generation(delay, at)
        told = self._how_to_tell(callback, callback_method, callback_public)
        options = _options(queue, priority, delay, at, retries, timeout, callback, names_of(functions), deep, *told)
        message = pack(msg, limit=self.profile.limits.message)
        own = None if id is None else [check_own_id(id)]
        store = self.store
        return store.ask(store.post([message], options, own)).ids[0]

    def post_call(
        self, call: Call | partial[Any] | Callable[..., Any], callback: str | None = None, **options: Any
    ) -> str:
        """Post a call of a function, `post_call(partial(resize, "a.png", width=64))`, and return the id of its job.

        It runs on a worker that has the function: `mlq worker --calls pkg.mod`, or `--fn` of it. What the function
        returns is the job's result. Arguments are what a message can hold, and are checked against the function's
        signature here; a parameter named `ctx` that is not given gets the context. A function that no worker could
        import, a lambda, a closure or one of `__main__`, is registered first, for workers with `--registered`.

        `options`: those of `post` but `functions`. Raises WrongCall, a TypeError, when the arguments do not fit,
        Misuse when it is no function that a message could call, and as `post` and `register_function` do.
        """
        return self.post(self._call(call, None), callback, **options)

    def _call(
        self, given: Any, functions: Sequence[str] | None, known: dict[int, tuple[Any, str]] | None = None
    ) -> Call:
        """Return the call that is to be posted; `known`: names of functions that were registered for this before."""
        if functions is not None:
            raise Misuse("a call says by itself what it runs", hint="leave functions out")
        if isinstance(given, Call):
            check_functions((given.path,))
            return given
        function, args, kwargs = parts_of(given)
        path = importable_path(function)
        if path is not None:
            return Call.checked(path, function, args, kwargs)
        Call.checked(name_of(function), function, args, kwargs)  # before it is sent anywhere
        if known is None:
            return Call(self.register_call(function), args, kwargs)
        if id(function) not in known:
            known[id(function)] = (function, self.register_call(function))
        return Call(known[id(function)][1], args, kwargs)

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
        callback_method: str | None = None,
        callback_public: bool = False,
    ) -> Ids:
        """Post many messages that share their options; generators are welcome, memory stays constant.

        `progress=True` shows a bar on a terminal (`total` gives it an end); a function is called with how many are in.
        Returns the ids in order, as a sequence that takes next to no memory. What was posted before an error stays.

        `parallel=4` lets four processes make, pack and post the messages, True one for each core; they are forks of
        this one, and `msgs` has to have a length and slices. It pays when it takes long to make or to pack a message.
        Messages may be a `functools.partial`, as `post_call` takes; in parallel only of functions that can be imported.
        Raises as `post` does.
        """
        deep = self._generation(delay, at)
        told = self._how_to_tell(callback, callback_method, callback_public)
        options = PostOptions(queue, priority, delay, at, retries, timeout, callback, names_of(functions), deep, *told)
        limit = self.profile.limits.message
        if (count := processes(parallel)) == 1:
            with progress_bar(progress, total) as advance:
                known: dict[int, tuple[Any, str]] = {}
                messages = packed(msgs, limit, lambda bound: self._call(bound, functions, known))
                return post_all(self.store, messages, options, advance)
        from mlq_cli.parallel import Posters, shared

        posters = Posters(self.store, shared(msgs, limit), options, count)
        with posters, progress_bar(progress, total) as advance:  # in this order: the bar has a thread
            return posters.post_all(advance)

    def _generation(self, delay: float | None, at: float | None) -> int:
        return next_generation(self.profile.limits.chain, later=bool(delay) or at is not None)

    def _how_to_tell(self, url: str | None, method: str | None, public: bool) -> tuple[str, bool]:
        if url is None and method is None and not public:
            return "GET", False
        from mlq_cli.model.callback_policy import how_to_tell  # it takes long to import

        return how_to_tell(self.profile, url, method, public)
