"""The targets of the benchmark: what is asked, what one run has measured, whether it is reached. None is left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from contestants import OURS, THROW_AWAY, YARDSTICK

Medians = dict[str, dict[str, float]]
FASTEST = "mayu (threads)"  # of all peers, whatever they promise
ISOLATED = "celery (prefork)"  # the fastest that isolates
RECORDS = "ardiq"  # the fastest in bulk that keeps a record of each job
QUICKEST = ("ardiq", "blitzq", "blitzq (fast)", "mlq 0.2.2")  # from post to result


class Verdict(NamedTuple):
    """One line of the table."""

    measure: str
    asked: str
    measured: str
    reached: bool | None  # None: it was not measured


@dataclass(frozen=True)
class Numbers:
    """The medians of a run, and the worst of what must never be worse."""

    medians: Medians
    worst: dict[str, float]  # of ours

    def of(self, name: str, key: str) -> float | None:
        """Return a number, if it was measured."""
        return self.medians.get(name, {}).get(key)

    def ours(self, key: str) -> float | None:
        """Return a number of ours."""
        return self.of(OURS.name, key)


def verdicts(numbers: Numbers) -> Iterator[Verdict]:
    """Yield the targets in their order."""
    drain = "drain, 1 worker, 1 executor, results kept"
    yield _times(numbers, drain, "drain/s", 2.0, FASTEST)
    yield _times(numbers, drain, "drain/s", 50.0, ISOLATED)
    yield _times(numbers, drain, "drain/s", 0.75, THROW_AWAY.name)
    for places, title in ((1, "1 executor"), (2, "2 executors")):
        late = numbers.worst.get(f"late x{places} ms")
        measure = f"mixed load, {title}: a short job beyond its turn"
        yield _at_most(measure, late, 100.0, "100 ms", "{:.0f} ms, the worst of all rounds")
    yield _times(numbers, "bulk post from a generator", "bulk/s", 2.0, RECORDS)
    yield _times(numbers, "bulk post from a generator", "bulk/s", 0.75, YARDSTICK.name)
    yield _times(numbers, "post one at a time", "post/s", 1.0, "mayu")
    yield from _latencies(numbers)
    ours, bare = numbers.ours("mlq post ms"), numbers.ours("import redis ms")
    ratio = ours / bare if ours and bare else None
    told = f"{{:.2f}} times ({ours or 0:.0f} of {bare or 0:.0f} ms)"
    yield _at_most("`mlq post`, wall time", ratio, 1.3, "1.3 times `python -c 'import redis, msgpack'`", told)
    yield from _bytes(numbers)
    deep, shallow = numbers.ours("drain of 1,000,000 waiting/s"), numbers.ours("drain of 1,000 waiting/s")
    ratio = deep / shallow if deep and shallow else None
    yield _at_least("drain at 1,000,000 waiting", ratio, 0.9, "0.9 times that at 1,000", "{:.2f} times")
    rss, start = numbers.ours("rss MB"), numbers.ours("start s")
    yield _at_most("worker and executor, resident, idle", rss, 60.0, "60 MB together", "{:.0f} MB")
    yield _at_most("start to first job", start, 0.3, "0.3 s", "{:.2f} s")
    commands, cpu = numbers.ours("idle commands/s"), numbers.ours("idle cpu %")
    told = f"{{:.2f}} a second with those in scripts, {numbers.ours('idle reads/s') or 0:.2f} round trips"
    yield _under("idle worker, commands", commands, 2.0, "under 2 a second", told)
    yield _under("idle worker, processor", cpu, 0.2, "under 0.2 % of a core", "{:.2f} %")


def _times(numbers: Numbers, measure: str, key: str, asked: float, peer: str) -> Verdict:
    """At least so many times what a peer does."""
    ours, theirs = numbers.ours(key), numbers.of(peer, key)
    ratio = ours / theirs if ours and theirs else None
    told = f"{{:.2f}} times ({ours or 0:,.0f} / {theirs or 0:,.0f} a second)"
    return _at_least(measure, ratio, asked, f"{asked:g} times {peer}", told)


def _latencies(numbers: Numbers) -> Iterator[Verdict]:
    for key, name, most in (("p50 ms", "p50", 0.5), ("p99 ms", "p99", 1.0)):
        best = {peer: value for peer in QUICKEST if (value := numbers.of(peer, key))}
        limits = {"the limit": most, **best}
        least = min(limits, key=lambda each: limits[each])
        asked = f"{limits[least]:.2f} ms: {least}, the least of {most:g} ms and {', '.join(QUICKEST)}"
        yield _at_most(f"latency {name}, isolated, by `wait`", numbers.ours(key), limits[least], asked, "{:.2f} ms")


def _bytes(numbers: Numbers) -> Iterator[Verdict]:
    """The two steps, and beside each what the peer needs in this very run."""
    for waiting, finished, peer in ((360, 423, "ardiq"), (276, 302, "mayu")):
        for key, state, most in (("bytes waiting", "waiting", waiting), ("bytes finished", "finished", finished)):
            theirs = numbers.of(peer, key)
            beside = f" ({peer} in this run: {theirs:.0f})" if theirs else ""
            measure = f"bytes of Redis, a {state} job with 100-byte message"
            yield _at_most(measure, numbers.ours(key), most, f"{most} ({peer})", f"{{:.0f}}{beside}")


def _at_least(measure: str, value: float | None, limit: float, asked: str, told: str) -> Verdict:
    return Verdict(measure, asked, _told(value, told), None if value is None else value >= limit)


def _at_most(measure: str, value: float | None, limit: float, asked: str, told: str) -> Verdict:
    return Verdict(measure, asked, _told(value, told), None if value is None else value <= limit)


def _under(measure: str, value: float | None, limit: float, asked: str, told: str) -> Verdict:
    return Verdict(measure, asked, _told(value, told), None if value is None else value < limit)


def _told(value: float | None, told: str) -> str:
    return "not measured" if value is None else told.format(value)
