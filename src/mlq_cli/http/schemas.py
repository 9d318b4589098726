"""What goes in and out over HTTP, as models: for the OpenAPI document, and for checking what comes in."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from mlq_cli.model.callback_policy import LONGEST_URL
from mlq_cli.model.job import State
from mlq_cli.model.options import MAX_RETRIES, YEAR

QUEUE = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
ANY_QUEUE = r"^(?:_callbacks|[A-Za-z0-9][A-Za-z0-9._-]{0,63})$"
JOB_ID = r"^[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}$"
OWN_ID = r"^(?:[A-Za-z][A-Za-z0-9._:@-]{0,127}|[0-9]{1,64}[A-Za-z._:@-][A-Za-z0-9._:@-]{0,63})$"  # no mere number
#: What may be one; `model/callback_policy.py` says whether it is, in words.
CALLBACK = r"^https?://(?:[A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?(?:[/?#][!-~]*)?$"
#: Whatever Python takes for a name, in the scripts most names are written in.
FUNCTION = r"^[!-~\u00a1-\u00ac\u00ae-\u0377\u0400-\u052f\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fa5\uac00-\ud7a3]{1,256}$"

QueueName = Annotated[str, Field(pattern=QUEUE, examples=["default"])]


def _whole(value: Any) -> Any:
    """JSON has one kind of number: 5.0 is a whole one."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Priority = Annotated[int, Field(ge=-2047, le=2047), BeforeValidator(_whole)]
Retries = Annotated[int, Field(ge=0, le=MAX_RETRIES), BeforeValidator(_whole)]
Seconds = Annotated[float, Field(ge=0, le=YEAR)]


class PostBody(BaseModel):
    """A message and what is to be done with it."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "not": {"required": ["delay", "at"]},
            "examples": [{"msg": {"arg1": 6, "arg2": 3}}, {"msg": "message", "queue": "slow"}],
        },
    )

    msg: Any = Field(description="What the listener gets: any JSON value, nested at most 64 deep.")
    callback: str | None = Field(
        None, pattern=CALLBACK, max_length=LONGEST_URL, description="URL that is told the outcome."
    )
    callback_method: Literal["GET", "POST"] | None = Field(
        None, description="How it is told: by the original's GET, or by POST with JSON that is signed."
    )
    functions: Annotated[list[Annotated[str, Field(pattern=FUNCTION)]], Field(min_length=1)] | None = Field(
        None, description="Names of the listeners to run; all of them by default."
    )
    queue: QueueName | None = Field(None, description="The line to wait in; `default` by default.")
    priority: Priority | None = Field(None, description="Higher is sooner; 0 by default.")
    delay: Seconds | None = Field(None, description="Seconds before it may run; not beside `at`.")
    at: float | None = Field(None, ge=0, lt=1e11, description="Unix seconds before which it does not run.")
    retries: Retries | None = Field(None, description="Reruns after an exception.")
    timeout: float | None = Field(None, gt=0, le=YEAR, description="Seconds that one attempt may take.")
    id: str | None = Field(
        None, pattern=OWN_ID, description="An id of your own; to post it again changes nothing.",
        json_schema_extra={"not": {"const": "count"}},
    )  # fmt: skip


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["urn:mlq:problem:job-not-found"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["there is no job 53"])
    code: str = Field(description="What programs look at.", examples=["job-not-found"])
    hint: str | None = Field(None, description="What to do about it.")
    errors: list[dict[str, Any]] | None = Field(
        None, description="What is wrong with which part: `pointer` into the body, or `parameter`, and `detail`."
    )


class Summary(BaseModel):
    """A job without its message, its result and its traceback. Instants are Unix seconds on Redis' clock."""

    model_config = ConfigDict(extra="allow")

    id: str = Field(examples=["53"])
    timestamp: float = Field(description="When it was posted.")
    worker: str | None
    processing_started: float | None
    processing_finished: float | None
    progress: Any = Field(None, description="null queued, 0 started, what the listener says, 100 done, -1 failed.")
    short_result: str | None
    callback: str | None
    callback_method: Literal["GET", "POST"] | None = Field(None, description="How it is told; null without a callback.")
    retries: int = Field(description="How often it was given back because its worker vanished.")
    functions: list[str] | None
    state: State
    queue: str
    priority: int
    attempt: int = Field(description="Runs so far.")
    due_at: float | None
    lease_until: float | None
    timeout: float | None
    retries_allowed: int | None
    failures: int
    crashes: int
    error: str | None = Field(examples=["ValueError: no such image"])
    error_type: str | None
    position: int | None = Field(None, description="How many are before it; null when it is not queued.")
    estimated_wait: float | None = Field(None, description="Seconds until it may begin; null when nobody can tell.")


