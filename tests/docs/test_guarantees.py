"""The promise sheet names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_each_promise_is_held_by_a_test_that_exists() -> None:
    sheet = (ROOT / "docs" / "concepts" / "guarantees.md").read_text()
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", sheet)
    rows = [line for line in sheet.splitlines() if line.startswith("| ") and "held by" not in line and "::" in line]
    assert len(named) == len(rows) > 25
    for path, name in named:
        assert re.search(rf"^\s*(?:async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE), f"{path}::{name}"
    assert "at least once" in rows[0], "delivery first"
