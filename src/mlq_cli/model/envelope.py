"""The envelope in which a function travels: what it is, its pickle, and a signature over all of it.

    "MLQF" · 1 · 1 · id of the key (8) │ version · created_at · namespace · name · use · python · cloudpickle ·
    SHA-256 of the blob · blob │ tag (32)

The fields between the bars have their length before them, in four bytes. The tag is HMAC-SHA256 over all before it,
with a key made of the secret for this alone. Nothing behind the id of the key is read before the tag is verified, and
nothing here ever unpickles.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import NamedTuple

from mlq_cli.model.errors import EnvelopeRefused, Misuse, TooLarge

LARGEST = 8 << 20  # bytes of a function's pickle
LISTENER, CALL = "listener", "call"  # uses: it gets messages; it runs only where a job calls it by name
_USES = (LISTENER, CALL)
_BEGIN = b"MLQF\x01\x01"  # the form of the envelope, then how it is signed
_DOMAIN = b"mlq/function/v1"
_ID = slice(len(_BEGIN), len(_BEGIN) + 8)
_TAG = 32
_SHORTEST = _ID.stop + _TAG
LONGEST = LARGEST + (1 << 14)  # bytes of an envelope: with its head
_TEXT = 256  # bytes of a text in the head; a name has as many letters
_FIELDS = 9
_VERSIONS = 1 << 53  # what Redis' scripts count exactly: microseconds until the year 2255


class Head(NamedTuple):
    """What an envelope says of its function."""

    version: int  # microseconds of Redis' clock, higher with each new one of the name
    created_at: float  # Unix seconds
    namespace: str
    name: str
    use: str
    python: str  # "3.12"
    cloudpickle: str  # "3.1.2"
    digest: bytes  # SHA-256 of the blob
    size: int  # bytes of the blob


class Sealed(NamedTuple):
    """A function whose envelope was verified."""

    head: Head
    blob: bytes  # its pickle


def seal(
    key: bytes,
    namespace: str,
    name: str,
    version: int,
    blob: bytes,
    *,
    python: str,
    cloudpickle: str,
    created_at: float,
    use: str = LISTENER,
) -> bytes:
    """Return the envelope of a function. Raises TooLarge, and Misuse for a name that cannot be one."""
    if len(blob) > LARGEST:
        raise TooLarge(
            f"the function {name} is {len(blob):,} bytes when pickled, over the limit of {LARGEST:,}",
            hint="load what is large inside the function, or in the worker's --setup, and do not take it along",
        )
    texts = [check_function_name(name), namespace, use, python, cloudpickle]
    name_, namespace_, use_, python_, cloudpickle_ = (text.encode() for text in texts)
    digest = hashlib.sha256(blob).digest()
    fields = [
        version.to_bytes(8),
        int(created_at * 1e6).to_bytes(8),
        namespace_,
        name_,
        use_,
        python_,
        cloudpickle_,
        digest,
        blob,
    ]
    own = _own_key(key)
    signed = b"".join([_BEGIN, _key_id(own), *(len(field).to_bytes(4) + field for field in fields)])
    return signed + _tag(own, signed)


def verify(envelope: bytes, keys: Sequence[bytes], namespace: str, name: str | None = None) -> Sealed:
    """Return the function in an envelope when one of the keys has signed it for this namespace and name.

    `name` None: whatever name it has. Raises EnvelopeRefused, which says what is wrong with it.
    """
    if len(envelope) > LONGEST:
        raise EnvelopeRefused(f"it has {len(envelope):,} bytes, and no envelope has more than {LONGEST:,}")
    if not envelope.startswith(_BEGIN) or len(envelope) < _SHORTEST:
        raise EnvelopeRefused("it is not signed", hint="mlq register-fn signs")
    own = {_key_id(made): made for made in map(_own_key, keys)}
    found = own.get(envelope[_ID])
    if found is None:
        raise EnvelopeRefused(
            f"it is signed with a foreign key, {envelope[_ID].hex()}",
            hint="the secret has to be the same on both sides",
        )
    signed, tag = memoryview(envelope)[:-_TAG], envelope[-_TAG:]
    if not hmac.compare_digest(_tag(found, signed), tag):
        raise EnvelopeRefused("it is damaged or forged: the signature does not fit")
    head, blob = _read(signed)
    if head.namespace != namespace:
        raise EnvelopeRefused(f"it was made for the namespace {head.namespace}, not for {namespace}")
    if name is not None and head.name != name:
        raise EnvelopeRefused(f"it holds the function {head.name!r} under the name {name!r}")
    if not 0 < head.version < _VERSIONS:
        raise EnvelopeRefused("its version makes no sense")
    if head.use not in _USES:
        raise EnvelopeRefused("it is for a use that this version of mlq does not know")
    return Sealed(head, bytes(blob))


def read_head(envelope: bytes) -> Head:
    """Return what an envelope says of itself, which nobody has verified: to show it. Raises EnvelopeRefused."""
    if not envelope.startswith(_BEGIN) or not _SHORTEST <= len(envelope) <= LONGEST:
        raise EnvelopeRefused("it is not signed", hint="mlq register-fn signs")
    return _read(memoryview(envelope)[:-_TAG])[0]


def check_function_name(name: str) -> str:
    """Return the name of a function if it can be one. Raises Misuse."""
    sound = name.isprintable() and name == name.strip() and "," not in name and len(name.encode()) <= _TEXT
    if not name or not sound or name == "*" or name.endswith(":"):  # by these executors say that they run much more
        raise Misuse(
            f"{name!r} cannot be the name of a function",
            hint="printable, without commas, no colon at the end, 256 bytes at most",
        )
    return name


def _own_key(secret: bytes) -> bytes:
    """Return the key that signs functions and nothing else."""
    return hmac.digest(secret, _DOMAIN, "sha256")


def _key_id(key: bytes) -> bytes:
    return hmac.digest(key, b"id", "sha256")[:8]


def _tag(key: bytes, signed: bytes | memoryview) -> bytes:
    made = hmac.new(key, _DOMAIN + b"\0", hashlib.sha256)
    made.update(signed)
    return made.digest()


def _read(signed: memoryview) -> tuple[Head, memoryview]:
    """Return head and blob. Raises EnvelopeRefused for what `seal` does not write."""
    fields, at = [], _ID.stop
    for _ in range(_FIELDS):
        end = at + 4 + int.from_bytes(signed[at : at + 4])
        if end > len(signed) or at + 4 > len(signed):
            raise EnvelopeRefused("it is damaged: it ends too early")
        fields.append(signed[at + 4 : end])
        at = end
    version, created, *texts, digest, blob = fields
    if at != len(signed) or len(version) != 8 or len(created) != 8 or len(blob) > LARGEST:
        raise EnvelopeRefused("it is damaged: its parts do not fit")
    if any(len(text) > _TEXT for text in texts) or hashlib.sha256(blob).digest() != digest:
        raise EnvelopeRefused("it is damaged: its head does not fit its content")
    try:
        namespace, name, use, python, cloudpickle = (str(text, "utf-8") for text in texts)
    except UnicodeDecodeError:
        raise EnvelopeRefused("it is damaged: a name is no text") from None
    created_at = int.from_bytes(created) / 1e6
    head = Head(
        int.from_bytes(version), created_at, namespace, name, use, python, cloudpickle, bytes(digest), len(blob)
    )
    return head, blob
