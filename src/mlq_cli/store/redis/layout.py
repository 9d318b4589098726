"""Every key that mlq has in Redis, named in one place.

What scripts call `state_key(queue, state)` or `TOKEN` (see `scripts.py`), the readers in `store.py` and the page
`docs/internals/wire-format.md` are made from this; a test fails on any key that matches none of it.
All keys begin with `mlq:{namespace}:`. The braces make the namespace the hash tag: in a cluster one namespace lives in
one slot, so a script is atomic across its queues.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from mlq_cli.model.errors import MlqError
from mlq_cli.model.job import State


@dataclass(frozen=True, slots=True)
class Key:
    """One kind of key: `<name>` in its pattern stands for a value."""

    name: str
    pattern: str
    type: str
    holds: str
    life: str
    expires: bool = False  # whether Redis may let it go by itself: only what is not needed for correctness

    @property
    def parameters(self) -> list[str]:
        """The names of the values in the pattern, in order."""
        return re.findall(r"<(\w+)>", self.pattern)

    def __call__(self, namespace: str, *values: str) -> str:
        """Return the key of this kind for these values."""
        given = iter(values)
        return prefix(namespace) + re.sub(r"<\w+>", lambda _: next(given), self.pattern)

    def read(self, name: str) -> tuple[str, ...] | None:
        """Return the values in a name, which is a key without its prefix; None when it is not of this kind."""
        found = _regex(self.pattern).fullmatch(name)
        return found.groups() if found else None

    def matches(self, namespace: str, key: str) -> bool:
        """Whether `key` is one of this kind."""
        return key.startswith(prefix(namespace)) and self.read(key.removeprefix(prefix(namespace))) is not None

    def lua(self, *values: str) -> str:
        """Return the Lua expression that names this key, for expressions of the values. Raises ValueError."""
        if len(values) != len(self.parameters):
            raise ValueError(f"{self.name}_key takes {self.parameters}")
        given = iter(values)
        parts = ["P"]
        for i, part in enumerate(re.split(r"<(\w+)>", self.pattern)):
            if i % 2:
                parts.append(f"NAMES[{next(given)}]" if part == "state" else next(given))
            elif part:
                parts.append(f"'{part}'")
        return " .. ".join(parts)


@cache
def _regex(pattern: str) -> re.Pattern[str]:
    return re.compile("(.+)".join(re.escape(part) for part in re.split(r"<\w+>", pattern)), re.DOTALL)


JOB = Key("job", "job:<id>", "hash", "the record of a job; fields below", "until forgotten")
MSG = Key("msg", "msg:<id>", "string", "its message, when over 252 bytes of msgpack", "as the job")
RESULT = Key("result", "result:<id>", "string", "its result, when over 252 bytes of msgpack", "as the job")
STREAM = Key(
    "stream",
    "stream:<id>",
    "stream",
    "what a job emits and how far it says it is, its states beside; only when it does; entries below",
    "as the job, and an hour after its end",
    expires=True,
)
STATE = Key(
    "state",
    "q:<queue>:<state>",
    "sorted set",
    "ids of the queue's jobs in that state; scores below. `succeeded` is a list, in the order of ending",
    "for ever",
)
#: What is meant by STATE where the state is `succeeded`: such jobs only ever leave from the oldest end.
SUCCEEDED = "list"
BELL = Key("bell", "bell:<queue>", "list", "tokens that wake idle workers", "until the queue is found empty")
STATS = Key("stats", "stats:<queue>", "hash", "counters, `…_us`: microseconds; and histograms, see below", "for ever")
NUMBER = Key("number", "id", "string", "the number of the newest job", "for ever")
QUEUES = Key("queues", "queues", "set", "names of all queues that ever got a job", "for ever")
PAUSED = Key("paused", "paused", "set", "names of paused queues", "for ever")
PULSE = Key("pulse", "pulse", "hash", "heard_at: when a worker or reaper last spoke; grace_until", "for ever")
WORKERS = Key("workers", "workers", "sorted set", "names of workers, by when they count as silent", "for ever")
WORKER = Key(
    "worker", "worker:<name>", "hash", "what a worker says of itself", "until it is silent for a while", expires=True
)
ABLE = Key(
    "able",
    "able",
    "sorted set",
    "names of functions that living workers have, `module:` for all of a module, `*` for messages that name none, each"
    " with a line break and the queue that it is served in, or without for all; by until when that counts",
    "for ever",
)
CLAIM = Key(
    "claim",
    "claim:<lane>",
    "string",
    "token of a worker's last claim, then its ids, both as msgpack, to answer it again",
    "an hour",
    expires=True,
)
ONCE = Key(
    "once",
    "once:<client>",
    "string",
    "serial and answer of a client's last call, likewise",
    "a minute or so",
    expires=True,
)
ACCESS = Key(
    "access",
    "access",
    "hash",
    "access tokens of the HTTP server by id, as msgpack: role, sha256 of the secret, created_at, expires_at, name",
    "until removed",
)
LEAVING = Key(
    "leaving",
    "leaving",
    "hash",
    "of queues that are moved elsewhere: `<queue>:id`, what tells it from all others; `:to` and `:name` of the "
    "destination; `:epoch`, which move it is; `:mark`, to find out whether two names lead here",
    "for ever",
)
ARRIVED = Key(
    "arrived",
    "arrived",
    "hash",
    "of a queue that jobs were moved from, by its id, as msgpack: the epoch, then ids that came and may be held there",
    "for ever",
)
FUNCTIONS = Key("functions", "functions", "hash", "signed envelopes of functions to run, by name", "until removed")
VERSIONS = Key(
    "versions",
    "functions:versions",
    "hash",
    "the version of each function by name, or when it was removed: what comes now has to be newer",
    "for ever",
)
CHANGES = Key(
    "changes",
    "functions:changes",
    "sorted set",
    "names of functions, by when they were last registered or removed",
    "for ever",
)
REFUSED = Key(
    "refused",
    "refused:<id>",
    "string",
    "token of the job's attempt whose outcome came too late, to count it once",
    "an hour",
    expires=True,
)

DATA = Key(
    "data",
    "data:<key>",
    "string",
    "what a job has stored for others, as msgpack",
    "as long as it was stored for, or for ever",
    expires=True,
)

LAYOUT = (
    JOB, MSG, RESULT, STREAM, STATE, BELL, STATS, NUMBER, QUEUES, PAUSED, PULSE, WORKERS, WORKER, ABLE, CLAIM, ONCE,
    REFUSED, ACCESS, DATA, FUNCTIONS, VERSIONS, CHANGES, LEAVING, ARRIVED,
)  # fmt: skip

#: The channel that says which jobs moved: lines of `id word`. A hint, never the only way to learn of it.
EVENTS = Key("events", "events", "channel", "lines `id word` of jobs that ended, emitted or made progress", "-")

SCORES = {
    "scheduled": "when it is due",
    "blocked": "when it was posted; 0 for one that is on its way to another queue",
    "queued": "its place: the priority band (higher first), then its number; before all others when a job waits for it",
    "running": "until when its lease lasts",
    "succeeded": "none: it is a list, which takes a tenth of the room",
    "canceled": "when it ended; retention counts from here",
    "dead": "when it ended; kept for ever unless `retention.dead_age` says otherwise",
}


#: What an entry of a job's stream is, in its field `k`; `a` is the attempt, `v` the value.
ENTRIES = {
    "state": ("s", "the job is in another state: its letter, then what went wrong, if anything did"),
    "progress": ("p", "what the listener says of how far it is, as msgpack"),
    "part": ("e", "what the listener has emitted, as msgpack"),
    "reset": ("r", "another attempt begins: parts before this do not count any more"),
}


class Field(NamedTuple):
    """One field of a job's hash. A job is mostly names of fields, so they are stored in one or two letters."""

    stored: str
    meaning: str


