"""The three forms of a result."""

from __future__ import annotations

import datetime as dt
import json
import math
from typing import Any

import msgpack
import pytest

from mlq_cli.cli.jsonable import dumps
from mlq_cli.cli.output import ago, harmless


@pytest.mark.parametrize(
    ("value", "document"),
    [
        (math.nan, None),
        ([math.inf, 1.5], [None, 1.5]),
        (b"xx", {"$bytes": "eHg="}),
        (10**30, 10**30),
        ({2: "a", None: "b", True: "c"}, {"2": "a", "null": "b", "true": "c"}),
        (dt.datetime(2026, 11, 21, tzinfo=dt.UTC), "2026-11-21T00:00:00+00:00"),
        (dt.timedelta(minutes=1), 60.0),
        (msgpack.ExtType(42, b"xx"), {"$ext": 42, "$bytes": "eHg="}),
        ("\ud800", "?"),
        ("smile \U0001f600", "smile \U0001f600"),
    ],
)
def test_any_value_becomes_json_that_every_reader_takes(value: Any, document: Any) -> None:
    assert json.loads(dumps(value).encode(), parse_constant=pytest.fail) == document


def test_an_integer_of_many_digits_becomes_json() -> None:
    assert dumps(10**5000) == "1" + "0" * 5000


def test_a_value_as_deep_as_msgpack_carries_becomes_json() -> None:
    value: Any = 1
    for _ in range(1000):
        value = [value]
    assert dumps(value) == "[" * 1000 + "1" + "]" * 1000


def test_a_numpy_array_becomes_nested_lists() -> None:
    numpy = pytest.importorskip("numpy")
    assert dumps(numpy.array([[1.0, math.nan], [2.0, 3.0]])) == "[[1.0,null],[2.0,3.0]]"
    assert dumps(numpy.float32(0.5)) == "0.5"


def test_nothing_that_moves_a_terminal_gets_through() -> None:
    assert harmless("\x1b[31mred\x07\r\x9b\u202e") == "\\x1b[31mred\\x07\\r\\x9b\\u202e"
    assert harmless("a\nb\tc", keep="\n\t") == "a\nb\tc"
    assert harmless("\U0001f468\u200d\U0001f680 é") == "\U0001f468\u200d\U0001f680 é"


def test_times_are_said_relative_to_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlq_cli.cli.output.time.time", lambda: 1000.0)
    assert ago(1000.2) == "now"
    assert ago(997.0) == "3.0 s ago"
    assert ago(1320.0) == "in 5m 20s"
