"""The section on loops in the caller's own process: ours beside HotQueue and python-task-queue."""

from __future__ import annotations

import re
import statistics
import time
from pathlib import Path

from arena import temporary_folder
from contestants import LOOPS, Contestant
from ours import commit
from processes import load, machine
from rounds import Results, run_rounds, say
from server import Server

TITLE = "## In the caller's own process"
COLUMNS = (("drain/s", "drain/s"), ("bulk/s", "bulk/s"), ("post/s", "post/s"))
OURS_OF = {"hotqueue": "mlq (consume)", "task-queue (file)": "mlq (poll)"}


def section(results: Results, absent: dict[str, str], told: str) -> str:
    """Return the section; `told`: of which run it is."""
    lines = ["| | delivery | results | drain/s | bulk/s | post/s | settings |", "|" + " --- |" * 7]
    for each in LOOPS:
        numbers = results.numbers.get(each.name, {})
        cells = [_cell(numbers.get(key)) for _, key in COLUMNS]
        lines.append(f"| {' | '.join([each.name, each.delivery, each.results, *cells, each.settings])} |")
    ratios = [f"| | {' | '.join(title for title, _ in COLUMNS)} |", "|" + " --- |" * (len(COLUMNS) + 1)]
    for theirs, ours in OURS_OF.items():
        cells = [_ratio(results.medians(ours).get(key), results.medians(theirs).get(key)) for _, key in COLUMNS]
        ratios.append(f"| {ours} beside {theirs} | {' | '.join(cells)} |")
    missing = [f"* **{each.name}** did not take part: {absent[each.name]}." for each in LOOPS if each.name in absent]
    missing += [f"* **{each.name}**: {text}." for each in LOOPS for text in results.troubles.get(each.name, [])]
    return "\n".join([
        TITLE, "",
        "One loop in one process that takes messages and handles them itself, as HotQueue and python-task-queue do it; "
        "see [consuming](guides/consuming.md). The job is that of the drains above. "
        "Of mlq each message is acknowledged by then: claimed under a lease, its end recorded. HotQueue takes it off a "
        "list and forgets it.", "",
        told, "", *lines, "",
        "How many times faster mlq is, in the same manner; **bold** where it is behind:", "", *ratios, "", *missing,
        *([""] if missing else []),
    ])  # fmt: skip


def measure(peers: list[Contestant], absent: dict[str, str], rounds: int, scale: float, page: Path) -> None:
    """Measure only these, and put the section into the page, in the place of the one that is there."""
    began, before, results = time.monotonic(), load(), Results()
    with Server() as server, temporary_folder() as folder:
        run_rounds(server, peers, folder, results, rounds=rounds, scale=scale)
        version = server.version
    minutes = (time.monotonic() - began) / 60
    told = (
        f"This section is of a run of its own, {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())} from {commit()}: "
        f"medians of {rounds} rounds, {minutes:.0f} minutes on {machine()}, {version}, load {before:.1f} before and "
        f"{load():.1f} after."
    )
    made = section(results, absent, told)
    page.write_text(replaced(page.read_text() if page.exists() else "", made))
    say(made)


def replaced(page: str, made: str) -> str:
    """Return the page with this section: in its old place, or before the one that tells how all is measured."""
    old = re.compile(rf"^{re.escape(TITLE)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    if old.search(page):
        return old.sub(lambda _: f"{made}\n", page)
    head, how, rest = page.partition("## How it is measured\n")
    return f"{head}{made}\n{how}{rest}"


def _cell(values: list[float] | None) -> str:
    if not values:
        return "–"
    middle, least, most = statistics.median(values), min(values), max(values)
    return f"{middle:,.0f}" if least == most else f"{middle:,.0f} ({least:,.0f}–{most:,.0f})"


def _ratio(ours: float | None, theirs: float | None) -> str:
    if not ours or not theirs:
        return "–"
    times = ours / theirs
    return f"{times:.0f}" if times >= 10 else f"{times:.1f}" if times >= 1 else f"**{times:.2f}**"
