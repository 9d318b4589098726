"""The log of a worker, which waits for nobody."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlq_cli.cli import log_writer
from mlq_cli.cli.log_writer import LogWriter
from tests_support import wait_until


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)
    os.close(writer)


def say(writer: LogWriter, text: str) -> None:
    writer.emit(logging.LogRecord("mlq", logging.INFO, "", 0, text, None, None))


def test_lines_come_in_order_and_flush_waits_for_them(pipe: tuple[int, int]) -> None:
    writer = LogWriter(pipe[1])
    for number in range(100):
        say(writer, f"line {number}")
    writer.flush()
    assert os.read(pipe[0], 1 << 16).decode().splitlines() == [f"line {number}" for number in range(100)]


def test_a_full_pipe_makes_nobody_wait_and_what_was_lost_is_counted(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_writer, "MOST", 100)
    monkeypatch.setattr(log_writer, "PATIENCE", 0.1)
    writer = LogWriter(pipe[1])
    began = time.monotonic()
    for _ in range(3000):
        say(writer, "x" * 99)
    writer.flush()
    assert time.monotonic() - began < 3
    os.set_blocking(pipe[0], False)
    read = bytearray()

    def all_told() -> bool:
        try:
            read.extend(os.read(pipe[0], 1 << 16))
        except BlockingIOError:
            pass
        lines = read.decode().splitlines()
        told = [line for line in lines if line.startswith("(")]
        lost = sum(int(line.split()[0].removeprefix("(")) for line in told)
        return lost > 500 and len(lines) - len(told) + lost == 3000

    wait_until(all_told)


def test_a_reader_that_is_gone_is_no_error() -> None:
    reader, end = os.pipe()
    os.close(reader)
    writer = LogWriter(end)
    say(writer, "to nobody")
    writer.flush()
    os.close(end)


def test_a_fork_begins_anew_although_the_lock_was_held(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        writer = LogWriter(file.fileno())
        with writer._changed:
            child = os.fork()
            if child == 0:
                writer.emit(logging.LogRecord("mlq", logging.INFO, "", 0, "from the child", None, None))
                writer.flush()
                os._exit(0)
        wait_until(lambda: os.waitpid(child, os.WNOHANG)[0] == child)
    assert (tmp_path / "log").read_text() == "from the child\n"
