"""The page docs/benchmarks.md and its picture, made from the numbers of one run."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import loops
import picture
import promise
import targets
from alone import BURST, BURSTS, CROWDS, DEPTHS
from contestants import LOOPS, OURS, THROW_AWAY, YARDSTICK, Contestant
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
    costs: Sequence[promise.Cost] = ()  # of the parts of the promise
    no_loops: dict[str, str] = field(default_factory=dict)  # loops that are absent, and why
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
SPEED = (
    ("drain/s", "drain/s"),
    ("bulk/s", "bulk/s"),
    ("post/s", "post/s"),
    ("p50 ms", "p50 ms"),
    ("p99 ms", "p99 ms"),
    ("late x1 ms", "late x1 ms"),
    ("late x2 ms", "late x2 ms"),
)
RESOURCES = (
    ("bytes waiting", "bytes waiting"),
    ("bytes finished", "bytes finished"),
    ("worker MB", "rss MB"),
    ("processes", "processes"),
    ("start s", "start s"),
    ("idle commands/s", "idle commands/s"),
    ("idle reads/s", "idle reads/s"),
    ("idle CPU %", "idle cpu %"),
)


def page(run: Run) -> str:
    """Return the page: ratios first, then what they are made of."""
    sections = [
        _head(run), _stand(run), _targets(run), _ratios(run), _promise(run), _yardstick(run), _alone(run),
        _numbers(run), _promises(run), loops.section(run.results, run.no_loops, "Of the same run."), _how(),
    ]  # fmt: skip
    return "\n".join(sections)


def drawing(run: Run) -> str:
    """Return the picture: depth, crowd, and everybody's drain."""
    ours = run.medians[OURS.name]
    depth = [(each, ours[key]) for each in DEPTHS if (key := f"drain of {each:,} waiting/s") in ours]
    crowd = [(each, ours[key]) for each in CROWDS if (key := f"redis us/job, {each:,} workers") in ours]
    alike = (OURS.name, YARDSTICK.name, THROW_AWAY.name, *(peer.name for peer in run.contestants))
    drains = [(name, run.medians[name]["drain/s"]) for name in alike if "drain/s" in run.medians.get(name, {})]
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

Ratios come first. Absolute numbers move from machine to machine and from hour to hour; ratios within one run hold \
better. Small ones, below 1.2 or so, mean nothing here. How mlq gets its speed, and how to tune it: \
[performance](performance.md).

