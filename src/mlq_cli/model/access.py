"""Access tokens of the HTTP server: what they look like, and what is kept of one, which is a hash of its secret part.

mlq_<role>_<key id>_<secret>      mlq_post_1f0c9a27_3kQ…   the secret: 256 random bits as 43 letters
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from mlq_cli.model.errors import Misuse

_TOKEN = re.compile(r"mlq_(read|post|admin)_([0-9a-f]{8})_([A-Za-z0-9_-]{43})")
_NOTHING = bytes(32)
_LONGEST_NAME = 64


class Role(IntEnum):
    """What a caller may do: each role has all that the one before it may."""

    READ = 1  # look
    POST = 2  # and post, cancel, retry
    ADMIN = 3  # and whatever concerns more than single jobs


class Key(NamedTuple):
    """An access token as somebody shows it, taken apart."""

    role: Role
    id: str
    secret: str

    def __str__(self) -> str:
        return f"mlq_{self.role.name.lower()}_{self.id}_{self.secret}"

    def __repr__(self) -> str:
        return f"Key({self.id})"


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What is kept of an access token. Instants are Unix seconds on the store's clock."""

    id: str
    role: Role
    digest: bytes  # sha256 of the secret part
    created_at: float
    expires_at: float | None  # None: never
    name: str  # for people, may be empty


def new_key(role: Role) -> Key:
    """Return an access token that nobody has."""
    return Key(role, secrets.token_hex(4), secrets.token_urlsafe(32))


def read_key(text: str) -> Key | None:
    """Return an access token taken apart, None when the text cannot be one."""
    found = _TOKEN.fullmatch(text)
    return None if found is None else Key(read_role(found[1]), found[2], found[3])


def read_role(word: str) -> Role:
    """Return the role of that name. Raises Misuse."""
    try:
        return Role[word.upper()]
    except KeyError:
        raise Misuse(f"{word!r} is no role", hint="read, post or admin") from None


def digest(secret: str) -> bytes:
    """Return what is kept of a secret part: it has 256 random bits, so nothing slower is needed."""
    return hashlib.sha256(secret.encode()).digest()


def opens(key: Key, token: AccessToken | None) -> bool:
    """Whether a key is the one of a token. It takes as long for a wrong secret as for an id that does not exist."""
    right = hmac.compare_digest(digest(key.secret), _NOTHING if token is None else token.digest)
    return right and token is not None and token.role is key.role


def check_token_name(name: str) -> str:
    """Return a name for a token. Raises Misuse when it is too long or holds what a terminal would obey."""
    if len(name) > _LONGEST_NAME or not name.isprintable():
        raise Misuse("this is no name for a token", hint=f"at most {_LONGEST_NAME} printable characters")
    return name
