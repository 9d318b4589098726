"""MLQ.register_function and its company, without a worker: names, what travels, what is refused."""

from __future__ import annotations

import pickle
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from mlq_cli import MLQ, Misuse
from mlq_cli.model.envelope import CALL, LISTENER, read_head, seal, verify
from mlq_cli.model.errors import EnvelopeRefused, Refused, TooLarge
from mlq_cli.model.signing import keys_of, new_secret
from mlq_cli.shipping import python_version, ship

SECRET = new_secret()


@pytest.fixture
def mlq(redis_url: str, namespace: str) -> Iterator[MLQ]:
    with MLQ.from_profile(redis_url=redis_url, namespace=namespace, secret=SECRET) as opened:
        yield opened


def named(msg: Any) -> Any:
    return msg


class Callable_:
    def __call__(self, msg: Any) -> Any:
        return msg


def travelled(mlq: MLQ, name: str) -> Callable[..., Any]:
    """Return a function as an executor gets it."""
    sealed = verify(mlq.store.functions().get_all()[name], keys_of(SECRET), mlq.namespace, name)
    function: Callable[..., Any] = pickle.loads(sealed.blob)
    return function


def test_a_function_has_its_own_name_or_the_one_that_it_is_given(mlq: MLQ) -> None:
    assert mlq.register_function(named) == "named"
    assert mlq.register_function(partial(named)) == "named"
    assert mlq.register_function(Callable_()) == "Callable_"
    assert mlq.register_function(named, "other") == "other"
    first = mlq.register_function(lambda msg: 1)
    assert first.startswith("lambda-") and first != mlq.register_function(lambda msg: 2)
    assert [one.name for one in mlq.functions()][:2] == ["named", "Callable_"]


def test_what_is_registered_is_listed_with_what_is_to_be_known_of_it(mlq: MLQ) -> None:
    mlq.register_function(named)
    (one,) = mlq.functions()
    assert (one.name, one.use, one.sound, one.why) == ("named", LISTENER, True, "")
    assert (one.python, one.cloudpickle) == (python_version(), cloudpickle.__version__)
    assert one.version / 1e6 == pytest.approx(one.created_at) and one.size > 10
    assert mlq.remove_function("named") and not mlq.remove_function("named") and mlq.functions() == []


def test_a_list_without_the_right_secret_says_so_of_each(redis_url: str, namespace: str, mlq: MLQ) -> None:
    mlq.register_function(named)
    for secret, why in ((new_secret(), "foreign key"), (None, "no secret")):
        flags = {} if secret is None else {"secret": secret}
        with MLQ.from_profile(redis_url=redis_url, namespace=namespace, **flags) as other:
            (one,) = other.functions()
            assert one.name == "named" and not one.sound and why in one.why


def test_a_call_is_named_by_its_content_and_sent_once(mlq: MLQ) -> None:
    by = 3
    name = mlq.register_call(lambda a, b: a + b + by)
    version = mlq.functions()[0].version
    assert name.startswith("lambda-") and len(name) == len("lambda-") + 16
    same = lambda: mlq.register_call(named)  # noqa: E731
    assert same() == same() and same().startswith("named-")
    assert [(one.use, one.version == version) for one in mlq.functions()] == [(CALL, True), (CALL, False)]
    assert travelled(mlq, name)(1, b=2) == 6


def test_without_a_secret_nothing_is_registered(redis_url: str, namespace: str) -> None:
    with MLQ.from_profile(redis_url=redis_url, namespace=namespace) as bare:
        with pytest.raises(Misuse, match="no secret to sign with") as refused:
            bare.register_function(named)
        assert refused.value.hint == "mlq config secret --new" and bare.functions() == []


def test_the_private_server_signs_with_its_own_key_that_nobody_else_can_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short_folder: Path
) -> None:
    with MLQ.from_profile(redis_data=str(short_folder / "d"), namespace="own") as own:
        assert own.register_function(named) == "named"
        assert [one.sound for one in own.functions()] == [True]
        (secret,) = (short_folder / "d").rglob("secret")
        assert secret.stat().st_mode & 0o777 == 0o600
    subprocess.run(
        [sys.executable, "-m", "mlq_cli", "redis", "stop"],
        env={"MLQ_REDIS_DATA": str(short_folder / "d"), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        check=True,
        capture_output=True,
    )


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (partial(named, threading.Lock()), "cannot travel: cannot pickle '_thread.lock' object"),
        ("text", "'text' is no function"),
    ],
)
def test_what_cannot_travel_is_misuse(mlq: MLQ, function: Any, said: str) -> None:
    with pytest.raises(Misuse, match=said):
        mlq.register_function(function)
    assert mlq.functions() == []


