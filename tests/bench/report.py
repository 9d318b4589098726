"""The page docs/benchmarks.md and its picture, made from the numbers of one run."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import picture
from alone import CROWDS, DEPTHS
from contestants import OURS, YARDSTICK, Contestant
from measure import MIXED_JOBS, ROUND_TRIPS
from rounds import Results
from server import SETTINGS


@dataclass
class Run:
    """All that the page tells of."""

    results: Results
    contestants: Sequence[Contestant]  # the peers that took part
    absent: dict[str, str]  # the others, and why
    pythons: dict[str, str]
    at: str
    machine: str
    server: str
    commit: str
    rounds: int
    minutes: float
    loads: tuple[float, float]  # before and after
    medians: dict[str, dict[str, float]] = field(init=False)

    def __post_init__(self) -> None:
        self.medians = {name: self.results.medians(name) for name in self.results.numbers}


# Column, number, whether more is better.
RATIOS = (
    ("drain", "drain/s", True),
    ("post in bulk", "bulk/s", True),
    ("post one at a time", "post/s", True),
    ("latency p50", "p50 ms", False),
    ("latency p99", "p99 ms", False),
    ("bytes, waiting", "bytes waiting", False),
    ("bytes, finished", "bytes finished", False),
    ("memory of a worker", "rss MB", False),
    ("start to first job", "start s", False),
)
ABSOLUTE = (
    ("drain/s", "drain/s"),
    ("bulk/s", "bulk/s"),
    ("post/s", "post/s"),
    ("p50 ms", "p50 ms"),
    ("p99 ms", "p99 ms"),
    ("late ms", "late ms"),
    ("bytes waiting", "bytes waiting"),
    ("bytes finished", "bytes finished"),
    ("worker MB", "rss MB"),
    ("processes", "processes"),
    ("start s", "start s"),
    ("idle commands/s", "idle commands/s"),
    ("idle CPU %", "idle cpu %"),
)


def page(run: Run) -> str:
    """Return the page."""
    sections = [_head(run), _ratios(run), _absolute(run), _yardstick(run), _alone(run), _promises(run), _how(run)]
    return "\n".join(sections)


def drawing(run: Run) -> str:
    """Return the picture: depth, crowd, and everybody's drain."""
    ours = run.medians[OURS.name]
    depth = [(waiting, ours[f"drain of {waiting:,} waiting/s"]) for waiting in DEPTHS]
    crowd = [(number, ours[f"redis us/job, {number:,} workers"]) for number in CROWDS]
    drains = [(name, numbers["drain/s"]) for name, numbers in run.medians.items() if "drain/s" in numbers]
    charts = [
        picture.chart("jobs drained a second, 1 worker", "jobs waiting", depth),
        picture.chart("microseconds of Redis for a job", "workers connected", crowd),
    ]
    return picture.page(charts, picture.bars("jobs drained a second, 1 worker (logarithmic)", drains))


def _head(run: Run) -> str:
    before, after = run.loads
    return f"""# Benchmarks

Made by `make bench-peers` on {run.at} from {run.commit}; do not edit. Medians of {run.rounds} interleaved rounds, \
{run.minutes:.0f} minutes on {run.machine}. {run.server} with `{" ".join(word or '""' for word in SETTINGS)}` on TCP \
loopback. Load {before:.1f} before and {after:.1f} after: the benchmark itself is one to two.

Absolute numbers move from machine to machine and from hour to hour; ratios within one run hold better. Small ones, \
below 1.2 or so, mean nothing here.

![drain by depth, cost by workers, everybody's drain](benchmarks.svg)
"""


def _ratios(run: Run) -> str:
    ours = run.medians[OURS.name]

    def ratio(numbers: dict[str, float], key: str, more: bool) -> str:
        if not numbers.get(key) or not ours.get(key):
            return "–"
        times = ours[key] / numbers[key] if more else numbers[key] / ours[key]
        return f"{times:.0f}" if times >= 10 else f"{times:.1f}" if times >= 1 else f"**{times:.2f}**"

    rows = [
        [peer.name, *(ratio(run.medians.get(peer.name, {}), key, more) for _, key, more in RATIOS)]
        for peer in run.contestants
    ]
    return f"""## How many times better mlq is

Above 1 mlq is ahead; **bold** where it is behind. One worker with one place to run jobs.

{_table(["peer", *(title for title, *_ in RATIOS)], rows)}
"""


