"""`POST /jobs`: a message in, an id out. The busiest route: it is taken past the framework's checks of arguments."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from functools import lru_cache
from hashlib import sha256
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from mlq_cli.http.answers import HEADERS, in_text, responses, takes, text
from mlq_cli.http.bodies import check_type, invalid, parse, pointer, read_body, validated
from mlq_cli.http.desk import Answer
from mlq_cli.http.problems import Problem
from mlq_cli.http.results import respond, result_of
from mlq_cli.http.roles import STRANGER, Role, needs
from mlq_cli.http.schemas import PostBody
from mlq_cli.http.served import look_after, look_whole, served
from mlq_cli.model.callback_policy import how_to_tell
from mlq_cli.model.errors import JobNotFound, Misuse
from mlq_cli.model.job import Record, check_own_id
from mlq_cli.model.jsonable import to_json
from mlq_cli.model.options import PostOptions
from mlq_cli.model.values import pack

MOST_WAIT = 60.0  # seconds that a post waits for its result at most

_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,9})\"?(?=$|[,;\s])")
_options = lru_cache(maxsize=256, typed=True)(PostOptions)  # they are mostly those of the post before
_model = PostBody.__pydantic_validator__


class Straight(APIRoute):
    """A route whose function takes the request as it is: only its dependencies are asked before."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request."""
        checks = [dependency.dependency for dependency in self.dependencies]
        answer = self.endpoint

        async def handle(request: Request) -> Response:
            for check in checks:
                assert check is not None
                await check(request)
            response: Response = await answer(request)
            return response

        return handle


router = APIRouter(route_class=Straight)

_IDEMPOTENCY = {
    "name": "Idempotency-Key", "in": "header", "required": False, "schema": {"type": "string", "maxLength": 255,
    "pattern": "^[!-~](?:[ -~]*[!-~])?$"},
    "description": "Names this request: sent again with the same key it makes no second job, and is answered the same.",
}  # fmt: skip
_PREFER = {
    "name": "Prefer", "in": "header", "required": False, "schema": {"type": "string"}, "example": "wait=2",
    "description": "`wait=N`: hold the answer until the job has ended, for N seconds at most (60 is the longest).",
}  # fmt: skip


@router.post(
    "/jobs",
    operation_id="post_job",
    tags=["jobs"],
    summary="Post a message",
    dependencies=[needs(Role.POST)],
    response_model=None,
    status_code=202,
    openapi_extra=takes(PostBody) | {"parameters": [_IDEMPOTENCY, _PREFER]},
    responses=responses(
        {
            410: "It was waited for, and was canceled.",
            424: "It was waited for, and failed.",
            409: "The body names another id than the Idempotency-Key, or the job of that key is just being forgotten.",
        },
        body=True,
        s202=in_text(
            "The id of the job, which is stored; the job itself as JSON when `Accept` asks for that.",
            "53",
            Location="Where the job is.",
            Idempotency_Replayed="`true` when there was such a job already.",
        ),
        s200={
            "description": "With `Prefer: wait=N`: the result, as `/jobs/{id}/result` gives it.",
            "content": {"*/*": {"schema": {}}},
        },
    ),
)
async def post_job(request: Request) -> Response:
    """Store a job and answer with its id, as text.

    A body that curl says is a form is read as JSON too, unless a browser sends it.
    """
    headers: dict[bytes, bytes] = dict(request.scope["headers"])
    check_type(headers)
    value = parse(await read_body(request))
    try:
        body: PostBody = _model.validate_python(value)
    except ValidationError:
        body = validated(PostBody, value)  # which says what is wrong
    about = served(request)
    options = options_of(body, request)
    message = pack(body.msg, limit=about.mlq.profile.limits.message)
    key = headers.get(b"idempotency-key")
    own_id = id_of(body, key)
    posted = await about.desk.post(message, options, own_id)
    if own_id is not None and key is not None and not posted.created:
        await _check_same(request, posted, body, options)
    more = {"location": f"/jobs/{posted.job_id}"}
    if not posted.created:
        more["idempotency-replayed"] = "true"
    if b"prefer" in headers and (seconds := wait_of(request)):
        ended = await about.hub.wait(posted.job_id, seconds)
        if ended:
            try:
                result = await look_whole(request, posted.job_id, result_of)
            except Problem as error:
                if error.code != "busy":
                    raise
                return text(posted.job_id, 202, **more)  # there is no room for it now: it can be asked for
            more["preference-applied"] = f"wait={seconds:g}"
            return respond(request, posted.job_id, result, None, **more)
    if wants_json(headers.get(b"accept")):
        whole = await look_after(request, posted.job_id)
        return Response(whole, 202, HEADERS | more, "application/json")
    return text(posted.job_id, 202, **more)


