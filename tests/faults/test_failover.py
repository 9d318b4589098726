"""The primary dies, freezes, is demoted, or gives its slot away, under load: work goes on at the new place.

Redis copies to replicas after it has answered. So a failover may lose what was acknowledged just before, and only that.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.load import Poster
from mlq_cli import MLQ
from mlq_cli.model.errors import NotAllowed, StoreUnavailable
from mlq_cli.store.redis.cluster import slot_of
from mlq_cli.store.redis.layout import EVENTS
from tests_replicated import Cluster, Node, Sentinels, slot_keys
from tests_support import wait_until

RESUME = 20.0  # seconds after which posts have to be accepted again
UNSENT = 1.0  # seconds before the primary's death in which what was acknowledged may not have been copied
LATE = ("CROSSSLOT", "non local key", "please report", "Traceback")  # what no worker may ever have said


@pytest.fixture
def sentinels(short_folder: Path) -> Iterator[Sentinels]:
    with Sentinels(short_folder) as group:
        yield group


@pytest.fixture
def cluster(short_folder: Path) -> Iterator[Cluster]:
    with Cluster(short_folder) as group:
        yield group


def under_load(
    group: Sentinels | Cluster,
    namespace: str,
    folder: Path,
    start_worker: Any,
    break_it: Callable[[], None],
    record: Callable[[str, object], None],
    healed: Callable[[], bool] = lambda: True,
    frozen: bool = False,
    unnoticed: float = 0.5,
) -> tuple[Poster, list[str]]:
    """Break something while two workers work and one waits; returns the poster when all has ended, and what is lost."""
    runs = folder / "runs"
    runs.mkdir()
    workers = [start_worker("jobs:touch_then_sleep", url=group.url) for _ in range(2)]
    workers.append(idle := start_worker("jobs:echo", url=group.url, queues=("quiet",)))
    with Poster(group.url, namespace, runs) as poster:
        mlq = poster.mlq
        wait_until(lambda: len(list(runs.iterdir())) > 50, seconds=30)
        assert mlq.wait(mlq.post("awake", queue="quiet"), 20) == "awake"
        waiting: list[Any] = []
        pending = mlq.post("later", queue="quiet", delay=12)
        watcher = threading.Thread(target=lambda: waiting.append(mlq.wait_ended(pending, 90)))
        watcher.start()
        listeners = ("PUBSUB", "NUMSUB", EVENTS(namespace))
        wait_until(lambda: mlq.store._wire.exchange([listeners])[0][1] == 1)  # type: ignore[attr-defined]
        broken_at = time.monotonic()
        break_it()
        resumed = wait_until(lambda: healed() and poster.resumed_after(broken_at), seconds=3 * RESUME)
        begun = time.monotonic()
        assert mlq.wait(mlq.post("awake again", queue="quiet"), 20) == "awake again", idle.log()
        woken = time.monotonic() - begun
        time_of_load = time.monotonic() + 2.0
        wait_until(lambda: time.monotonic() > time_of_load, seconds=5)
        poster.end()
        wait_until(poster.ended, seconds=60)
        watcher.join()
        assert len(waiting) == 1, "whoever waited has been told"
        lost = poster.lost()
        numbers = {
            "posted": len(poster.acknowledged),
            "lost": len(lost),
            "refused": len(poster.refused),
            "slowest refusal": round(poster.slowest_refusal(), 2),
            "resumed after": round(resumed, 2),
            "idle worker woke after": round(woken, 2),
            **poster.outcomes(),
        }
        record("failover", numbers)
        print(numbers)
        assert not poster.unexpected
        assert resumed < RESUME and poster.slowest_refusal() < 5.5
        assert woken < (15.0 if frozen else 3.0), idle.log()  # only silence tells that a connection is dead
        assert all(-UNSENT < poster.acknowledged[job_id] - broken_at < unnoticed for job_id in lost)
        # Whoever posts an id that was lost makes it anew, so all that is there was acknowledged.
        assert numbers["others"] == 0
        assert numbers["succeeded"] == numbers["counted"] == len(poster.acknowledged) - len(lost)
        for worker in workers:
            assert worker.poll() is None
            assert not any(word in worker.log() for word in LATE), worker.log()
    return poster, lost


# --- sentinels -----------------------------------------------------------------------------------------------------
@pytest.mark.minutes
@pytest.mark.parametrize("how", ["kill", "stop"])
def test_work_goes_on_at_the_replica_when_the_primary_dies_or_freezes(
    sentinels: Sentinels, namespace: str, tmp_path: Path, start_worker: Any, record_property: Any, how: str
) -> None:
    old = sentinels.primary()
    break_it = old.kill if how == "kill" else old.stop
    under_load(sentinels, namespace, tmp_path, start_worker, break_it, record_property, frozen=how == "stop")
    assert sentinels.primary() is not old


@pytest.mark.minutes
def test_work_goes_on_when_the_sentinels_demote_a_primary_that_lives(
    sentinels: Sentinels, namespace: str, tmp_path: Path, start_worker: Any, record_property: Any
) -> None:
    old = sentinels.primary()

    def demote() -> None:
        wait_until(lambda: sentinels.sentinels[1].command("SENTINEL", "FAILOVER", "jobs") == b"OK", seconds=20)

    def demoted() -> bool:
        return old.role() == "slave"

    # Until a sentinel has seen the replica promoted, told the one that we ask, and we have asked; 11 s if we did not.
    under_load(sentinels, namespace, tmp_path, start_worker, demote, record_property, demoted, unnoticed=6.0)
    assert sentinels.primary() is not old


@pytest.mark.minutes
def test_nothing_is_lost_when_the_primary_dies_and_writes_need_a_replica(
    short_folder: Path, namespace: str, tmp_path: Path, start_worker: Any, record_property: Any
) -> None:
    """The dead one has to come back before the new one takes anything: it wants a replica too."""
    with Sentinels(short_folder, "--min-replicas-to-write", "1", "--min-replicas-max-lag", "2") as sentinels:
        old = sentinels.primary()

        def replace() -> None:
            old.kill()
            wait_until(lambda: sentinels.primary() is not old, seconds=30)
            new = sentinels.primary()
            old.start()
            old.command("REPLICAOF", "127.0.0.1", new.port)

        _, lost = under_load(sentinels, namespace, tmp_path, start_worker, replace, record_property)
        assert lost == []


@pytest.mark.minutes
def test_servers_and_sentinels_have_passwords_of_their_own(short_folder: Path, namespace: str) -> None:
    with Sentinels(short_folder, passwords=True) as sentinels:
        with MLQ.from_profile(redis_url=sentinels.url, namespace=namespace) as mlq:
            mlq.post("before", id="before")
            assert "pw" not in mlq.store.address
            sentinels.primary().kill()
            wait_until(lambda: mlq.post("after", id="after") == "after", seconds=30)
        for wrong in (sentinels.url.replace("jobs%40pw", "wrong"), sentinels.url.partition("?")[0]):
            with MLQ.from_profile(redis_url=wrong, namespace=namespace) as mlq, pytest.raises(NotAllowed) as caught:
                mlq.post("no")
            assert "pw" not in str(caught.value)


@pytest.mark.minutes
def test_nobody_goes_back_to_an_old_primary_that_thaws(sentinels: Sentinels, namespace: str) -> None:
    old = sentinels.primary()
    with MLQ.from_profile(redis_url=sentinels.url, namespace=namespace) as mlq:
        mlq.post("before", id="before")
        wait_until(lambda: sentinels.replica().command("EXISTS", f"mlq:{{{namespace}}}:job:before") == 1)
        old.stop()
        wait_until(lambda: mlq.post("after", id="after") == "after", seconds=30)
        old.cont()
        assert mlq.post("later", id="later") == "later"
        wait_until(lambda: old.role() == "slave", seconds=60)
        assert [state is not None for state in mlq.states(["before", "after", "later"])] == [True, True, True]


@pytest.mark.minutes
def test_a_post_without_any_primary_fails_within_five_seconds(sentinels: Sentinels, namespace: str) -> None:
    with MLQ.from_profile(redis_url=sentinels.url, namespace=namespace) as mlq:
        mlq.post("before")
        for node in sentinels.servers:
            node.kill()
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(StoreUnavailable):
                mlq.post("after")
            assert time.monotonic() - began < 5


# --- a cluster -----------------------------------------------------------------------------------------------------
@pytest.mark.minutes
@pytest.mark.parametrize("how", ["kill", "stop"])
def test_work_goes_on_at_the_replica_when_a_node_of_the_cluster_dies_or_freezes(
    cluster: Cluster, namespace: str, tmp_path: Path, start_worker: Any, record_property: Any, how: str
) -> None:
    old = cluster.owner(namespace)
    break_it = old.kill if how == "kill" else old.stop
    under_load(cluster, namespace, tmp_path, start_worker, break_it, record_property, frozen=how == "stop")
    if how == "stop":
        old.cont()
        wait_until(lambda: old.role() == "slave", seconds=30)
    assert cluster.owner(namespace) is not old


@pytest.mark.minutes
def test_nothing_is_lost_when_a_replica_is_told_to_take_over(
    cluster: Cluster, namespace: str, tmp_path: Path, start_worker: Any, record_property: Any
) -> None:
    old = cluster.owner(namespace)
    new = cluster.replica_of(old)

    def take_over() -> None:
        assert new.command("CLUSTER", "FAILOVER") == b"OK"
        wait_until(lambda: new.role() == "master", seconds=20)

    poster, lost = under_load(cluster, namespace, tmp_path, start_worker, take_over, record_property)
    assert lost == []
    assert not poster.refused, "the old node says where to go, and nobody notices"
    assert cluster.owner(namespace) is new


def hand_over(slot: int, cluster: Cluster, source: Node, target: Node) -> None:
    """Make the target the owner, first in its own eyes, then in everybody's."""
    name = cluster.id_of(target)
    for node in (target, source, *cluster.nodes):
        if node.role() == "master":
            node.command("CLUSTER", "SETSLOT", slot, "NODE", name)


