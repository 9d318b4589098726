"""The Lua verbs: each file of `lua/` with its chapters put in, as Redis gets it, and the name Redis knows it by.

Redis runs a script from its first line each time, and making a function costs as much as a command does. So what a verb
does not use is left out, and names of `layout.py` are put in where they are used: `TOKEN` becomes `'k'`,
`job_key(id)` becomes `P .. 'job:' .. id`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mlq_cli.store.redis import layout

_LUA = Path(__file__).parent / "lua"
_INCLUDE = re.compile(r"^--@include (.+)$", re.MULTILINE)
_COMMENT = re.compile(r"\s*--.*$|\n(?=\n)", re.MULTILINE)
_KEY = re.compile(r"\b([a-z]+)_key\b(?:\(([^()]*)\))?")
_DEFINITION = re.compile(
    r"^(?=local (?:function )?(\w+)(?: = |\())((?:local \w+ = .*|local function .*\n(?: .*\n)*end)\n)", re.M
)
_WORD = re.compile(r"\w+")
_KEYS = {key.name: key for key in (*layout.LAYOUT, layout.EVENTS)}


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
    body = f"-- mlq {verb}\n" + _without_unused(_with_names("\n".join([_head(), *bodies, source])))
    return Script(body, hashlib.sha1(body.encode(), usedforsecurity=False).hexdigest())


def verbs() -> list[str]:
    """Return the names of all verbs, in order."""
    return sorted(path.stem for path in _LUA.glob("*.lua"))


def _head() -> str:
    names = ", ".join(f"{stored} = '{state}'" for state, stored in layout.STATES.items())
    return f"local P = KEYS[1]\nlocal NAMES = {{{names}}}\n"


def _with_names(text: str) -> str:
    """Return a script without comments and with what layout.py says in place of its names."""
    text = _COMMENT.sub("", text)
    text = _KEY.sub(_key, text)
    words = layout.lua_words()
    text = re.sub(r"\b[A-Z_]+\b", lambda found: words.get(found[0], found[0]), text)
    names = {stored: state for state, stored in layout.STATES.items()}
    return re.sub(r"NAMES\['(\w)'\]", lambda found: f"'{names[found[1]]}'", text)


def _key(found: re.Match[str]) -> str:
    values = [value.strip() for value in found[2].split(",")] if found[2] else []
    return f"({_KEYS[found[1]].lua(*values)})"


def _without_unused(text: str) -> str:
    """Return a script without the functions and other locals of its chapters that nothing in it refers to."""
    pieces = _DEFINITION.split(text)  # text, name, definition, text, name, definition, …, text
    words = [set(_WORD.findall(piece)) for piece in pieces]
    names = {pieces[at]: at + 1 for at in range(1, len(pieces), 3)}
    used, found = set[str](), list(range(0, len(pieces), 3))
    while found:
        new = set().union(*(words[at] for at in found)) & (names.keys() - used)
        used |= new
        found = [names[name] for name in new]
    return "".join(piece for at, piece in enumerate(pieces) if at % 3 == 0 or (at % 3 == 2 and pieces[at - 1] in used))
