"""Large messages and results: none is read before there is room for it, so that many readers do not fill the memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from tests_http import finish

from mlq_cli import MLQ
from mlq_cli.http.app import make_app
from mlq_cli.http.door import door as the_door
from mlq_cli.http.door.book import Book
from mlq_cli.http.door.door import Door, Rules
from mlq_cli.http.door.hosts import Hosts
from mlq_cli.http.door.pages import Pages
from mlq_cli.http.door.room import Room

SIZE = 2 << 20


@pytest.fixture
def read(mlq: MLQ, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of records that were read with their message and result."""
    read: list[str] = []
    records = mlq.store.records

    def noting(ids: Sequence[str], *, values: bool = True) -> Any:
        read.extend(ids if values else [])
        return records(ids, values=values)

    monkeypatch.setattr(mlq.store, "records", noting)
    return read


@asynccontextmanager
async def _behind_the_door(mlq: MLQ, room: Room, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    monkeypatch.setattr(the_door, "Room", lambda: room)
    app = make_app(mlq)
    book = Book(lambda: ([], time.time()))
    door = Door(app, Rules(Hosts("127.0.0.1", 5001), Pages(), 16 << 20, token_needed=False), book)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(door), base_url="http://127.0.0.1:5001") as client,
    ):
        yield client
    book.close()


def test_the_sizes_of_long_messages_and_results_are_known(mlq: MLQ) -> None:
    small, large, both = mlq.post(1), mlq.post(b"m" * SIZE), mlq.post(b"m" * SIZE)
    finish(mlq, both, b"r" * SIZE)
    sizes = mlq.store.sizes([small, large, both, "none"])
    assert sizes[0] == sizes[3] == 0
    assert SIZE <= sizes[1] < SIZE + 100 and 2 * SIZE <= sizes[2] < 2 * SIZE + 200


def test_what_is_large_is_not_read_while_there_is_no_room_for_it(
    mlq: MLQ, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small, large = mlq.post(1), mlq.post(2)
    finish(mlq, small, "here")
    finish(mlq, large, b"r" * SIZE)
    waiting = mlq.post(b"m" * SIZE, id="waiting")
    read.clear()

    async def work() -> None:
        room = Room(4 << 20)
        async with _behind_the_door(mlq, room, monkeypatch) as client:
            taken = room.take(3 << 20)
            for path in (f"/jobs/{large}", f"/jobs/{large}/result", f"/jobs/{large}/result.png"):
                refused = await client.get(path)
                assert (refused.status_code, refused.json()["code"]) == (503, "busy") and refused.headers["retry-after"]
            assert large not in read
            assert (await client.get(f"/jobs/{small}/result")).text == "here"
            canceled = await client.delete(f"/jobs/{waiting}")  # what was changed is told, in brief
            assert (canceled.status_code, canceled.json()["state"]) == (202, "canceled") and waiting not in read
            room.give_back(taken)
            for path in (f"/jobs/{large}", f"/jobs/{large}/result", f"/jobs/{large}/result.png"):
                for _ in range(3):  # each gives back what it took
                    assert len((await client.get(path)).content) >= SIZE
            assert room.has(4 << 20) and room.take(4 << 20)

    asyncio.run(asyncio.wait_for(work(), 30))


def test_who_waits_for_a_large_result_gets_the_id_when_there_is_no_room(
    mlq: MLQ, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        room = Room(4 << 20)
        async with _behind_the_door(mlq, room, monkeypatch) as client:
            first = (await client.post("/jobs", json={"msg": 1}, headers={"Idempotency-Key": "one"})).text
            await asyncio.to_thread(finish, mlq, first, b"r" * SIZE)
            room.take(4 << 20)
            again = {"Idempotency-Key": "two", "Prefer": "wait=20"}
            waiting = asyncio.create_task(client.post("/jobs", json={"msg": 1}, headers=again))
            while (await client.get("/jobs/two")).status_code == 404:
                pass  # it is not posted yet
            await asyncio.to_thread(finish, mlq, "two", b"r" * SIZE)
            answer = await waiting
            assert (answer.status_code, answer.text) == (202, "two") and "preference-applied" not in answer.headers

    asyncio.run(asyncio.wait_for(work(), 30))
