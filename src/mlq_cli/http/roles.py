"""Who may do what: three roles, each with all that the one before it may."""

from __future__ import annotations

from typing import Any

from fastapi import Depends, Request

from mlq_cli.model.access import Role
from mlq_cli.model.errors import NotAllowed

__all__ = ["ROLE", "STRANGER", "Role", "is_open", "needs"]

#: What nobody needs a role for: whether the server is there, and files that came with mlq.
OPEN = frozenset({"/healthz", "/readyz", "/", "/favicon.ico", "/docs"})
OPEN_BELOW = ("/static/", "/docs/")

ROLE = "mlq.role"  # in the scope of a request: what whoever sends it may do, set by the door; None: nothing
STRANGER = "mlq.stranger"  # likewise: whether it may come from elsewhere than this machine, token or not


def is_open(path: str) -> bool:
    """Whether everybody may ask for a path."""
    return path in OPEN or path.startswith(OPEN_BELOW)


def needs(role: Role) -> Any:
    """Return the dependency of a route that asks for a role. Each route has one, or says that it is open."""

    async def check(request: Request) -> None:
        given = request.scope.get(ROLE)
        if given is None or given < role:
            name = role.name.lower()
            raise NotAllowed(f"this takes a token of the role {name}", hint=f"mlq token add --role {name} makes one")

    check.role = role  # type: ignore[attr-defined]  # for the test that goes through all routes
    return Depends(check)
