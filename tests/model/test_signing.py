"""Signatures: those of the specification's own example, and secrets in all their forms."""

from __future__ import annotations

import pytest

from mlq_cli.model.errors import Misuse
from mlq_cli.model.signing import keys_of, new_secret, shown, signatures

# From the reference libraries of https://github.com/standard-webhooks/standard-webhooks.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
VECTOR = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
SIGNED = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_specifications_own_example_is_signed_as_it_says() -> None:
    assert signatures(keys_of(SECRET), *VECTOR) == SIGNED


def test_two_secrets_make_two_signatures() -> None:
    old = new_secret()
    both = signatures(keys_of(f"{old} {SECRET}"), *VECTOR).split(" ")
    assert both == [signatures(keys_of(old), *VECTOR), SIGNED]


def test_any_text_is_a_secret_and_one_key_with_its_spaces() -> None:
    assert keys_of("correct horse battery") == [b"correct horse battery"]
    assert keys_of(f"whsec_ {SECRET} x") == [f"whsec_ {SECRET} x".encode()]
    assert keys_of(shown(b"any text")) == [b"any text"]


@pytest.mark.parametrize("secret", ["whsec_", "whsec_***", "whsec_abc", f"{SECRET} whsec_"])
def test_base64_that_is_none_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(Misuse, match="no base64") as told:
        keys_of(secret)
    assert "***" not in str(told.value) and "abc" not in str(told.value)


def test_a_new_secret_is_as_long_as_the_specification_asks() -> None:
    (key,) = keys_of(new_secret())
    assert len(key) == 32 and new_secret() != new_secret()
