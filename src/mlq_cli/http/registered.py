"""Functions that come over HTTP: told apart, signed or verified, kept. Nothing here ever unpickles."""

from __future__ import annotations

import base64
import binascii
import hashlib
import threading
from typing import Any

from mlq_cli.api.functions import Registered, registered_as
from mlq_cli.http.problems import Problem
from mlq_cli.mlq import MLQ
from mlq_cli.model.envelope import LARGEST, LONGEST, verify
from mlq_cli.model.errors import EnvelopeRefused, Misuse

BASE64 = "py/b64"  # the one key of the original's body: jsonpickle's word for bytes
UNSIGNED = LARGEST * 4 // 3 + 1024  # bytes of such a body, at most
ENVELOPE = LONGEST


class RegisteredFunctions:
    """What is registered in a namespace. Threads may share one."""

    def __init__(self, mlq: MLQ) -> None:
        self._mlq = mlq
        self._lock = threading.Lock()
        self._revision = 0
        self._known: dict[str, Registered] = {}

    def all(self) -> list[Registered]:
        """Return them in the order in which they were registered. Only what has changed is read. Raises MlqError."""
        with self._lock:
            while True:
                changes, newest = self._mlq.store.ask(self._mlq.store.registered(self._revision))
                if newest < self._revision:  # the data are those of another time: all is new
                    self._revision, self._known = 0, {}
                    continue
                keys = self._keys() if changes else []
                for name, revision, envelope in changes:
                    self._revision = max(self._revision, revision)
                    self._known.pop(name, None)
                    if envelope is not None:
                        self._known[name] = registered_as(self._mlq.namespace, name, envelope, keys)
                if not changes:
                    return list(self._known.values())

    def register(self, envelope: bytes) -> tuple[str, int]:
        """Keep a function that somebody has signed; returns its name and version. Raises Problem and MlqError."""
        self._need_keys()
        try:
            return self._mlq.register_envelope(envelope)
        except EnvelopeRefused as error:
            raise refused(error) from None

    def register_unsigned(self, value: Any, name: str | None) -> tuple[str, int]:
        """Sign and keep a function that came as the original's body; its default name is made of its content."""
        blob = pickle_in(value)
        self._need_keys()
        return self._mlq.register_pickled(blob, name or name_of(blob))

    def name_in(self, envelope: bytes) -> str:
        """Return the name in an envelope, once it is verified. Raises Problem."""
        self._need_keys()
        try:
            return verify(envelope, self._keys(), self._mlq.namespace).head.name
        except EnvelopeRefused as error:
            raise refused(error) from None

    def _keys(self) -> list[bytes]:
        try:
            return self._mlq.signing_keys()
        except Misuse:
            return []

    def _need_keys(self) -> None:
        if not self._keys():
            raise Problem(409, "no-secret", "this server has no secret to verify functions with",
                          hint="mlq config secret --new makes one for the profile")  # fmt: skip


def refused(error: EnvelopeRefused) -> Problem:
    """Return the problem of an envelope that is not taken."""
    return Problem(403, "envelope-refused", f"this function is refused: {error.message}", hint=error.hint)


def not_signed() -> Problem:
    """Return the problem of the original's body, where it is not taken."""
    return refused(EnvelopeRefused("it is not signed", hint="mlq register-fn pkg.mod:func signs and sends it"))


def pickle_in(value: Any) -> bytes:
    """Return the pickle in the original's body, as `jsonpickle.encode(cloudpickle.dumps(f))` writes it. Raises Problem.

    jsonpickle itself is not asked: it can be made to run code.
    """
    if not (isinstance(value, dict) and list(value) == [BASE64] and isinstance(value[BASE64], str)):
        said = f'the body is neither an envelope nor {{"{BASE64}": "…"}}'
        raise Problem(422, "invalid", said, errors=[{"pointer": "#", "detail": f"one key, {BASE64}, and its text"}])
    try:
        blob = base64.b64decode(value[BASE64], validate=True)
    except (binascii.Error, ValueError):
        said = "what should be base64 is not"
        raise Problem(422, "invalid", said, errors=[{"pointer": "#/py~1b64", "detail": "this is no base64"}]) from None
    if not blob:
        errors = [{"pointer": "#/py~1b64", "detail": "this is empty"}]
        raise Problem(422, "invalid", "there is no function in it", errors=errors)
    return blob


def name_of(blob: bytes) -> str:
    """Return what a function is called that has no name but its pickle."""
    return f"consumer-{hashlib.sha256(blob).hexdigest()[:8]}"
