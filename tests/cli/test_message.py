"""What MSG means."""

from __future__ import annotations

from typing import Any

import pytest

from mlq_cli.cli.message import parse, parse_json, read_message
from mlq_cli.model.errors import Misuse, TooLarge


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"arg1": 6, "arg2": 3}', {"arg1": 6, "arg2": 3}),
        ('<"arg1":6>', {"arg1": 6}),
        ('<"a":<"b":[1,<"c":"<x>">]>>', {"a": {"b": [1, {"c": "<x>"}]}}),
        (' <"a":"say \\"<hi>\\"">', {"a": 'say "<hi>"'}),
        ("<b>bold</b>", "<b>bold</b>"),
        ("<>", {}),
        ("6", 6),
        ("-1.5e3", -1500.0),
        ("true", True),
        ("null", None),
        ('"quoted"', "quoted"),
        ("hello", "hello"),
        ("", ""),
        ("007", "007"),
        ("1 2", "1 2"),
        ('{"a":1,"a":2}', {"a": 2}),
        ("1" + "0" * 30, 10**30),
        ("[" * 100 + "]" * 100, None),
    ],
)
def test_a_text_means_json_when_it_is_json_and_itself_otherwise(text: str, message: Any) -> None:
    parsed = parse(text)
    if message is None and text.startswith("["):
        for _ in range(99):
            (parsed,) = parsed
        message = []
    assert parsed == message
    assert type(parsed) is type(message)


@pytest.mark.parametrize("text", ['{"a":', "[1,]", '"open', "{'a': 1}", "[NaN]", "[-Infinity]", '{"a" 1}', "NaN"])
def test_a_text_that_starts_like_json_and_is_not_is_an_error_that_names_the_way_out(text: str) -> None:
    with pytest.raises(Misuse, match="no JSON") as caught:
        parse(text)
    assert caught.value.hint is not None
    assert "--string" in caught.value.hint


@pytest.mark.parametrize("text", ["1" + "0" * 5000, "[" * 100_000, "1e999"])
def test_json_that_cannot_be_carried_is_an_error_of_one_line(text: str) -> None:
    with pytest.raises(Misuse) as caught:
        parse(text)
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 200


def test_the_place_where_json_is_wrong_is_named() -> None:
    with pytest.raises(Misuse, match="at character 6"):
        parse_json('{"a":')
    with pytest.raises(Misuse, match="at line 2, character 1"):
        parse_json("[1,\n}")


def test_string_takes_any_text_as_it_stands() -> None:
    assert read_message('{"a":', as_it_stands=True, limit=100) == '{"a":'
    assert read_message("@nobody", as_it_stands=True, limit=100) == "@nobody"


def test_a_file_is_text_or_json_or_bytes(tmp_path: Any) -> None:
    file = tmp_path / "message"

    def read(data: bytes, *, as_it_stands: bool = False) -> Any:
        file.write_bytes(data)
        return read_message(f"@{file}", as_it_stands=as_it_stands, limit=100)

    assert read(b'{"a": 1}\n') == {"a": 1}
    assert read(b"hello\n") == "hello"
    assert read(b"\xff\x00\xfe") == b"\xff\x00\xfe"
    assert read(b"") == ""
    with pytest.raises(TooLarge):
        read(b"x" * 1000)


def test_a_file_that_is_not_there_is_an_error() -> None:
    with pytest.raises(Misuse, match="cannot be read: No such file"):
        read_message("@/nowhere", as_it_stands=False, limit=100)
