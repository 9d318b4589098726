"""The Lua verbs: each file of `lua/` with its chapters put in, and the name Redis knows it by."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mlq_cli.store.redis import layout

_LUA = Path(__file__).parent / "lua"
_INCLUDE = re.compile(r"^--@include (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Script:
    """One verb, ready for EVALSHA, or for EVAL when Redis has forgotten it."""

    body: str
    sha: str


@cache
def script(verb: str) -> Script:
    """Return the script of a verb: `lua/<verb>.lua` behind the chapters that its `--@include` line names."""
    source = (_LUA / f"{verb}.lua").read_text()
    found = _INCLUDE.search(source)
    chapters = found.group(1).split() if found else []
    bodies = [(_LUA / "lib" / f"{name}.lua").read_text() for name in chapters]
    body = "\n".join([layout.lua_chapter(), *bodies, source])
    return Script(body, hashlib.sha1(body.encode(), usedforsecurity=False).hexdigest())


def verbs() -> list[str]:
    """Return the names of all verbs, in order."""
    return sorted(path.stem for path in _LUA.glob("*.lua"))
