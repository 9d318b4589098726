"""`mlq config`: which settings hold, where they come from, and whether they work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import typer

from mlq_cli.cli.command import Group, command
from mlq_cli.cli.options import Common
from mlq_cli.cli.output import Column, complain, line

app = typer.Typer(cls=Group, help="Show the settings, and check that they work.")


class _Setting(NamedTuple):
    key: str
    value: Any
    origin: str


_COLUMNS: list[Column[_Setting]] = [
    Column("SETTING", lambda one: one.key),
    Column("VALUE", lambda one: one.value, flexible=True),
    Column("FROM", lambda one: one.origin, flexible=True),
]


@command(
    app,
    "show",
    examples="""
      mlq config show
      mlq config show --profile production
      mlq config show --json | jq '."redis.url"'
    """,
)
def show(common: Common) -> None:
    """Show each setting and where it comes from; passwords are masked."""
    settings = [_Setting(*one) for one in common.profile().settings()]
    if common.as_json:
        common.output.document({one.key: {"value": one.value, "from": one.origin} for one in settings})
        return
    common.output.records(settings, _COLUMNS, _Setting._asdict, empty="")


@command(
    app,
    "check",
    examples="""
      mlq config check
      mlq config check --profile staging.yaml && mlq worker --fn tasks:f
    """,
)
def check(common: Common) -> None:
    """Check the settings and connect to Redis; say what is wrong and what to do."""
    with common.mlq() as mlq:
        info = mlq.store.info()
        address = mlq.store.address
    kind, version = ("Valkey", "valkey_version") if "valkey_version" in info else ("Redis", "redis_version")
    server = f"{kind} {info.get(version, 'of unknown version')}"
    warnings = list(doubts(info))
    for warning in warnings:
        complain(f"warning: {warning}")
    found = {"redis": address, "server": server, "namespace": mlq.namespace}
    if common.as_json:
        common.output.document({**found, "warnings": [*mlq.profile.warnings, *warnings]})
    else:
        line(f"{server} at {address} answers, namespace {mlq.namespace}: all is well" + (" otherwise" * bool(warnings)))


def doubts(info: Mapping[str, str]) -> list[str]:
    """Return what about a server's settings puts jobs at risk."""
    found = []
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        found.append(f"maxmemory-policy is {policy}: Redis may throw jobs away; CONFIG SET maxmemory-policy noeviction")
    if info.get("aof_enabled") == "0":
        found.append("the append-only file is off: a crash of Redis may lose posted jobs; CONFIG SET appendonly yes")
    for key, what in (("aof_last_write_status", "append-only file"), ("rdb_last_bgsave_status", "snapshot")):
        if info.get(key, "ok") != "ok":
            found.append(f"Redis could not write its {what}; its log says why, often the disk is full")
    if info.get("role") == "slave":
        found.append("this is a replica: posts will be refused; name the primary instead")
    return found
