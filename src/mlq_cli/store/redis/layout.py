"""Every key that mlq has in Redis, named in one place.

The Lua chapter `keys` (`state_key(queue, state)` and so on), the readers in `store.py` and the page
`docs/internals/wire-format.md` are made from `LAYOUT`; a test fails on any key that matches none of it.
All keys begin with `mlq:{namespace}:`. The braces make the namespace the hash tag: in a cluster one namespace lives in
one slot, so a script is atomic across its queues.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache


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

    @property
    def lua(self) -> str:
        """The Lua that names this key: a function of the pattern's values, or a constant."""
        parts = [
            f"'{part}'" if i % 2 == 0 else part for i, part in enumerate(re.split(r"<(\w+)>", self.pattern)) if part
        ]
        expression = " .. ".join(["P", *parts])
        if not self.parameters:
            return f"local {self.name}_key = {expression}"
        return f"local function {self.name}_key({', '.join(self.parameters)}) return {expression} end"


@cache
def _regex(pattern: str) -> re.Pattern[str]:
    return re.compile("(.+)".join(re.escape(part) for part in re.split(r"<\w+>", pattern)), re.DOTALL)


JOB = Key("job", "job:<id>", "hash", "the record of a job; fields below", "until forgotten")
MSG = Key("msg", "msg:<id>", "string", "its message, when over 64 bytes of msgpack", "as the job")
RESULT = Key("result", "result:<id>", "string", "its result, when over 64 bytes of msgpack", "as the job")
STATE = Key(
    "state", "q:<queue>:<state>", "sorted set", "ids of the queue's jobs in that state; scores below", "for ever"
)
BELL = Key("bell", "bell:<queue>", "list", "tokens that wake idle workers", "until the queue is found empty")
STATS = Key("stats", "stats:<queue>", "hash", "counters of the queue", "for ever")
NUMBER = Key("number", "id", "string", "the number of the newest job", "for ever")
QUEUES = Key("queues", "queues", "set", "names of all queues that ever got a job", "for ever")
PAUSED = Key("paused", "paused", "set", "names of paused queues", "for ever")
PULSE = Key("pulse", "pulse", "hash", "heard_at: when a worker or reaper last spoke; grace_until", "for ever")
WORKERS = Key("workers", "workers", "sorted set", "names of workers, by when they count as silent", "for ever")
WORKER = Key(
    "worker", "worker:<name>", "hash", "what a worker says of itself", "until it is silent for a while", expires=True
)
CLAIM = Key(
    "claim",
    "claim:<lane>",
    "string",
    "token and ids of a worker's last claim, to answer it again",
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

LAYOUT = (JOB, MSG, RESULT, STATE, BELL, STATS, NUMBER, QUEUES, PAUSED, PULSE, WORKERS, WORKER, CLAIM, ONCE)

#: The channel that says which jobs moved: lines of `id word`. A hint, never the only way to learn of it.
EVENTS = Key("events", "events", "channel", "lines `id word` of jobs that ended or made progress", "-")

SCORES = {
    "scheduled": "when it is due",
    "blocked": "when it was posted",
    "queued": "its place: the priority band (higher first), then its number",
    "running": "until when its lease lasts",
    "succeeded": "when it ended; retention counts from here",
    "canceled": "when it ended; retention counts from here",
    "dead": "when it ended; kept for ever unless `retention.dead_age` says otherwise",
}

JOB_FIELDS = {
    "state": "one of the seven; always the same as the sorted set it is in",
    "queue": "name of its queue",
    "timestamp": "when it was posted",
    "msg": "the message as msgpack, when at most 64 bytes",
    "priority": "when not 0",
    "seq": "its number, when its id was brought along by the caller",
    "retries_allowed": "reruns after an exception, when the post said so",
    "timeout": "seconds one attempt may take, when the post said so",
    "callback": "URL, when there is one",
    "generation": "how many jobs stand above it, each posted by the one before, when there are any",
    "functions": "names of the listeners to run as msgpack, when the post said so",
    "worker": "name of the worker that claimed it last",
    "token": "the fence: random, new with each claim; an outcome counts only with it",
    "attempt": "claims so far that were not given back unspent",
    "processing_started": "when the attempt was claimed; once it has succeeded, when its listener began",
    "processing_finished": "when the job ended",
    "progress": "what the listener said last, as msgpack",
    "short_result": "text, when the listener gave one",
    "result": "the result as msgpack, when at most 64 bytes",
    "failures": "attempts that ended in an exception or a timeout",
    "crashes": "attempts whose executor died",
    "retries": "attempts whose worker vanished, or had none of the functions",
    "error": "what went wrong last, as text",
    "error_type": "its type",
    "traceback": "its traceback, or what is known of a crash",
}


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


def lua_chapter() -> str:
    """Return the chapter `keys` that every script includes."""
    head = "-- Made from layout.py. P is the prefix; every key of a script is named here and nowhere else."
    return "\n".join([head, "local P = KEYS[1]", *(key.lua for key in (*LAYOUT, EVENTS))])


def wire_format() -> str:
    """Return the page `docs/internals/wire-format.md`."""
    rows = [f"| `{key.pattern}` | {key.type} | {key.holds} | {key.life} |" for key in (*LAYOUT, EVENTS)]
    scores = [f"| `{state}` | {meaning} |" for state, meaning in SCORES.items()]
    fields = [f"| `{field}` | {meaning} |" for field, meaning in JOB_FIELDS.items()]
    return "\n".join(
        [
            "# What mlq keeps in Redis",
            "",
            "Made from `src/mlq_cli/store/redis/layout.py` by `make docs`; edit that.",
            "",
            "Every key begins with `mlq:{<namespace>}:`. Instants are Unix seconds on Redis' clock.",
            "",
            "| key | type | holds | lives |",
            "|---|---|---|---|",
            *rows,
            "",
            "## Scores of the state sets",
            "",
            "| state | score |",
            "|---|---|",
            *scores,
            "",
            "## Fields of a job",
            "",
            "| field | meaning |",
            "|---|---|",
            *fields,
            "",
        ]
    )
