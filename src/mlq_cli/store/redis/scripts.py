"""The Lua verbs: each file of `lua/` with its chapters put in, as Redis gets it, and the name Redis knows it by.

Redis runs a script from its first line each time, and to make a function costs a fifth of a microsecond. So

* what a verb does not use is left out;
* names of `layout.py` are put in where they are used: `TOKEN` becomes `'k'`, `job_key(id)` becomes `P .. 'job:' .. id`;
  so are numbers that have a name, for each function that holds one costs something to make;
* functions that only a function marked `--@rarely` uses are made inside of it, when it is called.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from itertools import chain, zip_longest
from pathlib import Path

from mlq_cli.store.redis import layout

_LUA = Path(__file__).parent / "lua"
_INCLUDE = re.compile(r"^--@include (.+)$", re.MULTILINE)
_KEY = re.compile(r"_key\b(?:\(([^()]*)\))?")
_CAPITALS = re.compile(r"[A-Z][A-Z_]+")
_DEFINITION = re.compile(
    r"^(?=local (?:function )?(\w+)(?: = |\())((?:local \w+ = .*|local function .*\n(?: .*\n)*end)\n)", re.M
)
_WORD = re.compile(r"\w+")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_NUMBER = re.compile(r"^local ([A-Z_]+) = (\d+)\n", re.MULTILINE)
_NAME = re.compile(r"NAMES\['(\w)'\]")
_RARE = re.compile(r"^--@rarely\nlocal function (\w+)", re.MULTILINE)
_BY_NAME = {key.name: key for key in (*layout.LAYOUT, layout.EVENTS)}


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
    text = "\n".join([_head(), *bodies, source])
    body = f"-- mlq {verb}\n" + _arranged(_with_names(text), set(_RARE.findall(text)))
    return Script(body, hashlib.sha1(body.encode(), usedforsecurity=False).hexdigest())


def verbs() -> list[str]:
    """Return the names of all verbs, in order."""
    return sorted(path.stem for path in _LUA.glob("*.lua"))


def _head() -> str:
    names = ", ".join(f"{stored} = '{state}'" for state, stored in layout.STATES.items())
    return f"local P = KEYS[1]\nlocal NAMES = {{{names}}}\n"


def _with_names(text: str) -> str:
    """Return a script without comments and with what layout.py says in place of its names."""
    lines = (line.partition("--")[0].rstrip() for line in text.split("\n"))
    text = "\n".join(line for line in lines if line) + "\n"
    words = layout.lua_words() | dict(_NUMBER.findall(text))
    text = _NUMBER.sub("", text)
    text = _keys(_CAPITALS.sub(lambda found: words.get(found[0], found[0]), text))
    names = {stored: state for state, stored in layout.STATES.items()}
    return _NAME.sub(lambda found: f"'{names[found[1]]}'", text)


def _keys(text: str) -> str:
    """Put in what the names of keys mean. Raises KeyError for one that layout.py does not know."""
    before, *rest = _KEY.split(text)  # text, values, text, values, …, text
    done = []
    for values, after in zip(rest[::2], rest[1::2], strict=True):
        name = before[len(before.rstrip(_LETTERS)) :]
        given = [value.strip() for value in values.split(",")] if values else []
        done += [before.removesuffix(name), f"({_BY_NAME[name].lua(*given)})"]
        before = after
    return "".join([*done, before])


def _arranged(text: str, rare: set[str]) -> str:
    """Return a script without the definitions of its chapters that nothing uses, those for rare use moved there."""
    pieces = _DEFINITION.split(text)  # text, name, definition, text, name, definition, …, text
    definitions = dict(zip(pieces[1::3], pieces[2::3], strict=True))
    words = {name: set(_WORD.findall(body)) - {name} for name, body in definitions.items()}
    rest = set(_WORD.findall("".join(pieces[::3])))
    for name in reversed(list(definitions)):
        users = [user for user in definitions if name in words[user]]
        if name not in rest and all(user in rare for user in users):
            body = definitions.pop(name)
            if users and not body.startswith("local function"):
                definitions[name] = body  # it may hold something between two calls
                continue
            for user in users:
                head, _, tail = definitions[user].partition("\n")
                definitions[user] = f"{head}\n  {body.strip().replace(chr(10), chr(10) + '  ')}\n{tail}"
                words[user] |= words[name]
    kept = (definitions.get(name, "") for name in pieces[1::3])
    return "".join(chain.from_iterable(zip_longest(pieces[::3], kept, fillvalue="")))
