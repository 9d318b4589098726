"""class MLQ: the Python API, with the original's method names. Everything above goes through it."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from mlq_cli.api.changing import Changing
from mlq_cli.api.consuming import ConsumingHere
from mlq_cli.api.functions import Registering
from mlq_cli.api.listening import ListeningHere
from mlq_cli.api.looking import Looking
from mlq_cli.api.posting import Posting
from mlq_cli.model.errors import Misuse
from mlq_cli.model.job import check_name
from mlq_cli.model.profile import Profile, load


class MLQ(Posting, ConsumingHere, Looking, Changing, Registering, ListeningHere):
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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"MLQ({self.namespace!r}, {self.store.address!r})"
