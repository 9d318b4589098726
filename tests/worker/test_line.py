"""The line between a worker and its executors: who gets a slice, in which order, and what is taken back."""

from __future__ import annotations

import os
import resource
import socket
import threading
from collections.abc import Iterator
from itertools import chain

import pytest

from mlq_cli.worker.line import LONGEST, Line, Receiver

LONG = b"x" * (LONGEST + 1)


@pytest.fixture
def line() -> Iterator[Line]:
    opened = Line()
    yield opened
    opened.close()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def receiver(line: Line) -> tuple[Receiver, list[int]]:
    noted: list[int] = []
    return Receiver(line.receiving_end, noted.append), noted


def test_slices_arrive_whole_and_in_order_and_are_noted(line: Line) -> None:
    taker, noted = receiver(line)
    assert line.send(1, [b"a", b"b"]) and line.send(2, [b"c" * LONGEST]) and line.send(3, [LONG])
    assert [taker.receive() for _ in range(3)] == [(1, b"ab"), (2, b"c" * LONGEST), (3, LONG)]
    assert noted == [1, 2, 3]
    assert taker.receive_now() is None


def test_a_slice_goes_to_one_of_several_receivers_or_is_taken_back(line: Line) -> None:
    slices, received, taken = 3000, [list[int]() for _ in range(3)], list[int]()

    def receive(mine: list[int]) -> None:
        taker = Receiver(line.receiving_end, lambda number: None)
        while (number := taker.receive()[0]) != 0:
            mine.append(number)

    threads = [threading.Thread(target=receive, args=(mine,), daemon=True) for mine in received]
    for thread in threads:
        thread.start()
    for number in range(1, slices + 1):
        while not line.send(number, [b"job"]):
            pass
        if number % 7 == 0:
            taken += line.take_back()
    while any(thread.is_alive() for thread in threads):
        line.stop()
        for thread in threads:
            thread.join(0.01)
    assert sorted([*chain(*received), *taken]) == list(range(1, slices + 1))
    assert all(mine == sorted(mine) for mine in (*received, taken)), "each gets them in order"
    assert all(received), "each of them gets some"


@pytest.mark.timeout(10)
def test_a_full_line_says_so_and_loses_nothing(line: Line) -> None:
    sent = 0
    while line.send(sent + 1, [b"y" * LONGEST]):
        sent += 1
    assert sent > 2 and not line.send(sent + 1, [LONG]), "a long one does not get past it either"
    line.stop()  # harmless
    assert line.take_back() == list(range(1, sent + 1))
    assert line.send(1, [b"again"]) and line.take_back() == [1]


def test_a_long_job_is_received_and_taken_back_without_leaving_a_descriptor(line: Line) -> None:
    taker, _ = receiver(line)
    before = descriptors()
    for number in range(1, 301):
        assert line.send(number, [LONG])
        if number % 2:
            assert taker.receive() == (number, LONG)
        else:
            assert line.take_back() == [number]
    assert descriptors() == before


@pytest.mark.timeout(10)
def test_a_full_line_leaves_no_descriptor_of_a_long_job(line: Line) -> None:
    while line.send(1, [b"y"]):
        pass
    before = descriptors()
    assert not any(line.send(2, [LONG]) for _ in range(50))
    assert descriptors() == before


def test_a_slice_is_noted_before_its_descriptor_is_found_missing(line: Line) -> None:
    """Whatever comes of reading it, it must be known who has it."""
    taker, noted = receiver(line)
    assert line.send(5, [LONG])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(OSError, match="too many open files"):
            taker.receive()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert noted == [5]


def test_words_to_stop_outlast_what_is_taken_back_until_all_have_gone(line: Line) -> None:
    taker, noted = receiver(line)
    line.send(1, [b"a"])
    line.stop()
    line.stop()
    assert line.take_back() == [1] and line.take_back() == []
    assert taker.receive() == (0, b"") and noted == []
    line.send(2, [b"b"])
    assert line.clear() == [2] and taker.receive_now() is None


def test_a_closed_line_is_an_error_and_not_a_full_one() -> None:
    line = Line()
    line.close()
    with pytest.raises(OSError):
        line.send(1, [b"a"])


def test_whoever_still_receives_when_the_line_is_closed_is_told_to_stop() -> None:
    """A thread that was given up cannot be killed, and must not take the jobs of the one that replaces it."""
    line = Line()
    with line.receiving_end.dup() as end:
        line.close()
        assert Receiver(end, lambda number: None).receive() == (0, b"")


def test_a_receiver_keeps_receiving_from_a_duplicate(line: Line) -> None:
    """An executor has the end by a number of its own."""
    with socket.socket(fileno=os.dup(line.receiving_end.fileno())) as end:
        assert line.send(1, [b"a"])
        assert Receiver(end, lambda number: None).receive_now() == (1, b"a")
