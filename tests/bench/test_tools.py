"""The tools of this folder still run, on a small scale and on the embedded server's program; peers are left out."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from mlq_cli.store.redis.server_binary import find_binary

sys.path.append(str(Path(__file__).parent))
import alone
import cpu
import measure
import promise
import report
import targets
import tuning
from arena import Arena
from contestants import OURS, PEERS, THROW_AWAY, YARDSTICK, Contestant
from parts import ALL, PARTS
from rounds import Results
from server import Server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(find_binary(None)) as running:
        yield running


@pytest.fixture
def results() -> Results:
    """Made up: everybody has measured everything, twice."""
    made = Results()
    keys = [*(key for _, key, _ in report.RATIOS), *(key for _, key in (*report.SPEED, *report.RESOURCES))]
    for place, name in enumerate((OURS.name, YARDSTICK.name, THROW_AWAY.name, *(peer.name for peer in PEERS)), 1):
        for twice in (1, 2):
            made.add(name, dict.fromkeys(keys, 100.0 * place + twice))
    made.add(OURS.name, {key: 3.0 for _, key in report.ALONE})
    for number in alone.DEPTHS:
        made.add(OURS.name, {f"drain of {number:,} waiting/s": 5.0, f"redis us/job, {number:,} waiting": 6.0})
    for number in alone.CROWDS:
        made.add(OURS.name, {f"redis us/job, {number:,} workers": 7.0 + number})
    return made


def page(results: Results) -> report.Run:
    costs = [promise.Cost(part, [1.0, 3.0], [2.0]) for part in (promise.WHOLE, *PARTS, ALL)]
    return report.Run(
        results, PEERS, {"another": "it was left out"}, {OURS.name: "3.11"}, "now", "a machine", "Redis", "a commit",
        2, 1.0, (0.0, 1.0), costs,
    )  # fmt: skip


@pytest.mark.parametrize("contestant", [OURS, YARDSTICK, THROW_AWAY], ids=lambda contestant: contestant.name)
def test_a_contestant_posts_and_drains(server: Server, tmp_path: Path, contestant: Contestant) -> None:
    arena = Arena(server, contestant, tmp_path)
    assert measure.post(arena, 0.001)["post/s"] > 0
    drained = measure.drain(arena, 0.002)
    assert drained["drain/s"] > 0 and drained["bulk/s"] > 0


@pytest.mark.minutes
def test_what_is_measured_of_ours_alone_is_measured(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alone, "BURSTS", 2)
    monkeypatch.setattr(alone, "POSTS", 50)
    monkeypatch.setattr(measure, "MEMORY_JOBS", 100)
    arena = Arena(server, OURS, tmp_path)
    assert measure.latency(arena, 0.1)["p50 ms"] > 0
    assert set(measure.memory(arena, 1.0)) == {"bytes waiting", "bytes finished"}
    assert alone.depth(arena, 1_000)["drain of 1,000 waiting/s"] > 0
    assert alone.crowd(arena, 2)["claims/job, 2 workers"] >= 1
    assert alone.command_line(arena, 1)["mlq post ms"] > 0
    assert alone.bulk(arena, 0.01)["bulk from the shell, 2 processes/s"] > 0


def test_a_profile_tells_who_spends_how_much(server: Server, tmp_path: Path) -> None:
    numbers = cpu.profile(Arena(server, OURS, tmp_path), 300)
    for name in ("redis", "worker", "executors", "post: client", "bulk: redis"):
        assert numbers[name] > 0, name
    assert numbers["jobs a script"] > 1
    results = Results()
    results.add("None", numbers)
    assert "drain: executors" in cpu.table(results, [None])


def test_what_a_setting_is_worth_is_measured_and_shown(short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "Server", partial(Server, find_binary(None)))
    results = Results()
    setting = next(each for each in tuning.SETTINGS if each.socket)
    with tuning.arena_of(setting, short_folder) as arena:
        assert arena.server.url.startswith("unix://")
        results.add(setting.name, tuning.measure(arena, setting, 0.005))
    assert setting.name in tuning.table(results, tuning.SETTINGS)


def test_each_part_of_the_promise_is_found_where_promise_py_takes_it_out(tmp_path: Path) -> None:
    assert len(promise.make_copies(tmp_path)) == len(PARTS) + 1


@pytest.mark.minutes
def test_a_copy_without_any_of_the_parts_still_runs_jobs(server: Server, tmp_path: Path) -> None:
    copies = promise.make_copies(tmp_path, [ALL])
    whole, cost = promise.measure(server, tmp_path, copies, rounds=1, scale=0.01)
    assert cost.part is ALL and len(cost.cpu) == len(whole.wall) == 1
    assert ALL.name in promise.table([whole, cost])


def test_the_report_has_all_targets_ratios_and_settings(results: Results) -> None:
    text = report.page(page(results))
    for row in targets.verdicts(targets.Numbers(page(results).medians, {})):
        assert row.asked in text and row.measure in text
    for peer in PEERS:
        assert f"| {peer.name} |" in text and peer.settings in text
    for part in PARTS:
        assert part.gives in text
    assert "**another** did not take part" in text
    titles = [line for line in text.splitlines() if line.startswith("## ")]
    assert titles[0] == "## In a minute" and titles[-1] == "## How it is measured"


def test_what_was_not_measured_is_said_and_never_counts_as_reached(results: Results) -> None:
    for numbers in results.numbers.values():
        numbers.clear()
    run = page(results)
    run.costs = []
    text = report.page(run)
    assert "0 of" in text and text.count("not measured") > len(list(targets.verdicts(targets.Numbers({}, {}))))


def test_a_target_is_reached_from_its_limit_on() -> None:
    def drain(ours: float) -> bool | None:
        medians = {OURS.name: {"drain/s": ours}, targets.FASTEST: {"drain/s": 50.0}}
        return next(targets.verdicts(targets.Numbers(medians, {}))).reached

    assert (drain(99.0), drain(100.0)) == (False, True)


def test_the_picture_is_whole_and_readable_on_dark_pages(results: Results) -> None:
    drawing = report.drawing(page(results))
    ElementTree.fromstring(drawing)
    assert "prefers-color-scheme: dark" in drawing
    for number in ("1k", "100k", "1M"):
        assert f">{number}<" in drawing


def test_a_short_job_is_late_when_later_ones_begin_long_before_it() -> None:
    in_line = [(number, number * 0.001) for number in range(10)]
    assert measure.latest(in_line, 1) == 0.0
    held_up = [(number, at + (0.3 if number == 4 else 0.0)) for number, at in in_line]
    assert measure.latest(held_up, 1) == pytest.approx(0.3, abs=0.01)


def test_a_short_job_behind_a_long_one_is_late_only_when_another_place_was_free() -> None:
    slow = 50  # the first of the slow ones
    begun = [(number, 0.0 if number <= slow else 0.2) for number in range(100)]
    assert measure.latest(begun, 1) == 0.0
    begun = [*((number, at) for number, at in begun if number < 99), (99, 0.01)]  # the last one ran elsewhere
    assert measure.latest(begun, 2) == pytest.approx(0.19)
