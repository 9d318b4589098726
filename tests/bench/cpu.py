"""`ours.py --profile`: where the processor time of one job goes, in Redis, in the worker and in its executors.

    ours.py --profile                                  this source
    ours.py --profile --against ../main/src            beside another one, interleaved

Processor time is far less noisy than time on the wall, so this tells of changes that `make bench` cannot see.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from arena import Arena
from contestants import OURS
from measure import Numbers
from processes import cpu_seconds, tree
from rounds import Results, say
from server import Server

POSTS = 3_000  # one at a time
WARM_UP = 20  # jobs: the worker and its executors have started
HERTZ = os.sysconf("SC_CLK_TCK")
MOST_COMMANDS = 12  # that are shown of those which the scripts call


def profile(arena: Arena, jobs: int, executors: int = 1) -> Numbers:
    """Return what one job costs whom, in microseconds of processor time: of a post, of one in bulk, of its drain."""
    numbers = {**posted(arena, "post", POSTS), **posted(arena, "bulk", jobs)}
    return {**numbers, **drained(arena, jobs, f"{OURS.worker} -x {executors}")}


def posted(arena: Arena, verb: str, jobs: int) -> Numbers:
    """Post so many, one at a time or in bulk."""
    arena.clean()
    used = arena.server.cpu()
    answer = arena.ask(verb, jobs)
    redis = arena.server.cpu() - used
    costs = {f"{verb}: client": answer["cpu"] / jobs * 1e6, f"{verb}: redis": redis / jobs * 1e6}
    return {**costs, f"{verb}/s": jobs / answer["seconds"]}


def drained(arena: Arena, jobs: int, command: str) -> Numbers:
    """Run so many, posted in bulk while a worker that has started waits."""
    arena.clean()
    arena.client("teach")
    with arena.worker(command=command) as worker:
        arena.client("bulk", WARM_UP)
        arena.wait_for_ticks(WARM_UP, worker)
        arena.client("pause")
        arena.client("bulk", jobs)
        processes = _roles(worker.pid)
        arena.server.command("CONFIG", "RESETSTAT")
        before, redis = {role: _used(pids) for role, pids in processes.items()}, _redis(arena.server)
        arena.client("resume")
        arena.wait_for_ticks(WARM_UP + jobs, worker)
        time.sleep(0.1)  # the last outcomes are on their way
        after, stats = _redis(arena.server), arena.server.command_stats()
        numbers: Numbers = {}
        for name, used in {"redis": after, **{role: _used(pids) for role, pids in processes.items()}}.items():
            was = before.get(name, redis)
            for kind in used:
                numbers[f"{name}{kind}"] = (used[kind] - was[kind]) / jobs * 1e6
        seconds = arena.ticks()[2] - arena.burst()
    numbers["all together"] = sum(numbers.get(name, 0.0) for name in ("redis", *processes))
    return {**numbers, "drain/s": (jobs - 1) / seconds, **_commands(stats, jobs)}


def _roles(pid: int) -> dict[str, list[int]]:
    """Return the processes of a worker by what they do."""
    roles: dict[str, list[int]] = {"worker": [pid], "executors": []}
    for each in tree(pid)[1:]:
        if b"mlq_cli.worker.child" in Path(f"/proc/{each}/cmdline").read_bytes():
            roles["executors"].append(each)
    return roles


def _used(pids: list[int]) -> dict[str, float]:
    """Return seconds: all of them to the nanosecond, and which of them in the kernel to the hundredth."""
    kernel = 0
    for pid in pids:
        kernel += int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[12])
    return {"": cpu_seconds(pids), ", in the kernel": kernel / HERTZ}


def _redis(server: Server) -> dict[str, float]:
    info = server.info()
    return {"": info["used_cpu_user"] + info["used_cpu_sys"], ", in the kernel": info["used_cpu_sys"]}


def _commands(stats: dict[str, Any], jobs: int) -> Numbers:
    """Return what Redis says of its commands: the time in scripts, and which commands they call how often."""
    scripts = [stats[name] for name in ("evalsha", "eval", "fcall") if name in stats]
    inner = {name: each for name, each in stats.items() if name not in ("evalsha", "eval", "fcall", "config|resetstat")}
    numbers = {
        "redis, in scripts": sum(each["usec"] for each in scripts) / jobs,
        "redis, in commands": sum(each["usec"] for each in inner.values()) / jobs,
        "jobs a script": jobs / max(1, sum(each["calls"] for each in scripts)),
        "commands": sum(each["calls"] for each in inner.values()) / jobs,
    }
    numbers["redis, in Lua itself"] = numbers["redis, in scripts"] - numbers["redis, in commands"]
    for name, each in inner.items():
        numbers[f"{name} calls"] = each["calls"] / jobs
        numbers[f"{name} us"] = each["usec"] / jobs
    return numbers


ROWS = (
    ("post: client", "post one: client"),
    ("post: redis", "post one: redis"),
    ("bulk: client", "post in bulk: client"),
    ("bulk: redis", "post in bulk: redis"),
    ("redis", "drain: redis"),
    ("redis, in the kernel", "    in the kernel"),
    ("redis, in scripts", "    in scripts (on the wall)"),
    ("redis, in Lua itself", "        of that in Lua itself"),
    ("redis, in commands", "        of that in its commands"),
    ("worker", "drain: worker"),
    ("worker, in the kernel", "    in the kernel"),
    ("executors", "drain: executors"),
    ("executors, in the kernel", "    in the kernel"),
    ("all together", "drain: all together"),
    ("commands", "commands in scripts, a job"),
    ("jobs a script", "jobs a script call"),
    ("drain/s", "drain/s"),
)


def measure(
    server: Server, folder: Path, sources: Sequence[Path | None], *, rounds: int, jobs: int, executors: int
) -> Results:
    """Return the numbers of each source, round by round; the sources take turns."""
    results = Results()
    for number in range(1, rounds + 1):
        for source in sources if number % 2 else list(reversed(sources)):
            say(f"round {number} of {rounds}  {source or 'installed'}")
            arena = Arena(server, OURS, folder, source)
            results.add(str(source), profile(arena, jobs, executors))
    return results


def table(results: Results, sources: Sequence[Path | None]) -> str:
    """Return the numbers of the first source, and how the others differ."""
    first, *others = (str(source) for source in sources)
    lines = [f"{'microseconds of processor time a job':<38}{'median':>10}{'min-max':>18}"]
    lines[0] += "".join(f"  {_short(other):>22}" for other in others)
    rows = [(key, title, "") for key, title in ROWS]
    medians = {name: results.medians(name) for name in (first, *others)}
    commands = sorted((key for key in medians[first] if key.endswith(" us")), key=lambda key: -medians[first][key])
    rows += [(key, f"{key[:-3]} (on the wall)", key[:-3] + " calls") for key in commands[:MOST_COMMANDS]]
    for key, title, calls in rows:
        values = results.numbers[first][key]
        times = f" x {medians[first][calls]:.2f}" if calls else ""
        line = f"{title + times:<38}{_figure(statistics.median(values)):>10}"
        line += f"{_figure(min(values)) + ' - ' + _figure(max(values)):>18}"
        for other in others:
            value = medians[other].get(key)
            line += f"  {'-':>22}" if not value else f"  {_figure(value):>12} {medians[first][key] / value - 1:>+9.0%}"
        lines.append(line)
    return "\n".join(lines)


def _short(source: str) -> str:
    return source[-22:]


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.2f}"
