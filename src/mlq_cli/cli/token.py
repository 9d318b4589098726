"""`mlq token`: who may use the HTTP server."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mlq_cli.cli.command import Group, command
from mlq_cli.cli.jsonable import instant
from mlq_cli.cli.options import Common
from mlq_cli.cli.output import Column, When, line
from mlq_cli.model.access import AccessToken, check_token_name, digest, new_key, read_key, read_role
from mlq_cli.model.durations import parse_duration
from mlq_cli.model.errors import Misuse, NoToken

app = typer.Typer(cls=Group, help="Say who may use the HTTP server: add, list, remove.")

_COLUMNS: list[Column[AccessToken]] = [
    Column("ID", lambda token: token.id),
    Column("ROLE", lambda token: token.role.name.lower()),
    Column("NAME", lambda token: token.name or None, flexible=True),
    Column("CREATED", lambda token: When(token.created_at)),
    Column("EXPIRES", lambda token: None if token.expires_at is None else When(token.expires_at)),
]


@command(
    app,
    "add",
    examples="""
      mlq token add --role post --name 'web app'
      mlq token add --role read --expires 30d
      export MLQ_TOKEN=$(mlq token add --role admin)

      read: look at jobs, results and numbers. post: also post, cancel and retry
      jobs. admin: also whatever concerns more than single jobs.
    """,
)
def add(
    common: Common,
    role: Annotated[str, typer.Option("--role", metavar="ROLE", help="What it may: read, post or admin.")],
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Who it is for.", show_default=False)] = "",
    expires: Annotated[
        float | None, typer.Option("--expires", metavar="D", help="For so long.", parser=parse_duration)
    ] = None,
) -> None:
    """Make an access token and print it; it cannot be shown again."""
    chosen = read_role(role)
    check_token_name(name)
    if expires is not None and expires <= 0:
        raise Misuse("--expires: a token that lasts for no time opens nothing")
    with common.mlq() as mlq:
        access = mlq.store.access()
        key = new_key(chosen)
        while not access.add(key.id, chosen, digest(key.secret), name=name, life=expires):
            key = new_key(chosen)
    if common.as_json:
        common.output.document({"token": str(key), "id": key.id, "role": role.lower(), "name": name})
    else:
        line(str(key))
        common.output.say(f"token {key.id} may {role.lower()}; keep it: it is shown only now")


@command(
    app,
    "list",
    examples="""
      mlq token list
      mlq token list --json | jq -r 'select(.role == "admin") | .id'
    """,
)
def list_(common: Common) -> None:
    """List the access tokens: their ids, never themselves."""
    with common.mlq() as mlq:
        tokens, now = mlq.store.access().all()

    def document(token: AccessToken) -> dict[str, Any]:
        return {
            "id": token.id,
            "role": token.role.name.lower(),
            "name": token.name,
            "created_at": instant(token.created_at),
            "expires_at": instant(token.expires_at),
            "expired": token.expires_at is not None and token.expires_at <= now,
        }

    common.output.records(tokens, _COLUMNS, document, empty="there are no access tokens")


@command(
    app,
    "remove",
    examples="""
      mlq token remove 1f0c9a27
    """,
)
def remove(
    common: Common,
    ids: Annotated[list[str], typer.Argument(metavar="ID", help="Ids of tokens.", show_default=False)],
) -> None:
    """Remove access tokens: servers refuse them within two seconds."""
    # Whoever pastes the whole token means it too.
    names = [key.id if (key := read_key(text)) is not None else text for text in ids]
    with common.mlq() as mlq:
        gone = mlq.store.access().remove(names)
    missing = [name for name, was in zip(names, gone, strict=True) if not was]
    if missing:
        raise NoToken(missing[0])
    common.output.done(f"{len(gone)} token{'s' * (len(gone) != 1)} removed", {"removed": len(gone)})
