"""`mlq get` and `mlq wait`."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from mlq_cli import MLQ

from .conftest import End, Run, one_line_error


@pytest.mark.parametrize(
    ("result", "printed"),
    [
        (18, b"18\n"),
        ("hello \x1b", b"hello \x1b\n"),
        ({"a": [1, None, "é"]}, '{"a":[1,null,"é"]}\n'.encode()),
        (b"\x00\xff", b"\x00\xff"),
        (None, b"null\n"),
        (float("nan"), b"NaN\n"),
        ([float("nan")], b"[null]\n"),
        (10**5000, b"1" + b"0" * 5000 + b"\n"),
    ],
    ids=["number", "text", "structure", "bytes", "nothing", "nan", "nan inside", "big integer"],
)
def test_a_result_is_printed_as_it_is(cli: Run, end: End, result: Any, printed: bytes) -> None:
    done = cli("get", end(result))
    assert (done.returncode, done.stdout, done.stderr) == (0, printed, b"")


def test_a_result_is_written_to_a_file(cli: Run, end: End, tmp_path: Path) -> None:
    assert cli("get", end(b"\x00\xff"), "-o", "out").stdout == b""
    assert (tmp_path / "out").read_bytes() == b"\x00\xff"
    assert cli("get", end("text"), "-o", "/nowhere/out").returncode == 74


def test_a_job_that_has_not_ended_is_exit_4(cli: Run, mlq: MLQ) -> None:
    done = cli("get", mlq.post("x"))
    assert (done.returncode, done.stdout) == (4, b"")
    assert b"is queued" in done.stderr


def test_a_job_that_failed_is_exit_5_and_its_error_is_harmless(cli: Run, end: End) -> None:
    done = cli("get", end(error=("ValueError", "no \x1b[31m such\nimage")))
    assert (done.returncode, done.stdout) == (5, b"")
    assert b"ValueError: no \\x1b[31m such" in done.stderr


def test_a_job_that_was_canceled_is_exit_6_and_an_unknown_one_exit_3(cli: Run, mlq: MLQ) -> None:
    job_id = mlq.post("x")
    mlq.cancel(job_id)
    assert cli("get", job_id).returncode == 6
    unknown = cli("get", "999999")
    assert unknown.returncode == 3
    assert one_line_error(unknown) == "there is no job 999999"


def test_parts_of_a_record_are_printed_alone(cli: Run, end: End, mlq: MLQ) -> None:
    good, bad = end(1, short="in short"), end(error=("ValueError", "no"))
    assert cli("get", good, "--short").stdout == b"in short\n"
    assert cli("get", good, "--progress").stdout == b"[completed]\n"
    assert cli("get", mlq.post("x"), "--progress").stdout == b"[queued; not started]\n"
    assert cli("get", bad, "--traceback").stdout == b"Traceback: somewhere\nValueError: no\n"
    assert cli("get", good, "--traceback").stdout == b""
    assert cli("get", good, "--short", "--progress").returncode == 2


def test_json_is_the_whole_record_and_changes_no_exit_code(cli: Run, end: End) -> None:
    good, bad = cli("get", end(b"xx"), "--json"), cli("get", end(error=("ValueError", "no")), "--json")
    record = json.loads(good.stdout)
    assert record["result"] == {"$bytes": "eHg="}
    assert record["timestamp"].endswith("Z")
    assert (good.returncode, bad.returncode) == (0, 5)
    assert json.loads(bad.stdout)["error"] == "ValueError: no"


@pytest.mark.parametrize("words", [("--wait",), ("--wait", "20s")])
def test_waiting_ends_with_the_job(cli: Run, mlq: MLQ, words: tuple[str, ...]) -> None:
    job_id = mlq.post("x")
    codes = []
    waiting = Thread(target=lambda: codes.append(cli("get", *words, job_id).returncode))
    waiting.start()
    mlq.cancel(job_id)
    waiting.join(20)
    assert codes == [6]


def test_a_wait_that_is_too_long_is_exit_4(cli: Run, mlq: MLQ) -> None:
    job_id = mlq.post("x")
    done = cli("wait", job_id, "--timeout", "50ms")
    assert done.returncode == 4
    assert "goes on" in one_line_error(done)


def test_waiting_for_many_jobs_says_how_each_did(cli: Run, end: End, mlq: MLQ) -> None:
    good, bad = end(1), end(error=("ValueError", "no"))
    done = cli("wait", good, bad)
    assert (done.returncode, done.stdout.decode()) == (5, f"{good}\tsucceeded\n{bad}\tdead\n")
    assert json.loads(cli("wait", good, "--json").stdout) == {"id": good, "state": "succeeded"}
    assert cli("wait", good, "999999").returncode == 3
