"""What listeners in this process reach of their namespace, and values that are kept beside jobs."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from mlq_cli import MLQ, JobFailed, Misuse, Refused
from mlq_cli.model.carried import carried, profile_of
from mlq_cli.model.errors import DataNotFound
from mlq_cli.model.settings import SETTINGS
from mlq_cli.store.redis import signing_secret
from mlq_cli.store.redis.embedded import EmbeddedEndpoint
from tests_support import wait_until


def test_listeners_in_this_process_may_nest(mlq: MLQ) -> None:
    def nest(depth: int, ctx: Any) -> int:
        return 0 if depth == 0 else 1 + int(ctx.block_until_result(ctx.post(depth - 1)))

    mlq.create_listener(nest)
    roots = [mlq.post(10) for _ in range(10)]
    assert [mlq.wait(root, 60) for root in roots] == [10] * 10


def test_async_listeners_in_this_process_may_nest(mlq: MLQ) -> None:
    async def nest(depth: int, ctx: Any) -> int:
        return 0 if depth == 0 else 1 + int(await asyncio.to_thread(ctx.block_until_result, ctx.post(depth - 1)))

    mlq.create_listener(nest)
    roots = [mlq.post(10) for _ in range(12)]
    assert [mlq.wait(root, 60) for root in roots] == [10] * 12


def test_a_circle_of_jobs_in_this_process_is_refused(mlq: MLQ) -> None:
    def await_other(other: str, ctx: Any) -> Any:
        return ctx.block_until_result(other)

    mlq.post("two", id="one")
    mlq.post("one", id="two")
    mlq.create_listener(await_other)
    told = []
    for name in ("one", "two"):
        with pytest.raises(JobFailed) as failed:
            mlq.wait(name, 20)
        told.append(failed.value.error)
    assert sum("it would wait for itself" in error and error.startswith("Refused") for error in told) == 1


def test_a_thread_that_blocks_is_told_when_its_job_was_canceled(mlq: MLQ) -> None:
    """It cannot be killed, so it must not wait for ever."""
    told: list[BaseException] = []

    def await_other(other: str, ctx: Any) -> Any:
        try:
            return ctx.block_until_result(other)
        except BaseException as error:
            told.append(error)
            raise

    mlq.create_listener(await_other)
    job_id = mlq.post(mlq.post(0, delay=3600))
    store: Any = mlq.store
    wait_until(lambda: next(store._field([job_id], "awaits")))
    mlq.cancel(job_id)
    wait_until(lambda: told, seconds=20)
    assert isinstance(told[0], Refused) and "it was canceled, or given back" in str(told[0])


@pytest.mark.minutes
def test_stand_ins_in_this_process_are_threads_that_leave(mlq: MLQ, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlq_cli.worker import standins

    monkeypatch.setattr(standins, "RESTED", 0.2)

    def nest(depth: int, ctx: Any) -> int:
        return 0 if depth == 0 else 1 + int(ctx.block_until_result(ctx.post(depth - 1)))

    def executors() -> int:
        return sum(thread.name == "mlq-executor" for thread in threading.enumerate())

    mlq.create_listener(nest)
    mlq.wait(mlq.post(3), 20)
    assert executors() > 1
    wait_until(lambda: executors() == 1, seconds=20)
    assert mlq.wait(mlq.post(2), 20) == 2


def test_a_value_is_kept_under_a_key_of_its_own_or_a_given_one(mlq: MLQ) -> None:
    first, second = mlq.store_data([1, None]), mlq.store_data("x" * 1000)
    assert first != second and len(first) == 32
    assert mlq.fetch_data(first) == [1, None] and mlq.fetch_data(second) == "x" * 1000
    assert mlq.store_data(1, "a key: with {any} letters") == "a key: with {any} letters"
    mlq.store_data(None, "a key: with {any} letters")
    assert mlq.fetch_data("a key: with {any} letters") is None, "the newest counts"


def test_a_value_expires_when_it_was_said_to(mlq: MLQ) -> None:
    key = mlq.store_data("brief", expiry=0.05)

    def gone() -> bool:
        try:
            mlq.fetch_data(key)
        except DataNotFound as missing:
            return isinstance(missing, KeyError) and missing.exit_code == 3
        return False

    wait_until(gone)


@pytest.mark.parametrize("expiry", [0, -1, True, float("nan"), float("inf"), 1e12, "1h"])
def test_an_expiry_that_makes_no_sense_is_refused(mlq: MLQ, expiry: Any) -> None:
    with pytest.raises(Misuse, match="expiry"):
        mlq.store_data(1, expiry=expiry)


@pytest.mark.parametrize("key", ["", "x" * 513, 5, b"key", "\ud800"])
def test_a_key_that_is_none_is_refused(mlq: MLQ, key: Any) -> None:
    with pytest.raises(Misuse, match="cannot be a key"):
        mlq.store_data(1, key)
    with pytest.raises(Misuse, match="cannot be a key"):
        mlq.fetch_data(key)


def test_an_audit_knows_values_and_forgetting_a_namespace_takes_them_along(mlq: MLQ) -> None:
    for number in range(1200):
        mlq.store_data(number, f"key-{number}", expiry=600 if number % 2 else None)
    namespace = [finding for finding in mlq.doctor(repair=True) if finding.name in ("foreign", "expires", "wrong-type")]
    assert namespace == []
    store: Any = mlq.store
    assert store._read([("TTL", f"mlq:{{{mlq.namespace}}}:data:key-1")])[0] > 500, "and leaves them their time"
    store.forget()
    assert store._read([("KEYS", f"mlq:{{{mlq.namespace}}}:data:*")]) == [[]]


def test_a_profile_is_carried_whole_but_for_its_secret() -> None:
    flags = {"secret": "s3cret-of-all", "namespace": "n", "callbacks.allow": ["10.0.0.0/8"], "limits.chain": 7}
    flags |= {"redis.url": "redis://user:password@host:1/2", "worker.lease": 3.5, "server.hosts": ["a.example"]}
    given = MLQ.from_profile(**{name.replace(".", "_", 1): value for name, value in flags.items()}).profile
    assert given.secret == "s3cret-of-all"
    packed = carried(given)
    assert "secret" not in packed and "s3cret-of-all" not in repr(packed)
    again = profile_of(packed)
    assert again.secret is None
    for key in SETTINGS.keys() - {"secret"}:
        one: Any = given
        other: Any = again
        for name in key.split("."):
            one, other = getattr(one, name), getattr(other, name)
        assert one == other and type(one) is type(other), key


def test_jobs_reach_a_private_server_and_not_its_key(short_folder: Path) -> None:
    data = short_folder / "a folder"
    endpoint = EmbeddedEndpoint(data=str(data))
    try:
        with MLQ.from_profile(redis_data=str(data)) as mlq:
            assert signing_secret(mlq.profile)

            def reach(msg: Any, ctx: Any) -> Any:
                profile = ctx._voice.reach._mlq().profile
                return [ctx.fetch_data(ctx.store_data(msg)), signing_secret(profile)]

            mlq.create_listener(reach)
            assert mlq.wait(mlq.post("word"), 20) == ["word", None]
    finally:
        endpoint.stop()
