"""`make bench`: ours beside the yardstick and beside its own history, in two minutes.

Every run adds a line to history.jsonl unless told not to; it is compared with the median of earlier runs on the same
machine. Numbers that end in `/s` are better when higher, all others when lower. With `--profile` it shows instead
where the processor time of one job goes (cpu.py).
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cpu
from alone import alone
from arena import Arena, temporary_folder
from contestants import OURS, THROW_AWAY, YARDSTICK
from measure import Numbers, drain_pair
from processes import load, machine
from rounds import Results, run_rounds, say, stop_like_ctrl_c
from server import Server

HISTORY = Path(__file__).parent / "history.jsonl"
EARLIER = 5  # runs that the newest is compared with
NOTABLE = 0.15  # of change; less is noise on most machines


def measure_ours(server: Server, folder: Path, *, rounds: int, scale: float, quick: bool) -> Results:
    """Return what ours and the yardstick do in the same run."""
    results = Results()
    more = {OURS.name: [drain_pair]}
    run_rounds(server, [OURS, YARDSTICK, THROW_AWAY], folder, results, rounds=rounds, scale=scale, more=more)
    say("        the depth of the queue, a crowd of workers, the command line, bulk")
    alone(Arena(server, OURS, folder), results, quick=quick)
    return results


def ratios(results: Results) -> Numbers:
    """Return what part of the yardstick's rates ours reaches."""
    ours, numbers = results.medians(OURS.name), {}
    for each, keys in ((YARDSTICK, ("drain/s", "bulk/s", "post/s")), (THROW_AWAY, ("drain/s",))):
        theirs = results.medians(each.name)
        both = [key for key in keys if key in ours and key in theirs]
        numbers |= {f"part of the {each.name}'s {key}": ours[key] / theirs[key] for key in both}
    return numbers


def commit() -> str:
    """Return what was measured."""
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HISTORY.parent)
    return done.stdout.strip() or "an unknown commit"


def record(results: Results, server: Server) -> dict[str, Any]:
    """Return the line of the history."""
    return {
        "at": time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime()),
        "commit": commit(),
        "machine": machine(),
        "python": platform.python_version(),
        "server": server.version,
        "load": round(load(), 1),
        "numbers": {k: float(f"{v:.4g}") for k, v in {**results.medians(OURS.name), **ratios(results)}.items()},
    }


def earlier(newest: dict[str, Any]) -> tuple[dict[str, float], int]:
    """Return the medians of the last runs on the same machine, and how many there were."""
    lines = HISTORY.read_text().splitlines() if HISTORY.exists() else []
    runs = [run["numbers"] for run in map(json.loads, lines) if run["machine"] == newest["machine"]][-EARLIER:]
    keys = {key for run in runs for key in run}
    return {key: statistics.median(run[key] for run in runs if key in run) for key in keys}, len(runs)


def table(newest: dict[str, Any]) -> str:
    """Return the numbers beside the earlier ones."""
    before, runs = earlier(newest)
    lines = [f"{'':<44}{'now':>12}{f'median of {runs}':>16}{'change':>10}"]
    for key, now in newest["numbers"].items():
        then = before.get(key)
        line = f"{key:<44}{now:>12,.4g}" if now < 1000 else f"{key:<44}{now:>12,.0f}"
        if then:
            change = now / then - 1
            worse = (change < -NOTABLE) if key.endswith("/s") else (change > NOTABLE)
            line += f"{then:>16,.5g}{change:>+10.0%}{'  worse' if worse else ''}"
        lines.append(line)
    return "\n".join(lines)


def show_profile(asked: argparse.Namespace) -> int:
    """Print what a job costs whom, of this source and of others."""
    sources = [None, *(source.resolve() for source in asked.against)]
    with Server() as server, temporary_folder() as folder:
        results = cpu.measure(server, folder, sources, rounds=asked.rounds, jobs=asked.jobs, executors=asked.executors)
        print(f"mlq {commit()} on {server.version}, {machine()}, {asked.jobs:,} jobs, {asked.executors} executors\n")
    print(cpu.table(results, sources))
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="small loads, one round: does everything still run?")
    parser.add_argument("--no-history", action="store_true", help="do not add to the history")
    parser.add_argument("--profile", action="store_true", help="only show where the processor time of a job goes")
    parser.add_argument(
        "--against", type=Path, action="append", default=[], metavar="SRC", help="of --profile: a folder"
    )
    parser.add_argument("--jobs", type=int, default=60_000, help="of --profile")
    parser.add_argument("-x", "--executors", type=int, default=1, help="of --profile")
    asked = parser.parse_args()
    stop_like_ctrl_c()
    if asked.profile:
        return show_profile(asked)
    began = time.monotonic()
    rounds, scale = (1, 0.1) if asked.quick else (asked.rounds, 1.0)
    with Server() as server, temporary_folder() as folder:
        results = measure_ours(server, folder, rounds=rounds, scale=scale, quick=asked.quick)
        newest = record(results, server)
    print(f"mlq {newest['commit']} on {newest['server']}, Python {newest['python']}, {newest['machine']}")
    print(f"load {newest['load']} at the end, {time.monotonic() - began:.0f} s\n\n{table(newest)}")
    for name, texts in results.troubles.items():
        print(f"\n{name}: {'; '.join(texts)}")
    if not (asked.quick or asked.no_history):
        with HISTORY.open("a") as file:
            file.write(json.dumps(newest) + "\n")
    return 1 if results.troubles else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
