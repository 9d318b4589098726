"""class MLQ: the Python API, with the original's method names. Everything above goes through it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from mlq_cli.api.changing import Changing
from mlq_cli.api.consuming import ConsumingHere
from mlq_cli.api.functions import Registering
from mlq_cli.api.keeping import Keeping
from mlq_cli.api.listening import ListeningHere
from mlq_cli.api.looking import Looking
from mlq_cli.api.posting import Posting
from mlq_cli.model.errors import Misuse
from mlq_cli.model.job import check_name
from mlq_cli.model.profile import Profile, load

if TYPE_CHECKING:
    from mlq_cli.local.local import Local


class MLQ(Posting, ConsumingHere, Looking, Changing, Keeping, Registering, ListeningHere):
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
        super().__init__(profile if profile is not None else load(flags=flags))

    @classmethod
    def from_profile(cls, profile: str | None = None, **flags: object) -> Self:
        """Return an MLQ by the name or file of a profile; `flags` win over it: `namespace=…`, `redis_url=…`."""
        dotted = {name.replace("_", ".", 1): value for name, value in flags.items()}
        return cls(profile=load(profile, flags=dotted))

    @staticmethod
    def local(
        *functions: Callable[..., Any] | str,
        parallel: int | bool = 1,
        progress: bool = False,
        setup: Callable[..., Any] | str | None = None,
        timeout: float | None = None,
        retries: int | None = None,
        memory_limit: int | None = None,
        paths: Sequence[str] = (),
        profile: Profile | None = None,
    ) -> Local:
        """Return something that runs jobs without any server: in this process, or in processes of its own.

        It has the names of MLQ (`post`, `post_many`, `wait`, `get_job`, …), and `results(msgs)`, which runs messages
        and yields their results in order. Use it in a `with` block, at whose end all that was posted has run.

        Args:
            functions: listeners, or their paths as "package.module:function"; what they get and may do is the same as
                in a worker.
            parallel: 1 runs them in this process, where a debugger sees them; 4 in four executors as a worker has them,
                so that crashes, timeouts and memory limits are dealt with; True one for each core. What another process
                cannot import, lambdas and closures and what `__main__` defines, travels to them by cloudpickle; nothing
                is signed, for they are our own children.
            progress: show a bar on a terminal.
            setup: called once in each process before its first job.
            timeout: seconds that an attempt may take, for jobs that say nothing; retries: reruns after an exception,
                likewise; memory_limit: bytes of an executor. By default what the profile says.
            paths: folders to import from, before the others.
            profile: by default what `MLQ()` would take.

        Raises:
            Misuse: a function cannot be a listener, or cannot travel.
        """
        from mlq_cli.local.local import Local

        return Local(
            *functions, parallel=parallel, progress=progress, setup=setup, timeout=timeout, retries=retries,
            memory_limit=memory_limit, paths=paths, profile=profile,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"MLQ({self.namespace!r}, {self.store.address!r})"
