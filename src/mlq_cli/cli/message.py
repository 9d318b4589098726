"""What MSG means: JSON, JSON with its braces written as angle brackets, text, or the bytes of a file."""

from __future__ import annotations

import json
import math
import re
import sys
from typing import Any, NoReturn

from mlq_cli.model.errors import Misuse, TooLarge

_STRING_OR_ANGLE = re.compile(r'"(?:[^"\\]|\\.)*"|[<>]', re.DOTALL)
_BRACES = {"<": "{", ">": "}"}
_AS_IT_STANDS = "--string takes the message as it stands"


def read_message(text: str, *, as_it_stands: bool, limit: int) -> Any:
    """Return the message that MSG names: `-` reads standard input, `@file` a file. Raises Misuse."""
    if text == "-":
        return _of_bytes(_read_stdin(limit), as_it_stands=as_it_stands)
    if text.startswith("@") and not as_it_stands:
        return _of_bytes(_read_file(text[1:], limit), as_it_stands=False)
    return text if as_it_stands else parse(text)


def parse(text: str) -> Any:
    """Return what a text means as a message. Raises Misuse for text that starts like JSON and is not."""
    start = text.lstrip(" \t\r\n")
    if start.startswith(("{", "[", '"')):
        return parse_json(text, hint=_AS_IT_STANDS)
    braces = start.startswith("<")
    written = _STRING_OR_ANGLE.sub(lambda found: _BRACES.get(found[0], found[0]), text) if braces else text
    try:
        return parse_json(written, hint=_AS_IT_STANDS)
    except _NoJson:
        return text
    except Misuse:
        if braces:
            return text
        raise


class _NoJson(Misuse):
    """Text that is no JSON at all, as opposed to JSON that cannot be carried."""


def parse_json(text: str, *, hint: str | None = None, swift: bool = False) -> Any:
    """Return the value of strict JSON. Raises Misuse that says where it is wrong.

    With `swift` a float that is too large becomes infinite instead: who looks at each takes twice as long.
    """
    try:
        if text.startswith("\ufeff"):
            return json.loads(text)  # which says what is wrong with that
        return (_SWIFT if swift else _STRICT).decode(text)
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if "\n" in text.strip() else ""
        raise _NoJson(f"the message is no JSON: {error.msg} at {line}character {error.colno}", hint=hint) from None
    except Misuse as error:
        raise Misuse(error.message, hint=hint) from None
    except RecursionError:
        raise Misuse("the message is nested too deeply", hint=hint) from None
    except ValueError:  # Python refuses to read integers of so many digits: it would take quadratic time
        raise Misuse(
            f"the message holds an integer of more than {sys.get_int_max_str_digits()} digits", hint=hint
        ) from None


def _refuse(name: str) -> NoReturn:
    raise Misuse(f"the message is no JSON: there is no {name} in JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise Misuse(f"the message holds {digits[:40]}, which is too large for a float")
    return number


# To make one takes longer than to read a short text.
_STRICT = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)
_SWIFT = json.JSONDecoder(parse_constant=_refuse)


def _of_bytes(data: bytes, *, as_it_stands: bool) -> Any:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return data
    if as_it_stands:
        return text
    message = parse(text)
    # The newline that ends a file is no part of a plain text, as in $(cat file).
    return message.removesuffix("\n").removesuffix("\r") if message is text else message


def _read_stdin(limit: int) -> bytes:
    if sys.stdin is None:
        raise Misuse("there is no standard input to read the message from")
    try:
        return _checked(sys.stdin.buffer.read(_most(limit) + 1), limit)
    except OSError as error:
        raise Misuse(f"standard input cannot be read: {error.strerror}") from None


def _read_file(path: str, limit: int) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(_most(limit) + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise Misuse(f"the message file {path!r} cannot be read: {reason}", hint=_AS_IT_STANDS) from None
    return _checked(data, limit)


def _most(limit: int) -> int:
    return 8 * limit  # JSON takes more room than what is stored of it, though hardly so much


def _checked(data: bytes, limit: int) -> bytes:
    if len(data) > _most(limit):
        raise TooLarge(f"the message is far over the limit of {limit:,} bytes", hint="send the address of a file")
    return data