JOB_FIELDS = {
    "state": Field("s", "one of the seven, as a letter (below); always the same as the set or list it is in"),
    "queue": Field("q", "name of its queue, when not `default`"),
    "timestamp": Field("t", "when it was posted"),
    "msg": Field("m", "the message as msgpack, when at most 252 bytes; in pieces of 63: `m`, `m1`, `m2`, `m3`"),
    "priority": Field("p", "when not 0"),
    "seq": Field("n", "its number, when its id was brought along by the caller"),
    "retries_allowed": Field("ra", "reruns after an exception, when the post said so"),
    "timeout": Field("to", "seconds one attempt may take, when the post said so"),
    "callback": Field("cb", "URL, when there is one"),
    "callback_method": Field("cm", "how it is told, when not by GET"),
    "callback_public": Field("cp", "1 when only addresses of the public internet may be told"),
    "generation": Field("g", "how many jobs stand above it, each posted by the one before, when there are any"),
    "functions": Field("f", "names of the listeners to run as msgpack, when the post said so"),
    "leaving": Field("lv", "it is on its way to another queue: `q` when it was queued, or when it is due"),
    "origin": Field("og", "what is known again of a job that came from another queue"),
    "worker": Field("w", "name of the worker that claimed it last"),
    "token": Field("k", "the fence: random, new with each claim; an outcome counts only with it"),
    "queued_at": Field("qa", "since when it waits in its queue, when that is not since it was posted"),
    "spent": Field("a", "attempts that are over and did not succeed, when any; what is given back unspent is none"),
    "awaits": Field("aw", "while it blocks on others: its token, then of each wait a number and the id"),
    "processing_started": Field("b", "when the attempt was claimed; once it has succeeded, when its listener began"),
    "processing_finished": Field("e", "when the job ended"),
    "progress": Field("pg", "what the listener said last, as msgpack"),
    "emitted": Field("x", "parts of the present attempt that were taken into its stream, when there is one"),
    "streamed": Field("xb", "bytes of parts and progress in its stream, when there is one"),
    "short_result": Field("sr", "text, when the listener gave one"),
    "result": Field("r", "the result as msgpack, when at most 252 bytes; in pieces of 63: `r`, `r1`, `r2`, `r3`"),
    "failures": Field("nf", "attempts that ended in an exception or a timeout"),
    "crashes": Field("nc", "attempts whose executor died"),
    "retries": Field("nr", "attempts whose worker vanished, or had none of the functions"),
    "error": Field("er", "what went wrong last, as text"),
    "error_type": Field("et", "its type"),
    "traceback": Field("tb", "its traceback, or what is known of a crash"),
}

