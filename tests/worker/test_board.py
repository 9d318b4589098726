"""The board: what an executor notes and what the worker reads, while both are at it."""

from __future__ import annotations

import gc
import os
import random
import threading
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import msgpack
import pytest

from mlq_cli.worker.board import PLACE_BITS, WIDTH, Board

JOBS = 40  # in a slice


def mark_of(number: int, place: int) -> int:
    return number << PLACE_BITS | place


@pytest.fixture
def ends() -> Iterator[tuple[Board, Board]]:
    """The worker's and the executor's end, as two mappings of the same memory."""
    ours = Board()
    theirs = Board(ours.fileno())
    yield ours, theirs
    ours.close_file()


def test_each_place_has_its_own_note(ends: tuple[Board, Board]) -> None:
    ours, theirs = ends
    for slot in range(WIDTH):
        theirs.begin(mark_of(slot + 1, slot), slot / 2, slot)
    assert [ours.begun(slot) for slot in range(WIDTH)] == [(mark_of(n + 1, n), n / 2) for n in range(WIDTH)]
    assert theirs.keep(b"outcome"), "notes and outcomes do not overlap"
    assert ours.begun(WIDTH - 1).mark == mark_of(WIDTH, WIDTH - 1)


def test_asking_to_leave_is_seen_at_the_other_end(ends: tuple[Board, Board]) -> None:
    ours, theirs = ends
    assert not theirs.asked_to_leave
    ours.ask_to_leave()
    assert theirs.asked_to_leave


# --- recall ---------------------------------------------------------------------------------------------------------
def test_a_recall_takes_what_has_not_begun_and_only_of_that_slice(ends: tuple[Board, Board]) -> None:
    ours, theirs = ends
    theirs.begin(mark_of(3, 5), 0.0)
    assert ours.recall(3) == mark_of(3, 5)
    assert not theirs.recalled(mark_of(3, 5)), "it had begun"
    assert theirs.recalled(mark_of(3, 6)) and theirs.recalled(mark_of(3, 7))
    assert not theirs.recalled(mark_of(4, 0)), "another slice"


def test_a_slice_that_is_recalled_before_it_was_noted_is_not_run(ends: tuple[Board, Board]) -> None:
    ours, theirs = ends
    theirs.begin(mark_of(3, 5), 0.0)
    assert ours.recall(4) is None
    theirs.begin(mark_of(4, 0), 0.0)
    assert theirs.recalled(mark_of(4, 0))


def test_a_recalled_slice_stays_so_while_others_are_looked_for(ends: tuple[Board, Board]) -> None:
    ours, theirs = ends
    theirs.begin(mark_of(3, 5), 0.0)
    assert ours.recall(3) == mark_of(3, 5) and ours.recall(4) is None
    assert theirs.recalled(mark_of(3, 6))


def test_a_recall_that_comes_too_late_draws_no_line_in_the_next_slice(ends: tuple[Board, Board]) -> None:
    """When that is recalled itself, the executor must not take an older line for the one that is being drawn."""
    ours, theirs = ends
    theirs.begin(mark_of(4, 0), 0.0)
    assert ours.recall(3) is None
    theirs.begin(mark_of(4, 5), 0.0)
    answers: list[bool] = []
    ours._words[0] = 4  # the worker begins to recall it ...
    asking = threading.Thread(target=lambda: answers.append(theirs.recalled(mark_of(4, 5))))
    asking.start()
    asking.join(0.05)
    assert ours.recall(4) == mark_of(4, 5)  # ... and draws the line
    asking.join(5)
    assert answers == [False]


def test_a_worker_that_is_frozen_while_it_recalls_is_waited_for(ends: tuple[Board, Board]) -> None:
    """Nobody else knows whether it had seen this job begin."""
    ours, theirs = ends
    theirs.begin(mark_of(2, 1), 0.0)
    ours._words[0] = 2
    answers: list[bool] = []
    asking = threading.Thread(target=lambda: answers.append(theirs.recalled(mark_of(2, 2))))
    asking.start()
    asking.join(1.2)
    assert asking.is_alive()
    ours.recall(2)
    asking.join(5)
    assert answers == [True]


def run_slices(descriptor: int, slices: int, told: int) -> None:
    """An executor: run slice after slice and say, at the end, how much was run of each."""
    board = Board(descriptor)
    run = bytearray(slices + 1)
    for number in range(1, slices + 1):
        for place in range(JOBS):
            mark = mark_of(number, place)
            board.begin(mark, 0.0)
            if board.recalled(mark):
                break
            run[number] += 1
            for _ in range(number % 50):
                pass
    with os.fdopen(told, "wb") as file:
        file.write(run)


