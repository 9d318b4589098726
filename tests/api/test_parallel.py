"""`post_many(parallel=N)`: every message once, ids in order, and nothing left behind when something goes wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.fake_redis import FakeRedis
from harness.proxy import FaultProxy
from mlq_cli import MLQ, Misuse, MlqError, StoreFull
from mlq_cli.model.errors import NotCarried
from tests_support import alive, wait_until

SOURCE = Path(__file__).parents[2] / "src"


class Made:
    """A sequence whose messages are made when a slice of it is iterated: number and process."""

    def __init__(self, numbers: range, make: Callable[[int], Any] = lambda number: number) -> None:
        self.numbers = numbers
        self.make = make

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, part: slice) -> Made:
        return Made(self.numbers[part], self.make)

    def __iter__(self) -> Iterator[Any]:
        for number in self.numbers:
            yield [self.make(number), os.getpid()]


class Unlucky(Exception):
    """An error that can be carried from one process to another."""


def messages(mlq: MLQ, ids: Any) -> list[Any]:
    return [record and record["msg"] for record in mlq.get_jobs(ids)]


def children() -> list[str]:
    return Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()


@pytest.fixture(autouse=True)
def _no_process_is_left_behind() -> Iterator[None]:
    before = children()
    yield
    assert children() == before


@pytest.mark.parametrize("posted", [list(range(7001)), range(7001), tuple(range(3)), [1], []], ids=lambda it: len(it))
@pytest.mark.parametrize("parallel", [2, 5])
def test_every_message_is_posted_once_and_ids_are_in_their_order(mlq: MLQ, posted: Any, parallel: int) -> None:
    told: list[int] = []
    ids = mlq.post_many(posted, progress=told.append, parallel=parallel)
    assert messages(mlq, ids) == list(posted) and mlq.job_count() == len(posted) == len(set(ids))
    assert told == sorted(told) and told[-1:] == ([len(posted)] if posted else [])


def test_messages_are_made_by_several_other_processes(mlq: MLQ) -> None:
    def slowly(number: int) -> int:
        threading.Event().wait(0.001)  # so that nobody is done before the others have begun
        return number

    ids = mlq.post_many(Made(range(600), slowly), parallel=3)
    found = messages(mlq, ids)
    assert [number for number, _ in found] == list(range(600))
    makers = {pid for _, pid in found}
    assert len(makers) == 3 and os.getpid() not in makers
    assert not any(map(os.path.exists, (f"/proc/{pid}" for pid in makers)))


def test_options_hold_for_all(mlq: MLQ) -> None:
    ids = mlq.post_many(range(100), parallel=2, queue="slow", priority=3)
    assert {(job["queue"], job["priority"]) for job in mlq.get_jobs(ids) if job} == {("slow", 3)}


def test_large_messages_make_small_blocks(mlq: MLQ) -> None:
    told: list[int] = []
    mlq.post_many([b"x" * (1 << 20)] * 40, progress=told.append, parallel=2)
    assert told[-1] == 40 and max(after - before for before, after in zip([0, *told], told, strict=False)) <= 8


@pytest.mark.parametrize("bad", [0, 1, 1000, 2999])
def test_an_error_while_messages_are_made_comes_out_and_nothing_behind_it_is_posted(mlq: MLQ, bad: int) -> None:
    def make(number: int) -> int:
        if number == bad:
            raise Unlucky(f"at {number}")
        return number

    told: list[int] = [0]
    with pytest.raises(Unlucky, match=f"at {bad}") as raised:
        mlq.post_many(Made(range(3000), make), progress=told.append, parallel=3)
    certain = told[-1]
    assert raised.value.__notes__[-1] == f"{certain:,} messages were posted for certain, the first ones"
    assert "in make" in raised.value.__notes__[0], "where it was raised"
    assert bad - 500 <= certain <= bad and mlq.job_count() == certain
    assert sorted(job["msg"][0] for job in mlq.list_jobs(limit=3000)) == list(range(certain))


def test_of_a_message_that_cannot_be_carried_all_before_it_are_posted(mlq: MLQ) -> None:
    with pytest.raises(NotCarried, match="type object") as raised:
        mlq.post_many([*range(1234), object(), *range(2000)], parallel=2)
    assert raised.value.__notes__ == ["1,234 messages were posted for certain, the first ones"] and raised.value.hint
    assert mlq.job_count() == 1234


def test_an_error_that_cannot_be_carried_comes_out_as_its_text(mlq: MLQ) -> None:
    class Local(Exception):
        pass

    def make(number: int) -> int:
        raise Local("of its own")

    with pytest.raises(MlqError, match="Local: of its own") as raised:
        mlq.post_many(Made(range(100), make), parallel=2)
    assert "in make" in (raised.value.hint or "")


@pytest.mark.parametrize("how", [lambda: os.kill(os.getpid(), signal.SIGKILL), lambda: os._exit(3)])
def test_a_process_that_dies_is_told(mlq: MLQ, how: Callable[[], None]) -> None:
    told: list[int] = [0]
    with pytest.raises(MlqError, match=r"in parallel ended with (signal 9|code 3)"):
        mlq.post_many(Made(range(3000), lambda n: how() if n == 1500 else n), progress=told.append, parallel=2)
    assert told[-1] <= mlq.job_count() < 1500


def test_a_full_redis_is_told(mlq: MLQ) -> None:
    answer = b"-OOM command not allowed when used memory > 'maxmemory'.\r\n"
    with FakeRedis(answer) as fake, MLQ.from_profile(redis_url=fake.url) as full, pytest.raises(StoreFull) as raised:
        full.post_many(range(3000), parallel=2)
    assert raised.value.__notes__ == ["0 messages were posted for certain, the first ones"] and raised.value.hint


def test_lost_answers_make_no_job_twice(redis_url: str, namespace: str, mlq: MLQ) -> None:
    """Each poster is a caller of its own: what it asks again is not taken for another's."""
    mlq.post("so that this process is a caller too")
    with FaultProxy(redis_url) as proxy, MLQ.from_profile(redis_url=proxy.url, namespace=namespace) as far:
        far.post("and has a connection")
        for nth in (2, 5, 9):
            proxy.drop_reply("post", nth)
            assert messages(mlq, far.post_many(range(3000), parallel=3)) == list(range(3000))
        assert proxy.dropped == ["post"] * 3
    assert mlq.job_count() == 2 + 3 * 3000


