"""Scripts as Redis gets them: only what a verb uses, by the names that are stored."""

from __future__ import annotations

import re

import pytest

from mlq_cli.store.redis import layout
from mlq_cli.store.redis.scripts import script, verbs


@pytest.mark.parametrize("verb", verbs())
def test_a_script_holds_no_name_of_the_layout_and_no_function_that_it_does_not_use(verb: str) -> None:
    body = script(verb).body
    assert not set(re.findall(r"\b[A-Z][A-Z_]+\b", body)) & layout.lua_words().keys()
    assert "_key" not in body and "--" not in body.partition("\n")[2]
    for name in re.findall(r"local function (\w+)", body):
        assert len(re.findall(rf"\b{name}\b", body)) > 1, name


def test_what_is_rarely_needed_is_made_where_it_is_needed() -> None:
    body = script("finish").body
    assert re.search(r"^local function fail\(.*\n  local function ", body, re.MULTILINE)
    assert not re.search(r"^local function try_again", body, re.MULTILINE)


def test_a_key_that_the_layout_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="job_key takes"):
        layout.JOB.lua("a", "b")
    assert layout.STATE.lua("queue", "state") == "P .. 'q:' .. queue .. ':' .. NAMES[state]"


def test_every_field_and_state_is_stored_by_a_name_of_its_own() -> None:
    stored = [field.stored for field in layout.JOB_FIELDS.values()]
    pieces = [f"{layout.field(name)}{number}" for name in ("msg", "result") for number in range(1, layout.PIECES)]
    assert len({*stored, *pieces}) == len(stored) + len(pieces)
    assert len(set(layout.STATES.values())) == len(layout.STATES) == 7
