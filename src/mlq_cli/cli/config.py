"""`mlq config`: which settings hold, where they come from, and whether they work."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import typer

from mlq_cli.cli.command import Group, command
from mlq_cli.cli.options import Common
from mlq_cli.cli.output import Column, complain, line
from mlq_cli.model.errors import Refused

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
        server = mlq.store.server(mlq.profile.limits.largest)
        address = mlq.store.address
    for doubt in server.doubts:
        complain(f"warning: {doubt}")
    found = {"redis": address, "server": server.name, "namespace": mlq.namespace}
    if common.as_json:
        common.output.document({**found, "warnings": [*mlq.profile.warnings, *server.doubts]})
    else:
        otherwise = " otherwise" if server.doubts else ""
        line(f"{server.name} at {address} answers, namespace {mlq.namespace}: all is well{otherwise}")


@command(
    app,
    "secret",
    examples="""
      mlq config secret
      mlq config secret --new
      export WEBHOOK_SECRET=$(mlq config secret)
    """,
)
def secret(
    common: Common,
    new: Annotated[bool, typer.Option("--new", help="Make one up for the profile, and change nothing.")] = False,
) -> None:
    """Print the secret that signs callbacks and functions, as receivers take it: whsec_ and base64."""
    from mlq_cli.model.signing import keys_of, new_secret, shown

    if new:
        keys = keys_of(new_secret())
    else:
        from mlq_cli.store.redis import signing_secret

        found = signing_secret(common.profile())
        if found is None:
            raise Refused(
                "there is no secret: with a Redis of your own it is yours to choose",
                hint="mlq config secret --new makes one up; write it into the profile as secret, best as ${NAME}",
            )
        keys = keys_of(found)
    if common.as_json:
        common.output.document({"secrets": [shown(key) for key in keys]})
        return
    for key in keys:
        line(shown(key))