def test_a_callback_that_raises_ends_it(mlq: MLQ) -> None:
    def no(done: int) -> None:
        raise Unlucky

    with pytest.raises(Unlucky):
        mlq.post_many(range(100_000), progress=no, parallel=2)
    assert mlq.job_count() < 10_000


@pytest.mark.parametrize(
    "posted", [(n for n in range(9)), {1, 2}, {1: 2}, iter([1]), map(str, [1])], ids=lambda it: type(it).__name__
)
def test_what_cannot_be_sliced_is_refused(mlq: MLQ, posted: Any) -> None:
    with pytest.raises(Misuse, match="a length and slices") as refused:
        mlq.post_many(posted, parallel=2)
    assert "generator" in (refused.value.hint or "") and mlq.job_count() == 0


def test_slices_that_hold_something_else_are_refused(mlq: MLQ) -> None:
    class Table:
        """As a data frame: it is as long as it has rows, and yields the names of its columns."""

        def __len__(self) -> int:
            return 100

        def __getitem__(self, part: slice) -> list[str]:
            return ["its", "columns"]

    with pytest.raises(Misuse, match="has 2 messages"):
        mlq.post_many(Table(), parallel=2)  # type: ignore[arg-type]
    assert mlq.job_count() == 0


@pytest.mark.parametrize("parallel", [0, -1, 1000, 2.0, "2", None])
def test_a_number_of_processes_that_makes_no_sense_is_refused(mlq: MLQ, parallel: Any) -> None:
    with pytest.raises(Misuse, match="cannot post in parallel"):
        mlq.post_many([1, 2], parallel=parallel)


def test_true_means_each_core_and_false_none(mlq: MLQ) -> None:
    assert len(mlq.post_many(range(10), parallel=True)) == 10
    assert len(mlq.post_many((n for n in range(10)), parallel=False)) == 10


