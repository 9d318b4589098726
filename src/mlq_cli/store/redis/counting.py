"""The numbers of queues: jobs by state, counters, histograms, how long the oldest job waits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mlq_cli.model.job import State
from mlq_cli.model.times import Histogram, Times
from mlq_cli.store.base import QueueCounts
from mlq_cli.store.redis import layout
from mlq_cli.store.redis.answers import counter, number, pairs
from mlq_cli.store.redis.link import Command, Read

BANDS = 8  # priorities of a queue that are looked at for the job that waits longest
HEADS = 10  # jobs at the head of each: what was delayed stands before others, and has not waited for longer
_BAND = 1 << 41  # as in lib/job.lua: a band's scores end before those of the next begin


def counts_of(read: Read, namespace: str, queues: Sequence[str]) -> list[QueueCounts]:
    """Return these queues with their numbers."""
    commands: list[Command] = []
    for queue in queues:
        commands.append(("SISMEMBER", layout.PAUSED(namespace), queue))
        commands.append(("HGETALL", layout.STATS(namespace, queue)))
        commands += [layout.count(namespace, queue, state) for state in State]
    answers = iter(read(commands))
    counted = []
    for queue in queues:
        paused, stats = bool(next(answers)), pairs(next(answers))
        states = {state: int(next(answers)) for state in State}
        read_all = ((name.decode(errors="replace"), number(value)) for name, value in stats.items())
        numbers = {name: value for name, value in read_all if value is not None}
        counted.append(QueueCounts(queue, paused, states, *_sorted(numbers)))
    return counted


def set_to_zero(read: Read, namespace: str, queue: str) -> None:
    """Let the tally of a queue begin anew. The counters themselves only ever grow: rates are made of them."""
    (counts,) = counts_of(read, namespace, [queue])
    posted, succeeded = (round(counts.stats.get(name, 0.0)) for name in ("posted", "succeeded"))
    read([("HSET", layout.STATS(namespace, queue), "zero_posted", posted, "zero_succeeded", succeeded)])


def _sorted(numbers: dict[str, float]) -> tuple[dict[str, float], Times, tuple[float, float]]:
    """Return the counters as users see them; apart from them the times, and where the tally begins."""
    wait, run, fail = (_histogram(numbers, kind) for kind in ("wait", "run", "fail"))
    # What they say is not counted once more. A worker of an earlier version did so.
    for name, more in (
        ("claimed", sum(wait.numbers)),
        ("succeeded", sum(run.numbers)),
        ("wait_us", wait.total * 1e6),
        ("run_us", (run.total + fail.total) * 1e6),
    ):
        if more:
            numbers[name] = numbers.get(name, 0.0) + more
    recent = recent_run(numbers.pop("recent_run_us", None), run.total * 1e6, sum(run.numbers))
    zero = (numbers.pop("zero_posted", 0.0), numbers.pop("zero_succeeded", 0.0))
    return dict(counter(name, value) for name, value in numbers.items()), Times(wait, run, fail, recent), zero


def _histogram(numbers: dict[str, float], kind: str) -> Histogram:
    """Take one histogram out of the numbers."""
    buckets = tuple(int(numbers.pop(f"{kind}_{number}", 0)) for number in range(len(layout.BOUNDS) + 1))
    return Histogram(layout.BOUNDS, buckets, numbers.pop(f"{kind}_us", 0.0) / 1e6)


def recent_run(recent: float | None, total: float, attempts: float) -> float | None:
    """Return the seconds that an attempt takes of late, from microseconds; None when none has succeeded.

    Brief ones are looked at now and then only: until that has happened, it is what they took on the whole.
    """
    if recent is not None:
        return recent / 1e6
    return total / attempts / 1e6 if attempts else None


def oldest_waiting(read: Read, namespace: str, queues: Iterable[str]) -> dict[str, float]:
    """Return for how many seconds the job that waits longest does so, of each queue in which one waits.

    Within a priority it stands at the head, or near it.
    """
    heads: dict[str, list[bytes]] = {queue: [] for queue in queues}
    above: Mapping[str, str] = dict.fromkeys(heads, "-inf")
    for _ in range(BANDS):
        keys = [layout.STATE(namespace, queue, State.QUEUED) for queue in above]
        asked: list[Command] = [
            ("ZRANGEBYSCORE", key, low, "+inf", "WITHSCORES", "LIMIT", 0, HEADS)
            for key, low in zip(keys, above.values(), strict=True)
        ]
        found = dict(zip(above, read(asked) if asked else [], strict=True))
        for queue, flat in found.items():
            heads[queue] += flat[::2]
        above = {queue: _below_band(float(flat[1])) for queue, flat in found.items() if flat}
    ids = [(queue, job_id) for queue in heads for job_id in heads[queue]]
    if not ids:
        return {}
    fields = (layout.field("timestamp"), layout.field("queued_at"))
    look: list[Command] = [("HMGET", layout.JOB(namespace, job_id.decode()), *fields) for _, job_id in ids]
    time, *answers = read([("TIME",), *look])
    now, oldest = int(time[0]) * 1e6 + int(time[1]), dict[str, float]()
    for (queue, _), (posted_at, queued_at) in zip(ids, answers, strict=True):
        if since := queued_at or posted_at:
            oldest[queue] = max(oldest.get(queue, 0.0), (now - float(since)) / 1e6)
    return oldest


def _below_band(score: float) -> str:
    """Return where the priority band begins that comes after the one of this score."""
    return f"{(score // _BAND + 1) * _BAND:.0f}"
