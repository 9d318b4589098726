"""The parts of the promise that can be taken out of a scratch copy, each by a few changes of text: for promise.py.

A text that no longer fits, because the code has changed, is an error: put in how that part is written now. The changes
are small on purpose, and leave code that runs no-op jobs; what else the part is needed for does not matter here.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "faults"))
from guards import LUA, Change

SOURCE = Path(__file__).parents[2] / "src"

WORKER = "mlq_cli/worker"


@dataclass(frozen=True)
class Part:
    """One part that can be taken out, and the load that shows what it costs."""

    name: str
    gives: str  # what is lost without it
    changes: tuple[Change, ...] = ()
    load: str = "drain"  # or `post`, `bulk`; or `brief`, `prints`: a drain of jobs that do so (peers/ticking.py)
    inside: bool = False  # run by a listener in one process, which is no change of text


def part(name: str, gives: str, *changes: tuple[str, str, str], load: str = "drain", inside: bool = False) -> Part:
    return Part(name, gives, tuple(Change(*change) for change in changes), load, inside)


ONCE = (
    (f"{LUA}/post.lua", "  last = redis.call('SET',", "  last = nil and redis.call('SET',"),
    (f"{LUA}/lib/once.lua", "for i = 2, #ARGV do", "for i = 2, 1 do"),
)

PARTS = (
    part(
        "fence",
        "a late outcome overwrites a newer one",
        (f"{LUA}/finish.lua", "job.state == RUNNING and job.token == ARGV[i + 1]", "job.state"),
        (f"{LUA}/lib/take.lua", ", TOKEN, args.token,", ","),
        (f"{LUA}/lib/settle.lua", "STATE, TOKEN, QUEUE, CALLBACK", "STATE, QUEUE, CALLBACK"),
        (f"{LUA}/lib/settle.lua", "token = values[2], queue = values[3]", "queue = values[2]"),
        (f"{LUA}/lib/settle.lua", "callback = values[4]", "callback = values[3]"),
        (f"{LUA}/lib/settle.lua", "error_type = values[5]", "error_type = values[4]"),
        (f"{LUA}/lib/settle.lua", "emitted = values[6]", "emitted = values[5]"),
    ),
    part(
        "leases and heartbeats",
        "a job whose worker vanished is lost",
        (
            f"{LUA}/lib/move.lua",
            "send(lists, to_sets, to_list)\n",
            "send(lists, to_sets, to_list)\n  lists[RUNNING] = nil\n",
        ),
        (f"{LUA}/claim.lua", ", next_of(queue, RUNNING)", ", nil"),
        (f"{LUA}/claim.lua", "next_due = grace(), nil", "next_due = 0, nil"),
        (f"{WORKER}/worker.py", "BEAT_BUSY = 3.0", "BEAT_BUSY = 3600.0"),
        (f"{WORKER}/fence.py", "return boot_time() - since >= self._span", "return False"),
    ),
    part(
        "receipts of claims",
        "a claim whose answer was lost keeps its jobs until their lease ends",
        (f"{LUA}/claim.lua", "local last = redis.call('GET', receipt)", "local last = nil"),
        (f"{LUA}/claim.lua", "  redis.call('SET', receipt,", "  local _ = nil and redis.call('SET', receipt,"),
    ),
    part(
        "results",
        "nobody learns what a job returned",
        (f"{LUA}/finish.lua", ", RESULT, result)", ")"),
        (f"{WORKER}/attempts.py", 'else pack(value, limit=self._limit, what="result")', 'else b""'),
    ),
    part(
        "statistics",
        "no counters, no mean times",
        (f"{LUA}/lib/stats.lua", "count(queue, name, amount)\n", "count(queue, name, amount)\n  do return end\n"),
    ),
    part(
        "events",
        "who waits for a result has to poll",
        (f"{LUA}/lib/move.lua", "news[#news + 1] = id .. ' ' .. NAMES[state]", "local _ = state"),
    ),
    part(
        "delays and retention",
        "only a reaper looks for jobs that are due, and forgets those kept long enough",
        (f"{LUA}/claim.lua", "local due, over = next_of(queue, SCHEDULED)", "local due, over = nil"),
        (f"{LUA}/finish.lua", "if has_retention(queue) then", "if false then"),
    ),
    part(
        "the story of a run",
        "no worker and no times of a run in the record",
        (f"{LUA}/lib/take.lua", "WORKER, args.worker, ", ""),
        (f"{LUA}/lib/take.lua", ", PROCESSING_STARTED, stamp)", ")"),
        (f"{LUA}/finish.lua", "SUCCEEDED, nil, PROCESSING_STARTED, started", "SUCCEEDED, nil"),
        (f"{LUA}/lib/settle.lua", "PROCESSING_FINISHED, stamp, ...", "..."),
    ),
    part(
        "isolation",
        "a job that crashes takes the worker with it, and shares its interpreter's lock",
        inside=True,
    ),
    part(
        "capture of output",
        "what jobs print is torn, without limit, and not told after a crash",
        (f"{WORKER}/executor.py", "                stdout=stdout,\n                stderr=stderr,\n", ""),
        load="prints",
    ),
    part(
        "surroundings put back",
        "what a job changes of folder, environment or signals stays for the next",
        (f"{WORKER}/child.py", "reason := self._restore() or self.attempts.spent", "reason := self.attempts.spent"),
        load="brief",
    ),
    part("post once", "a post whose answer was lost makes a second job", *ONCE, load="post"),
    part("post once, in bulk", "as above", *ONCE, load="bulk"),
)

#: The changes of all parts that a plain drain shows, at once.
ALL = Part(
    "all of these at once",
    "whatever is more than a list of jobs",
    tuple(change for each in PARTS if each.load == "drain" for change in each.changes),
)


def make(source: Path, changes: tuple[Change, ...]) -> None:
    """Change a copy of src/. Raises ValueError for a text that does not stand there exactly once."""
    for change in changes:
        change.apply(source)
        if change.file.endswith(".py"):
            compile((source / change.file).read_text(), change.file, "exec")
