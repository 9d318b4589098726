"""How the server is right now, beyond its settings: version, memory, clock, how fast it answers, room on its disk."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator, Mapping

from mlq_cli.model.finding import SERVER, Finding, Level
from mlq_cli.store.redis.connect import Wire
from mlq_cli.store.redis.server_info import ServerSettings, ask_settings, risks

# The first release of each branch without the security holes that were public in August 2026; None: it has none.
PATCHED: Mapping[str, Mapping[tuple[int, int], int | None]] = {
    "Redis": {
        (6, 2): 23, (7, 0): None, (7, 2): 15, (7, 4): 11,
        (8, 0): None, (8, 2): 9, (8, 4): 6, (8, 6): 6, (8, 8): 2, (8, 10): 1,
    },
    "Valkey": {(7, 2): 13, (8, 0): 10, (8, 1): 7, (9, 0): 5, (9, 1): 1},
}  # fmt: skip

FULL = 0.8  # of maxmemory
SLOW = 0.1  # seconds for the fastest of several pings
CLOCKS_APART = 5.0  # seconds
PINGS = 5
FREE = 512 * 2**20  # bytes on the disk of the private server, beyond what a rewrite of its file takes


def examine(wire: Wire, largest: int) -> Iterator[Finding]:
    """Yield how the server is. `largest`: bytes that a message or result may have. Raises MlqError."""
    settings = ask_settings(wire)
    yield _answers(wire, settings)
    yield from risks(settings, largest)
    yield from _version(settings.name)
    yield from _memory(settings.info)
    yield _clock(wire)
    yield from _disk(wire)


def _answers(wire: Wire, settings: ServerSettings) -> Finding:
    took = []
    for _ in range(PINGS):
        start = time.perf_counter()
        wire.exchange([("PING",)])
        took.append(time.perf_counter() - start)
    what = f"{settings.name} at {wire.address} answers in {min(took) * 1000:.2f} ms"
    if min(took) <= SLOW:
        return Finding(SERVER, "answer", Level.OK, what)
    advice = "every claim waits that long: look at the network, at SLOWLOG GET, and at who else uses this server"
    return Finding(SERVER, "answer", Level.WARNING, what, advice)


def _version(name: str) -> Iterator[Finding]:
    kind, _, version = name.partition(" ")
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    if not found:
        return
    major, minor, patch = map(int, found.groups())
    branches = PATCHED[kind]
    least = branches.get((major, minor))
    if (major, minor) > max(branches) or (least is not None and patch >= least):
        yield Finding(SERVER, "version", Level.OK, f"no security hole of {name} is known to this mlq")
        return
    what = f"{name} has known security holes, unless your distribution has mended them"
    newest = ".".join(map(str, (*max(branches), branches[max(branches)])))
    advice = f"update to {major}.{minor}.{least}" if least is not None else f"move to a newer branch, {newest} say"
    yield Finding(SERVER, "version", Level.WARNING, what, advice)


def _memory(info: Mapping[str, str]) -> Iterator[Finding]:
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if not most:
        yield Finding(SERVER, "memory", Level.OK, f"{_size(used)} of memory are used; maxmemory sets no limit")
        return
    what = f"{_size(used)} of {_size(most)} of memory are used ({used / most:.0%})"
    if used <= FULL * most:
        yield Finding(SERVER, "memory", Level.OK, what)
        return
    advice = "when it is full, posts are refused: raise maxmemory, set retention in the profile, or purge old jobs"
    yield Finding(SERVER, "memory", Level.WARNING, what, advice)


def _clock(wire: Wire) -> Finding:
    before = time.time()
    (answer,) = wire.exchange([("TIME",)])
    ours = (before + time.time()) / 2
    if isinstance(answer, Exception):
        raise wire.translate(answer)
    apart = float(answer[0]) + float(answer[1]) / 1e6 - ours
    if abs(apart) <= CLOCKS_APART:
        return Finding(SERVER, "clock", Level.OK, "its clock agrees with ours")
    what = f"its clock is {abs(apart):,.0f} s {'ahead of' if apart > 0 else 'behind'} ours"
    advice = "jobs posted with --at run that much off: set both by NTP"
    return Finding(SERVER, "clock", Level.WARNING, what, advice)


def _disk(wire: Wire) -> Iterator[Finding]:
    """Look at the disk of the private server; that of another one is not ours to see."""
    folder = wire.endpoint.data
    if folder is None:
        return
    free, stored = shutil.disk_usage(folder.path).free, folder.stored()
    what = f"{_size(free)} are free on the disk of {folder.path}"
    if free >= FREE + stored:
        yield Finding(SERVER, "disk", Level.OK, what)
        return
    advice = f"free some: its file has {_size(stored)} and needs as much again when it is rewritten"
    yield Finding(SERVER, "disk", Level.WARNING, what, advice)


def _size(size: int) -> str:
    return f"{size / 2**30:,.1f} GiB" if size >= 2**30 else f"{size / 2**20:,.1f} MiB"
