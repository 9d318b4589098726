"""The JSON that a request brings: strict, of limited depth, and only from where a browser cannot be made to send it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from mlq_cli.http.door.pages import NO_JSON, NOT_JSON, SAY_JSON, is_json
from mlq_cli.http.problems import Problem

MOST_DEPTH = 64
MOST_KEYS = 100_000  # of all objects together
_BARE_URL = re.compile(r'("callback"\s*:\s*)(https?://[^\s"\\{}]+)(?=\s*[,}])')

M = TypeVar("M", bound=BaseModel)


async def read_json(request: Request) -> Any:
    """Return the JSON value of a request's body. Raises Problem."""
    check_type(dict(request.scope["headers"]))
    return parse(await read_body(request))


async def read_model(request: Request, model: type[M]) -> M:
    """Return the JSON object of a request's body as a model. Raises Problem."""
    return validated(model, await read_json(request))


async def read_body(request: Request) -> bytes:
    """Return the body of a request. Raises Problem when its sender has gone."""
    try:
        return await request.body()
    except ClientDisconnect:
        raise Problem(400, "incomplete", "the request ended before its body did") from None


def check_type(headers: Mapping[bytes, bytes]) -> None:
    """Look once more whether a body is said to be JSON, for the app behind another door. Raises Problem."""
    if not is_json(headers):
        raise Problem(415, NO_JSON, NOT_JSON, hint=SAY_JSON)


def parse(body: bytes) -> Any:
    """Return the value of strict JSON in UTF-8. Raises Problem."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise _no_json(f"byte {error.start} is not UTF-8") from None
    try:
        value = _STRICT.decode(text)
    except json.JSONDecodeError as error:
        # The README of the original types a callback so that the shell takes its quotes away.
        mended = _BARE_URL.sub(r'\1"\2"', text) if '"callback"' in text and len(text) < 10_000 else text
        if mended != text:
            return parse(mended.encode())
        where = f"line {error.lineno}, character {error.colno}" if "\n" in text else f"character {error.colno}"
        raise _no_json(f"{error.msg} at {where}") from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError:  # Python refuses to read integers of so many digits: it would take quadratic time
        raise Problem(400, "too-many-digits", "the body holds an integer of more than 4300 digits") from None
    if isinstance(value, str):
        return value  # whose brackets are only text
    if body.count(b"[") + body.count(b"{") > MOST_DEPTH or body.count(b":") > MOST_KEYS:
        _check_size(value)
    return value


def validated(model: type[M], value: Any) -> M:
    """Return a value as a model. Raises Problem with a JSON pointer for each thing that is wrong."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise invalid(_errors_of(error)) from None


def invalid(errors: list[dict[str, Any]]) -> Problem:
    """Return the problem of a request in which these things are wrong."""
    return Problem(422, "invalid", "the request is not as it should be", errors=errors)


def pointer(*path: Any) -> str:
    """Return the JSON pointer, as a fragment, of something in a body."""
    return "#" + "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _errors_of(error: ValidationError) -> list[dict[str, Any]]:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [{"pointer": pointer(*one["loc"]), "detail": one["msg"]} for one in found[:100]]


def _check_size(value: Any) -> None:
    keys, level = 0, [value]
    for _ in range(MOST_DEPTH):
        below: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                keys += len(each)
                each = each.values()
            below.extend(inner for inner in each if isinstance(inner, (dict, list)))
        if keys > MOST_KEYS:
            raise Problem(400, "too-many-keys", f"the body holds more than {MOST_KEYS:,} keys")
        if not below:
            return
        level = below
    raise _too_deep()


def _too_deep() -> Problem:
    return Problem(400, "too-deep", f"the body is nested deeper than {MOST_DEPTH} levels")


def _no_json(why: str) -> Problem:
    return Problem(400, "no-json", f"the body is no JSON: {why}")


def _refuse_constant(name: str) -> NoReturn:
    raise _no_json(f"there is no {name} in JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise Problem(400, "too-large-number", f"{digits[:40]} is too large for a float")
    return number


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Problem(400, "duplicate-key", "an object of the body holds a key twice")
    return found


_STRICT = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_unique)
