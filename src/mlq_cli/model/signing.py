"""Secrets that sign, and the signature of a webhook as https://www.standardwebhooks.com has it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Sequence

from mlq_cli.model.errors import Misuse

PREFIX = "whsec_"


def new_secret() -> str:
    """Return a new secret: 32 random bytes."""
    return PREFIX + base64.b64encode(os.urandom(32)).decode()


def keys_of(secret: str) -> list[bytes]:
    """Return the keys in a secret: the first one signs, all are valid.

    It is any text, or `whsec_` and base64. Of the latter there may be several with spaces between, to change from one
    to the next; any other text is one key, spaces included. Raises Misuse for base64 that is none.
    """
    words = secret.split()
    if not words or not all(word.startswith(PREFIX) for word in words):
        return [secret.encode()]
    try:
        keys = [base64.b64decode(word.removeprefix(PREFIX), validate=True) for word in words]
    except binascii.Error:
        keys = [b""]
    if not all(keys):
        raise Misuse("the secret begins with whsec_, and what follows is no base64", hint="mlq config secret --new")
    return keys


def shown(key: bytes) -> str:
    """Return a key as receivers take it."""
    return PREFIX + base64.b64encode(key).decode()


def signatures(keys: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """Return the header `webhook-signature`: one signature for each key, so that receivers may know either."""
    signed = b"%s.%d.%s" % (message_id.encode(), timestamp, body)
    made = (hmac.new(key, signed, hashlib.sha256).digest() for key in keys)
    return " ".join(f"v1,{base64.b64encode(each).decode()}" for each in made)
