"""Listening in this process: what the original calls `create_listener` and `create_reaper`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from mlq_cli.api.connected import Connected
from mlq_cli.model.profile import Profile

if TYPE_CHECKING:
    from mlq_cli.mlq import MLQ
    from mlq_cli.worker.inprocess import Listening, Reaping

F = TypeVar("F", bound=Callable[..., Any])


class ListeningHere(Connected):
    """Runs listeners and a reaper in threads of this process."""

    def __init__(self, profile: Profile) -> None:
        super().__init__(profile)
        self._listening: Listening | None = None
        self._reapings: list[Reaping] = []

    def create_listener(self, function: F) -> F:
        """Listen in this process, in the background: every listener created runs for every message, in order.

        The first call starts a thread that keeps the process alive until `shutdown`. A function that crashes the
        interpreter takes this process with it; `mlq worker` isolates it. Returns the function, so it is a decorator.
        """
        if self._listening is None:
            from mlq_cli.worker.inprocess import Listening

            self._listening = Listening(cast("MLQ", self))
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

        self._reapings.append(Reaping(cast("MLQ", self), call_how_often, job_timeout, max_retries))

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
        super().close()