@pytest.mark.minutes
def test_a_slot_that_was_moved_is_followed_without_a_word(cluster: Cluster, namespace: str) -> None:
    source = cluster.owner(namespace)
    target = next(node for node in cluster.nodes if node.role() == "master" and node is not source)
    with MLQ.from_profile(redis_url=cluster.url, namespace=namespace) as mlq:
        assert mlq.states(["nothing"]) == [None]  # so there is a connection to the source
        hand_over(slot_of(namespace), cluster, source, target)
        ids = [mlq.post(number) for number in range(10)]
        assert None not in mlq.states(ids)
    assert slot_keys(target, slot_of(namespace)) and not slot_keys(source, slot_of(namespace))


@pytest.mark.minutes
def test_a_slot_that_is_moved_at_once_is_followed_without_a_word(
    cluster: Cluster, namespace: str, tmp_path: Path, start_worker: Any
) -> None:
    if b"valkey_version:9" not in cluster.nodes[0].command("INFO", "server"):
        pytest.skip("only Valkey 9 moves a whole slot at once")
    slot, source = slot_of(namespace), cluster.owner(namespace)
    target = next(node for node in cluster.nodes if node.role() == "master" and node is not source)
    worker = start_worker("jobs:touch_then_sleep", url=cluster.url)
    runs = tmp_path / "runs"
    runs.mkdir()
    with Poster(cluster.url, namespace, runs) as poster:
        wait_until(lambda: len(list(runs.iterdir())) > 50, seconds=30)
        source.command("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", cluster.id_of(target))
        wait_until(lambda: cluster.owner(namespace) is target, seconds=30)
        moved_at = len(poster.acknowledged)
        wait_until(lambda: len(poster.acknowledged) > moved_at + 50, seconds=30)
        poster.end()
        wait_until(poster.ended, seconds=60)
        outcomes = poster.outcomes()
        assert not poster.lost() and not poster.refused and not poster.unexpected
        assert outcomes["succeeded"] == outcomes["counted"] == len(poster.acknowledged) and outcomes["ran twice"] == 0
        assert not any(word in worker.log() for word in LATE), worker.log()