@pytest.mark.parametrize("slices", [10_000, pytest.param(300_000, marks=pytest.mark.minutes)])
def test_no_job_is_both_run_and_taken_back_and_none_is_lost(slices: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """An executor runs slices as fast as it can; they are recalled too early, at any moment, and too late."""
    monkeypatch.setattr("mlq_cli.worker.board._SETTLED", 2e-5)  # at both ends: more rounds in the same time
    board = Board()
    answers, told = os.pipe()
    child = get_context("fork").Process(target=run_slices, args=(board.fileno(), slices, told))
    child.start()
    os.close(told)
    found: dict[int, int | None] = {}
    while (number := board.begun().mark >> PLACE_BITS) < slices and child.is_alive():
        wanted = number + random.choice((-1, 0, 0, 0, 1))
        if number and wanted not in found and found.get(number) is None:
            before = board.begun().mark >> PLACE_BITS
            found[wanted] = board.recall(wanted)
            if before > wanted:
                del found[wanted]  # it was over: nothing to judge but that the others are run
    with os.fdopen(answers, "rb") as file:
        run = file.read()
    child.join(10)
    board.close_file()
    assert len(run) == slices + 1
    for number in range(1, slices + 1):
        begun = found.get(number)
        if number in found and begun is not None:
            assert run[number] == begun % (1 << PLACE_BITS) + 1, f"slice {number}"
        elif number not in found:
            assert run[number] == JOBS, f"slice {number}"
        else:
            assert run[number] in (0, JOBS), f"slice {number}: it was over, or must not be run at all"
    cut = sum(0 < run[number] < JOBS for number in found)
    assert cut > slices / 1000, f"{len(found)} were recalled, {cut} in the middle"


# --- outcomes -------------------------------------------------------------------------------------------------------
def test_outcomes_are_kept_until_they_are_sent(ends: tuple[Board, Board]) -> None:
    ours, theirs = ends
    assert ours.unsent() == b""
    assert theirs.keep(b"one ") and theirs.keep(b"two")
    assert ours.unsent() == b"one two" == ours.unsent()
    theirs.sent()
    assert ours.unsent() == b""
    theirs.keep(b"three")
    assert ours.unsent() == b"three"


def test_an_outcome_for_which_there_is_no_room_is_refused_and_the_others_stay(ends: tuple[Board, Board]) -> None:
    ours, theirs = ends
    frame = b"z" * 10_000
    kept = 0
    while theirs.keep(frame):
        kept += 1
    assert kept == (1 << 16) // len(frame) and ours.unsent() == frame * kept
    theirs.sent()
    assert theirs.keep(frame) and ours.unsent() == frame


def test_lots_of_outcomes_are_counted_without_end(ends: tuple[Board, Board]) -> None:
    """Some thousand a second: after days the count begins again."""
    ours, theirs = ends
    theirs._lot = (1 << 31) - 1
    theirs.keep(b"last")
    assert ours.unsent() == b"last"
    theirs.sent()
    theirs.keep(b"first")
    assert ours.unsent() == b"first"


def test_outcomes_that_are_read_while_they_are_sent_are_whole_and_none_is_missing(ends: tuple[Board, Board]) -> None:
    """Read at any moment, what was sent before and what is on the board hold all that was kept before that moment."""
    ours, theirs = ends
    rounds, sent, kept = 4000, [0], [0]

    def execute() -> None:
        for number in range(rounds):
            frame = msgpack.packb([number, bytes([number % 251]) * (number % 90)])
            theirs.keep(frame)
            kept[0] = number + 1
            if number % 40 == 39:
                time.sleep(0.0015)  # a job that takes long: now they are looked for
            if number % 7 == 6:
                sent[0] = number + 1  # the pipe has them
                theirs.sent()

    thread = threading.Thread(target=execute)
    thread.start()
    seen = 0
    while thread.is_alive():
        before = kept[0]
        unpacker = msgpack.Unpacker()
        unpacker.feed(ours.unsent())
        numbers = []
        for number, filling in unpacker:
            assert filling == bytes([number % 251]) * (number % 90), "torn"
            numbers.append(number)
        assert not numbers or numbers == list(range(numbers[0], numbers[-1] + 1))
        assert max([sent[0], *(number + 1 for number in numbers)]) >= before, "an outcome is nowhere"
        seen += bool(numbers)
    thread.join()
    assert seen, "none was ever read while the executor was at it"


def test_a_board_outlasts_its_descriptor_and_goes_with_its_last_holder() -> None:
    def boards() -> int:
        return Path("/proc/self/maps").read_text().count("mlq-board")

    gc.collect()
    before = boards()
    board = Board()
    board.close_file()
    board.begin(mark_of(1, 0), 1.0)
    assert board.begun().mark == mark_of(1, 0) and boards() == before + 1
    del board
    gc.collect()
    assert boards() == before
