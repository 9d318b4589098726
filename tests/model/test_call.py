"""Calls: a partial of a function as a message, checked when it is made and read back as it was."""

from __future__ import annotations

import random
import tempfile
from functools import partial
from textwrap import shorten
from typing import Any

import numpy
import pytest
from msgpack import ExtType

from mlq_cli.model.call import Call
from mlq_cli.model.errors import Misuse, NotCarried, WrongCall
from mlq_cli.model.jsonable import to_json
from mlq_cli.model.options import check_functions
from mlq_cli.model.values import called_path, pack, unpack


def told(text: str, *, ctx: Any, times: int = 1) -> str:
    """A function that gets the context."""
    return text * times


def test_a_partial_becomes_a_call_that_comes_back_as_it_was() -> None:
    call = Call.of(partial(partial(shorten, "a text"), 10, placeholder="…"))
    assert call == Call("textwrap:shorten", ("a text", 10), {"placeholder": "…"}) == unpack(pack(call))
    assert str(call) == "textwrap:shorten('a text', 10, placeholder='…')"
    assert to_json(call) == '{"call":"textwrap:shorten","args":["a text",10],"kwargs":{"placeholder":"…"}}'.encode()
    assert Call.of(tempfile.gettempdir) == Call("tempfile:gettempdir")


def test_arrays_travel_in_arguments() -> None:
    call = unpack(pack(Call("m:f", (numpy.arange(6).reshape(2, 3),), {"weight": numpy.float32(0.5)})))
    assert call.args[0].tolist() == [[0, 1, 2], [3, 4, 5]] and call.args[0].dtype == numpy.arange(6).dtype
    assert call.kwargs["weight"] == numpy.float32(0.5) and isinstance(call.kwargs["weight"], numpy.float32)


@pytest.mark.parametrize(
    ("bound", "complaint"),
    [
        (partial(shorten, "a"), "missing a required argument: 'width'"),
        (partial(shorten, "a", 1, 2), "too many positional arguments"),
        (partial(told, "a", time=2), "got an unexpected keyword argument 'time'"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_when_the_call_is_made(bound: Any, complaint: str) -> None:
    with pytest.raises(WrongCall, match=complaint) as caught:
        Call.of(bound)
    assert isinstance(caught.value, (TypeError, ValueError)) and (caught.value.hint or "").startswith("it is ")


def test_the_context_need_not_be_given() -> None:
    assert Call.of(partial(told, "a", times=2)).kwargs == {"times": 2}
    with pytest.raises(WrongCall, match="missing a required argument: 'text'"):
        Call.of(partial(told))


@pytest.mark.parametrize("bound", [lambda: 1, [].append, tempfile.TemporaryDirectory, partial("a".join, []), 3, "m:f"])
def test_what_nobody_else_can_import_is_refused_with_a_clear_word(bound: Any) -> None:
    with pytest.raises(Misuse) as caught:
        Call.of(bound)
    assert "partial(function, 1, x=2)" in (caught.value.hint or "")


def test_a_call_holds_no_other_call() -> None:
    with pytest.raises(NotCarried, match="cannot be an argument of a call"):
        pack(Call("m:f", ([Call("m:g")],)))
    forged = pack(Call("m:f"))
    for depth in range(5000):  # each would be unpacked on the stack of the one around it
        forged = b"\xc9" + (len(forged) + 7).to_bytes(4) + b"\x08\x93\xa3m:f\x91" + forged + b"\x80"
        assert depth or unpack(forged).args == (ExtType(8, pack(Call("m:f"))[3:]),)
    assert isinstance(unpack(forged), Call)


@pytest.mark.parametrize("length", [1, 31, 32, 255, 256])
@pytest.mark.parametrize("payload", [0, 1, 200, 300, 70_000])
def test_the_path_is_read_without_unpacking(length: int, payload: int) -> None:
    assert called_path(pack(Call("p" * length, (b"x" * payload,)))) == "p" * length


@pytest.mark.parametrize("message", [None, 0, "text", [1, 2], {"call": 1}, 2**80, numpy.zeros(3), b"\xc7\x05\x08\x93"])
def test_what_is_no_call_has_no_path(message: Any) -> None:
    assert called_path(pack(message)) is None


def test_damaged_calls_are_refused_and_break_nothing() -> None:
    chance, whole = random.Random(7), pack(Call("pkg.mod:f", (1, [2.5, b"x"]), {"y": {"z": [3]}}))
    for _ in range(20_000):
        damaged = bytearray(whole[: chance.randint(1, len(whole))] if chance.random() < 0.3 else whole)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        called_path(bytes(damaged))
        try:
            unpack(bytes(damaged))
        except Misuse:
            pass


def test_a_path_obeys_the_rules_of_names() -> None:
    with pytest.raises(Misuse):
        Call.checked("x" * 300, shorten, ("a", 3), {})
    check_functions((Call.of(partial(shorten, "a", 3)).path,))