@pytest.mark.minutes
def test_the_queue_pauses_while_its_slot_is_moved_and_no_key_is_left_apart(
    cluster: Cluster, namespace: str, tmp_path: Path, start_worker: Any
) -> None:
    slot, source = slot_of(namespace), cluster.owner(namespace)
    target = next(node for node in cluster.nodes if node.role() == "master" and node is not source)
    worker = start_worker("jobs:touch_then_sleep", url=cluster.url)
    with MLQ.from_profile(redis_url=cluster.url, namespace=namespace) as mlq:
        messages = [{"file": str(tmp_path / f"run{number}"), "seconds": 0.05} for number in range(100)]
        ids = list(mlq.post_many(messages))
        wait_until((tmp_path / "run0").exists, seconds=20)
        target.command("CLUSTER", "SETSLOT", slot, "IMPORTING", cluster.id_of(source))
        source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", cluster.id_of(target))
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="ASK") as caught:
            mlq.post("too early")
        assert time.monotonic() - began < 5 and "on its way" in (caught.value.hint or "")
        wait_until(lambda: "ASK" in worker.log())
        assert not slot_keys(target, slot), "nobody has followed"
        for key in slot_keys(source, slot):
            source.command("MIGRATE", "127.0.0.1", target.port, key, 0, 5000)
        with pytest.raises(StoreUnavailable):
            mlq.states(ids)
        hand_over(slot, cluster, source, target)
        wait_until(lambda: all(state is not None and state.terminal for state in mlq.states(ids)), seconds=60)
        assert [record["state"] for record in mlq.get_jobs(ids) if record] == ["succeeded"] * len(ids)
        assert {len((tmp_path / f"run{number}").read_text().splitlines()) for number in range(100)} == {1}
        assert not slot_keys(source, slot)
        assert not any(word in worker.log() for word in LATE), worker.log()
        assert mlq.wait(mlq.post({"file": str(tmp_path / "last"), "seconds": 0}), 20) == "slept"