def test_a_function_that_drags_eight_mebibytes_along_is_too_large(mlq: MLQ) -> None:
    weights = bytes(8 << 20)
    with pytest.raises(TooLarge, match="over the limit of 8,388,608") as refused:
        mlq.register_function(lambda msg: weights[msg], "model")
    assert refused.value.hint is not None and "setup" in refused.value.hint
    fits = bytes((8 << 20) - 4096)
    assert mlq.register_function(lambda msg: len(fits), "just") == "just"
    assert travelled(mlq, "just")(0) == len(fits)


def test_who_registers_the_same_name_at_the_same_time_waits_for_a_turn(
    mlq: MLQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlq.register_function(named)
    clock = type(mlq.store.functions()).clock
    late = iter([1, 2])
    monkeypatch.setattr(type(mlq.store.functions()), "clock", lambda self: next(late, 0) or clock(self))
    assert mlq.register_function(named) == "named"
    monkeypatch.setattr(type(mlq.store.functions()), "clock", lambda self: 1)
    with pytest.raises(Refused, match="by somebody else"):
        mlq.register_function(named)


def test_an_envelope_that_others_have_signed_with_our_secret_is_kept_and_no_other(mlq: MLQ) -> None:
    shipped = ship(named)

    def envelope(key: bytes, version: int) -> bytes:
        more = {"python": shipped.python, "cloudpickle": shipped.cloudpickle, "created_at": 1.0}
        return seal(key, mlq.namespace, "named", version, shipped.blob, **more)

    (key,) = keys_of(SECRET)
    at = mlq.store.functions().clock()
    assert mlq.register_envelope(envelope(key, at)) == ("named", at)
    assert mlq.register_envelope(envelope(key, at)) == ("named", at), "said again"
    with pytest.raises(Refused, match="as new as this"):
        mlq.register_envelope(envelope(key, at - 1))
    for refused in (envelope(b"x" * 32, at + 1), shipped.blob, b""):
        with pytest.raises(EnvelopeRefused):
            mlq.register_envelope(refused)
    assert read_head(mlq.store.functions().get_all()["named"]).version == at


def test_the_users_own_modules_travel_as_far_as_they_can_and_installed_ones_are_named(tmp_path: Path) -> None:
    """Two modules that know each other, one of which holds a lock that no function needs."""
    (tmp_path / "one.py").write_text("import two\nNAME = 'one'\ndef f(msg):\n    return [msg, two.g()]\n")
    (tmp_path / "two.py").write_text(
        "import threading, json, one\nlock = threading.Lock()\ndef g():\n    return json.dumps(one.NAME)\n"
        "def h():\n    import two\n    return two.lock\n"
    )
    make = """
        import sys, one, two
        from mlq_cli.shipping import ship
        sys.stdout.buffer.write(ship(lambda msg: one.f(msg) if msg else two.lock).blob)
    """
    (tmp_path / "make.py").write_text(textwrap.dedent(make))
    done = subprocess.run([sys.executable, "make.py"], cwd=tmp_path, capture_output=True, check=True)
    function = pickle.loads(done.stdout)
    assert not {"one", "two"} & set(sys.modules)
    assert function(1) == [1, '"one"']
    with pytest.raises(AttributeError, match=r"two\.lock has stayed where the function was registered: cannot pickle"):
        function(0)


def test_what_a_user_has_registered_with_cloudpickle_stays_as_it_was(mlq: MLQ) -> None:
    before = cloudpickle.list_registry_pickle_by_value()
    mlq.register_function(named)
    assert cloudpickle.list_registry_pickle_by_value() == before


def test_registering_loads_nothing_for_those_who_only_post() -> None:
    heavy = ("cloudpickle", "mlq_cli.shipping", "mlq_cli.model.envelope")
    code = f"import sys, mlq_cli.mlq; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_functions_that_were_shipped_for_calls_long_ago_make_room(mlq: MLQ, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlq_cli.store.redis.functions.FULL", 4)
    monkeypatch.setattr("mlq_cli.api.functions.CROWDED", 4)
    kept = mlq.register_function(lambda msg: msg, name="kept")
    _, *rest = [mlq.register_call(eval(f"lambda: {number}")) for number in range(3)]
    with pytest.raises(Refused, match="4 functions are registered"):
        mlq.register_call(lambda: "one more")
    monkeypatch.setattr("mlq_cli.api.functions.OLD", 0.0)
    monkeypatch.setattr("mlq_cli.api.functions.AT_ONCE", 1)
    newest = mlq.register_call(lambda: "one more")
    assert [each.name for each in mlq.functions()] == [kept, *rest, newest]