class Job(Summary):
    """A job. Bytes are `{"$bytes": base64}`, dates ISO 8601, arrays nested lists."""

    msg: Any = None
    result: Any = None
    traceback: str | None


class JobPage(BaseModel):
    """Some of many jobs."""

    jobs: list[Summary]
    next: str | None = Field(description="Give it as `cursor` to go on; null: these were the last.")


class DeadJob(Summary):
    """A job that gave up."""

    traceback: str | None


class DeadPage(BaseModel):
    """Some of many dead jobs."""

    jobs: list[DeadJob]
    next: str | None


class Tally(BaseModel):
    """How far the work of a queue is. The counters begin with it, or with its last `mlq queue rezero`."""

    inserted: int = Field(description="Jobs posted.")
    enqueued: int = Field(description="Jobs that wait or run.")
    completed: int = Field(description="Jobs that succeeded.")
    leased: int = Field(description="Jobs that run.")


class Queue(BaseModel):
    """A queue at a glance."""

    model_config = ConfigDict(extra="allow")

    queue: str
    paused: bool
    states: dict[State, int] = Field(description="Jobs by their state.")
    stats: dict[str, float] = Field(description="Counters since the namespace began.")
    tally: Tally
    rates: dict[str, float] = Field(description="Jobs a second, of late: posted, succeeded, dead.")
    oldest_waiting: float | None = Field(description="Seconds that the job waits that waits longest; null: none does.")


class Queues(BaseModel):
    """All queues, our own ones last."""

    queues: list[Queue]


class Worker(BaseModel):
    """What a living worker says of itself."""

    model_config = ConfigDict(extra="allow")

    name: str


class Workers(BaseModel):
    """The workers that are alive."""

    workers: list[Worker]


class RegisteredAs(BaseModel):
    """What was registered at run time under a name."""

    version: int = Field(description="Microseconds; higher with each new one of the name.")
    created_at: float
    python: str = Field(description="The only version of Python that takes it up.", examples=["3.12"])
    cloudpickle: str
    size: int = Field(description="Bytes of its pickle.")
    use: str = Field(description="`listener`, or `call`: it runs only where a job calls it.")
    sound: bool = Field(description="Whether workers take it up.")
    why: str = Field(description="Why not.")


class Function(BaseModel):
    """A function that some worker runs, or that was registered at run time."""

    name: str
    workers: int = Field(description="How many workers were started with it.")
    registered: RegisteredAs | None


class Functions(BaseModel):
    """The functions that run somewhere, or would."""

    functions: list[Function]


class Unsigned(BaseModel):
    """A function as the original sends it: only for a server that was told to take it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    b64: str = Field(alias="py/b64", description="Its pickle by cloudpickle, in base64.")


class Kept(BaseModel):
    """A function that was registered."""

    name: str
    version: int


class Dropped(BaseModel):
    """A function that was removed."""

    name: str
    removed: bool = Field(description="Whether there was one of this name.")


class Schedules(BaseModel):
    """Recurring jobs."""

    schedules: list[dict[str, Any]]


class Stats(BaseModel):
    """The namespace at a glance."""

    namespace: str
    server: dict[str, Any]
    queues: list[Queue]
    workers: int
    rates: dict[str, float]


class Moved(BaseModel):
    """How many jobs were concerned."""

    jobs: int


class RetryThese(BaseModel):
    """Dead jobs to run again."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [{"ids": ["53"]}]})

    ids: Annotated[list[Annotated[str, Field(pattern=JOB_ID)]], Field(min_length=1, max_length=1000)]


class RetryAll(BaseModel):
    """All dead jobs, or all of a kind."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [{"all": True}]})

    all: Literal[True] = Field(description="Callbacks that nobody took are not meant, unless their queue is named.")
    queue: Annotated[str, Field(pattern=ANY_QUEUE)] | None = Field(None, description="Only of this queue.")
    error_type: str | None = Field(None, min_length=1, max_length=256, description="Only with this type of error.")


class Retried(BaseModel):
    """How many will run again."""

    retried: int


class PurgeBody(BaseModel):
    """Whose dead jobs to throw away."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [{"queue": "default"}]})

    queue: Annotated[str, Field(pattern=ANY_QUEUE)] | None = Field(None, description="Only of this queue.")


class Purged(BaseModel):
    """How many were thrown away."""

    purged: int
