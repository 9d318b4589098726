"""Judge a run: was anything lost, invented, run without need or recorded twice?

The words are those of Jepsen's queues. What happened comes from three sides that know nothing of each other: the ledger
of the runs, the history of the producers, and what the namespace holds in the end.

    python -m harness.checker --url unix:///tmp/x/s --namespace n --folder /tmp/x    # JSON; exit code 1: a violation
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.ledger import Post, Run, read_history, read_ledger
from harness.namespace import Final, Found, read_namespace
from mlq_cli.model.job import CALLBACKS

TERMINAL = ("succeeded", "canceled", "dead")
SLACK = 2.0  # seconds around a window: a line is written a little before or after what it tells of
EXAMPLES = 5


@dataclass
class Excuses:
    """What was done to the server or to workers that no queue could make up for; instants of CLOCK_BOOTTIME."""

    forgotten: list[tuple[float, float]] = field(default_factory=list)  # what the server was robbed of: from, to
    frozen: list[tuple[str, float, float]] = field(default_factory=list)  # worker, from, to

    def forgot(self, at: float) -> bool:
        """Whether the server may have lost what it said at that time."""
        return any(begin - SLACK <= at <= end + SLACK for begin, end in self.forgotten)

    def froze(self, worker: str, at: float) -> bool:
        """Whether that worker could not know then that its leases were over."""
        return any(name == worker and begin <= at <= end + SLACK for name, begin, end in self.frozen)


#: Any of these is one too many. What they mean is said where they are found.
VIOLATIONS = (
    "lost",
    "unexpected",
    "posted_twice",
    "unexplained",
    "same_token",
    "overlap",
    "double_applied",
    "stale",
    "misapplied",
    "misplaced",
    "callbacks_missing",
    "callbacks_extra",
    "miscounted",
)


class Verdict:
    """What was found, by word."""

    def __init__(self) -> None:
        self.found: dict[str, list[str]] = {word: [] for word in VIOLATIONS}
        self.numbers: dict[str, int] = {}

    @property
    def valid(self) -> bool:
        return not any(self.found.values())

    def json(self) -> dict[str, Any]:
        counted = {word: len(found) for word, found in self.found.items()}
        examples = {word: found[:EXAMPLES] for word, found in self.found.items() if found}
        return {"valid": self.valid, **self.numbers, **counted, "examples": examples}


def judge(final: Final, ledger: Sequence[Run], history: Sequence[Post], excuses: Excuses | None = None) -> Verdict:
    """Return the verdict."""
    excuses, verdict = excuses or Excuses(), Verdict()
    _Posts(verdict, final, ledger, history, excuses).look()
    _Runs(verdict, final, ledger, excuses).look()
    _sets(verdict, final)
    _counters(verdict, final)
    _callbacks(verdict, final)
    return verdict


class _Posts:
    """Were all acknowledged jobs brought to an end, and none made up?"""

    def __init__(
        self, verdict: Verdict, final: Final, ledger: Sequence[Run], history: Sequence[Post], excuses: Excuses
    ) -> None:
        self._verdict, self._ledger, self._excuses = verdict, ledger, excuses
        self._by_key: dict[str, list[Found]] = defaultdict(list)
        for job in final.jobs:
            self._by_key[job.key].append(job)
        self._invoked = {post.key: post.at for post in history if post.word == "invoke"}
        self._ok = {post.key: post for post in history if post.word == "ok"}
        self._failed = {post.key for post in history if post.word == "fail"} - self._ok.keys()
        self._unknown = self._invoked.keys() - self._ok.keys() - self._failed

    def look(self) -> None:
        found = self._verdict.found
        started = {(run.id, run.key) for run in self._ledger if run.word == "start"}
        ended_well = forgotten = 0
        for post in self._ok.values():
            problem = self._problem(post, started)
            if problem is None:
                ended_well += 1
            elif not self._by_key[post.key] and self._excuses.forgot(post.at):
                forgotten += 1
            else:
                found["lost"].append(f"{post.key}: {problem}")
        ran = {key for _, key in started}
        for key in self._unknown:  # it was there, for it ran: then it has to come to an end like any other
            ends = [job for job in self._by_key[key] if _ended(job)]
            if (self._by_key[key] or key in ran) and not ends and not self._excuses.forgot(self._invoked[key]):
                found["lost"].append(f"{key}: it was there, although its producer never knew, and did not end")
        there = ran | {key for key, jobs in self._by_key.items() if jobs}
        found["unexpected"] += sorted(key for key in there if key not in self._invoked or key in self._failed)
        found["posted_twice"] += sorted(key for key, jobs in self._by_key.items() if len(jobs) > 1)
        self._verdict.numbers |= {
            "attempts": len(self._invoked),
            "acknowledged": len(self._ok),
            "ok": ended_well,
            "unknown": len(self._unknown),
            "recovered": sum(bool(self._by_key[key]) for key in self._unknown),
            "forgotten": forgotten,
        }

    def _problem(self, post: Post, started: set[tuple[str, str]]) -> str | None:
        jobs = self._by_key[post.key]
        if not jobs:
            return "it is not there"
        for job in jobs:
            if not _ended(job):
                return f"it is in {job.sets}"
            if job.state == "succeeded" and (job.id, job.key) not in started:
                return "it succeeded and nobody ran it"
        if not self._excuses.forgotten and post.id not in [job.id for job in jobs]:
            return f"it was acknowledged as {post.id} and is {jobs[0].id}"
        return None


class _Runs:
    """Did every run beyond the first have a reason, did none meet another, is the outcome on record the right one?"""

    def __init__(self, verdict: Verdict, final: Final, ledger: Sequence[Run], excuses: Excuses) -> None:
        self._verdict, self._final, self._excuses = verdict, final, excuses
        self._ledger = ledger
        self._starts: dict[tuple[str, str], list[Run]] = defaultdict(list)
        for run in ledger:
            if run.word == "start":
                self._starts[run.id, run.key].append(run)

    def look(self) -> None:
        verdict, stats = self._verdict, self._final.stats

        def counted(name: str) -> int:
            return sum(int(numbers.get(name, 0)) for queue, numbers in stats.items() if queue != CALLBACKS)

        released = counted("released")
        verdict.numbers["duplicated"] = sum(len(runs) - 1 for runs in self._starts.values())
        verdict.numbers |= {"fenced": counted("refused"), "released": released}
        verdict.numbers |= {"leases_lost": counted("lost"), "crashed": counted("crashed"), "failed": counted("failed")}
        verdict.numbers |= {"given_back_runs": 0, "stale_excused": 0}
        ended = {(run.id, run.token) for run in self._ledger if run.word == "end"}
        verdict.found["same_token"] += [
            f"{job_id} ran {len(runs)} times under {len({run.token for run in runs})} claims"
            for (job_id, _), runs in self._starts.items()
            if len(runs) != len({run.token for run in runs})
        ]
        unexplained = []
        for job in self._final.jobs:
            runs = self._starts[job.id, job.key]
            extra = len(runs) - 1 - (job.retries + job.crashes + job.failures)
            if extra > 0 and not any(self._excuses.forgot(run.at) for run in runs):
                # Given back with no attempt spent: the record shows no trace of it, only its queue counts it. But such
                # a run was cut off, or it would have had an outcome.
                cut_off = min(extra, sum((job.id, run.token) not in ended for run in runs[:-1]), released)
                released -= cut_off
                verdict.numbers["given_back_runs"] += cut_off
                unexplained += [f"{job.id} ran {len(runs)} times"] * (extra - cut_off)
            self._recorded(job, runs)
        verdict.found["unexplained"] += unexplained
        self._overlaps()

    def _recorded(self, job: Found, runs: list[Run]) -> None:
        """The outcome on record has to be that of the claim on record, and of the last run there was."""
        if job.state != "succeeded":
            return
        own = [run for run in runs if run.token == job.token]
        result = job.result if isinstance(job.result, dict) else {}
        if not own or result.get("token") != job.token or result.get("key") != job.key:
            self._verdict.found["misapplied"].append(f"{job.id} has the claim {job.token} and the result {job.result}")
        elif (late := runs[-1]) is not own[-1] and not any(self._excuses.forgot(run.at) for run in runs):
            if self._excuses.froze(late.worker, late.at):
                self._verdict.numbers["stale_excused"] += 1
            else:
                self._verdict.found["stale"].append(
                    f"{job.id} ran in {late.worker} after the run whose outcome was kept"
                )

    def _overlaps(self) -> None:
        worker_of = {run.pid: run.worker for run in self._ledger}
        excused = 0
        for run in self._ledger:
            if run.word != "overlap":
                continue
            holder = worker_of.get(run.holder, "")
            if self._excuses.froze(holder, run.at) or self._excuses.forgot(run.at):
                excused += 1
            else:
                self._verdict.found["overlap"].append(f"{run.id} in {run.worker} while {holder or 'somebody'} ran it")
        self._verdict.numbers["overlap_excused"] = excused


def _ended(job: Found) -> bool:
    return job.state in TERMINAL and job.sets == [(job.queue, job.state)]


def _sets(verdict: Verdict, final: Final) -> None:
    """Every job has to be in one set, the one its record names, and every entry of a set has to have a record."""
    verdict.found["misplaced"] += [
        f"{job.id} is {job.state} and in {job.sets}" for job in final.jobs if job.sets != [(job.queue, job.state)]
    ]
    verdict.found["misplaced"] += [f"callback {job_id}" for job_id in final.misplaced]
    verdict.found["misplaced"] += [f"{job_id} is in a set and has no record" for job_id in final.bare]


def _counters(verdict: Verdict, final: Final) -> None:
    """Outcomes recorded have to be as many as jobs that ended, and every claim has to have become something."""
    for queue, numbers in final.stats.items():
        stats = defaultdict(int, {name: int(value) for name, value in numbers.items()})
        kept, ended = final.records.get(queue, 0), final.ended.get(queue, 0)
        gone = stats["posted"] - kept  # forgotten by retention, which only ever takes jobs that have ended
        if gone < 0:
            verdict.found["miscounted"].append(f"{queue}: {stats['posted']} posted, {kept} there")
        if gone and queue != CALLBACKS:
            verdict.found["miscounted"].append(f"{queue}: {stats['posted']} posted, only {kept} there")
        recorded = stats["succeeded"] + stats["dead"] + stats["canceled"] - stats["requeued"]
        over = recorded - ended - max(0, gone)
        verdict.found["double_applied"] += [f"{queue}: {recorded} outcomes for {ended} jobs"] * max(0, over)
        if over < 0:
            verdict.found["miscounted"].append(f"{queue}: {recorded} outcomes for {ended} ended jobs")
        if kept == ended and not stats["canceled"]:
            became = stats["succeeded"] + stats["crashed"] + stats["failed"] + stats["lost"] + stats["released"]
            if became != stats["claimed"]:
                verdict.found["miscounted"].append(f"{queue}: {stats['claimed']} claims, {became} came to something")
        if queue != CALLBACKS and not stats["requeued"]:
            jobs = [job for job in final.jobs if job.queue == queue]
            for name, summed in (
                ("lost", sum(job.retries for job in jobs)),
                ("crashed", sum(job.crashes for job in jobs)),
                ("failed", sum(job.failures for job in jobs)),
            ):
                if stats[name] != summed:
                    verdict.found["miscounted"].append(f"{queue}: {name} {stats[name]}, the records say {summed}")


def _callbacks(verdict: Verdict, final: Final) -> None:
    """Each job that ended and has a callback has to have exactly one job that tells of it."""
    wanted = {job.id for job in final.jobs if job.callback and job.state in TERMINAL}
    posted = int(final.stats.get(CALLBACKS, {}).get("posted", 0))
    trimmed = posted - len(final.told)  # our own are forgotten beyond a thousand: then only their number can be checked
    told = Counter(final.told)
    missing = sorted(wanted - told.keys()) if not trimmed else ["?"] * max(0, len(wanted) - posted)
    extra = [job_id for job_id, times in told.items() for _ in range(times - (job_id in wanted))]
    verdict.found["callbacks_missing"] += missing
    verdict.found["callbacks_extra"] += sorted(extra) or ["?"] * max(0, posted - len(wanted))
    verdict.numbers["callbacks"] = posted


def check(url: str, namespace: str, folder: Path, excuses: Excuses | None = None) -> Verdict:
    """Judge a namespace with `ledger` and `history` of a folder."""
    ledger, history = read_ledger(folder / "ledger"), read_history(folder / "history")
    return judge(read_namespace(url, namespace), ledger, history, excuses)


def main(arguments: Iterable[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="judge what became of the jobs of a namespace")
    parser.add_argument("--url", required=True, help="of Redis")
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--folder", type=Path, required=True, help="with the files ledger and history")
    given = parser.parse_args(None if arguments is None else list(arguments))
    verdict = check(given.url, given.namespace, given.folder)
    print(json.dumps(verdict.json(), indent=2))
    return 0 if verdict.valid else 1


if __name__ == "__main__":
    sys.exit(main())
