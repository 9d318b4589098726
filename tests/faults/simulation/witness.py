"""The witness: looks at all jobs after every write and knows, from what was said, what may have become of each.

It shares nothing with the model of the store: it does not say what must happen, only what the promise allows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from mlq_cli.model.job import CALLBACKS, State
from mlq_cli.model.rules import Rules
from mlq_cli.model.values import unpack
from mlq_cli.store.base import Held
from mlq_cli.store.redis import layout
from mlq_cli.store.redis.codec import attempt_of
from timed_store import TimedStore

LIVE = (State.SCHEDULED, State.QUEUED, State.RUNNING)
ENDED = (State.SUCCEEDED, State.CANCELED, State.DEAD)


@dataclass
class Said:
    """What one write says, as far as it decides what may happen."""

    now: float  # on Redis' clock
    verbs: tuple[str, ...] = ()
    renewed: set[Held] = field(default_factory=set)
    finished: dict[Held, str] = field(default_factory=dict)  # and the kind of outcome
    released: set[Held] = field(default_factory=set)
    progress: set[Held] = field(default_factory=set)
    claims: set[str] = field(default_factory=set)  # tokens
    post: str = ""  # which one: sent again, it is the same
    messages: int = 0  # that it holds
    asked_for: set[str] = field(default_factory=set)  # ids that an operator names
    release_all: bool = False  # an operator gives back whatever runs
    allowed: float | None = None  # seconds that a job may run at all, says a reaper


@dataclass
class Seen:
    """One job at one moment."""

    state: State
    score: float
    token: str
    attempt: int
    retries: int
    fields: dict[str, bytes]


class Witness:
    """Keeps the history of every job and judges each step of it."""

    def __init__(self, store: TimedStore, queues: Sequence[str], rules: Rules) -> None:
        self._store = store
        self._queues = (*queues, CALLBACKS)
        self._rules = rules
        self.jobs: dict[str, Seen] = {}  # as they were last seen; those that ended stay
        self.live: set[str] = set()
        self.ran: dict[str, list[str]] = {}  # every token that each job was claimed with
        self.told: Counter[str] = Counter()  # callbacks of each job
        self.made: Counter[str] = Counter()  # jobs that came of each post
        self.ends: Counter[str] = Counter()  # and how often it came to an end
        self.seen: Counter[str] = Counter()  # what has happened in this world at all
        self._heard_at: float | None = None
        self._grace_until = 0.0

    # --- looking ---------------------------------------------------------------------------------------------------
    def look(self, said: Said) -> None:
        """See what has become of the jobs, and judge."""
        scores = self._live_scores()
        before, ids = self.jobs, self.live | scores.keys() | said.asked_for & self.jobs.keys()
        now = {job_id: self._seen(job_id, raw, scores) for job_id, raw in self._hashes(ids)}
        for job_id, after in now.items():
            self._judge(job_id, before.get(job_id), after, said)
        self.jobs.update(now)
        self.live = set(scores)
        (pulse,) = self._store._read([("HMGET", layout.PULSE(self._store.namespace), "heard_at", "grace_until")])
        self._heard_at, self._grace_until = (float(value) / 1e6 if value else 0.0 for value in pulse)

    def _live_scores(self) -> dict[str, tuple[str, State, float]]:
        places = [(queue, state) for queue in self._queues for state in LIVE]
        keys = [layout.STATE(self._store.namespace, queue, state) for queue, state in places]
        scores: dict[str, tuple[str, State, float]] = {}
        found = self._store._read([("ZRANGE", key, 0, -1, "WITHSCORES") for key in keys])
        for (queue, state), flat in zip(places, found, strict=True):
            for job_id, score in zip(flat[::2], flat[1::2], strict=True):
                assert job_id.decode() not in scores, f"{job_id!r} is in two sets"
                scores[job_id.decode()] = (queue, state, float(score) / (1 if state is State.QUEUED else 1e6))
        return scores

    def _hashes(self, ids: Iterable[str]) -> list[tuple[str, dict[str, bytes]]]:
        ids = sorted(ids)
        flat = self._store._read([("HGETALL", layout.JOB(self._store.namespace, job_id)) for job_id in ids])
        return [(job_id, layout.record_of(each)) for job_id, each in zip(ids, flat, strict=True)]

    def _seen(self, job_id: str, raw: dict[str, bytes], scores: dict[str, tuple[str, State, float]]) -> Seen:
        assert raw, f"job {job_id} is lost: it has no record"
        state, queue = layout.state_of(raw["state"]), raw.get("queue", b"default").decode()
        score = 0.0
        if job_id in scores:
            assert scores[job_id][:2] == (queue, state), f"job {job_id} says {state} and is in {scores[job_id]}"
            score = scores[job_id][2]
        else:
            assert state in ENDED, f"job {job_id} is {state} and in no set: it is lost"
        token = raw.get("token", b"").decode()
        return Seen(state, score, token, attempt_of(raw), int(raw.get("retries", b"0")), raw)

    # --- judging ---------------------------------------------------------------------------------------------------
    def _judge(self, job_id: str, before: Seen | None, after: Seen, said: Said) -> None:
        if before is None:
            self._is_new(job_id, after, said)
        elif before.fields != after.fields or before.score != after.score:
            where = f"job {job_id} went from {before} to {after} when this was said: {said}"
            if before.state in ENDED:
                asked = job_id in said.asked_for and "requeue" in said.verbs
                assert asked and before.state is not State.SUCCEEDED and after.state is State.QUEUED, where
                assert after.attempt == 0 and not after.token, where
            elif before.state is State.RUNNING:
                self._left_or_stayed(job_id, before, after, said, where)
            else:
                self._waited(job_id, before, after, said, where)
        if after.state in ENDED and (before is None or before.state not in ENDED):
            self.ends[job_id] += 1
            self.seen[after.state.value] += 1

    def _is_new(self, job_id: str, after: Seen, said: Said) -> None:
        if after.fields.get("queue") == CALLBACKS.encode():
            told = unpack(after.fields["msg"])["job_id"]
            self.told[told] += 1
        else:
            self.made[said.post] += 1
            assert self.made[said.post] <= said.messages, f"job {job_id} comes from nowhere, or was posted twice"
        self.ran[job_id] = []
        if after.state is State.RUNNING:  # a callback that was claimed by the write that brought it about
            self._began(job_id, after, said, str(after))
        else:
            assert after.state in (State.QUEUED, State.SCHEDULED) and not after.token, after
        assert after.attempt == len(self.ran[job_id]), after

    def _waited(self, job_id: str, before: Seen, after: Seen, said: Said, where: str) -> None:
        """A job that waited may become due, be claimed, or be canceled; no outcome may touch it."""
        if after.state is State.RUNNING:
            self._began(job_id, after, said, where)
            assert after.attempt == before.attempt + 1 and after.retries == before.retries, where
            assert before.state is State.QUEUED or before.score <= said.now, where
        elif after.state is State.CANCELED:
            assert job_id in said.asked_for and "cancel" in said.verbs, where
        else:
            assert (before.state, after.state) == (State.SCHEDULED, State.QUEUED), where
            assert before.score <= said.now and after.attempt == before.attempt and not after.token, where

    def _left_or_stayed(self, job_id: str, before: Seen, after: Seen, said: Said, where: str) -> None:
        """Only its holder, an operator, or the end of its lease may take a job from whoever runs it."""
        held = Held(job_id, before.token)
        stays = after.state is State.RUNNING and after.token == before.token
        # A claim that is answered again may renew what it answers.
        holder_spoke = held in said.renewed or before.token in said.claims
        if stays:
            assert after.attempt == before.attempt and after.retries == before.retries, where
            assert after.score == before.score or holder_spoke, f"a stranger renewed: {where}"
            same = after.fields.get("progress") == before.fields.get("progress")
            assert same or held in said.progress, f"a stranger said how far it is: {where}"
            return
        if after.state is State.CANCELED:
            assert job_id in said.asked_for and "cancel" in said.verbs, where
        elif held in said.finished:
            self._settled(held, said.finished[held], before, after, where)
        elif held in said.released or said.release_all:
            self._back(job_id, before, after, said, where, spent=0)
            self.seen["released"] += 1
        else:
            over = before.score <= said.now and held not in said.renewed and self._may_reap(said.now)
            started = int(before.fields["processing_started"]) / 1e6
            overdue = said.allowed is not None and said.now - started > said.allowed
            assert over or overdue, f"it was taken from its holder: {where}"
            assert after.retries == before.retries + 1, where
            if after.state is State.DEAD:
                assert not after.token, f"its holder would not be told: {where}"
            else:
                assert after.retries <= self._rules.max_retries, f"it would run for ever: {where}"
                self._back(job_id, before, after, said, where, spent=1)
            self.seen["lost"] += 1

    def _may_reap(self, now: float) -> bool:
        """Whether leases that look over are over, or just nobody could speak."""
        return self._heard_at is not None and now - self._heard_at <= self._rules.lease / 2 and now >= self._grace_until

    def _settled(self, held: Held, kind: str, before: Seen, after: Seen, where: str) -> None:
        assert after.attempt == before.attempt - (kind == "later"), where
        if kind == "later":
            assert after.state is State.SCHEDULED, where
        elif kind == "done":
            assert after.state is State.SUCCEEDED, where
            assert unpack(after.fields["result"]) == held.token, f"another attempt's result: {where}"
        else:
            assert after.state in (State.SCHEDULED, State.DEAD), where
            counter = {"error": "failures", "crash": "crashes", "unknown": "retries"}[kind]
            counts = [int(seen.fields.get(counter, b"0")) for seen in (before, after)]
            assert counts[1] == counts[0] + 1, where
        self.seen[kind] += 1

    def _back(self, job_id: str, before: Seen, after: Seen, said: Said, where: str, *, spent: int) -> None:
        """It went back to its queue, and may have been claimed anew by the same write."""
        attempt = before.attempt - 1 + spent
        if after.state is State.RUNNING:
            self._began(job_id, after, said, where)
            attempt += 1
        else:
            assert after.state is State.QUEUED and not after.token, where
        assert after.attempt == attempt, where

    def _began(self, job_id: str, after: Seen, said: Said, where: str) -> None:
        assert after.token in said.claims, f"nobody claimed it: {where}"
        assert after.token not in self.ran[job_id], f"the same token twice: {where}"
        self.ran[job_id].append(after.token)
        self.seen["claimed"] += 1
        self.seen["reruns"] += len(self.ran[job_id]) > 1

    # --- the verdict -----------------------------------------------------------------------------------------------
    def refusals(self, finished: Iterable[Held], refused: dict[str, str]) -> None:
        """Whether an outcome was refused exactly if the job was no longer its attempt's. Call before `look`."""
        late = set()
        for held in finished:
            seen = self.jobs.get(held.id)
            if seen is None or seen.token != held.token or seen.state is State.CANCELED:
                late.add(held.id)
                self.seen["refused"] += 1
        assert late == refused.keys(), f"{late} were late, {refused} were refused"

    def audit(self, *, at_rest: bool) -> None:
        """Look at all jobs there ever were; `at_rest`: none of them may still have something before it."""
        counts = {each.queue: each for each in self._store.counts()}
        posted = sum(each.stats["posted"] for each in counts.values())
        assert posted == len(self.jobs) == sum(sum(each.states.values()) for each in counts.values())
        for job_id, raw in self._hashes(self.jobs):
            assert raw == self.jobs[job_id].fields, f"job {job_id} changed after its end"
        for name in ("succeeded", "canceled", "dead", "claimed", "lost"):
            assert sum(each.stats.get(name, 0) for each in counts.values()) == self.seen[name], name
        for job_id, job in self.jobs.items():
            with_callback = "callback" in job.fields
            assert self.told[job_id] == self.ends[job_id] * with_callback, f"job {job_id} was told of wrongly"
            assert not at_rest or job.state in ENDED, f"job {job_id} never ended: {job}"
