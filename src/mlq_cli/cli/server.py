"""`mlq redis`: the private server that mlq runs when no Redis is named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from mlq_cli.cli.command import Group, command
from mlq_cli.cli.options import Common
from mlq_cli.cli.output import cell, harmless, line
from mlq_cli.model.durations import show_duration
from mlq_cli.model.errors import Refused

if TYPE_CHECKING:
    from mlq_cli.store.redis.embedded import EmbeddedEndpoint, Status

app = typer.Typer(cls=Group, help="Look after the private server that mlq runs when no Redis is named.")


@command(
    app,
    "status",
    examples="""
      mlq redis status
      mlq redis status --json | jq -r .socket
    """,
)
def status(common: Common) -> int | None:
    """Show which Redis is used, and how the private server is; starts nothing."""
    profile = common.profile()
    if profile.redis_url() is not None:
        from mlq_cli.mlq import MLQ

        with MLQ(profile=profile) as mlq:
            server, address = mlq.store.server(), mlq.store.address
        _show(common, {"private": False, "running": True, "address": address, "version": server.name})
        return None
    about = _endpoint(common, "look after").status()
    _show(common, _document(about))
    return None


@command(
    app,
    "start",
    examples="""
      mlq redis start
    """,
)
def start(common: Common) -> None:
    """Start the private server; any command that needs it does so as well."""
    about = _endpoint(common, "start").start()
    if common.as_json:
        common.output.document(_document(about))
    else:
        common.output.say(f"the private server runs, process {about.pid}, at {about.socket}")


@command(
    app,
    "stop",
    examples="""
      mlq redis stop
    """,
)
def stop(common: Common) -> None:
    """Stop the private server; its jobs are kept on disk."""
    stopped = _endpoint(common, "stop").stop()
    said = "the private server has stopped" if stopped else "the private server was not running"
    common.output.done(said, {"stopped": stopped})


def _endpoint(common: Common, verb: str) -> EmbeddedEndpoint:
    profile = common.profile()
    if profile.redis_url() is not None:
        key = "redis.url" if profile.redis.url else "redis.host"
        raise Refused(
            f"{key} is set, and that server is not ours to {verb}",
            hint=f"it comes from: {profile.origin(key)}; mlq redis is about the private server, used without it",
        )
    from mlq_cli.store.redis.embedded import EmbeddedEndpoint

    return EmbeddedEndpoint(binary=profile.redis.server, data=profile.redis.data)


def _document(about: Status) -> dict[str, Any]:
    import dataclasses

    return {"private": True, **dataclasses.asdict(about)}


def _show(common: Common, about: dict[str, Any]) -> None:
    if common.as_json:
        common.output.document(about)
        return
    person = common.output.terminal
    for name, value in about.items():
        if value is None:
            continue
        if person and name == "uptime":
            value = show_duration(value)
        elif person and name in ("memory", "stored"):
            value = f"{value / 2**20:,.1f} MiB"
        text = harmless(cell(value, for_person=person))
        line(f"{name + ':':<13}{text}" if person else f"{name}\t{text}")