def options_of(body: PostBody, request: Request) -> PostOptions:
    """Return the options of a post. Raises Misuse or Problem."""
    method, public = _how_to_tell(body, request) if body.callback is not None else ("GET", False)
    functions = None if body.functions is None else tuple(body.functions)
    if {"delay", "at"} <= body.model_fields_set:
        raise invalid([{"pointer": pointer("at"), "detail": "delay and at exclude each other"}])
    return _options(
        body.queue or "default", body.priority or 0, body.delay, body.at, body.retries, body.timeout,
        body.callback, functions, 0, method, public,
    )  # fmt: skip


def _how_to_tell(body: PostBody, request: Request) -> tuple[str, bool]:
    """Return method and reach of a callback. Raises Problem when it leads where nobody is called from here."""
    profile = served(request).mlq.profile
    # A stranger has no say about hosts that only we can reach, unless the profile means them to be called.
    public = bool(request.scope.get(STRANGER, True)) and profile.callbacks.private is not True
    try:
        return how_to_tell(profile, body.callback, body.callback_method, public)
    except Misuse as error:
        raise Problem(403, "callback-refused", error.message, hint=error.hint) from None


def id_of(body: PostBody, key: bytes | None) -> str | None:
    """Return the job's own id, when the request names one: itself, or by its idempotency key. Raises Problem."""
    if key is None:
        return body.id if body.id is None else _own_id(body.id)
    name = key.decode("latin-1").strip()
    if len(name) > 1 and name[0] == name[-1] == '"':
        name = name[1:-1]  # as the draft of the header has it
    if not name or len(name) > 255 or not name.isascii() or not name.isprintable():
        raise Problem(400, "idempotency-key", "an Idempotency-Key has 1 to 255 visible characters")
    try:
        job_id = check_own_id(name)
    except Misuse:
        job_id = f"key-{sha256(name.encode()).hexdigest()[:40]}"
    if body.id not in (None, job_id):
        raise Problem(409, "two-ids", "the body names another id than the Idempotency-Key", hint="send one of them")
    return job_id


def _own_id(job_id: str) -> str:
    try:
        return check_own_id(job_id)
    except Misuse as error:
        raise invalid([{"pointer": pointer("id"), "detail": error.message}]) from None


async def _check_same(request: Request, posted: Answer, body: PostBody, options: PostOptions) -> None:
    """Look whether the job of this key was posted by the same request. Raises Problem when it was not."""

    def same(record: Record) -> bool:
        return (
            to_json(record["msg"]) == to_json(body.msg)
            and record["queue"] == options.queue
            and record["priority"] == options.priority
            and record["callback"] == options.callback
            and (record["callback_method"] or "GET") == options.callback_method
            and record["timeout"] == options.timeout
            and record["retries_allowed"] == options.retries
            and record["functions"] == (None if options.functions is None else list(options.functions))
        )

    try:
        if await look_whole(request, posted.job_id, same):
            return
    except JobNotFound:
        raise Problem(409, "forgotten", "the job of this key is just being forgotten", hint="try again") from None
    raise Problem(
        422, "idempotency-mismatch", "this Idempotency-Key belongs to a request that was not the same",
        hint="use a new key for a new job", job_id=posted.job_id,
    )  # fmt: skip


def wait_of(request: Request) -> float:
    """Return how many seconds a client prefers to wait; 0: none."""
    for value in request.headers.getlist("prefer"):
        if found := _WAIT.search(value.lower()):
            return min(float(found[1]), MOST_WAIT)
    return 0.0


def wants_json(accept: bytes | None) -> bool:
    """Whether an answer shall be JSON: only who says so gets it; `*/*` is what curl says."""
    if accept is None or b"json" not in accept:
        return False
    first = [one.partition(b";")[0].strip().lower() for one in accept.split(b",")]
    for kind in first:
        if kind in (b"text/plain", b"text/*"):
            return False
        if kind == b"application/json":
            return True
    return False
