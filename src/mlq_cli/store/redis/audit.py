"""The walk over everything that a namespace keeps in Redis, page by page, in constant memory.

    LRANGE, every list ─▶ who has succeeded? ──────────────────────────────────────┐
    SCAN, every key    ─▶ is it ours, of the right type, without a time to live?  ─┤
    ZSCAN, every set   ─▶ who stands in it? ──────────────────────────────────────┤
                                                              audit.lua judges ids ┘─▶ Tally ─▶ Finding

What is seen out here may have moved on already, so this only finds out whom to ask about. The script judges each id in
one step, and repairs it in the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

import msgpack

from mlq_cli.model.finding import NAMESPACE, Finding, Level
from mlq_cli.model.job import NAME, State
from mlq_cli.model.rules import Rules
from mlq_cli.store.base import Call
from mlq_cli.store.redis import layout
from mlq_cli.store.redis.defects import DEFECTS, finding_of
from mlq_cli.store.redis.link import Command, Read
from mlq_cli.store.redis.listed import Listed

PAGE = 100  # ids judged in one call: about a millisecond of Redis
SCANNED = 480  # keys of the server looked at in one SCAN, which may answer some more
STANDING = 80  # entries of a set looked at in one ZSCAN, likewise: mostly they fit into one page
SETS = [state for state in State if state is not State.SUCCEEDED]
NEW = "new"  # of a record: its id was in no list that was read
EXAMPLES = 3
KNOWN_APART = 1000  # of each defect, told apart from one that SCAN showed twice
A_DAY = 86_400.0

Ask = Callable[[Call[list[str]]], list[str]]
Seen = tuple[str, str, str, str]  # id, where it was seen, queue, place in a list or whether it is in one


class Audit:
    """One walk. `read` sends plain commands, `ask` a verb; `looked` is told how many keys and entries are done."""

    def __init__(
        self, namespace: str, read: Read, ask: Ask, rules: Rules, *, repair: bool, looked: Callable[[int], None]
    ) -> None:
        self._namespace = namespace
        self._prefix = layout.prefix(namespace)
        self._read = read
        self._ask = ask
        self._looked = looked
        self._repair = repair
        self._named: dict[str, Any] = {
            "repair": repair,
            "lease": rules.lease,
            "patience": 2 * rules.lease + 60,
            "longest": max(A_DAY, 2 * rules.lease),
        }
        self._tally = Tally()
        self._queues: set[str] = set()  # that have a state set
        self._unusable: set[str] = set()  # names of keys of the wrong type
        self._succeeded = Listed()
        self._keys = self._jobs = self._entries = 0

    def findings(self) -> Iterator[Finding]:
        """Walk, and yield what there is to say: first what was looked at, then each defect."""
        self._walk_lists()
        self._walk_keys()
        self._walk_sets()
        found = list(self._tally.findings(repaired=self._repair))
        well = "" if found else ", and all fits together"
        yield Finding(
            NAMESPACE,
            "walk",
            Level.OK,
            f"looked at {_counted(self._jobs, 'job')} and {_counted(self._keys, 'key')}{well}",
        )
        yield from found

    # --- the lists of the succeeded --------------------------------------------------------------------------------
    def _walk_lists(self) -> None:
        (time,) = self._read([("TIME",)])
        self._named |= {"began": float(time[0]) + float(time[1]) / 1e6, "read": {}}
        key = layout.QUEUES(self._namespace)
        (kind,) = self._read([("TYPE", key)])
        queues = self._read([("SMEMBERS", key)])[0] if kind == b"set" else []
        for queue in sorted(name.decode(errors="surrogateescape") for name in queues):
            if _is_queue(queue):
                self._walk_list(queue)

    def _walk_list(self, queue: str) -> None:
        """Read from the newest down: what leaves at the old end meanwhile hides nobody from us."""
        key = layout.STATE(self._namespace, queue, State.SUCCEEDED)
        (kind,) = self._read([("TYPE", key)])
        if kind not in (b"list", b"none"):
            return
        (length,) = self._read([("LLEN", key)])
        for end in range(length, 0, -PAGE):
            first = max(0, end - PAGE)
            (ids,) = self._read([("LRANGE", key, first, end - 1)])
            for job_id in ids:
                self._succeeded.add(job_id)
            self._entries += len(ids)
            place = layout.STATES[State.SUCCEEDED]
            names = [job_id.decode(errors="surrogateescape") for job_id in ids]
            self._judge([(name, place, queue, str(first + at)) for at, name in enumerate(names)])
        self._named["read"][queue] = True

    # --- the keys --------------------------------------------------------------------------------------------------
    def _walk_keys(self) -> None:
        cursor: bytes | int = 0
        while True:
            ((cursor, keys),) = self._read([("SCAN", cursor, "MATCH", f"{self._prefix}*", "COUNT", SCANNED)])
            for first in range(0, len(keys), PAGE):
                self._look_at(keys[first : first + PAGE])
            if int(cursor) == 0:
                return

    def _look_at(self, keys: Sequence[bytes]) -> None:
        commands: list[Command] = list(chain.from_iterable((("TYPE", key), ("PTTL", key)) for key in keys))
        answers = self._read(commands)
        seen: list[Seen] = []
        for key, kind, left in zip(keys, answers[::2], answers[1::2], strict=True):
            if kind != b"none":  # it has gone since
                self._keys += 1
                seen += self._sort(key, kind.decode(), left)
        self._judge(seen)

    def _sort(self, key: bytes, kind: str, left: int) -> Iterator[Seen]:
        """Say what is wrong with a key as such; yield what the script has to look at."""
        whole = key.decode(errors="surrogateescape")
        name = whole.removeprefix(self._prefix)
        known = layout.kind_of(name)
        if known is None or (known[0] is layout.STATE and not _is_state(*known[1])):
            self._tally.add("foreign", whole)
            return
        expected, values = known
        if kind != layout.type_of(expected, values):
            self._tally.add("wrong-type", whole)
            self._unusable.add(name)
            return
        if left >= 0 and not expected.expires:
            self._tally.add("expires", whole)
            if self._repair:
                self._read([("PERSIST", key)])
        if expected is layout.STATE:
            self._queues.add(values[0])
        elif expected in (layout.JOB, layout.MSG, layout.RESULT, layout.STREAM):
            self._jobs += expected is layout.JOB
            listed = values[0].encode(errors="surrogateescape") in self._succeeded
            yield values[0], expected.name, "", "" if listed else NEW

    # --- the state sets --------------------------------------------------------------------------------------------
    def _walk_sets(self) -> None:
        for queue in sorted(self._queues | self._listed()):
            for state in SETS:
                name = layout.STATE(self._namespace, queue, state)
                if name.removeprefix(self._prefix) not in self._unusable:
                    self._walk_set(name, queue, state)

    def _listed(self) -> set[str]:
        """Return the queues of the list. It is read after the walk over the keys: a queue enters it with its jobs."""
        key = layout.QUEUES(self._namespace)
        if layout.QUEUES.pattern in self._unusable:
            return set()
        (members,) = self._read([("SMEMBERS", key)])
        listed = {member.decode(errors="surrogateescape") for member in members}
        for queue in sorted(self._queues - listed):
            self._tally.add("unknown-queue", queue)
            if self._repair:
                self._read([("SADD", key, queue)])
        return {queue for queue in listed if _is_queue(queue)}

    def _walk_set(self, key: str, queue: str, state: State) -> None:
        cursor: bytes | int = 0
        while True:
            ((cursor, flat),) = self._read([("ZSCAN", key, cursor, "COUNT", STANDING)])
            ids = [member.decode(errors="surrogateescape") for member in flat[::2]]
            self._entries += len(ids)
            for first in range(0, len(ids), PAGE):
                self._judge([(job_id, layout.STATES[state], queue, "") for job_id in ids[first : first + PAGE]])
            if int(cursor) == 0:
                return

    # --- judging ---------------------------------------------------------------------------------------------------
    def _judge(self, seen: Sequence[Seen]) -> None:
        if seen:
            packed: bytes = msgpack.packb(self._named, use_bin_type=False)
            words = self._ask(Call("audit", [packed, *chain.from_iterable(map(_as_bytes, seen))], _read_words))
            for one, word in zip(seen, words, strict=True):
                if word:
                    self._tally.add(word, self._example(one, word))
        self._looked(self._keys + self._entries)

    def _example(self, seen: Seen, word: str) -> str:
        """Return what a person needs to find it."""
        job_id, place, queue, _ = seen
        if queue:
            return f"{job_id} in {queue}:{layout.state_of(place.encode())}"
        return job_id if place == layout.JOB.name and word != "corrupt" else f"{self._prefix}{place}:{job_id}"


class Tally:
    """How often each defect was found, with a few examples, in little memory."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(DEFECTS, 0)
        self._seen: dict[str, dict[str, None]] = {name: {} for name in DEFECTS}

    def add(self, name: str, example: str) -> None:
        """Count one, unless it was counted before: SCAN may show a key twice."""
        seen = self._seen[name]
        if example in seen:
            return
        self._counts[name] += 1
        if len(seen) < KNOWN_APART:
            seen[example] = None

    def findings(self, *, repaired: bool) -> Iterator[Finding]:
        """Yield one finding for each defect that there is."""
        for name, count in self._counts.items():
            if count:
                examples = tuple(list(self._seen[name])[:EXAMPLES])
                yield finding_of(name, count, examples, repaired=repaired)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


def _is_state(queue: str, state: str) -> bool:
    return _is_queue(queue) and state in set(State)


def _is_queue(name: str) -> bool:
    return NAME.fullmatch(name.removeprefix("_")) is not None


def _as_bytes(seen: Seen) -> Iterator[bytes]:
    return (text.encode(errors="surrogateescape") for text in seen)


def _read_words(answer: list[Any]) -> list[str]:
    return [word.decode() for word in answer[1:]]
