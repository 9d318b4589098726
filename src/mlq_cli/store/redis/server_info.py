"""What the server is, and what about its settings puts jobs at risk."""

from __future__ import annotations

from collections.abc import Mapping

from mlq_cli.store.base import ServerInfo


def read_info(info: Mapping[str, str], save: str | None) -> ServerInfo:
    """Return what INFO says that matters to us. `save`: the snapshot rules, None when we may not ask."""
    kind, version = ("Valkey", "valkey_version") if "valkey_version" in info else ("Redis", "redis_version")
    return ServerInfo(f"{kind} {info.get(version, 'of unknown version')}", list(_doubts(info, save)), dict(info))


def _doubts(info: Mapping[str, str], save: str | None) -> list[str]:
    found = []
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        found.append(f"maxmemory-policy is {policy}: Redis may throw jobs away; CONFIG SET maxmemory-policy noeviction")
    if info.get("aof_enabled") == "0":
        cost = "all jobs" if save == "" else "the newest jobs"
        found.append(f"the append-only file is off: a crash of Redis loses {cost}; CONFIG SET appendonly yes")
    for key, what in (("aof_last_write_status", "append-only file"), ("rdb_last_bgsave_status", "snapshot")):
        if info.get(key, "ok") != "ok":
            found.append(f"Redis could not write its {what}; its log says why, often the disk is full")
    if info.get("role") == "slave":
        found.append("this is a replica: posts will be refused; name the primary instead")
    return found
