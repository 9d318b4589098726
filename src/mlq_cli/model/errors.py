"""Every error that mlq raises on purpose, in one tree.

Each class carries what a surface needs to answer with it: the exit code of a command, the HTTP status, and a hint
that says what to do next. So neither the command line nor the HTTP server keeps a table of its own.

    MlqError                        exit 1    500
    ├─ Misuse (ValueError)          exit 2    400   the request makes no sense
    │  ├─ UnknownKey                          400   a profile key that does not exist
    │  ├─ TooLarge                            413   a message or a result over its limit
    │  ├─ NotCarried (TypeError)              400   a value that msgpack and our extensions cannot carry
    │  └─ WrongCall (TypeError)               400   arguments that do not fit the function that is to be called
    ├─ JobNotFound (KeyError)       exit 3    404
    ├─ NoToken                      exit 3    404   no access token of this id
    ├─ DataNotFound (KeyError)      exit 3    404   nothing is stored under this key
    ├─ NoFunction                   exit 3    404   no registered function of this name
    ├─ WaitTimeout (TimeoutError)   exit 4    408   the job goes on, the wait is over
    ├─ JobFailed                    exit 5    424   the job is dead
    ├─ JobCanceled                  exit 6    410
    ├─ Refused                      exit 7    409   understood, and not done
    │  └─ WrongState                          409   the job is in a state that does not allow this
    ├─ StoreUnavailable             exit 69   503   Redis is out of reach, starting, or failing over
    ├─ StoreFull                    exit 75   507   Redis has no memory left, or the queue is full
    └─ NotAllowed                   exit 77   403   wrong password, or a command the Redis user may not run
       └─ EnvelopeRefused           exit 77   403   a function that nobody we trust has signed for this place
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MlqError(Exception):
    """Something went wrong inside mlq."""

    exit_code = 1
    http_status = 500

    def __init__(self, message: str = "", *, hint: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())
        self.hint = hint

    @property
    def message(self) -> str:
        """The sentence for people, without the hint."""
        return str(self.args[0])

    def __str__(self) -> str:
        # KeyError would print the repr of its argument, and some of us are KeyErrors.
        return self.message


class Misuse(MlqError, ValueError):
    """The request makes no sense."""

    exit_code = 2
    http_status = 400


class UnknownKey(Misuse):
    """A key that does not exist."""

    def __init__(self, key: str, known: Iterable[str], *, where: str) -> None:
        close = difflib.get_close_matches(key, list(known), n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"known keys: {', '.join(sorted(known))}"
        super().__init__(f"unknown key '{key}' in {where}", hint=hint)


class TooLarge(Misuse):
    """A message or a result is over its limit."""

    http_status = 413


class NotCarried(Misuse, TypeError):
    """A value cannot be carried by msgpack and our extension types."""


class WrongCall(Misuse, TypeError):
    """The arguments of a call do not fit its function."""


class JobNotFound(MlqError, KeyError):
    """There is no such job."""

    exit_code = 3
    http_status = 404

    def __init__(self, job_id: str) -> None:
        super().__init__(f"there is no job {job_id}", hint="mlq list shows the jobs of this namespace")
        self.job_id = job_id


class NoToken(MlqError):
    """There is no such access token."""

    exit_code = 3
    http_status = 404

    def __init__(self, key_id: str) -> None:
        super().__init__(f"there is no token {key_id}", hint="mlq token list shows the ids")


class DataNotFound(MlqError, KeyError):
    """Nothing is stored under this key, or not any more."""

    exit_code = 3
    http_status = 404

    def __init__(self, key: str) -> None:
        super().__init__(f"nothing is stored under {key!r}", hint="it may have expired, see store_data(…, expiry=…)")
        self.key = key


class NoFunction(MlqError):
    """There is no registered function of this name."""

    exit_code = 3
    http_status = 404

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no registered function {name!r}", hint="mlq fn list shows them")


class WaitTimeout(MlqError, TimeoutError):
    """The wait is over and the job goes on."""

    exit_code = 4
    http_status = 408


class JobFailed(MlqError):
    """The job is dead: it gave up and waits for a person."""

    exit_code = 5
    http_status = 424

    def __init__(self, job_id: str, error: str, traceback: str | None = None) -> None:
        super().__init__(
            f"job {job_id} failed: {error}",
            hint=f"mlq dlq show {job_id} tells more, mlq dlq retry {job_id} runs it again",
        )
        self.job_id = job_id
        self.error = error
        self.traceback = traceback


class JobCanceled(MlqError):
    """The job was canceled."""

    exit_code = 6
    http_status = 410

    def __init__(self, job_id: str) -> None:
        super().__init__(f"job {job_id} was canceled")
        self.job_id = job_id


class Refused(MlqError):
    """The request was understood and is not done."""

    exit_code = 7
    http_status = 409


class WrongState(Refused):
    """The job is in a state that does not allow this."""

    def __init__(self, job_id: str, state: str, *, wanted: str) -> None:
        super().__init__(f"job {job_id} is {state}; only a job that is {wanted} allows this")
        self.job_id = job_id
        self.state = state


class StoreUnavailable(MlqError):
    """Redis is out of reach."""

    exit_code = 69
    http_status = 503


class StoreFull(MlqError):
    """Redis has no memory left."""

    exit_code = 75
    http_status = 507


class NotAllowed(MlqError):
    """Redis refused us: wrong password, or a command this user may not run."""

    exit_code = 77
    http_status = 403


class EnvelopeRefused(NotAllowed):
    """A function that nobody whom we trust has signed for this place."""
