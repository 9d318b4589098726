"""Access tokens: what they look like, what is kept of them, and what goes with a namespace."""

from __future__ import annotations

import dataclasses
import hmac

import pytest

from mlq_cli import MLQ
from mlq_cli.model.access import AccessToken, Key, Role, digest, new_key, opens, read_key, read_role
from mlq_cli.model.errors import Misuse
from mlq_cli.store.redis import layout
from mlq_cli.store.redis.connect import UrlEndpoint, Wire


def _kept(key: Key) -> AccessToken:
    return AccessToken(key.id, key.role, digest(key.secret), 0.0, None, "")


def test_a_token_is_read_back_as_it_was_made_and_nothing_else_is_one() -> None:
    for role in Role:
        key = new_key(role)
        assert read_key(str(key)) == key and len(key.secret) == 43
        text = str(key)
        for wrong in (text[:-1], text + "a", text.upper(), f" {text}", text.replace("mlq_", "mlq-"), text + "\n", ""):
            assert read_key(wrong) is None
    assert "secret" not in repr(Key(Role.READ, "0" * 8, "secret"))


def test_only_the_same_secret_and_role_open() -> None:
    key = new_key(Role.POST)
    assert opens(key, _kept(key))
    assert not opens(key, None)
    assert not opens(new_key(Role.POST), _kept(key))
    assert not opens(key._replace(role=Role.ADMIN), _kept(key))
    assert not opens(key._replace(secret=key.secret[:-1] + ("A" if key.secret[-1] != "A" else "B")), _kept(key))


def test_a_comparison_takes_the_same_steps_whatever_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[int, int]] = []
    compare = hmac.compare_digest

    def counted(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return compare(one, other)

    monkeypatch.setattr("mlq_cli.model.access.hmac.compare_digest", counted)
    key = new_key(Role.READ)
    for shown, token in ((key, _kept(key)), (key, None), (new_key(Role.READ), _kept(key))):
        opens(shown, token)
    assert compared == [(32, 32)] * 3


def test_there_are_three_roles() -> None:
    assert [read_role(word) for word in ("read", "post", "admin")] == [Role.READ, Role.POST, Role.ADMIN]
    with pytest.raises(Misuse, match="no role"):
        read_role("root")


def test_tokens_are_kept_as_hashes_and_removed_by_id(mlq: MLQ) -> None:
    access, first, second = mlq.store.access(), new_key(Role.READ), new_key(Role.ADMIN)
    assert access.add(first.id, first.role, digest(first.secret), name="a web app")
    assert access.add(second.id, second.role, digest(second.secret), life=60)
    assert not access.add(second.id, Role.READ, b""), "an id is never given a second meaning"
    (one, two), now = access.all()
    assert dataclasses.replace(one, created_at=0) == AccessToken(
        first.id, Role.READ, digest(first.secret), 0, None, "a web app"
    )
    assert two.role is Role.ADMIN and two.expires_at == pytest.approx(now + 60, abs=5)
    assert opens(first, one) and opens(second, two)
    assert access.remove([first.id, "none"]) == [True, False]
    assert [token.id for token in access.all()[0]] == [second.id]


def test_what_we_cannot_have_written_opens_nothing(mlq: MLQ, redis_url: str, namespace: str) -> None:
    wire = Wire(UrlEndpoint(redis_url))
    key = layout.ACCESS(namespace)
    wire.exchange([("HSET", key, "a", b"\xc1"), ("HSET", key, "b", b"\x80"), ("HSET", key, "c", b"\x01")])
    assert mlq.store.access().all()[0] == []
    wire.exchange([("DEL", key)])
    wire.close()


def test_tokens_go_with_the_namespace(mlq: MLQ) -> None:
    access, key = mlq.store.access(), new_key(Role.READ)
    access.add(key.id, key.role, digest(key.secret))
    assert all(finding.level.name != "ERROR" for finding in mlq.doctor() if finding.section == "namespace")
    mlq.store.forget()
    assert access.all()[0] == []