def _absolute(run: Run) -> str:
    rows = []
    for name in (OURS.name, *(peer.name for peer in run.contestants)):
        values = run.results.numbers.get(name, {})
        rows.append([name, *(_cell(key, values.get(key)) for _, key in ABSOLUTE)])
    return f"""## Numbers

The spread of the rounds is in brackets where it matters. *p50*, *p99*: post one job to an idle worker and wait for its
result, as the peer's own API does; {ROUND_TRIPS} times a round. *late*: of {MIXED_JOBS} jobs of which 1 % take 200 ms,
run in two places, how long beyond its turn the unluckiest of the short ones began. Its turn has come when a job that
was posted later begins, but not before it would have begun in a perfect line before two places. *bytes*: of Redis, for
a job with a message and a result of 98 bytes each. Bytes and idle numbers are of one look.

{_table(["", *(title for title, _ in ABSOLUTE)], rows)}
"""


def _yardstick(run: Run) -> str:
    ours, yardstick = run.medians[OURS.name], run.medians.get(YARDSTICK.name, {})
    rows = [
        [title, f"{ours[key]:,.0f}", f"{yardstick[key]:,.0f}", f"{ours[key] / yardstick[key]:.0%}"]
        for title, key in (("drain", "drain/s"), ("post in bulk", "bulk/s"), ("post one at a time", "post/s"))
        if key in ours and key in yardstick
    ]
    return f"""## How near to what Redis allows

`tests/bench/yardstick.py` is a throw-away of some hundred lines that makes the writes of mlq and does nothing else: a
thin parent, an isolated executor, one write for what was done and what is wanted next; for posts one bare script.

{_table(["jobs a second", "mlq", "yardstick", "mlq reaches"], rows)}
"""


def _alone(run: Run) -> str:
    ours = run.medians[OURS.name]
    rows = [[key, _number(ours[key])] for key in ours if "waiting/s" in key or "workers" in key]
    rows += [
        ["drain x1/s, by Redis' clock", _number(ours.get("settled/s"))],
        ["drain with 2 executors/s", _number(ours.get("drain x2/s"))],
        ["Redis us/job in a drain", _number(ours.get("redis us/job"))],
        ["`mlq post` ms", _number(ours.get("mlq post ms"))],
        ["`python -c 'import redis, msgpack'` ms", _number(ours.get("import redis ms"))],
    ]
    return f"""## mlq alone

*workers* are simulated ones: connected, asleep on the bell, with heartbeats; each job is posted by itself and wakes one
of them, which claims and settles it.

{_table(["", ""], rows)}
"""


def _promises(run: Run) -> str:
    rows = []
    for peer in (OURS, *run.contestants):
        version = f"{peer.version or run.commit}; Python {run.pythons.get(peer.name, '?')}"
        rows.append([peer.name, peer.delivery, peer.crash_safe, peer.isolated, peer.results, peer.settings, version])
    titles = [
        "",
        "delivery",
        "a job whose worker is killed",
        "isolated from the worker",
        "results",
        "settings",
        "versions",
    ]
    lines = [f"* **{name}** did not take part: {why}." for name, why in run.absent.items()]
    lines += [f"* **{name}**: {text}." for name, texts in run.results.troubles.items() for text in texts]
    troubles = "\n".join(lines) or "Everybody took part in everything."
    return f"""## What the numbers buy

Not all of them do the same work. What is said of delivery is from their documentation, their source, and the commands
that they send; no crash was tried here.

{_table(titles, rows)}

### Who is missing

{troubles}
"""


def _how(run: Run) -> str:
    return """## How it is measured

Each contestant is in a virtual environment of its own. In each round everybody takes a turn, on the same server, which
is emptied before each load. A drain is posted in bulk first; then a worker starts. The jobs return their message and
count themselves in shared memory: the rate is from the beginning of the first job to the beginning of the last, and
nothing asks Redis meanwhile. Of mlq the same drain is looked up in Redis too, and all its jobs have to have succeeded.
`make bench` compares mlq with its own history.
"""


def _cell(key: str, values: list[float] | None) -> str:
    if not values:
        return "–"
    middle = _number(statistics.median(values))
    if key in ("drain/s", "bulk/s", "post/s") and len(values) > 1:
        return f"{middle} ({_number(min(values))}–{_number(max(values))})"
    return middle


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def _table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    titles = list(titles)
    line: Callable[[Iterable[Any]], str] = lambda cells: f"| {' | '.join(map(str, cells))} |"  # noqa: E731
    return "\n".join([line(titles), line(["---"] * len(titles)), *(line(row) for row in rows)])
