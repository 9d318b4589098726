"""`make bench-tuning`: what the settings are worth that a user can turn, each beside mlq as it is.

Interleaved; medians. The numbers of docs/performance.md are from here.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from arena import Arena, temporary_folder
from contestants import OURS
from measure import Numbers, latency, post
from rounds import Results, say, stop_like_ctrl_c
from server import Server

WORKER = "{bin}/mlq worker --quiet --fn "
AOF = ("--appendonly", "yes", "--appendfsync")


@dataclass(frozen=True)
class Setting:
    """One way to run mlq: the worker's command, the server's settings, the environment of both sides."""

    name: str
    worker: str = f"{WORKER}ticking:job"
    server: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    socket: bool = False  # a unix socket instead of TCP
    jobs: int = 60_000
    posts: bool = False  # whether it matters for posts and latency


SETTINGS = (
    Setting("as it is", posts=True),
    Setting("2 executors", f"{WORKER}ticking:job -x 2"),
    Setting("unix socket", socket=True, posts=True),
    Setting("append-only file, fsync every second", server=(*AOF, "everysec"), posts=True),
    Setting("append-only file, fsync always", server=(*AOF, "always"), jobs=30_000, posts=True),
    Setting("keep 1,000 ended jobs", environment={"MLQ_RETENTION_COUNT": "1000"}),
    Setting("jobs of 0.2 ms, 1 executor", f"{WORKER}ticking:brief", jobs=8_000),
    Setting("jobs of 0.2 ms, 2 executors", f"{WORKER}ticking:brief -x 2", jobs=8_000),
    Setting("jobs that wait 10 ms, 1 executor", f"{WORKER}ticking:waits", jobs=200),
    Setting("jobs that wait 10 ms, 16 executors", f"{WORKER}ticking:waits -x 16", jobs=3_000),
    Setting("jobs that wait 10 ms, async, 1 executor", f"{WORKER}ticking:waits_async", jobs=8_000),
)


@contextmanager
def arena_of(setting: Setting, memory: Path) -> Iterator[Arena]:
    """Start the server of a setting, and return where it is measured. Its files are on a disk."""
    unix = memory / "redis.sock" if setting.socket else None
    with tempfile.TemporaryDirectory() as disk, Server(more=("--dir", disk, *setting.server), unix=unix) as server:
        contestant = replace(OURS, worker=setting.worker, jobs=setting.jobs, environment=setting.environment)
        yield Arena(server, contestant, memory)


def measure(arena: Arena, setting: Setting, scale: float) -> Numbers:
    """Drain, and where it matters post and wait."""
    jobs = max(50, int(setting.jobs * scale))
    arena.clean()
    numbers = {"bulk/s": jobs / arena.client("bulk", jobs)}
    with arena.worker(setting.worker) as worker:
        arena.wait_for_ticks(jobs, worker)
    count, first, last = arena.ticks()
    drained = {"drain/s": (count - 1) / (last - first)}
    return {**drained, **numbers, **post(arena, scale), **latency(arena, scale)} if setting.posts else drained


def table(results: Results, settings: Sequence[Setting]) -> str:
    """Return the medians, in Markdown."""
    titles = ("drain/s", "bulk/s", "post/s", "p50 ms", "p99 ms")
    lines = [f"| | {' | '.join(titles)} |", "| --- |" + " ---: |" * len(titles)]
    for setting in settings:
        medians = results.medians(setting.name)
        cells = (_figure(medians.get(key)) for key in titles)
        lines.append(f"| {setting.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="less than 1: smaller loads, to see that it runs")
    asked = parser.parse_args()
    stop_like_ctrl_c()
    results = Results()
    with temporary_folder() as memory:
        for number in range(1, asked.rounds + 1):
            for setting in SETTINGS:
                say(f"round {number} of {asked.rounds}  {setting.name}")
                with arena_of(setting, memory) as arena:
                    results.add(setting.name, measure(arena, setting, asked.scale))
    print(table(results, SETTINGS))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
