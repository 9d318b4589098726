"""Bulk posts: drawn ahead while Redis works, and what is certain when something goes wrong halfway."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from harness.fake_redis import FakeRedis
from harness.proxy import FaultProxy
from mlq_cli import MLQ, Misuse, StoreFull, StoreUnavailable, bulk
from mlq_cli.bulk import Ids
from mlq_cli.store.redis import connect

OUT_OF_MEMORY = b"-OOM command not allowed when used memory > 'maxmemory'.\r\n"


class Drawn:
    """Messages that count how many were drawn, and raise at a place if told so."""

    def __init__(self, count: int, raising: BaseException | None = None) -> None:
        self.count = count
        self.raising = raising
        self.drawn = 0

    def __iter__(self) -> Iterator[int]:
        while self.drawn < self.count:
            self.drawn += 1
            yield self.drawn
        if self.raising is not None:
            raise self.raising


def test_the_next_chunk_is_drawn_before_the_answer_is_taken_in(mlq: MLQ) -> None:
    messages, ahead = Drawn(10_000), []
    mlq.post_many(messages, progress=lambda done: ahead.append(messages.drawn - done))
    assert max(ahead) == 500, "in a moment of ten at least the machine was swift enough, and never more than one chunk"
    assert ahead[-1] == 0


def test_of_a_slow_source_nothing_is_drawn_before_the_answer_is_taken_in(
    mlq: MLQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "SWIFT", 0.0)
    messages, ahead = Drawn(1700), []
    mlq.post_many(messages, progress=lambda done: ahead.append(messages.drawn - done))
    assert ahead == [0, 0, 0, 0]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), RuntimeError("no more")], ids=repr)
@pytest.mark.parametrize("swift", [0.0, 60.0], ids=["between the calls", "while Redis works"])
def test_an_error_of_the_source_comes_out_when_the_chunk_before_it_is_told(
    mlq: MLQ, monkeypatch: pytest.MonkeyPatch, error: BaseException, swift: float
) -> None:
    monkeypatch.setattr(bulk, "SWIFT", swift)
    told: list[int] = []
    with pytest.raises(type(error)) as raised:
        mlq.post_many(Drawn(1250, error), progress=told.append)
    assert raised.value is error and told == [500, 1000] and mlq.job_count() == 1000
    assert mlq.post("the connection is of use") == "1001"


def test_a_message_that_cannot_be_carried_leaves_what_was_posted_before(mlq: MLQ) -> None:
    told: list[int] = []
    with pytest.raises(Misuse, match="type object"):
        mlq.post_many((object() if n == 1250 else n for n in range(2000)), progress=told.append)
    assert told == [500, 1000] and mlq.job_count() == 1000


@pytest.mark.parametrize(
    ("error", "raised"), [(RuntimeError("no more"), StoreFull), (KeyboardInterrupt(), KeyboardInterrupt)], ids=repr
)
def test_of_two_errors_the_store_s_comes_out_unless_the_user_wants_to_stop(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, raised: type[BaseException]
) -> None:
    monkeypatch.setattr(bulk, "SWIFT", 60.0)
    with FakeRedis(OUT_OF_MEMORY) as fake, MLQ.from_profile(redis_url=fake.url) as mlq, pytest.raises(raised):
        mlq.post_many(Drawn(700, error))


def test_an_iterator_that_has_ended_is_not_asked_again(mlq: MLQ) -> None:
    class Terminal:
        """Ends once; whoever asks again has to wait."""

        left = 700
        ended = False

        def __iter__(self) -> Terminal:
            return self

        def __next__(self) -> int:
            assert not self.ended, "this would wait"
            self.left -= 1
            if self.left < 0:
                self.ended = True
                raise StopIteration
            return self.left

    assert len(mlq.post_many(Terminal())) == 700


def test_messages_are_sent_in_chunks_of_some_megabytes(mlq: MLQ) -> None:
    told: list[int] = []
    mlq.post_many((b"x" * (1 << 20) for _ in range(10)), progress=told.append)
    assert told == [4, 8, 10]


def test_an_answer_that_was_lost_while_the_source_took_long_is_an_error(
    redis_url: str, namespace: str, mlq: MLQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis may have forgotten the answer by then, and to send again would post again."""
    monkeypatch.setattr(connect, "REMEMBERED", 0.0)
    monkeypatch.setattr(bulk, "SWIFT", 60.0)
    told: list[int] = []
    with FaultProxy(redis_url) as proxy, MLQ.from_profile(redis_url=proxy.url, namespace=namespace) as far:
        proxy.drop_reply("post", 2)
        with pytest.raises(StoreUnavailable):
            far.post_many(range(2000), progress=told.append)
    assert told == [500] and mlq.job_count() == 1000, "what is certain, and one chunk more"


@pytest.mark.parametrize("numbers", [[1, 2, 3], [1, 3, 4], [7], [], [5, 9, 10, 11, 20]])
def test_ids_are_what_was_added(numbers: list[int]) -> None:
    ids, words = Ids(), [str(number) for number in numbers]
    ids.add(words)
    ids.add(["100", "101"])
    assert list(ids) == [*words, "100", "101"] == [ids[at] for at in range(len(ids))]
    assert ids[-1] == "101" and ids[-2:] == ["100", "101"]


def test_a_source_may_post_too_though_an_answer_is_lost(
    redis_url: str, namespace: str, mlq: MLQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its posts come between a call and its answer, which has to stay the one that is remembered."""
    monkeypatch.setattr(bulk, "SWIFT", 60.0)
    with FaultProxy(redis_url) as proxy, MLQ.from_profile(redis_url=proxy.url, namespace=namespace) as far:

        def messages() -> Any:
            for n in range(1200):
                if n % 100 == 50:
                    far.post("another's")
                if n % 500 == 250:
                    far.post_many(["others'"] * 3)
                yield n

        proxy.drop_reply("post", 7)  # the first chunk's: six posts came before it, the others have to wait for it
        ids = far.post_many(messages())
        assert proxy.dropped == ["post"]
    assert mlq.job_count() == 1200 + 12 + 6
    assert [record and record["msg"] for record in mlq.get_jobs(ids)] == list(range(1200))
