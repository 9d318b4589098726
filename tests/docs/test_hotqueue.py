"""HotQueue's documented examples, with only our names, do what its documentation says.

They name `localhost` and port 6379. Here that port may be taken, so the number of another one stands in its place.
"""

from __future__ import annotations

import runpy
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlq_cli import MLQ
from mlq_cli.store.redis.connect import UrlEndpoint, Wire
from tests_support import Server, wait_until

SNIPPETS = Path(__file__).parents[2] / "docs" / "examples" / "hotqueue"


@pytest.fixture
def port(short_folder: Path) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        number = free.getsockname()[1]
    with Server(short_folder, "--port", str(number), "--bind", "127.0.0.1"):
        wait_until(lambda: Wire(UrlEndpoint(f"redis://127.0.0.1:{number}")).exchange([("PING",)]) == [b"PONG"])
        yield number


@pytest.fixture
def snippets(port: int, tmp_path: Path) -> Path:
    for snippet in SNIPPETS.glob("*.py"):
        (tmp_path / snippet.name).write_text(snippet.read_text().replace("6379", str(port)))
    return tmp_path


@pytest.fixture
def mlq(port: int) -> Iterator[MLQ]:
    with MLQ("myqueue", "localhost", port) as opened:
        yield opened


@pytest.fixture
def running(snippets: Path) -> Iterator[Callable[[str], Callable[[], list[str]]]]:
    """Runs a snippet until the test ends; returns what it has printed."""
    processes: list[subprocess.Popen[bytes]] = []

    def run(name: str) -> Callable[[], list[str]]:
        printed = snippets / f"printed{len(processes)}"
        with printed.open("wb") as file:
            processes.append(subprocess.Popen([sys.executable, name], cwd=snippets, stdout=file))
        return lambda: printed.read_text().splitlines()

    yield run
    for process in processes:
        process.terminate()
        process.wait()


def run(snippets: Path, name: str) -> dict[str, Any]:
    names: dict[str, Any] = runpy.run_path(str(snippets / name))
    names["mlq"].close()
    return names


def test_items_are_put_onto_the_queue_and_got_off_it_in_their_order(
    snippets: Path, mlq: MLQ, capsys: pytest.CaptureFixture[str]
) -> None:
    run(snippets, "connecting.py")
    assert len(mlq) == 1006
    run(snippets, "getting.py")
    assert capsys.readouterr().out == "[4, 5, 6, 'my message', 7]\n1.7\n"
    assert list(mlq.consume(timeout=0)) == [{"number": number} for number in range(1000)]


def test_the_queue_is_consumed_in_another_program(
    snippets: Path, mlq: MLQ, running: Callable[[str], Callable[[], list[str]]]
) -> None:
    printed = running("consuming.py")
    mlq.post("one")
    wait_until(lambda: printed() == ["one"], seconds=20)
    mlq.post("two")
    wait_until(lambda: printed() == ["one", "two"])
    wait_until(lambda: len(mlq) == 0)


def test_two_workers_share_the_numbers_and_no_number_is_squared_twice(
    snippets: Path, mlq: MLQ, running: Callable[[str], Callable[[], list[str]]]
) -> None:
    first, second = running("square.py"), running("square.py")
    wait_until(lambda: len(mlq.workers()) == 2, seconds=20)
    mlq.post_many(range(200))
    wait_until(lambda: len(first() + second()) >= 200, seconds=20)
    assert sorted(map(int, first() + second())) == [number * number for number in range(200)]


def test_messages_are_serialized_as_one_likes(snippets: Path) -> None:
    names = run(snippets, "serialization.py")
    assert names["as_it_is"] == names["as_json"] == {"name": "Richard Henry", "eyes": "blue"}
    assert names["as_text"] == "mymessage"


def test_the_examples_of_the_reference_print_what_they_do_there(
    snippets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(snippets, "reference.py")
    two = ["my message", "another message"]
    assert capsys.readouterr().out.splitlines() == [*two, *two, "3", "0 None", *two, "method: my message"]
