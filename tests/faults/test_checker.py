"""The checker complains: a forged history for each violation, for one that never complains proves nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from harness.checker import VIOLATIONS, Excuses, check, judge, main
from harness.ledger import History, Ledger, Post, Run, read_ledger
from harness.namespace import Final, Found
from mlq_cli import MLQ
from mlq_cli.store.redis.connect import UrlEndpoint, Wire


@dataclass
class Story:
    """What happened, as all three sides tell it; the forgeries change it."""

    final: Final
    ledger: list[Run]
    history: list[Post]
    excuses: Excuses = field(default_factory=Excuses)

    def job(self, job_id: str) -> Found:
        return next(job for job in self.final.jobs if job.id == job_id)

    def run(self, word: str, job_id: str, token: str, at: float, **more: Any) -> None:
        self.ledger.append(Run(word, job_id, f"k{job_id}", token, 1, 10, "w1", at, **more))

    def drop(self, word: str, job_id: str) -> None:
        self.ledger = [run for run in self.ledger if (run.word, run.id) != (word, job_id)]

    @property
    def stats(self) -> dict[str, float]:
        return self.final.stats["default"]


def good() -> Story:
    """Four jobs: one plain, one lost and run again, one that failed for ever, one whose post was not answered."""

    def result(job_id: str, token: str) -> dict[str, str]:
        return {"key": f"k{job_id}", "token": token}

    def job(job_id: str, state: str, token: str, **more: Any) -> Found:
        return Found(job_id, f"k{job_id}", "default", state, [("default", state)], token, **more)

    story = Story(
        Final(
            jobs=[
                job("1", "succeeded", "t1", callback=True, result=result("1", "t1")),
                job("2", "succeeded", "t3", retries=1, result=result("2", "t3")),
                job("3", "dead", "t5", failures=2),
                job("4", "succeeded", "t6", result=result("4", "t6")),
            ],
            stats={
                "default": {"posted": 4, "claimed": 6, "succeeded": 3, "dead": 1, "lost": 1, "failed": 2, "refused": 1},
                "_callbacks": {"posted": 1, "claimed": 1, "succeeded": 1},
            },
            told=["1"],
            records={"default": 4, "_callbacks": 1},
            ended={"default": 4, "_callbacks": 1},
        ),
        [],
        [Post("invoke", f"k{number}", number) for number in range(1, 6)],
    )
    for at, (job_id, token) in enumerate(
        [("1", "t1"), ("2", "t2"), ("2", "t3"), ("3", "t4"), ("3", "t5"), ("4", "t6")]
    ):
        story.run("start", job_id, token, 10.0 + at)
        story.run("end", job_id, token, 10.5 + at)
    story.history += [Post("ok", f"k{number}", number + 0.5, str(number)) for number in (1, 2, 3)]
    story.history += [Post("info", "k4", 4.5), Post("fail", "k5", 5.5)]
    return story


def test_the_checker_has_nothing_against_a_good_run() -> None:
    story = good()
    verdict = judge(story.final, story.ledger, story.history).json()
    assert verdict["valid"] and verdict["examples"] == {}
    told = {word: verdict[word] for word in ("attempts", "acknowledged", "ok", "recovered", "duplicated", "fenced")}
    assert told == {"attempts": 5, "acknowledged": 3, "ok": 3, "recovered": 1, "duplicated": 2, "fenced": 1}


FORGERIES: dict[str, tuple[str, Callable[[Story], Any]]] = {}


def forgery(word: str) -> Callable[[Callable[[Story], Any]], Callable[[Story], Any]]:
    def add(change: Callable[[Story], Any]) -> Callable[[Story], Any]:
        FORGERIES[change.__name__.replace("_", " ")] = (word, change)
        return change

    return add


def remove(story: Story, job_id: str) -> None:
    """Take a job out so that all counters still agree."""
    job = story.job(job_id)
    story.final.jobs.remove(job)
    story.stats["posted"] -= 1
    story.stats["claimed"] -= 1
    story.stats[job.state] -= 1
    story.final.records["default"] -= 1
    story.final.ended["default"] -= 1


@forgery("lost")
def an_acknowledged_job_is_gone(story: Story) -> None:
    remove(story, "1")


@forgery("lost")
def an_acknowledged_job_has_not_ended(story: Story) -> None:
    job = story.job("1")
    job.state, job.sets = "queued", [("default", "queued")]


@forgery("lost")
def a_job_is_in_two_terminal_states(story: Story) -> None:
    story.job("1").sets.append(("default", "dead"))


@forgery("lost")
def a_job_is_in_no_set(story: Story) -> None:
    story.job("1").sets.clear()


@forgery("lost")
def a_job_succeeded_and_nobody_ran_it(story: Story) -> None:
    story.drop("start", "1")


@forgery("lost")
def a_job_that_ran_is_gone_although_nobody_was_told_of_it(story: Story) -> None:
    remove(story, "4")


@forgery("lost")
def an_acknowledged_job_has_another_id(story: Story) -> None:
    story.history.append(Post("ok", "k1", 1.6, "9"))


@forgery("unexpected")
def a_job_that_nobody_posted_is_there(story: Story) -> None:
    story.final.jobs.append(replace(story.job("1"), id="7", key="k7"))


@forgery("unexpected")
def a_job_that_nobody_posted_ran(story: Story) -> None:
    story.run("start", "7", "t9", 30.0)


@forgery("unexpected")
def a_post_that_was_refused_is_there(story: Story) -> None:
    story.history.append(Post("invoke", "k7", 6.0))
    story.history.append(Post("fail", "k7", 6.5))
    story.final.jobs.append(replace(story.job("1"), id="7", key="k7"))


@forgery("posted_twice")
def one_post_made_two_jobs(story: Story) -> None:
    story.final.jobs.append(replace(story.job("4"), id="7"))


@forgery("unexplained")
def a_job_ran_once_more_without_a_reason(story: Story) -> None:
    story.ledger.insert(0, Run("start", "1", "k1", "t0", 1, 10, "w1", 9.0))


@forgery("unexplained")
def a_job_ran_to_its_end_and_again_when_another_was_given_back(story: Story) -> None:
    a_job_ran_once_more_without_a_reason(story)
    story.ledger.insert(1, Run("end", "1", "k1", "t0", 1, 10, "w1", 9.1))
    story.stats["released"] = 1
    story.stats["claimed"] += 1


@forgery("unexplained")
def more_runs_were_cut_off_than_given_back(story: Story) -> None:
    a_job_ran_once_more_without_a_reason(story)
    story.ledger.insert(0, Run("start", "1", "k1", "t00", 1, 10, "w1", 8.0))
    story.stats["released"] = 1
    story.stats["claimed"] += 1


@forgery("same_token")
def one_claim_ran_twice(story: Story) -> None:
    story.ledger.insert(0, Run("start", "2", "k2", "t2", 1, 10, "w1", 9.0))


@forgery("overlap")
def two_ran_the_same_job_at_a_time(story: Story) -> None:
    story.run("overlap", "2", "t3", 12.0, holder=11)


@forgery("double_applied")
def an_outcome_was_recorded_twice(story: Story) -> None:
    story.stats["succeeded"] += 1
    story.stats["claimed"] += 1


@forgery("stale")
def a_job_ran_after_its_outcome_was_kept(story: Story) -> None:
    story.run("start", "2", "t9", 30.0)
    story.job("2").retries = 2


@forgery("misapplied")
def the_result_is_of_another_claim(story: Story) -> None:
    story.job("2").result = {"key": "k2", "token": "t2"}


@forgery("misapplied")
def the_result_is_of_another_job(story: Story) -> None:
    story.job("2").result = {"key": "k1", "token": "t3"}


@forgery("misapplied")
def the_claim_of_a_success_never_ran(story: Story) -> None:
    story.job("2").token = "t9"
    story.job("2").result = {"key": "k2", "token": "t9"}


@forgery("misplaced")
def a_record_and_its_set_disagree(story: Story) -> None:
    story.job("3").sets = [("default", "succeeded")]


@forgery("misplaced")
def a_set_holds_an_id_without_a_record(story: Story) -> None:
    story.final.bare.append("8")


@forgery("misplaced")
def a_callback_is_in_no_set(story: Story) -> None:
    story.final.misplaced.append("5")


@forgery("callbacks_missing")
def nobody_is_told_of_a_job(story: Story) -> None:
    story.final.told.clear()
    story.final.stats.pop("_callbacks")


@forgery("callbacks_missing")
def nobody_is_told_of_a_job_and_old_callbacks_are_forgotten(story: Story) -> None:
    story.job("2").callback = True
    story.final.told.clear()


@forgery("callbacks_extra")
def somebody_is_told_twice(story: Story) -> None:
    story.final.told.append("1")
    story.final.stats["_callbacks"]["posted"] = 2


@forgery("callbacks_extra")
def somebody_is_told_of_a_job_that_has_no_callback(story: Story) -> None:
    story.job("1").callback = False


@forgery("miscounted")
def an_outcome_was_never_counted(story: Story) -> None:
    story.stats["succeeded"] -= 1


@forgery("miscounted")
def a_claim_came_to_nothing(story: Story) -> None:
    story.stats["claimed"] += 1


@forgery("miscounted")
def a_record_vanished(story: Story) -> None:
    story.stats["posted"] += 1


@forgery("miscounted")
def a_record_and_its_queue_count_differently(story: Story) -> None:
    story.job("3").failures = 1


@pytest.mark.parametrize("name", FORGERIES)
def test_the_checker_catches(name: str) -> None:
    word, change = FORGERIES[name]
    story = good()
    change(story)
    verdict = judge(story.final, story.ledger, story.history, story.excuses).json()
    assert not verdict["valid"] and verdict[word] > 0 and verdict["examples"][word]


def test_every_violation_has_its_forgery() -> None:
    assert {word for word, _ in FORGERIES.values()} == set(VIOLATIONS)


def test_only_what_was_done_to_the_server_or_a_worker_then_and_there_is_excused() -> None:
    story = good()
    two_ran_the_same_job_at_a_time(story)
    story.ledger.append(Run("start", "0", "k4", "t0", 1, 11, "w2", 5.0))
    for name, excused in (("w2", True), ("w1", False)):
        told = judge(story.final, story.ledger, story.history, Excuses(frozen=[(name, 11.0, 12.0)])).json()
        assert (told["overlap_excused"], told["overlap"]) == ((1, 0) if excused else (0, 1))
    story = good()
    remove(story, "1")
    story.final.told.clear()
    story.final.stats.pop("_callbacks")
    for window, lost in (((1.0, 2.0), 0), ((100.0, 200.0), 1)):
        told = judge(story.final, story.ledger, story.history, Excuses(forgotten=[window])).json()
        assert (told["forgotten"], told["lost"]) == (1 - lost, lost)


def test_a_given_back_run_that_was_cut_off_needs_no_other_reason() -> None:
    story = good()
    a_job_ran_once_more_without_a_reason(story)
    story.stats["released"] = 1
    story.stats["claimed"] += 1
    told = judge(story.final, story.ledger, story.history).json()
    assert told["valid"] and told["given_back_runs"] == 1


def test_it_reads_what_is_really_there_and_its_exit_code_tells(
    mlq: MLQ, redis_url: str, namespace: str, start_worker: Any, short_folder: Path, capsys: Any, monkeypatch: Any
) -> None:
    """A job that ran well, judged by the program; then its record is broken, behind mlq's back."""
    monkeypatch.setenv("FAULTS_LEDGER", str(short_folder / "ledger"))
    faults = str(Path(__file__).parent)
    history = History(short_folder / "history")
    history.invoke(["a", "b" * 100])
    ids = [mlq.post({"key": "a"}, callback="http://127.0.0.1:1/"), mlq.post({"key": "b" * 100})]
    history.ok(["a", "b" * 100], ids)
    assert start_worker("harness.listeners:run", paths=[faults], burst=True).wait(20) == 0
    arguments = ["--url", redis_url, "--namespace", namespace, "--folder", str(short_folder)]
    assert main(arguments) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["valid"], told["ok"], told["duplicated"], told["callbacks"]) == (True, 2, 0, 1)
    wire, head = Wire(UrlEndpoint(redis_url)), f"mlq:{{{namespace}}}:"
    broken = [("ZADD", f"{head}q:default:dead", 1, ids[0]), ("DEL", f"{head}job:{ids[1]}", f"{head}result:{ids[1]}")]
    wire.exchange(broken)
    found = check(redis_url, namespace, short_folder).found
    assert len(found["lost"]) == 2 and len(found["misplaced"]) == 2 and found["miscounted"]
    assert main(arguments) == 1
    wire.exchange([("ZREM", f"{head}q:default:dead", ids[0]), ("LREM", f"{head}q:default:succeeded", 0, ids[1])])


def test_the_kernel_tells_when_two_run_the_same_job(short_folder: Path) -> None:
    """Two processes, by fork: the first holds the job and ends; its lock goes with it, whatever way it dies."""
    path = short_folder / "ledger"
    ready, go = os.pipe(), os.pipe()
    if (child := os.fork()) == 0:
        Ledger(path).start("7", "k", "t1", 1, "w1")
        os.write(ready[1], b"!")
        os.read(go[0], 1)
        os.kill(os.getpid(), 9)
    os.read(ready[0], 1)
    ledger = Ledger(path)
    ledger.start("8", "k8", "t8", 1, "w2")
    ledger.end("8", "k8", "t8", 1, "w2")
    ledger.start("7", "k", "t2", 1, "w2")
    os.write(go[1], b"!")
    os.waitpid(child, 0)
    ledger.start("7", "k", "t3", 1, "w2")
    ledger.end("7", "k", "t3", 1, "w2")
    lines = [(run.word, run.id, run.token, run.holder) for run in read_ledger(path)]
    assert [line for line in lines if line[0] == "overlap"] == [("overlap", "7", "t2", child)]
    assert len(lines) == 7