![drain by depth, cost by workers, everybody's drain](benchmarks.svg)
"""


def _stand(run: Run) -> str:
    groups = (
        ("the best peer", lambda peer: True),
        ("the best that loses no job with its worker", lambda peer: peer.keeps_jobs),
        ("the best that isolates jobs", lambda peer: peer.isolates),
    )
    rows = []
    for title, key, more in RATIOS:
        ours = run.medians[OURS.name].get(key)
        cells = [title, _number(ours)]
        for _, belongs in groups:
            names = [peer.name for peer in run.contestants if belongs(peer) and run.medians.get(peer.name, {}).get(key)]
            if not names or not ours:
                cells.append("–")
                continue
            best = (max if more else min)(names, key=lambda name: run.medians[name][key])
            value = run.medians[best][key]
            cells.append(f"{_ratio(ours / value if more else value / ours)} x {best}")
        rows.append(cells)
    return f"""## In a minute

For each measure the best of all peers, whoever that is, beside mlq. Above 1 mlq is ahead; **bold** where it is behind.
mlq does all of it with results kept, no job lost with its worker, and each job in a process apart from the worker.

{_table(["measure", "mlq", *(title for title, _ in groups)], rows)}
"""


def _targets(run: Run) -> str:
    ours = run.results.numbers.get(OURS.name, {})
    worst = {key: max(values) for key, values in ours.items() if key.startswith("late ")}
    words = {True: "reached", False: "**not reached**", None: "not measured"}
    found = list(targets.verdicts(targets.Numbers(run.medians, worst)))
    rows = [[each.measure, each.asked, each.measured, words[each.reached]] for each in found]
    shown = "shown [below](#what-the-promise-costs)" if run.costs else "not measured"
    rows.append(["cost of the promise", "shown for each part", shown, "reached" if run.costs else "not measured"])
    return f"""## Targets

What was asked for before it was built, and what this run says. {sum(row[3] == "reached" for row in rows)} of \
{len(rows)} are reached.

{_table(["measure", "asked, at least or at most", "measured", ""], rows)}
"""


def _promise(run: Run) -> str:
    rows = []
    for cost in run.costs:
        words = [cost.part.name, cost.part.gives, promise.LOADS[cost.part.load]]
        rows.append([*words, promise.percent(cost.cpu), promise.percent(cost.wall)])
    rounds = len(run.costs[0].cpu) if run.costs else 0
    body = (
        _table(["without", "is lost", "load", "processor time", "time"], rows) if rows else "Not measured in this run."
    )
    return f"""## What the promise costs

Each part is taken out of a copy of mlq and the copy is measured beside the whole, {rounds} times in turns: how much
less it needs, in percent of the whole, with the spread. *Processor time* is that of Redis, worker and executors
together. The first line is a copy with nothing taken out: what is not clearly above it is noise. Below 0 the copy is
slower.

{body}
"""


def _ratios(run: Run) -> str:
    ours = run.medians[OURS.name]

    def ratio(numbers: dict[str, float], key: str, more: bool) -> str:
        if not numbers.get(key) or not ours.get(key):
            return "–"
        return _ratio(ours[key] / numbers[key] if more else numbers[key] / ours[key])

    rows = []
    for peer in run.contestants:
        promised = [peer.results, "yes" if peer.keeps_jobs else "no", "yes" if peer.isolates else "no"]
        numbers = run.medians.get(peer.name, {})
        rows.append([peer.name, *promised, *(ratio(numbers, key, more) for _, key, more in RATIOS)])
    return f"""## How many times better mlq is than each peer

Above 1 mlq is ahead; **bold** where it is behind. One worker with one place to run jobs. *results*: whether they are
kept; *safe*: whether a job whose worker is killed is run by another; *isolated*: whether a job that crashes its process
leaves the worker alive. mlq does all three; [what the numbers buy](#what-the-numbers-buy) has the details.

{_table(["peer", "results", "safe", "isolated", *(title for title, *_ in RATIOS)], rows)}
"""


def _numbers(run: Run) -> str:
    def table(columns: Sequence[tuple[str, str]]) -> str:
        rows = []
        for name in (OURS.name, *(peer.name for peer in run.contestants)):
            values = run.results.numbers.get(name, {})
            rows.append([name, *(_cell(values.get(key)) for _, key in columns)])
        return _table(["", *(title for title, _ in columns)], rows)

    return f"""## Numbers

Medians, with the least and the most of the rounds in brackets. *p50*, *p99*: post one job to an idle worker and wait
for its result, as the peer's own API does; {ROUND_TRIPS} times a round. *late*: of {MIXED_JOBS} jobs of which 1 % take
200 ms, run in one place or in two, how long beyond its turn the unluckiest of the short ones began. Its turn has come
when a job that was posted later begins, but not before it would have begun in a perfect line before so many places.

{table(SPEED)}

*bytes*: of Redis, for a job with a message and a result of 100 bytes each. *worker MB*: resident, all its processes
added up as `ps` shows them, half a second after its first job. *idle commands*: those that scripts call count too.
*idle reads*: how often Redis has read from a connection, which is near the number of round trips.
What has no brackets is of one look.

{table(RESOURCES)}
"""


def _yardstick(run: Run) -> str:
    ours, rows = run.medians[OURS.name], []
    yardstick, throw_away = (run.medians.get(each.name, {}) for each in (YARDSTICK, THROW_AWAY))
    for title, key in (("drain", "drain/s"), ("post in bulk", "bulk/s"), ("post one at a time", "post/s")):
        if key in ours:
            theirs = [each.get(key) for each in (throw_away, yardstick)]
            cells = [f"{rate:,.0f} ({ours[key] / rate:.0%})" if rate else "not measured" for rate in theirs]
            rows.append([title, f"{ours[key]:,.0f}", *cells])
    return f"""## How near to what Redis allows

`tests/bench/yardstick.py` makes the writes of mlq and does nothing else: a thin parent, an isolated executor, one write
for what was done and what is wanted next; for posts one bare script. `tests/bench/throwaway.py` does the same with the
writes that mlq was designed by, before it learned to do with less: more names, more sorted sets, an event a job. In
brackets: the part of it that mlq reaches.

{_table(["jobs a second", "mlq", "throw-away", "yardstick"], rows)}
"""


ALONE = (
    ("drain with 1 executor/s, by Redis' clock", "settled/s"),
    ("drain with 2 executors/s", "drain x2/s"),
    ("Redis, microseconds a job in a drain", "redis us/job"),
    ("`mlq post --jsonl FILE`, its start included/s", "bulk from the shell, 1 processes/s"),
    ("`mlq post --jsonl FILE --parallel 2`/s", "bulk from the shell, 2 processes/s"),
    ("`post_many` of a list/s", "post_many, 1 processes/s"),
    ("`post_many(parallel=2)` of a list/s", "post_many, 2 processes/s"),
    ("`mlq post` ms", "mlq post ms"),
    ("`mlq get` ms", "mlq get ms"),
    ("`mlq --version` ms", "mlq --version ms"),
    ("`python -c 'import redis, msgpack'` ms", "import redis ms"),
    ("`python -c pass` ms", "python ms"),
)


def _alone(run: Run) -> str:
    values = run.results.numbers.get(OURS.name, {})
    depth = []
    for waiting in DEPTHS:
        keys = (
            f"drain of {waiting:,} waiting/s",
            f"steady drain of {waiting:,} waiting/s",
            f"redis us/job, {waiting:,} waiting",
        )
        depth.append([f"{waiting:,}", *(_cell(values.get(key)) for key in keys)])
    crowd = []
    for number in CROWDS:
        keys = tuple(f"{what}/job, {number:,} workers" for what in ("redis us", "commands", "claims"))
        crowd.append([f"{number:,}", *(_cell(values.get(key)) for key in keys)])
    rows = [[title, _cell(values.get(key))] for title, key in ALONE]
    return f"""## mlq alone

{_table(["", ""], rows)}

How fast one worker drains a queue by its depth. *bursts*: it is let go and stopped {BURSTS} times, the median of the
first {BURST:,} jobs each time; the same at each depth. *steady*: of some seconds without a stop.

{_table(["jobs waiting", "bursts, jobs/s", "steady, jobs/s", "Redis, microseconds a job"], depth)}

What a job costs Redis by how many workers are connected. They are simulated ones: asleep on the bell, with heartbeats;
each job is posted by itself, one a millisecond, and wakes one of them, which claims and settles it.

{_table(["workers", "Redis, microseconds a job", "commands a job", "claims a job"], crowd)}
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
    of_loops = {each.name for each in LOOPS}
    troubles_of = {name: texts for name, texts in run.results.troubles.items() if name not in of_loops}
    lines += [f"* **{name}**: {text}." for name, texts in troubles_of.items() for text in texts]
    troubles = "\n".join(lines) or "Everybody took part in everything."
    return f"""## What the numbers buy

Not all of them do the same work. What is said of delivery is from their documentation, their source, and the commands
that they send; no crash was tried here.

{_table(titles, rows)}

### Who is missing

{troubles}
"""


def _how() -> str:
    return """## How it is measured

Each contestant is in a virtual environment of its own. In each round everybody takes a turn, on the same server, which
is emptied before each load. A drain is posted in bulk first; then a worker starts. The jobs return their message and
count themselves in shared memory: the rate is from the beginning of the first job to the beginning of the last, and
nothing asks Redis meanwhile. Of mlq the same drain is looked up in Redis too, and all its jobs have to have succeeded.
`make bench` compares mlq with its own history, `make bench-promise` takes parts out of it, `make bench-profile` shows
where the processor time of a job goes.
"""


def _cell(values: list[float] | None) -> str:
    if not values:
        return "–"
    middle = _number(statistics.median(values))
    least, most = _number(min(values)), _number(max(values))
    return middle if least == most else f"{middle} ({least}–{most})"


def _ratio(times: float) -> str:
    return f"{times:.0f}" if times >= 10 else f"{times:.1f}" if times >= 1 else f"**{times:.2f}**"


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def _table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    titles = list(titles)
    line: Callable[[Iterable[Any]], str] = lambda cells: f"| {' | '.join(map(str, cells))} |"  # noqa: E731
    return "\n".join([line(titles), line(["---"] * len(titles)), *(line(row) for row in rows)])
