"""How deep in a chain of jobs that post jobs we are: 0 outside of any job, 1 inside of one that nobody's job posted, …

Kept so that a job which posts itself without end is stopped by a clear error, and not by a full Redis.
"""

from __future__ import annotations

from contextvars import ContextVar, Token

from mlq_cli.model.errors import Refused

_generation: ContextVar[int] = ContextVar("mlq_generation", default=0)

#: Called by an executor when it begins a job, with the job's own generation plus one.
enter = _generation.set


def leave(token: Token[int]) -> None:
    """Be where we were before `enter`, which has returned the token. In another thread that is of no use."""
    try:
        _generation.reset(token)
    except ValueError:
        pass


def next_generation(most: int | None, *, later: bool) -> int:
    """Return the generation of a job that is posted now. Raises Refused beyond `most`; None: no limit.

    `later`: posted for a time to come. Then the count begins anew, for a job that repeats itself now and then is no
    runaway.
    """
    generation = 0 if later else _generation.get()
    if most is not None and generation > most:
        raise Refused(
            f"a job of a job of a job: this one would be the {generation:,}th in its chain",
            hint="does it post itself? limits.chain in the profile allows longer chains, null any",
        )
    return generation
