"""The store beside its specification (`support/store_model.py`): any verbs in any order, the same jobs after each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from mlq_cli.model.job import CALLBACKS, State
from mlq_cli.model.options import PostOptions
from mlq_cli.model.outcome import Outcome
from mlq_cli.model.rules import Retention, Rules
from mlq_cli.model.values import pack, unpack
from mlq_cli.store.base import Call, Claims, Held, Part, Progress
from mlq_cli.store.redis import layout
from mlq_cli.store.redis.connect import UrlEndpoint
from mlq_cli.worker.context import Job, jobs_in
from store_model import ENDED, LATER, Ending, Handed, ModelJob, StoreModel
from timed_store import START, TimedStore, is_remembered

QUEUES = ("default", "other")
SETS = [state for state in State if state is not State.SUCCEEDED]
LEASE = 32.0
RULES = {
    "plain": Rules(lease=LEASE, max_retries=2, max_crashes=1),
    "patient": Rules(lease=LEASE, retries=2, backoff=4.0, backoff_max=6.0, max_retries=1),
    "short of room": Rules(lease=LEASE, max_retries=0, retention=Retention(age=50, count=2, dead_age=90)),
}
#: Sent again at once, these change nothing. The others may take a further share of what there is to do.
HARMLESS = {"post", "claim", "heartbeat", "finish", "progress", "emit", "cancel", "requeue"}
#: The end of a lost answer's story: most calls are sent once.
TWICE = st.sampled_from([False, False, True])
PICK = st.integers(0, 1000)
PICKS = st.lists(PICK, min_size=1, max_size=4)
QUEUE = st.sampled_from([*QUEUES, CALLBACKS])
LIMIT = st.sampled_from([500, 1, 2])
CAN = st.sampled_from([None, ("f", "*"), ("g", "x:g", "*"), ("m:",), ("m:f", "f")])  # what a worker can run
POST = st.fixed_dictionaries(
    {
        "queue": st.sampled_from(QUEUES),
        "priority": st.sampled_from([0, 0, 7, -2047]),
        "delay": st.sampled_from([None, None, None, 0, 4, 60]),
        "at": st.sampled_from([None, None, -5.0, 40.0]),
        "retries": st.sampled_from([None, 0, 2]),
        "timeout": st.sampled_from([None, 9.0]),
        "callback": st.sampled_from([None, "http://localhost/x"]),
        "callback_method": st.sampled_from(["GET", "POST"]),
        "callback_public": st.booleans(),
        "functions": st.sampled_from([None, None, ("f", "g"), ("f",), ("g",), ("m:f",)]),
    }
)


class StoreMachine(RuleBasedStateMachine):
    """Says everything to both and compares."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.store = TimedStore(UrlEndpoint(url), f"t{uuid4().hex[:12]}")
        self.store.jitter = 0.5
        self.model = StoreModel(START, 0.5)
        self.held = [Held("99", "never")]  # every pair that was ever handed out, and one that was not
        self.lanes: dict[str, str] = {}  # the token of each one's last claim
        self.tokens = 0

    def both(self, call: Call[Any], expect: Callable[[], Any], twice: bool, *, harmless: bool | None = None) -> Any:
        """Say it to both, perhaps twice as after a lost answer; returns what both answered."""
        expected = expect()
        answer = readable(self.store.ask(call))
        assert answer == pytest.approx(expected) if isinstance(expected, float) else same(answer, expected), call.verb
        if twice:
            before = {job_id: vars(job).copy() for job_id, job in self.model.jobs.items()}
            again = readable(self.store.ask(call))
            if is_remembered(call):
                assert same(again, answer), f"{call.verb} was sent again and answered differently"
                harmless = True
            else:
                assert same(again, expect()), f"{call.verb} again"
            if call.verb in HARMLESS if harmless is None else harmless:
                assert before == {job_id: vars(job) for job_id, job in self.model.jobs.items()}, call.verb
        return answer

    def some_held(self, picks: Sequence[int]) -> list[Held]:
        """Pairs that were handed out, 0 being the newest: of jobs that run, whoever runs them now, or of any."""
        of_running = [held for held in self.held if self.model.states().get(held.id) is State.RUNNING]
        lists = [of_running or self.held, self.held]
        return [lists[pick % 3 == 2][-1 - pick // 3 % len(lists[pick % 3 == 2])] for pick in picks]

    def some_ids(self, picks: Sequence[int]) -> list[str]:
        ids = [*self.model.jobs, "99"]
        return [ids[pick % len(ids)] for pick in picks]

    @initialize(given=POST, others=POST)
    def some_jobs_wait_and_some_run(self, given: dict[str, Any], others: dict[str, Any]) -> None:
        """An example may have few steps of one kind; so that they meet something, there is something."""
        for options in (given, others):
            self.post_some(3, options, None, twice=False)
        self.take(QUEUES, 3, "w1", "plain", as_before=False, twice=False)

    # --- time ------------------------------------------------------------------------------------------------------
    @rule(seconds=st.sampled_from([0.25, 3.0, 15.0, 17.0, 33.0, 300.0]))
    def time_passes_and_nobody_is_heard_of(self, seconds: float) -> None:
        self.move(seconds)

    @rule(pick=PICK, taken_by=st.sampled_from(["w1", "w2", "nobody"]))
    def a_worker_is_lost_while_others_go_on(self, pick: int, taken_by: str) -> None:
        """One running job is not renewed until its lease is over; then somebody sweeps, and perhaps takes it."""
        if State.RUNNING not in self.model.states().values():
            self.post_some(1, {}, None, twice=False)
            self.take(("default",), 1, "w3", "plain", as_before=False, twice=False)
        running = [job for job in self.model.jobs.values() if job.state is State.RUNNING]
        lost = running[pick % len(running)] if running else None
        held = [Held(job.id, job.token or "") for job in running if job is not lost]
        for _ in range(3):
            self.move(12.0)
            self.beat(held, twice=False, rules=RULES["plain"])
        queue = lost.queue if lost else "default"
        self.sweep_queue(queue, "plain", None, 500, 0, twice=False)
        if taken_by != "nobody":
            self.take((queue,), 2, taken_by, "plain", as_before=False, twice=False)

    def move(self, seconds: float) -> None:
        self.model.now += seconds
        self.store.now = self.model.now

    # --- the life of a job -----------------------------------------------------------------------------------------
    @rule(count=st.integers(1, 3), given=POST, own=st.booleans(), picks=PICKS, twice=TWICE)
    def post(self, count: int, given: dict[str, Any], own: bool, picks: list[int], twice: bool) -> None:
        ids = [f"own-{picks[i % len(picks)] % 4}" for i in range(count)] if own else None
        self.post_some(count, given, ids, twice)

    def post_some(self, count: int, given: dict[str, Any], ids: list[str] | None, twice: bool) -> None:
        messages = [f"m{self.model.number}" * (1, 40, 150)[i % 3] for i in range(count)]
        if given.get("at") is not None:  # said as seconds from now
            given = {**given, "delay": None, "at": self.model.now + given["at"]}
        options = PostOptions(**given)
        call = self.store.post([pack(message) for message in messages], options, ids)
        self.both(call, lambda: self.model.post(messages, options, ids), twice)

    @rule(
        worker=st.sampled_from(["w1", "w2", "w3"]),
        count=st.integers(1, 4),
        queues=st.sampled_from([QUEUES, QUEUES[::-1], QUEUES[:1], (CALLBACKS,)]),
        rules=st.sampled_from(sorted(RULES)),
        as_before=st.sampled_from([False] * 4 + [True]),
        functions=CAN,
        twice=TWICE,
    )
    def claim(
        self,
        worker: str,
        count: int,
        queues: tuple[str, ...],
        rules: str,
        as_before: bool,
        functions: tuple[str, ...] | None,
        twice: bool,
    ) -> None:
        self.take(queues, count, worker, rules, as_before=as_before, functions=functions, twice=twice)

    def take(
        self,
        queues: tuple[str, ...],
        count: int,
        worker: str,
        rules: str,
        *,
        as_before: bool,
        functions: tuple[str, ...] | None = None,
        twice: bool,
    ) -> None:
        """`as_before`: with the token of this lane's last claim, whose answer was lost much earlier."""
        lane = f"{worker}:{'callbacks' if CALLBACKS in queues else 'jobs'}"
        self.tokens += 1
        token = self.lanes.get(lane, "t0") if as_before else f"t{self.tokens}"
        self.lanes[lane] = token
        call = self.store.claim(
            queues, count, worker=worker, lane=lane, token=token, rules=RULES[rules], functions=functions
        )
        expect = lambda: self.model.claim(queues, count, worker, lane, token, RULES[rules], functions)  # noqa: E731
        jobs, *_ = self.both(call, expect, twice)
        self.held += [Held(job.id, job.token) for job in jobs]

    @rule(picks=PICKS, functions=CAN, twice=TWICE)
    def heartbeat(self, picks: list[int], functions: tuple[str, ...] | None, twice: bool) -> None:
        self.beat(self.some_held(picks), twice, RULES["plain"], functions or ())

    def beat(self, held: Sequence[Held], twice: bool, rules: Rules, functions: tuple[str, ...] = ()) -> None:
        about = {"pid": 1}
        call = self.store.heartbeat("w1", held, rules=rules, life=30.0, about=about, functions=functions)
        self.both(call, lambda: self.model.heartbeat(held, rules, functions), twice)

    @rule(
        picks=PICKS,
        kind=st.sampled_from(["done", "done", "error", "crash", "unknown", "final", "later"]),
        seconds=st.sampled_from([0.0, 0.25]),
        short=st.sampled_from([None, "", "cat"]),
        result=st.sampled_from([None, 0, "r" * 100, "r" * 300]),
        rules=st.sampled_from(sorted(RULES)),
        twice=TWICE,
    )
    def finish(
        self, picks: list[int], kind: str, seconds: float, short: str | None, result: Any, rules: str, twice: bool
    ) -> None:
        endings = [Ending(held, kind, seconds, short, result) for held in self.some_held(picks)]
        call = self.store.finish([outcome(ending) for ending in endings], rules=RULES[rules])
        self.both(call, lambda: self.model.finish(endings, RULES[rules]), twice)

    @rule(picks=PICKS, twice=TWICE)
    def release(self, picks: list[int], twice: bool) -> None:
        held = self.some_held(picks)
        self.both(self.store.release(held), lambda: self.model.release(held), twice, harmless=True)

    @rule(picks=PICKS, value=st.sampled_from([50, {"done": 3}]), twice=TWICE)
    def progress(self, picks: list[int], value: Any, twice: bool) -> None:
        said = [(held, value) for held in self.some_held(picks)]
        call = self.store.progress([Progress(held.id, held.token, pack(value)) for held, value in said])
        self.both(call, lambda: self.model.progress(said), twice)

    @rule(picks=PICKS, first=st.integers(1, 2), count=st.integers(1, 3), twice=TWICE)
    def emit(self, picks: list[int], first: int, count: int, twice: bool) -> None:
        parts = [(held, serial) for held in self.some_held(picks) for serial in range(first, first + count)]
        call = self.store.emit([Part(held.id, held.token, serial, pack(serial)) for held, serial in parts])
        self.both(call, lambda: self.model.emit(parts), twice)

    @rule(
        queue=QUEUE,
        rules=st.sampled_from(sorted(RULES)),
        timeout=st.sampled_from([None, None, 10.0]),
        limit=LIMIT,
        offset=st.integers(0, 2),
        twice=TWICE,
    )
    def sweep(self, queue: str, rules: str, timeout: float | None, limit: int, offset: int, twice: bool) -> None:
        self.sweep_queue(queue, rules, timeout, limit, offset, twice)

    def sweep_queue(self, queue: str, rules: str, timeout: float | None, limit: int, offset: int, twice: bool) -> None:
        call = self.store.sweep(queue, rules=RULES[rules], timeout=timeout, limit=limit, offset=offset)
        self.both(call, lambda: self.model.sweep(queue, RULES[rules], timeout, limit, offset), twice)

    # --- what people do to jobs ------------------------------------------------------------------------------------
    @rule(
        what=st.sampled_from(["cancel", "requeue", "requeue", "release", "purge", "pause", "resume", "resume"]),
        picks=PICKS,
        queue=QUEUE,
        state=st.sampled_from([state for state in State if state is not State.BLOCKED]),
        limit=LIMIT,
        twice=TWICE,
    )
    def an_operator(self, what: str, picks: list[int], queue: str, state: State, limit: int, twice: bool) -> None:
        store, model, ids = self.store, self.model, self.some_ids(picks)
        match what:
            case "cancel":
                self.both(store.cancel(ids), lambda: model.cancel(ids), twice)
            case "requeue":
                self.both(store.requeue(ids), lambda: model.requeue(ids), twice)
            case "release":
                call = store.release_queue(queue, limit=limit)
                self.both(call, lambda: model.release_queue(queue, limit), twice, harmless=False)
            case "purge":
                call_purge = store.purge(queue, state, limit=limit)
                self.both(call_purge, lambda: model.purge(queue, state, limit), twice)
            case _:
                pausing = store.pause(queue, paused=what == "pause")
                self.both(pausing, lambda: model.pause(queue, what == "pause"), twice, harmless=True)

    # --- after each step -------------------------------------------------------------------------------------------
    @invariant()
    def both_agree(self) -> None:
        self.every_job_is_in_one_set_and_both_say_which()
        self.every_record_is_as_the_model_has_it()
        self.nothing_is_lost_between_the_counters()
        self.no_lease_lasts_longer_than_a_lease()
        self.a_bell_rings_for_every_queue_with_something_to_do()

    def every_job_is_in_one_set_and_both_say_which(self) -> None:
        """I1, I2: exactly the sets of the model, so no job is in two, and no entry is without its job."""
        for queue in (*QUEUES, CALLBACKS):
            listed = layout.members(self.store.namespace, queue, State.SUCCEEDED)
            (ids,) = self.store._read([listed])
            assert [job_id.decode() for job_id in ids] == [job.id for job in self.model.all_in(queue, State.SUCCEEDED)]
            keys = [layout.STATE(self.store.namespace, queue, state) for state in SETS]
            found = self.store._read([("ZRANGE", key, 0, -1, "WITHSCORES") for key in keys])
            for state, flat in zip(SETS, found, strict=True):
                scores = {job_id.decode(): float(score) for job_id, score in zip(flat[::2], flat[1::2], strict=True)}
                unit = 1 if state is State.QUEUED else 1e6
                expected = {job.id: job.score * unit for job in self.model.all_in(queue, state)}
                assert scores == pytest.approx(expected, abs=100), f"{queue} {state}"

    def every_record_is_as_the_model_has_it(self) -> None:
        jobs = list(self.model.jobs.values())
        for job, record in zip(jobs, self.store.records([job.id for job in jobs]), strict=True):
            assert record is not None, f"{job.id} has no record"
            assert {name: record[name] for name in seen(job)} == seen(job)  # type: ignore[literal-required]
            entries = self.store.entries(job.id, None, 1000)
            told = [unpack(each.value)["state"] if each.kind == "state" else each.kind for each in entries]
            assert told == job.told, f"the stream of {job.id}"
        tokens = self.store._field([job.id for job in jobs], "token")
        assert [token and token.decode() for token in tokens] == [job.token for job in jobs]

    def nothing_is_lost_between_the_counters(self) -> None:
        """I7: what was posted is there or was thrown away; and every counter is the model's."""
        for counts in self.store.counts():
            there, gone = sum(counts.states.values()), self.model.gone[counts.queue]
            assert counts.stats.get("posted", 0) == there + gone
            expected = {name: value for name, value in self.model.stats[counts.queue].items() if value}
            assert {name: value for name, value in counts.stats.items() if value} == pytest.approx(expected)
            assert counts.paused == (counts.queue in self.model.paused)

    def no_lease_lasts_longer_than_a_lease(self) -> None:
        """I9."""
        running = [job for job in self.model.jobs.values() if job.state is State.RUNNING]
        assert all(job.score <= self.model.now + LEASE for job in running)

    def a_bell_rings_for_every_queue_with_something_to_do(self) -> None:
        """Nobody has answered one, so a silent bell beside a waiting job means that no worker would wake for it."""
        waiting = {job.queue for job in self.model.jobs.values() if job.state is State.QUEUED} - self.model.paused
        for queue in waiting:
            (tokens,) = self.store._read([("LLEN", layout.BELL(self.store.namespace, queue))])
            assert tokens >= 1, f"{queue} has jobs, and nobody would wake"

    def teardown(self) -> None:
        """I11, I12: no key that the layout does not name, none of a job that is gone, none that expires by itself."""
        namespace = self.store.namespace
        (keys,) = self.store._read([("KEYS", layout.prefix(namespace) + "*")])
        try:
            for key, ttl in zip(keys, self.store._read([("TTL", key) for key in keys]), strict=True):
                (kind,) = [kind for kind in layout.LAYOUT if kind.matches(namespace, key.decode())]
                assert ttl == -1 or kind.expires, f"{key!r} would be gone in {ttl} s"
                if kind.name == "stream":
                    job = self.model.jobs[key.decode().split(":", 3)[3]]
                    assert (ttl == -1) == (job.state not in ENDED), f"{key!r} would be gone in {ttl} s"
                if kind.name in ("job", "msg", "result", "stream"):
                    assert key.decode().split(":", 3)[3] in self.model.jobs, f"{key!r} is of a job that is gone"
        finally:
            if keys:
                self.store._read([("DEL", *keys)])
            self.store.close()


def seen(job: ModelJob) -> dict[str, Any]:
    """Return what the job's record says, as far as the model knows it."""
    names = "id timestamp worker processing_started processing_finished progress callback retries functions msg state"
    names += " queue priority attempt timeout callback_method retries_allowed failures crashes"
    names += " error_type traceback short_result"
    result = job.error if job.state is State.DEAD else job.result
    return {**{name: getattr(job, name) for name in names.split()}, "result": result}


def outcome(ending: Ending) -> Outcome:
    """Return what a worker sends."""
    texts = (b"ValueError", b"no", b"Traceback ...")
    if ending.kind == "later":
        texts = (b"%.3f" % LATER, b"", b"")
    if ending.kind == "done":
        texts = (b"" if ending.short is None else b"=" + ending.short.encode(), pack(ending.result), b"")
    return Outcome(*ending.held, ending.kind, ending.seconds, *texts)


def readable(answer: Any) -> Any:
    """Return an answer with its jobs unpacked, as an executor does it."""
    if not isinstance(answer, Claims):
        return answer
    frames = [(job, Job(next(jobs_in(job.record)))) for job in answer.jobs]
    jobs = [
        Handed(job.id, frame.token, frame.attempt, unpack(frame.packed_msg), job.timeout, frame.queue, frame.retries)
        for job, frame in frames
    ]
    return jobs, answer.empty, answer.next_due, answer.withheld, answer.passed


def same(answer: Any, expected: Any) -> bool:
    """Compare; seconds that Lua wrote as text are not exact."""
    if isinstance(answer, tuple):
        return len(answer) == len(expected) and all(map(same, answer, expected))
    if isinstance(answer, float) and isinstance(expected, float):
        return abs(answer - expected) < 0.01
    assert answer == expected
    return True


def run(url: str, given: settings) -> None:
    run_state_machine_as_test(lambda: StoreMachine(url), settings=given)


SETTINGS = settings(
    deadline=None,
    database=None,
    print_blob=True,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],
)


@pytest.mark.timeout(600)  # to find the shortest example of a failure takes a while
def test_whatever_is_said_to_the_store_it_does_what_its_model_says(redis_url: str) -> None:
    """The same examples each time; a failure is shown as the shortest list of steps that leads to it."""
    run(redis_url, settings(SETTINGS, derandomize=True, max_examples=80, stateful_step_count=40))


@pytest.mark.minutes
@pytest.mark.timeout(1200)
def test_whatever_is_said_to_the_store_for_long_it_does_what_its_model_says(redis_url: str) -> None:
    """Other examples each time; `--hypothesis-seed` and the lines that a failure prints bring them back."""
    run(redis_url, settings(SETTINGS, max_examples=800, stateful_step_count=60))
