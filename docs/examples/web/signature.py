"""Whether a callback is from mlq: what Standard Webhooks (https://www.standardwebhooks.com) asks to be checked."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

TOLERANCE = 300  # seconds that a callback may be old: who has overheard one must not send it again later


class Forged(Exception):
    """It is not what mlq has signed."""


def verified(headers: Mapping[str, str], body: bytes, secret: str) -> Any:
    """Return what a callback says. Raises Forged when it was not signed with the secret, or is old."""
    try:
        number, sent_at, signatures = (headers[f"webhook-{name}"] for name in ("id", "timestamp", "signature"))
        age = abs(time.time() - int(sent_at))
    except (KeyError, ValueError):
        raise Forged("this callback is not signed") from None
    key = base64.b64decode(secret.removeprefix("whsec_")) if secret.startswith("whsec_") else secret.encode()
    signed = hmac.digest(key, f"{number}.{sent_at}.".encode() + body, hashlib.sha256)
    wanted = "v1," + base64.b64encode(signed).decode()
    # Several, with a space between, while a secret is being replaced. Compared in a time that tells nothing.
    if not any(hmac.compare_digest(wanted, given) for given in signatures.split(" ")):
        raise Forged("the signature of this callback is not right")
    if age > TOLERANCE:
        raise Forged("this callback is too old")
    return json.loads(body)
