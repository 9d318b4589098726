"""Envelopes: what is signed for one place counts there and nowhere else, and nothing else counts at all."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest

from mlq_cli.model.envelope import CALL, LARGEST, read_head, seal, verify
from mlq_cli.model.errors import EnvelopeRefused, Misuse, TooLarge

KEY, OTHER = b"k" * 32, b"o" * 32


def sealed(key: bytes = KEY, namespace: str = "ns", name: str = "f", version: int = 7, **more: Any) -> bytes:
    given: dict[str, Any] = {"python": "3.12", "cloudpickle": "3.1.2", "created_at": 1.5, **more}
    return seal(key, namespace, name, version, given.pop("blob", b"the pickle"), **given)


def test_what_was_sealed_is_found_whole_by_whoever_has_the_key() -> None:
    envelope = sealed(use=CALL)
    head, blob = verify(envelope, [KEY], "ns", "f")
    assert blob == b"the pickle" and head.digest == hashlib.sha256(blob).digest() and head.size == len(blob)
    assert head[:7] == (7, 1.5, "ns", "f", CALL, "3.12", "3.1.2")
    assert read_head(envelope) == head and verify(envelope, [KEY], "ns").head == head


@pytest.mark.parametrize(
    ("envelope", "said"),
    [
        (b"", "not signed"),
        (b"cloudpickle bytes", "not signed"),
        (b'{"py/b64": "gASV"}', "not signed"),
        (sealed(OTHER), "a foreign key"),
        (sealed(namespace="production"), "the namespace production"),
        (sealed(name="g"), "the function 'g' under the name 'f'"),
        (sealed()[:-1], "damaged"),
        (sealed() + b"\0", "damaged"),
        (sealed(version=1 << 60), "version"),
        (sealed(use="else"), "use"),
        (b"MLQF\x02" + sealed()[5:], "not signed"),
        (b"MLQF\x01\x02" + sealed()[6:], "not signed"),
        (sealed()[:14] + b"\xff" * (LARGEST + 20_000), "bytes"),
    ],
)
def test_what_is_not_signed_for_this_place_is_refused_with_a_clear_line(envelope: bytes, said: str) -> None:
    with pytest.raises(EnvelopeRefused, match=said) as refused:
        verify(envelope, [KEY], "ns", "f")
    assert (refused.value.exit_code, refused.value.http_status) == (77, 403)


def test_no_byte_of_an_envelope_can_be_changed_and_none_left_out() -> None:
    envelope = sealed()
    for at in range(len(envelope)):
        for damaged in (
            envelope[:at] + bytes([envelope[at] ^ 1]) + envelope[at + 1 :],
            envelope[:at],
            envelope[:at] + envelope[at + 1 :],
        ):
            with pytest.raises(EnvelopeRefused):
                verify(damaged, [KEY], "ns", "f")


def test_the_head_of_anything_is_read_without_harm() -> None:
    envelope = sealed()
    for at in range(len(envelope)):
        with pytest.raises(EnvelopeRefused):
            read_head(envelope[:at])
    with pytest.raises(EnvelopeRefused):
        read_head(envelope.replace((1).to_bytes(4) + b"f", (1).to_bytes(4) + b"\xff"))


def test_the_first_key_of_a_rotation_signs_and_both_verify() -> None:
    for signed_by in (KEY, OTHER):
        assert verify(sealed(signed_by), [KEY, OTHER], "ns", "f").blob == b"the pickle"
    with pytest.raises(EnvelopeRefused, match="foreign key"):
        verify(sealed(OTHER), [KEY], "ns", "f")
    with pytest.raises(EnvelopeRefused, match="foreign key"):
        verify(sealed(), [], "ns", "f")


def test_the_key_signs_functions_with_a_key_of_their_own() -> None:
    """A signature of a webhook, made with the same secret, can never be one of a function."""
    envelope = sealed()
    assert envelope[-32:] != hmac.digest(KEY, envelope[:-32], "sha256")
    forged = envelope[:-32] + hmac.digest(KEY, envelope[:-32], "sha256")
    with pytest.raises(EnvelopeRefused, match="damaged or forged"):
        verify(forged, [KEY], "ns", "f")
    assert KEY not in envelope


def test_a_function_of_more_than_eight_mebibytes_is_not_sealed_and_one_of_just_that_is() -> None:
    with pytest.raises(TooLarge, match="over the limit of 8,388,608"):
        sealed(blob=b"x" * (LARGEST + 1))
    assert verify(sealed(blob=b"x" * LARGEST), [KEY], "ns", "f").head.size == LARGEST


@pytest.mark.parametrize("name", ["", " f", "a,b", "a\nb", "é" * 129, "*", "tasks:"])
def test_a_name_that_nobody_could_ask_for_is_misuse(name: str) -> None:
    with pytest.raises(Misuse, match="name of a function"):
        sealed(name=name)