#: How the states are stored in the field; the keys of the state sets have their whole names.
STATES = {
    State.SCHEDULED: "w",
    State.BLOCKED: "b",
    State.QUEUED: "q",
    State.RUNNING: "r",
    State.SUCCEEDED: "s",
    State.CANCELED: "c",
    State.DEAD: "d",
}

# A hash is kept compact as long as no value of it has more than 64 bytes; the next larger encoding takes some 250 bytes
# more. A value of 63 bytes has a shorter head than one of 64.
PIECE = 63
PIECES = 4  # a longer message or result is a string of its own

#: Upper ends of the buckets of the histograms, in seconds; what is longer falls into one more. Each is a counter of the
#: queue: `wait_0`, `wait_1`, …, and so for `run_` and `fail_`.
BOUNDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 600, 1800, 3600, 10800, 36000)

_READABLE = {field.stored: name for name, field in JOB_FIELDS.items()}
_KINDS = {stored.encode(): kind for kind, (stored, _) in ENTRIES.items()}
_WORDS = {stored.encode(): state for state, stored in STATES.items()}


def field(name: str) -> str:
    """Return how a field of a job's hash is stored."""
    return JOB_FIELDS[name].stored


def state_of(stored: bytes) -> State:
    """Return the state whose letter stands in a job's hash, or in the answer of a script. Raises MlqError."""
    try:
        return _WORDS[stored]
    except KeyError:
        raise MlqError("the record of a job makes no sense", hint="mlq doctor says which") from None


