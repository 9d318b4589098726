"""The dashboard's files: read once, served as they are, under a policy that lets nothing else run."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from mlq_cli.http.guards import PAGE
from mlq_cli.http.results import is_known

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


class File(NamedTuple):
    """One file as it is sent."""

    body: bytes
    media_type: str
    etag: str


@cache
def the_files() -> dict[str, File]:
    """Return the dashboard's files by name, such as `js/main.js`. No request ever reaches the file system."""
    return dict(_within(files("mlq_cli.http") / "static", ""))


async def page(request: Request) -> Response:
    """Answer with the page."""
    return _answer(request, the_files()["index.html"])


async def file(request: Request) -> Response:
    """Answer with one of the page's files."""
    found = the_files().get(request.path_params["path"])
    return Response(status_code=404, headers=PAGE) if found is None else _answer(request, found)


def _answer(request: Request, found: File) -> Response:
    headers = PAGE | {"etag": found.etag}
    if is_known(request.headers.get("if-none-match"), found.etag):
        return Response(status_code=304, headers=headers)
    return Response(found.body, media_type=found.media_type, headers=headers)


def _within(folder: Traversable, place: str) -> list[tuple[str, File]]:
    found = []
    for each in folder.iterdir():
        name = place + each.name
        if each.is_dir():
            found += _within(each, f"{name}/")
        elif (kind := _TYPES.get(each.name.rpartition(".")[2])) is not None:
            body = each.read_bytes()
            found.append((name, File(body, kind, f'"{sha256(body).hexdigest()[:32]}"')))
    return found


# Open to everybody: the files hold no data. What they ask for needs a role.
router = Router(
    [
        Route("/", page, include_in_schema=False),
        Route("/static/{path:path}", file, include_in_schema=False),
    ]
)
