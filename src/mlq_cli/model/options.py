"""Everything that can be said about a job when it is posted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlq_cli.model.errors import Misuse
from mlq_cli.model.job import check_name

#: A queue's score packs the priority band above the job's number; a double keeps 53 bits exactly: 12 + 41.
PRIORITIES = range(-2047, 2048)
MAX_RETRIES = 1000
METHODS = ("GET", "POST")  # of callbacks
YEAR = 366 * 86_400.0


@dataclass(frozen=True, slots=True)
class PostOptions:
    """The options of one post; a bulk post shares them. Raises Misuse when they make no sense."""

    queue: str = "default"
    priority: int = 0  # higher is sooner
    delay: float | None = None  # seconds from now
    at: float | None = None  # instant, Unix seconds
    retries: int | None = None  # reruns after an exception or a timeout; None: the worker's default
    timeout: float | None = None  # seconds one attempt may take before its executor is killed
    callback: str | None = None  # http(s) URL that is told the outcome
    functions: tuple[str, ...] | None = None  # names of the listeners to run; None: all of them
    generation: int = 0  # how many jobs stand above it, each posted by the one before
    callback_method: str = "GET"  # the original's form; POST sends signed JSON
    callback_public: bool = False  # tell only addresses of the public internet, whatever the worker's profile allows

    def __post_init__(self) -> None:
        check_name(self.queue, "queue")
        if self.priority not in PRIORITIES:
            raise Misuse(f"priority {self.priority} is out of range", hint="-2047 to 2047, higher is sooner")
        if self.delay is not None and self.at is not None:
            raise Misuse("delay and at exclude each other", hint="say either how long to wait or until when")
        if self.delay is not None and not 0 <= self.delay <= YEAR:
            raise Misuse(f"a delay of {self.delay:g} seconds is out of range", hint="0 seconds to one year")
        if self.at is not None and not 0 <= self.at < 1e11:
            raise Misuse(f"{self.at!r} is no instant in Unix seconds")
        if self.retries is not None and not 0 <= self.retries <= MAX_RETRIES:
            raise Misuse(f"{self.retries} retries are out of range", hint=f"0 to {MAX_RETRIES}")
        if self.timeout is not None and not 0 < self.timeout <= YEAR:
            raise Misuse(f"a timeout of {self.timeout:g} seconds is out of range", hint="more than 0, at most one year")
        if self.callback is not None:
            check_callback(self)
        if self.functions is not None:
            check_functions(self.functions)


def check_functions(names: tuple[str, ...]) -> None:
    """Raise Misuse unless these can be names of listeners."""
    if not names:
        raise Misuse("functions is empty", hint="leave it out to run all listeners")
    for name in names:
        if not name or len(name) > 256 or not name.isprintable():
            raise Misuse(f"{name!r} cannot be the name of a function")


def check_callback(options: PostOptions) -> None:
    """Raise Misuse unless the callback may be called by some worker, as far as that is known without its profile."""
    from mlq_cli.model.callback_policy import Policy, read_target  # it takes as long to import as all the rest

    if options.callback_method not in METHODS:
        raise Misuse(f"callback_method {options.callback_method!r} is none", hint=" or ".join(METHODS))
    assert options.callback is not None
    Policy(private=True).check(read_target(options.callback))


def names_of(functions: Sequence[str] | None) -> tuple[str, ...] | None:
    """Return the names of listeners as they are kept. Raises Misuse for one text, which would be its letters."""
    if isinstance(functions, str):
        raise Misuse("functions is one text", hint=f"write functions=[{functions!r}]")
    return None if functions is None else tuple(functions)