def test_threads_and_listeners_of_the_process_go_on(mlq: MLQ) -> None:
    heard: list[Any] = []

    @mlq.create_listener
    def listen(message: Any) -> None:
        heard.append(message)

    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(mlq.post_many(range(300), parallel=2))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until(lambda: len(heard) == 900, seconds=30)
    assert sorted(heard) == sorted([*range(300)] * 3) and len({job_id for ids in found for job_id in ids}) == 900


SCRIPT = """
import os, sys, time
from mlq_cli import MLQ

class Made:
    def __init__(self, numbers): self.numbers = numbers
    def __len__(self): return len(self.numbers)
    def __getitem__(self, part):
        time.sleep(float(sys.argv[1]))
        return [[number, os.getpid()] for number in self.numbers[part]]

said = open("said", "w", buffering=1)
said.write("not yet ")
print("once only", end=" ")
mlq = MLQ()
if len(sys.argv) > 2:
    mlq.job_count()
ids = mlq.post_many(Made(range(2000)), progress=lambda done: said.write(f"{done} "), parallel=2)
print([job["msg"][0] for job in mlq.get_jobs(ids)] == list(range(2000)))
"""


def start(folder: Path, *words: str, **environment: str) -> subprocess.Popen[str]:
    """Start the script above: one without a guard for its main module."""
    (folder / "script.py").write_text(SCRIPT)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MLQ_")}
    return subprocess.Popen(
        [sys.executable, "script.py", *words],
        cwd=folder,
        env={**inherited, "PYTHONPATH": str(SOURCE), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_a_script_needs_no_guard(redis_url: str, namespace: str, tmp_path: Path) -> None:
    script = start(tmp_path, "0", "connected", MLQ_REDIS_URL=redis_url, MLQ_NAMESPACE=namespace)
    assert script.communicate(timeout=60) == ("once only True\n", "")


def test_the_embedded_server_takes_them_too(short_folder: Path) -> None:
    home = {"HOME": str(short_folder), "XDG_DATA_HOME": str(short_folder)}
    try:
        assert start(short_folder, "0", **home).communicate(timeout=60) == ("once only True\n", "")
    finally:
        stop = [sys.executable, "-m", "mlq_cli", "redis", "stop"]
        subprocess.run(stop, env={**os.environ, "PYTHONPATH": str(SOURCE), **home}, check=True, capture_output=True)


@pytest.mark.parametrize("group", [True, False], ids=["all of them", "the first one alone"])
def test_ctrl_c_ends_all_and_says_what_is_certain(
    redis_url: str, namespace: str, mlq: MLQ, tmp_path: Path, group: bool
) -> None:
    script = start(tmp_path, "0.05", MLQ_REDIS_URL=redis_url, MLQ_NAMESPACE=namespace)
    wait_until(lambda: mlq.job_count() > 100, seconds=30)
    makers = {job["msg"][1] for job in mlq.list_jobs(limit=500)}
    (os.killpg if group else os.kill)(script.pid, signal.SIGINT)
    said = script.communicate(timeout=30)[1]
    certain = int((tmp_path / "said").read_text().split()[-1])
    assert script.returncode == -signal.SIGINT and f"{certain:,} messages were posted for certain, the first" in said
    assert said.count("Traceback") == 1, "of the parent alone"
    assert makers and not any(map(alive, makers))
    assert certain == mlq.job_count() > 100
    assert sorted(job["msg"][0] for job in mlq.list_jobs(limit=2000)) == list(range(certain))


def test_posters_end_with_their_parent(redis_url: str, namespace: str, mlq: MLQ, tmp_path: Path) -> None:
    script = start(tmp_path, "0.05", MLQ_REDIS_URL=redis_url, MLQ_NAMESPACE=namespace)
    wait_until(lambda: mlq.job_count() > 100, seconds=30)
    makers = {job["msg"][1] for job in mlq.list_jobs(limit=500)}
    script.kill()
    script.communicate()
    wait_until(lambda: not any(map(alive, makers)))
    count = mlq.job_count()
    assert makers and 100 < count < 2000
