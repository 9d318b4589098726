"""Routes for functions that are registered at run time: signed, stored as they are, and never unpickled here."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from mlq_cli.http.answers import HEADERS, document, in_json, responses
from mlq_cli.http.bodies import check_type, parse, read_body
from mlq_cli.http.door.head import FORWARDED, read_head
from mlq_cli.http.door.pages import OCTETS, kind_of
from mlq_cli.http.problems import Problem
from mlq_cli.http.registered import name_of, not_signed, pickle_in
from mlq_cli.http.roles import Role, needs
from mlq_cli.http.schemas import Dropped, Functions, Kept
from mlq_cli.http.served import served
from mlq_cli.model.jsonable import to_json

router = APIRouter(tags=["operations"])

Name = Annotated[str | None, Query(min_length=1, max_length=256, description="Its name.", examples=["double"])]
_MAGIC = b"MLQF"  # what each envelope begins with
_ADMIN: dict[str, Any] = {"dependencies": [needs(Role.ADMIN)], "response_model": None}
_REFUSED = {
    403: "It is not signed, by another key, for another namespace, or damaged; or the token does not allow this.",
    409: "One as new is or was registered; or this server has no secret.",
}
_TAKEN = {
    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
    "application/json": {"schema": {"$ref": "#/components/schemas/Unsigned"}},
}


@router.get("/functions", operation_id="list_functions", summary="The functions that run somewhere",
            dependencies=[needs(Role.READ)], response_model=None,
            responses=responses(s200=in_json("The functions.", Functions)))  # fmt: skip
async def list_functions(request: Request) -> Response:
    """List the listeners of all workers, and the functions that are registered, by name."""
    about = served(request)

    def look() -> list[dict[str, Any]]:
        return about.overview.functions(about.functions.all())

    return document({"functions": await about.desk.do(look)})


@router.post("/consumer", operation_id="register_function", summary="Send a function to the workers", status_code=201,
             responses=responses(_REFUSED, body=True, s201=in_json("It is registered.", Kept)),
             openapi_extra={"requestBody": {"required": True, "content": _TAKEN}}, **_ADMIN)  # fmt: skip
async def register_function(request: Request, name: Name = None) -> Response:
    """Keep a function for workers started with `--registered`: its envelope, as `mlq register-fn -o FILE` writes it.

    The original's unsigned JSON is refused unless the server was started to take it; `name` is for that alone.
    """
    about = served(request)
    body = await _read(request)
    if isinstance(body, bytes):
        kept, version = await about.desk.do(about.functions.register, body)
    else:
        assert body is not None
        kept, version = await about.desk.do(about.functions.register_unsigned, body[0], name)
    return Response(to_json({"name": kept, "version": version}), 201, HEADERS, "application/json")


@router.delete("/consumer", operation_id="remove_function", summary="Take a function from the workers",
               responses=responses(_REFUSED, body=True, s200=in_json("Whether it was there.", Dropped)),
               openapi_extra={"requestBody": {"required": False, "content": _TAKEN}}, **_ADMIN)  # fmt: skip
async def remove_function(request: Request, name: Name = None) -> Response:
    """Forget a function, by its `name` or by what it was registered with."""
    about = served(request)
    body = await _read(request, needed=name is None)
    if isinstance(body, bytes):
        sealed = await about.desk.do(about.functions.name_in, body)
        if name not in (None, sealed):
            errors = [{"parameter": "name", "in": "query", "detail": "it is not that of the envelope"}]
            raise Problem(422, "invalid", "which function?", errors=errors)
        name = sealed
    elif body is not None:
        name = name or name_of(pickle_in(body[0]))
    removed = await about.desk.do(about.mlq.remove_function, name)
    return document({"name": name, "removed": removed})


async def _read(request: Request, *, needed: bool = True) -> bytes | tuple[Any] | None:
    """Return an envelope, or the value of an unsigned body where such are taken; None for none. Raises Problem."""
    headers: dict[bytes, bytes] = dict(request.scope["headers"])
    body = await read_body(request)
    if body.startswith(_MAGIC) or (kind_of(headers) == OCTETS and (body or needed)):
        return body
    if not body and not needed:
        return None
    if not body:
        errors = [{"parameter": "name", "in": "query", "detail": "name it, or send the envelope"}]
        raise Problem(422, "invalid", "which function?", errors=errors)
    # What a proxy passes on may come from anywhere, whatever it says.
    if not served(request).unsigned or FORWARDED in read_head(request.scope["headers"]):
        raise not_signed()
    check_type(headers)
    return (parse(body),)
