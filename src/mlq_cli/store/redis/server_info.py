"""What the server is, and what about its settings puts jobs at risk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from mlq_cli.model.finding import SERVER, Finding, Level
from mlq_cli.store.base import ServerInfo
from mlq_cli.store.redis.connect import Wire
from mlq_cli.store.redis.link import Command

ASKED: Sequence[Command] = (("INFO",), ("CONFIG", "GET", "save"), ("CONFIG", "GET", "proto-max-bulk-len"))


class ServerSettings(NamedTuple):
    """What the server told about itself; None where we may not ask."""

    info: Mapping[str, str]
    save: str | None  # the snapshot rules
    longest: int | None  # bytes that one string may have

    @property
    def name(self) -> str:
        """What it is: `Valkey 9.1.2`."""
        kind, version = ("Valkey", "valkey_version") if "valkey_version" in self.info else ("Redis", "redis_version")
        return f"{kind} {self.info.get(version, 'of unknown version')}"


def ask_settings(wire: Wire) -> ServerSettings:
    """Ask the server. Raises MlqError."""
    text, save, longest = wire.exchange(ASKED)
    if isinstance(text, Exception):
        raise wire.translate(text)
    lines = text.decode(errors="replace").splitlines()
    info = dict(line.split(":", 1) for line in lines if ":" in line)
    length = _setting(longest)
    return ServerSettings(info, _setting(save), int(length) if length else None)


def _setting(answer: object) -> str | None:
    return answer[1].decode() if isinstance(answer, list) and len(answer) == 2 else None


def read_info(settings: ServerSettings, largest: int) -> ServerInfo:
    """Return what matters to us, with doubts as sentences. `largest`: bytes that a result may have."""
    doubts = [f"{finding.what}; {finding.advice}" for finding in risks(settings, largest) if not finding.well]
    return ServerInfo(settings.name, doubts, dict(settings.info))


def risks(settings: ServerSettings, largest: int) -> Iterator[Finding]:
    """Yield how each setting is on which it depends whether jobs are safe."""
    info = settings.info
    policy = info.get("maxmemory_policy", "noeviction")
    if policy == "noeviction":
        yield _well("eviction", "maxmemory-policy is noeviction: jobs are never thrown away")
    else:
        what = f"maxmemory-policy is {policy}: Redis may throw jobs away"
        yield _wrong("eviction", Level.ERROR, what, "CONFIG SET maxmemory-policy noeviction")
    if info.get("aof_enabled") == "0":
        cost = "all jobs" if settings.save == "" else "the newest jobs"
        what = f"the append-only file is off: a crash of Redis loses {cost}"
        yield _wrong("persistence", Level.WARNING, what, "CONFIG SET appendonly yes")
    elif "aof_enabled" in info:
        yield _well("persistence", "the append-only file is on: jobs outlive a crash of Redis")
    for key, what in (("aof_last_write_status", "append-only file"), ("rdb_last_bgsave_status", "snapshot")):
        if info.get(key, "ok") != "ok":
            advice = "its log says why, often the disk is full"
            yield _wrong("write-failed", Level.ERROR, f"Redis could not write its {what}", advice)
    if info.get("role") == "slave":
        yield _wrong("replica", Level.ERROR, "this is a replica: posts will be refused", "name the primary instead")
    if settings.longest is not None and settings.longest < largest:
        yield _wrong(
            "bulk-length",
            Level.WARNING,
            f"proto-max-bulk-len is {settings.longest:,}, and a message or result may have {largest:,} bytes: one that"
            " is larger can never be stored",
            f"CONFIG SET proto-max-bulk-len {largest}, or lower limits.message and limits.result in the profile",
        )


def _well(name: str, what: str) -> Finding:
    return Finding(SERVER, name, Level.OK, what)


def _wrong(name: str, level: Level, what: str, advice: str) -> Finding:
    return Finding(SERVER, name, level, what, advice)
