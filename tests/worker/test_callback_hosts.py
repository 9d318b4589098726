"""Places at hosts: four each, 32 in all, and a slow host is in nobody's way."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import pytest

from mlq_cli.model.outcome import PutOff
from mlq_cli.worker import callback_hosts
from mlq_cli.worker.callback_hosts import IN_ALL, LONGEST, PER_HOST, RETRY_AFTER, Hosts


class Crowd:
    """Deliveries that come to hosts and stay until they are let go."""

    def __init__(self) -> None:
        self.hosts = Hosts()
        self.inside: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.put_off: list[float] = []
        self.go: dict[str, asyncio.Event] = {}

    async def come(self, name: str, seconds: float | None = None) -> None:
        try:
            async with self.hosts.place(name):
                self.inside[name] += 1
                self.most[name] = max(self.most[name], self.inside[name])
                self.most["all"] = max(self.most["all"], sum(self.inside.values()))
                try:
                    await (
                        self.go.setdefault(name, asyncio.Event()).wait() if seconds is None else asyncio.sleep(seconds)
                    )
                finally:
                    self.inside[name] -= 1
        except PutOff as later:
            self.put_off.append(later.seconds)


def test_a_quick_host_serves_all_who_come_four_at_a_time() -> None:
    crowd = Crowd()

    async def run() -> None:
        await asyncio.gather(*(crowd.come("quick", 0.001) for _ in range(100)))

    asyncio.run(run())
    assert crowd.most["quick"] == PER_HOST and not crowd.put_off and not crowd.inside["quick"]


def test_no_more_than_so_many_are_told_in_all() -> None:
    crowd = Crowd()

    async def run() -> None:
        await asyncio.gather(*(crowd.come(f"host{n % 20}", 0.05) for n in range(100)))

    asyncio.run(run())
    assert crowd.most["all"] == IN_ALL and max(crowd.most[f"host{n}"] for n in range(20)) <= PER_HOST


def test_who_comes_too_many_to_a_slow_host_is_put_off_and_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callback_hosts, "PATIENCE", 0.1)
    crowd = Crowd()

    async def run() -> None:
        slow = [asyncio.create_task(crowd.come("slow")) for _ in range(50)]
        await asyncio.sleep(0.6)
        assert crowd.inside["slow"] == PER_HOST and len(crowd.put_off) == 50 - PER_HOST
        began = time.monotonic()
        await asyncio.gather(*(crowd.come("other", 0.001) for _ in range(20)))
        assert time.monotonic() - began < 1 and len(crowd.put_off) == 50 - PER_HOST
        crowd.go["slow"].set()
        await asyncio.gather(*slow)

    asyncio.run(run())
    assert crowd.inside["slow"] == 0 and min(crowd.put_off) > 0 and max(crowd.put_off) <= LONGEST * 1.2


def test_the_longer_the_line_the_longer_somebody_is_put_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callback_hosts, "PATIENCE", 0.02)
    monkeypatch.setattr(callback_hosts, "PAUSE", 0.01)
    crowd = Crowd()

    async def run() -> None:
        await asyncio.gather(*(crowd.come("slow", 0.2) for _ in range(8)))
        crowd.put_off.clear()
        kept = [asyncio.create_task(crowd.come("slow")) for _ in range(PER_HOST)]
        await asyncio.sleep(0.1)
        for _ in range(100):
            await crowd.come("slow")
        crowd.go["slow"].set()
        await asyncio.gather(*kept)

    asyncio.run(run())
    assert len(crowd.put_off) == 100 and crowd.put_off[-1] > 3 * crowd.put_off[0]


def test_a_host_that_asks_to_be_left_alone_is_left_alone_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callback_hosts, "PAUSE", 0.01)
    crowd = Crowd()

    async def run() -> None:
        await crowd.come("busy", 0.0)
        crowd.hosts.leave_alone("busy", 1e9)
        await crowd.come("busy", 0.0)
        await crowd.come("other", 0.0)

    asyncio.run(run())
    assert len(crowd.put_off) == 1 and RETRY_AFTER - 1 < crowd.put_off[0] <= RETRY_AFTER


def test_a_delivery_that_is_given_up_frees_its_place_and_its_place_in_the_line() -> None:
    crowd = Crowd()

    async def run() -> None:
        tasks = [asyncio.create_task(crowd.come("host")) for _ in range(6)]
        await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(crowd.come("host", 0.001) for _ in range(8)))

    asyncio.run(run())
    assert crowd.most["host"] == PER_HOST and not crowd.put_off


def test_hosts_that_nobody_asks_for_any_more_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callback_hosts, "_FORGET", 10)
    crowd = Crowd()

    async def run() -> None:
        for n in range(100):
            await crowd.come(f"host{n}", 0.0)

    asyncio.run(run())
    assert len(crowd.hosts._hosts) <= 12
