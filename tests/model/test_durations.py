"""Durations, sizes and instants as people write them."""

from __future__ import annotations

import pytest

from mlq_cli.model.durations import parse_duration, parse_instant, parse_size, show_duration, show_instant
from mlq_cli.model.errors import Misuse


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90.0), (90, 90.0), (0, 0.0), ("0", 0.0), ("1.5", 1.5), (".5", 0.5), ("90s", 90.0), ("230ms", 0.23),
        ("5m", 300.0), ("2h", 7200.0), ("1d", 86_400.0), ("1w", 604_800.0), ("1.5h", 5400.0), ("1h30m", 5400.0),
        ("1h 30m", 5400.0), (" 2 H ", 7200.0),
    ],
)  # fmt: skip
def test_a_duration_is_seconds_or_a_number_with_a_unit(text: str | float, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", " ", "m", "5x", "-1", "-5m", -1, "1:30", "5m later", "1h30", "1 2", "inf", "nan", float("inf"),
             float("nan"), True, None, [], "1e3"],
)  # fmt: skip
def test_what_is_no_duration_is_refused_with_an_example(text: object) -> None:
    with pytest.raises(Misuse) as caught:
        parse_duration(text)  # type: ignore[arg-type]
    assert caught.value.hint and "5m" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1048576", 2**20), (1048576, 2**20), (0, 0), ("32MiB", 32 * 2**20), ("512 mib", 512 * 2**20),
        ("2GB", 2 * 10**9), ("1k", 1024), ("1kB", 1000), ("1.5KiB", 1536), ("7b", 7), ("1GiB", 2**30),
    ],
)  # fmt: skip
def test_a_size_is_bytes_or_a_number_with_a_unit(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "-1", -1, "5x", "1 2", 1.5, True, None, "5m later"])
def test_what_is_no_size_is_refused(text: object) -> None:
    with pytest.raises(Misuse):
        parse_size(text)  # type: ignore[arg-type]


def test_an_instant_says_its_offset_and_comes_back_in_utc() -> None:
    assert parse_instant("2026-11-21T08:00:00Z") == parse_instant("2026-11-21T09:00:00+01:00")
    assert show_instant(parse_instant(" 2026-11-21T08:00:00.25+00:00 ")) == "2026-11-21T08:00:00.250Z"


@pytest.mark.parametrize("text", ["", "tomorrow", "2026-13-01", "08:00"])
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(Misuse):
        parse_instant(text)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 ms"), (0.23, "230 ms"), (4.2, "4.2 s"), (60, "1m 0s"), (200, "3m 20s"), (3600, "1h 0m"),
        (5400, "1h 30m"), (190_800, "2d 5h"),
    ],
)  # fmt: skip
def test_a_duration_is_shown_in_its_two_largest_units(seconds: float, shown: str) -> None:
    assert show_duration(seconds) == shown