def entry_of(fields: Sequence[bytes]) -> tuple[str, bytes, int]:
    """Return kind, value and attempt of an entry of a stream, as XRANGE answers its fields."""
    found = dict(zip(fields[::2], fields[1::2], strict=True))
    return _KINDS[found[b"k"]], found[b"v"], int(found[b"a"])


def record_of(flat: Sequence[bytes]) -> dict[str, bytes]:
    """Return what HGETALL has answered of a job by readable names, with values in pieces put together.

    The state is its letter still.
    """
    stored = {name.decode(errors="replace"): value for name, value in zip(flat[::2], flat[1::2], strict=True)}
    record = {_READABLE[name]: value for name, value in stored.items() if name in _READABLE}
    for name in ("msg", "result"):
        if len(record.get(name, b"")) == PIECE:
            pieces = (stored.get(f"{field(name)}{number}", b"") for number in range(1, PIECES))
            record[name] += b"".join(pieces)
    return record


def prefix(namespace: str) -> str:
    """Return what every key of the namespace begins with."""
    return f"mlq:{{{namespace}}}:"


def kind_of(name: str) -> tuple[Key, tuple[str, ...]] | None:
    """Return what kind of key a name is, without its prefix, and the values in it; None: mlq has no such key."""
    for key in LAYOUT:
        values = key.read(name)
        if values is not None:
            return key, values
    return None


def type_of(key: Key, values: Sequence[str]) -> str:
    """Return what Redis calls the type of a key with these values in its name."""
    if key is STATE and values[1] == State.SUCCEEDED:
        return SUCCEEDED
    return "zset" if key.type == "sorted set" else key.type


def able_in(name: str, queue: str) -> str:
    """Return the entry of `able` that says that a function is there for the jobs of a queue."""
    return f"{name}\n{queue}"


def beside_jobs(namespace: str, queues: Sequence[str], workers: Sequence[str]) -> list[str]:
    """Return all that a namespace keeps beside its jobs."""
    keys = [key(namespace) for key in (NUMBER, PAUSED, PULSE, WORKERS, ABLE, ACCESS, QUEUES)]
    keys += [key(namespace) for key in (FUNCTIONS, VERSIONS, CHANGES, LEAVING, ARRIVED)]
    keys += [WORKER(namespace, name) for name in workers]
    return keys + [key(namespace, queue) for queue in queues for key in (BELL, STATS)]


def members(namespace: str, queue: str, state: State, most: int | None = None) -> tuple[str, str, int, int]:
    """Return the command that reads the ids of jobs in a state: the oldest first, or by their place; `most` of them."""
    command = "LRANGE" if state is State.SUCCEEDED else "ZRANGE"
    return command, STATE(namespace, queue, state), 0, -1 if most is None else most - 1


def count(namespace: str, queue: str, state: State) -> tuple[str, str]:
    """Return the command that counts the jobs in a state."""
    return "LLEN" if state is State.SUCCEEDED else "ZCARD", STATE(namespace, queue, state)


def lua_words() -> dict[str, str]:
    """Return what the words in capitals mean in the scripts: fields, states, sizes, and the states' whole names."""
    words = {name.upper(): f"'{field.stored}'" for name, field in JOB_FIELDS.items()}
    words |= {state.upper(): f"'{stored}'" for state, stored in STATES.items()}
    words |= {"PIECE": str(PIECE), "PIECES": str(PIECES)}
    return words | {f"{kind.upper()}_BUCKET": _bucket(kind) for kind in ("wait", "run", "fail")}


def _bucket(kind: str) -> str:
    """Return what tells, in Lua, the counter of `time`, in microseconds: comparisons alone, for a table costs more."""
    steps = [f"time <= {seconds * 1e6:.0f} and '{kind}_{number}'" for number, seconds in enumerate(BOUNDS)]
    first, second, last = steps[:6], steps[6:], f"'{kind}_{len(BOUNDS)}'"
    return f"(time <= {BOUNDS[5] * 1e6:.0f} and ({' or '.join(first)}) or {' or '.join([*second, last])})"
