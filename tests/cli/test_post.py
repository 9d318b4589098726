"""`mlq post`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mlq_cli import MLQ
from mlq_cli.model.job import State
from mlq_cli.model.values import pack
from tests_support import wait_until

from .conftest import SOURCE, Run, one_line_error


def test_post_prints_the_id_and_nothing_else(cli: Run, mlq: MLQ) -> None:
    done = cli("post", '{"arg1": 6, "arg2": 3}')
    assert (done.returncode, done.stderr) == (0, b"")
    assert mlq.get_job(done.stdout.decode().strip())["msg"] == {"arg1": 6, "arg2": 3}


def test_the_line_with_angle_brackets_works_as_typed(cli: Run, mlq: MLQ) -> None:
    done = cli("post", '<"arg1":6>', "--callback", "http://localhost:8000/done")
    job = mlq.get_job(done.stdout.decode().strip())
    assert (job["msg"], job["callback"]) == ({"arg1": 6}, "http://localhost:8000/done")
    assert job["callback_method"] == "GET"
    posted = cli("post", "x", "--callback", "http://localhost:8000/done", "--callback-method", "post").stdout.decode()
    assert mlq.get_job(posted.strip())["callback_method"] == "POST"


def test_all_flags_reach_the_job(cli: Run, mlq: MLQ) -> None:
    words = "-q slow --priority -5 --delay 1h --retries 3 --timeout 90s --id mine --functions a,b --functions c"
    done = cli("post", "hello", *words.split())
    assert done.stdout == b"mine\n"
    job = mlq.get_job("mine")
    assert (job["queue"], job["priority"], job["retries_allowed"], job["timeout"]) == ("slow", -5, 3, 90.0)
    assert job["functions"] == ["a", "b", "c"]
    assert job["state"] is State.SCHEDULED
    assert job["due_at"] == pytest.approx(job["timestamp"] + 3600, abs=1)


def test_an_instant_is_read_as_iso_8601(cli: Run, mlq: MLQ) -> None:
    done = cli("post", "x", "--at", "2099-01-01T00:00:00Z")
    assert mlq.get_job(done.stdout.decode().strip())["due_at"] == 4070908800.0


def test_a_message_comes_from_stdin_or_a_file(cli: Run, mlq: MLQ, tmp_path: Path) -> None:
    (tmp_path / "picture").write_bytes(b"\x89PNG\xff")
    first = cli("post", "-", stdin=b'{"a": 1}\n').stdout.decode().strip()
    second = cli("post", "@picture").stdout.decode().strip()
    assert (mlq.get_job(first)["msg"], mlq.get_job(second)["msg"]) == ({"a": 1}, b"\x89PNG\xff")


@pytest.mark.parametrize("message", ["\U0001f600 é", "x" * 100_000, "a b\nc\td"])
def test_odd_texts_round_trip(cli: Run, mlq: MLQ, message: str) -> None:
    done = cli("post", message)
    assert mlq.get_job(done.stdout.decode().strip())["msg"] == message


@pytest.mark.parametrize(
    "words",
    [
        ("post", '{"a":'),
        ("post", '"\\ud800"'),
        ("post", "[" * 5000 + "]" * 5000),
        ("post", b"\xff"),
        ("post", "x", "--delay", "5x"),
        ("post", "x", "--priority", "high"),
        ("post", "x", "--priority", "9999"),
        ("post", "x", "-q", "bad name"),
        ("post", "x", "--callback", "nowhere"),
        ("post", "x", "--callback", "http://169.254.169.254/"),
        ("post", "x", "--callback", "http://localhost:8000", "--callback-method", "PUT"),
        ("post", "x", "--callback-method", "POST"),
        ("post", "x", "--at", "tomorrow"),
        ("post", "x", "--delay", "1s", "--at", "2099-01-01"),
        ("post", "x", "--id", "53"),
        ("post", "x", "--functions", ","),
        ("post",),
        ("post", "x", "--jsonl", "y"),
        ("post", "--jsonl", "nowhere"),
        ("post", "@nowhere"),
        ("post", "--bogus", "x"),
        ("post", "-5"),
    ],
)
def test_what_makes_no_sense_is_one_line_and_exit_2(cli: Run, mlq: MLQ, words: tuple[str, ...]) -> None:
    done = cli(*words)
    assert (done.returncode, done.stdout) == (2, b"")
    assert one_line_error(done)
    assert mlq.job_count() == 0


def test_a_file_of_messages_is_posted_line_by_line(cli: Run, mlq: MLQ) -> None:
    done = cli("post", "--jsonl", "-", stdin=b'1\n\n{"a": 2}\n"three"')
    ids = done.stdout.decode().split()
    assert (done.returncode, done.stderr) == (0, b"")
    assert [job and job["msg"] for job in mlq.get_jobs(ids)] == [1, {"a": 2}, "three"]


def test_many_messages_are_posted_from_a_file(cli: Run, mlq: MLQ, tmp_path: Path) -> None:
    (tmp_path / "many.jsonl").write_text("".join(f"{i}\n" for i in range(5000)))
    done = cli("post", "--jsonl", "many.jsonl")
    assert len(done.stdout.split()) == 5000
    assert mlq.job_count() == 5000


@pytest.mark.parametrize(
    "bad", [b"{bad", b'"\\ud800"', b"\xff", b"[NaN]", b"[1e999]", b'{"a": -1e400}', b"\xef\xbb\xbf1"]
)
def test_a_bad_line_is_named_and_what_stands_before_it_is_posted(cli: Run, mlq: MLQ, bad: bytes) -> None:
    done = cli("post", "--jsonl", "-", stdin=b"1\n\n2\n" + bad + b"\n4\n")
    assert done.returncode == 2
    assert "error: line 4: " in done.stderr.decode()
    assert "2 messages were posted" in done.stderr.decode()
    assert [job and job["msg"] for job in mlq.get_jobs(done.stdout.decode().split())] == [1, 2]
    assert mlq.job_count() == 2


def test_json_gives_one_document_and_for_many_one_a_line(cli: Run) -> None:
    one = cli("post", "x", "--json")
    many = cli("post", "--jsonl", "-", "--json", stdin=b"1\n2\n")
    assert list(json.loads(one.stdout)) == ["id"]
    assert [list(json.loads(line)) for line in many.stdout.splitlines()] == [["id"], ["id"]]


def test_waiting_takes_the_next_word_only_when_it_is_a_duration(cli: Run, mlq: MLQ) -> None:
    done = cli("post", "--wait", "0", "first")
    assert (done.returncode, done.stdout) == (4, b"")
    done = cli("post", "second", "--wait", "0")
    assert done.returncode == 4
    done = cli("post", "third", "--wait=0")
    assert done.returncode == 4
    assert {job["msg"] for job in mlq.list_jobs()} == {"first", "second", "third"}


def test_a_flag_is_set_by_its_variable(cli: Run, mlq: MLQ) -> None:
    done = cli("post", "x", env={"MLQ_POST_QUEUE": "slow", "MLQ_JSON": "1"})
    assert mlq.get_job(json.loads(done.stdout)["id"])["queue"] == "slow"


def test_a_bulk_post_that_is_interrupted_says_how_many_are_in(
    redis_url: str, namespace: str, mlq: MLQ, tmp_path: Path
) -> None:
    where = ("--redis-url", redis_url, "--namespace", namespace)
    command = [sys.executable, "-m", "mlq_cli", "post", "--jsonl", "-", *where]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path, env=environment
    ) as posting:
        assert posting.stdin is not None
        posting.stdin.write(b'"a message of some length"\n' * 2000)  # and more may follow
        posting.stdin.flush()
        # With the second thousand under way, the answer to the first five hundred has been read.
        wait_until(lambda: mlq.store.records(["1000"]) != [None])
        posting.send_signal(signal.SIGINT)
        said = posting.communicate(timeout=20)[1].decode()
    assert posting.returncode == 130
    certain = int(said.split()[0].replace(",", ""))
    assert "messages were posted for certain" in said and certain >= 500
    assert None not in mlq.store.records([str(number) for number in range(1, certain + 1)])


def test_a_line_that_looks_infinite_when_it_is_packed_is_none(cli: Run, mlq: MLQ) -> None:
    message = [0xCB7FF00000000000, 0, 1e308, 5e-324]
    assert b"\xcb\x7f\xf0\0\0\0\0\0\0" in pack(message)
    done = cli("post", "--jsonl", "-", stdin=json.dumps(message).encode())
    assert mlq.get_job(done.stdout.decode().strip())["msg"] == message


def test_several_processes_post_the_lines_of_a_file_in_order(cli: Run, mlq: MLQ, tmp_path: Path) -> None:
    (tmp_path / "many.jsonl").write_text(
        "\n" + "".join(f'{{"n": {i}, "text": "{"x" * (i % 300)}"}}\n' for i in range(5000))
    )
    done = cli("post", "--jsonl", "many.jsonl", "--parallel", "3")
    assert (done.returncode, done.stderr) == (0, b"")
    assert [job and job["msg"]["n"] for job in mlq.get_jobs(done.stdout.decode().split())] == list(range(5000))
    assert mlq.job_count() == 5000


@pytest.mark.parametrize("bad", [1, 2, 1000, 4999, 5000])
def test_a_bad_line_is_named_by_several_processes_too(cli: Run, mlq: MLQ, bad: int) -> None:
    lines = [f'"{i} {"x" * 100}"'.encode() for i in range(1, 5001)]
    for number in (bad, bad + 5, bad + 1000):
        lines[number - 1 : number] = [b"{bad"]
    done = cli("post", "--jsonl", "-", "--parallel", "2", stdin=b"\n".join(lines))
    assert done.returncode == 2
    assert f"error: line {bad}: " in done.stderr.decode()
    assert f"{bad - 1:,} messages were posted, all that stand before line {bad}" in done.stderr.decode()
    posted = mlq.get_jobs(done.stdout.decode().split())
    assert [job and int(job["msg"].split()[0]) for job in posted] == list(range(1, bad)) and mlq.job_count() == bad - 1


@pytest.mark.parametrize("parallel", ["1", "3"])
def test_what_came_through_a_pipe_is_posted_though_more_may_follow(
    redis_url: str, namespace: str, mlq: MLQ, tmp_path: Path, parallel: str
) -> None:
    where = ("--redis-url", redis_url, "--namespace", namespace)
    command = [sys.executable, "-m", "mlq_cli", "post", "--jsonl", "-", "--parallel", parallel, *where]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path, env=environment
    ) as posting:
        assert posting.stdin is not None
        posting.stdin.write(b'"a message of some length"\n' * 2000 + b'"and half')
        posting.stdin.flush()
        wait_until(lambda: mlq.job_count() >= 2000, seconds=20)
        said = posting.communicate(b' a line"\n', timeout=20)
    assert (posting.returncode, len(said[0].split()), said[1]) == (0, 2001, b"")
    assert [job["msg"] for job in mlq.list_jobs(limit=1)] == ["and half a line"]


def test_parallel_is_for_lines(cli: Run) -> None:
    assert cli("post", "x", "--parallel", "2").returncode == 2
    assert cli("post", "--jsonl", "-", "--parallel", "0", stdin=b"1\n").returncode == 2
