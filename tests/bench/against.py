"""`make bench-peers`: ours beside its peers in one run, written to docs/benchmarks.md.

Half an hour once everything is installed. What is interrupted writes nothing.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import loops
import promise
from alone import alone
from arena import Arena, Stuck, python_version, temporary_folder
from contestants import LOOPS, OURS, PEERS, THROW_AWAY, YARDSTICK, Contestant
from measure import drain_pair
from ours import commit, ratios
from processes import load, machine
from report import Run, drawing, page
from rounds import Results, run_rounds, say, stop_like_ctrl_c
from server import Server
from venvs import NotInstalled, install

DOCS = Path(__file__).parents[2] / "docs"


def installed(wanted: list[str], asked: Sequence[Contestant]) -> tuple[list[Contestant], dict[str, str]]:
    """Make all environments; return who can take part, and of the others why not."""
    here: list[Contestant] = []
    absent = {}
    for peer in asked:
        if wanted and peer.name not in wanted:
            absent[peer.name] = "it was left out by --only"
            continue
        say(f"environment of {peer.name}")
        try:
            install(peer)
            here.append(peer)
        except NotInstalled as why:
            absent[peer.name] = str(why)
            say(f"  {why}")
    return here, absent


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--promise-rounds", type=int, default=5, help="of the copies from which a part is taken out")
    parser.add_argument("--scale", type=float, default=1.0, help="less than 1: smaller loads, to see that it runs")
    parser.add_argument("--only", action="append", default=[], metavar="PEER", help="repeat it for several")
    parser.add_argument(
        "--loops", action="store_true", help="measure only loops in the caller's own process (3 minutes)"
    )
    parser.add_argument("--to", type=Path, default=DOCS, metavar="FOLDER", help="where to write the page")
    asked = parser.parse_args()
    stop_like_ctrl_c()
    in_loops, no_loops = installed(asked.only, LOOPS)
    if asked.loops:
        loops.measure(in_loops, no_loops, asked.rounds, asked.scale, asked.to / "benchmarks.md")
        return 0
    peers, absent = installed(asked.only, PEERS)
    began, before = time.monotonic(), load()
    results = Results()
    with Server() as server, temporary_folder() as folder:
        copies = promise.make_copies(folder)  # now, for a part that is not found shall end this at once
        everybody = [OURS, YARDSTICK, THROW_AWAY, *peers, *in_loops]
        more = {OURS.name: [drain_pair]}
        run_rounds(server, everybody, folder, results, rounds=asked.rounds, scale=asked.scale, more=more)
        say("ours alone")
        alone(Arena(server, OURS, folder), results, quick=asked.scale < 0.3)
        say("what each part of the promise costs")
        try:
            costs = promise.measure(server, folder, copies, rounds=asked.promise_rounds, scale=asked.scale)
        except Stuck as stuck:
            costs = []
            results.trouble("the cost of the promise", str(stuck))
        run = Run(
            results, peers, absent, {each.name: python_version(each) for each in everybody},
            at=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), machine=machine(), server=server.version,
            commit=commit(), rounds=asked.rounds, minutes=(time.monotonic() - began) / 60, loads=(before, load()),
            costs=costs, no_loops=no_loops,
        )  # fmt: skip
    (asked.to / "benchmarks.md").write_text(page(run))
    (asked.to / "benchmarks.svg").write_text(drawing(run))
    for key, value in ratios(results).items():
        say(f"{key}: {value:.0%}")
    say(f"written to {asked.to / 'benchmarks.md'}, {run.minutes:.0f} minutes, load {run.loads[1]:.1f}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
