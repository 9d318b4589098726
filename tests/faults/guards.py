"""The guards that keep the promise, how each is taken away, and the test that must notice.

A text that no longer fits, because the code has changed, is an error: put in how that guard is written now.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src"
LUA = "mlq_cli/store/redis/lua"


@dataclass(frozen=True)
class Change:
    """What stands in a file exactly once, and what takes its place."""

    file: str  # below src/
    before: str
    after: str

    def apply(self, source: Path) -> None:
        """Change the file. Raises ValueError unless the text stands there exactly once."""
        path = source / self.file
        text = path.read_text() if path.exists() else ""
        if text.count(self.before) != 1:
            raise ValueError(f"src/{self.file} holds {text.count(self.before)} times: {self.before.strip()!r}")
        path.write_text(text.replace(self.before, self.after))


@dataclass(frozen=True)
class Mutant:
    """mlq without one of its guards."""

    name: str
    guard: str
    test: str  # its file and name below tests/; a test with parameters is meant as a whole
    changes: tuple[Change, ...]


def mutant(name: str, guard: str, test: str, *changes: tuple[str, str, str]) -> Mutant:
    return Mutant(name, guard, test, tuple(Change(*change) for change in changes))


OWN = "  if job.state == RUNNING and job.token == ARGV[i + 1] then"
HELD = "  if job[1] == RUNNING and job[2] == ARGV[i + 1] then"
CRASHED = '                log.error("job %s crashed: %s", job.id, message)\n'
FIRST_LOOKED = "        at = self._words[_SLOTS]\n        self._words[_RECALL] = number\n        time.sleep(_SETTLED)\n"
TAKEN = "            self.under_way.append(taken)\n"

#: Those that the research on faults asks for, in its order (section 4.0).
ASKED_FOR = (
    mutant(
        "1-finish-done",
        "a result counts only with the token of the job's claim",
        "store/test_verbs.py::test_a_late_outcome_is_refused_and_counted",
        (f"{LUA}/finish.lua", OWN, OWN.replace("job.token ==", "ARGV[i + 2] == 'done' or job.token ==")),
    ),
    mutant(
        "2-finish-error",
        "an error counts only with the token of the job's claim",
        "store/test_fences.py::test_a_late_error_is_refused_and_changes_nothing",
        (f"{LUA}/finish.lua", OWN, OWN.replace("job.token ==", "ARGV[i + 2] ~= 'done' or job.token ==")),
    ),
    mutant(
        "3-heartbeat",
        "only the holder renews a lease",
        "store/test_fences.py::test_a_late_heartbeat_renews_nothing_and_is_told_so",
        (f"{LUA}/heartbeat.lua", HELD, "  if job[1] == RUNNING then"),
    ),
    mutant(
        "4-progress",
        "only the holder says how far a job is",
        "store/test_verbs.py::test_progress_is_kept_while_the_job_runs_and_only_from_its_holder",
        (f"{LUA}/progress.lua", OWN, "  if job.state == RUNNING then"),
    ),
    mutant(
        "5-sweep-state",
        "what is given back is running by its record, not by its entry alone",
        "store/test_fences.py::test_a_sweep_looks_at_the_record_before_it_gives_a_job_back",
        (f"{LUA}/lib/due.lua", "    if job.state == state then", "    if job.state then"),
    ),
    mutant(
        "6-grace",
        "after an outage nothing is given back for a lease",
        "store/test_verbs.py::test_after_an_outage_living_workers_have_a_lease_to_speak_up",
        (f"{LUA}/lib/pulse.lua", "  if not heard_at or now - heard_at > lease / 2 then", "  if not heard_at then"),
    ),
    mutant(
        "7-pop-then-record",
        "what leaves the queue enters `running`, under a lease, in the same script",
        "store/test_verbs.py::test_a_job_whose_worker_vanished_is_given_back_and_dead_after_five_times",
        (
            f"{LUA}/lib/take.lua",
            "  enter(id, queue, RUNNING, lease_until,",
            "  redis.call('HSET', job_key(id), STATE, RUNNING,",
        ),
    ),
    mutant(
        "8-post-twice",
        "a post that is sent again makes no second job",
        "store/test_verbs.py::test_a_post_whose_answer_was_lost_makes_no_second_job",
        (f"{LUA}/post.lua", "  if serial == args.serial then", "  if false then"),
    ),
    mutant(
        "9-result",
        "the result is written together with the state",
        "store/test_verbs.py::test_every_result_comes_back_as_it_was",
        (f"{LUA}/finish.lua", "  keep(fields, RESULT, result, result_key(job.id))\n", ""),
    ),
    mutant(
        "10-callback",
        "the callback's job is stored together with the outcome",
        "store/test_verbs.py::test_a_callback_is_stored_with_the_outcome_it_tells_of",
        (f"{LUA}/lib/settle.lua", "  if job.callback then\n", "  if false then\n"),
    ),
    mutant(
        "11-heartbeat-place",
        "leases are renewed whatever the executor does",
        "worker/test_leases.py::test_a_job_that_holds_the_interpreter_keeps_its_lease",
        (
            "mlq_cli/worker/worker.py",
            "        if now >= self._beat_at:",
            "        if now >= self._beat_at and not any(lane.busy for lane in self._lanes):",
        ),
    ),
    mutant(
        "12-exit-0",
        "only an outcome is a success, an exit code is not",
        "worker/test_misbehaving.py::test_a_crash_is_told_from_an_exception_and_the_next_job_runs_within_a_second",
        (
            "mlq_cli/worker/lane.py",
            CRASHED,
            '                if "code 0 " in how:\n'
            '                    done = Outcome(job.id, job.token, "done", 0.0, b"", b"\\xc0")\n'
            "                    self._outbox.outcomes.append(done)\n"
            "                    continue\n" + CRASHED,
        ),
    ),
    mutant(
        "13-attempt",
        "an attempt whose worker vanished is counted",
        "store/test_fences.py::test_an_attempt_is_counted_when_it_begins",
        (f"{LUA}/lib/due.lua", " SPENT, spent(job),", ""),
    ),
    mutant(
        "14-clock",
        "leases are measured by Redis' clock",
        "store/test_fences.py::test_a_workers_clock_that_is_wrong_makes_no_lease_longer_or_shorter",
        (
            "mlq_cli/store/redis/verbs.py",
            '            "lane": lane,\n',
            '            "lane": lane,\n            "now": __import__("time").time(),\n',
        ),
    ),
    mutant(
        "15-pub-sub",
        "whoever waits for a job looks at it now and then",
        "api/test_mlq.py::test_a_wait_that_hears_nothing_looks_by_itself",
        ("mlq_cli/waiting.py", "\nLOOK_SECONDS = 2.0", "\nLOOK_SECONDS = 1e6"),
    ),
)

#: Guards of our own making.
EXTRA = (
    mutant(
        "release-token",
        "only the holder gives a job back",
        "store/test_fences.py::test_a_late_release_gives_nothing_back",
        (f"{LUA}/release.lua", "(not token or job.token == token)", "true"),
    ),
    mutant(
        "emit-token",
        "only the holder emits",
        "store/test_streams.py::test_what_an_earlier_attempt_emits_is_refused_and_counted",
        (f"{LUA}/emit.lua", OWN, "  if job.state == RUNNING then"),
    ),
    mutant(
        "emit-twice",
        "a part that is sent again is kept once",
        "store/test_streams.py::test_parts_that_are_sent_again_are_kept_once",
        (f"{LUA}/emit.lua", "    if serial > (job.emitted or 0) then", "    if true then"),
    ),
    mutant(
        "emit-full",
        "a full Redis takes the parts of a call as a whole or none of them",
        "store/test_streams.py::test_a_full_redis_refuses_parts_as_a_whole_and_takes_them_later",
        (
            f"{LUA}/lib/stream.lua",
            "  redis.call('HSET', job_key(job.id), EMITTED, job.emitted,",
            "  redis.pcall('HSET', job_key(job.id), EMITTED, job.emitted,",
        ),
    ),
    mutant(
        "reset",
        "a new attempt says that the parts of the one before do not count",
        "store/test_streams.py::test_what_an_earlier_attempt_emits_is_refused_and_counted",
        (f"{LUA}/lib/stream.lua", "  if job[EMITTED] ~= '0' then", "  if false then"),
    ),
    mutant(
        "parts-first",
        "an outcome waits until Redis has the parts of its job",
        "worker/test_parts.py::test_an_outcome_waits_for_the_parts_of_its_job_and_for_no_others",
        ("mlq_cli/worker/hearing.py", "late(outcome) if job_id in emitting else add(outcome)", "add(outcome)"),
    ),
    mutant(
        "parts-unsent",
        "what a job has emitted is heard before an outcome that was read from the board",
        "worker/test_parts.py::test_parts_are_heard_before_an_outcome_that_was_not_sent",
        ("mlq_cli/worker/hearing.py", "        self.hear_all(executor)  # what these", "        # what these"),
    ),
    mutant(
        "back-pressure",
        "an executor that emits faster than Redis takes is not listened to",
        "worker/test_streams.py::test_while_redis_is_away_parts_are_kept_up_to_a_limit_and_the_listener_waits",
        ("mlq_cli/worker/ears.py", "        elif executor.load.full:", "        elif False:"),
    ),
    mutant(
        "pass-over",
        "a job is left to a living worker that has its function",
        "store/test_passing.py::test_a_job_is_left_to_a_living_worker_that_has_its_function",
        (f"{LUA}/lib/others.lua", "  return till and till > now", "  return false"),
    ),
    mutant(
        "able-ends",
        "a job whose function nobody alive has is handed out",
        "store/test_passing.py::test_a_job_whose_function_nobody_alive_has_is_handed_out_as_before",
        (f"{LUA}/lib/others.lua", "  return till and till > now", "  return till"),
    ),
    mutant(
        "ring-again",
        "whoever passes a job over gives the token back that woke it",
        "store/test_passing.py::test_whoever_passes_a_job_over_rings_for_those_who_can_run_it",
        (f"{LUA}/lib/take.lua", "    ring_again(queue)\n", ""),
    ),
    mutant(
        "cursor",
        "jobs behind thousands of others are reached by claims that look at few",
        "store/test_passing.py::test_own_jobs_behind_thousands_of_others_are_reached_by_claims_that_look_at_few",
        (f"{LUA}/lib/take.lua", "      from = tonumber(cursor) > tonumber(from) and cursor or from\n", ""),
    ),
    mutant(
        "wrong-workers-rest",
        "idle workers do not ask again and again for the jobs of others",
        "worker/test_routing.py::test_idle_workers_among_jobs_of_others_ask_about_once_a_second",
        ("mlq_cli/worker/search.py", "        self._rests_until = now + self._rest\n", ""),
    ),
    mutant(
        "calls-own",
        "a message calls only what a module defines or exports",
        "worker/test_calls.py::test_no_message_reaches_what_its_worker_was_not_told",
        (
            "mlq_cli/worker/repertoire.py",
            "        if not own or not inspect.isroutine(function):",
            "        if not function:",
        ),
    ),
    mutant(
        "calls-private",
        "a message calls no private name",
        "worker/test_calls.py::test_no_message_reaches_what_its_worker_was_not_told",
        ("mlq_cli/worker/repertoire.py", 'name.startswith("_") or ', ""),
    ),
    mutant(
        "calls-nested",
        "a call within a call is not unpacked on the stack",
        "model/test_call.py::test_a_call_holds_no_other_call",
        (
            "mlq_cli/model/values.py",
            "if code == _Ext.CALL else _shrink(code, data)",
            "if False else _shrink(code, data)",
        ),
    ),
    mutant(
        "claim-receipt",
        "a claim that is sent again answers the same jobs",
        "store/test_verbs.py::test_a_claim_that_is_sent_again_answers_the_same_jobs",
        (f"{LUA}/claim.lua", "if last and string.sub(last, 1, #head) == head then", "if false then"),
    ),
    mutant(
        "claim-renews",
        "the jobs of a claim that is answered again have a whole lease before them",
        "store/test_fences.py::test_a_claim_that_is_answered_again_lasts_a_whole_lease_from_then",
        (f"{LUA}/claim.lua", "      renew(id, queue, lease_until)", ""),
    ),
    mutant(
        "drop-token",
        "whoever loses a job for good is told so",
        "store/test_verbs.py::test_the_holder_of_a_job_that_was_given_back_too_often_is_told_and_refused",
        (f"{LUA}/lib/due.lua", "    drop_token(job)", ""),
    ),
    mutant(
        "poison",
        "a job that takes its workers down with it is dead in the end",
        "store/test_verbs.py::test_a_job_whose_worker_vanished_is_given_back_and_dead_after_five_times",
        (f"{LUA}/lib/due.lua", "    if retries > max_retries then", "    if false then"),
    ),
    mutant(
        "named-twice",
        "a job that one call names twice moves once",
        "store/test_named_twice.py::test_a_job_that_is_released_twice_at_once_gets_one_attempt_back",
        (f"{LUA}/lib/move.lua", "  if gone[id] then", "  if false then"),
    ),
    mutant(
        "unspent",
        "giving back spends no attempt",
        "store/test_verbs.py::test_a_released_job_is_first_again_with_no_attempt_spent",
        (f"{LUA}/release.lua", "  back_to_queue(job,", "  back_to_queue(job, SPENT, spent(job),"),
    ),
    mutant(
        "drain",
        "a full Redis still lets workers settle",
        "store/test_verbs.py::test_a_full_redis_still_lets_workers_settle",
        (f"{LUA}/lib/drain.lua", "  redis.call('ZREM', workers_key, '')\n", ""),
    ),
    mutant(
        "fence",
        "what could not be renewed in time is ended",
        "worker/test_leases.py::test_a_worker_that_cannot_renew_ends_what_runs",
        ("mlq_cli/worker/fence.py", "return boot_time() - since >= self._span", "return False"),
    ),
    mutant(
        "boot-time",
        "the time to renew goes on while the machine sleeps",
        "worker/test_leases.py::test_a_worker_whose_machine_slept_ends_what_runs",
        ("mlq_cli/worker/fence.py", "time.clock_gettime(time.CLOCK_BOOTTIME)", "time.monotonic()"),
    ),
    mutant(
        "guard",
        "what a job has started ends with its worker",
        "worker/test_misbehaving.py::test_what_a_job_has_started_ends_with_its_executor",
        ("mlq_cli/worker/child.py", "    start_guard(numbers[2])\n", "    os.close(numbers[2])\n"),
    ),
    mutant(
        "outbox",
        "an outcome is kept until Redis has answered",
        "worker/test_leases.py::test_an_outcome_without_an_answer_is_sent_again",
        (
            "mlq_cli/worker/outbox.py",
            TAKEN,
            "            pass  # forgotten as soon as it is sent\n",
        ),
    ),
    mutant(
        "claim-token",
        "a claim without an answer is sent again with the same token",
        "worker/test_leases.py::test_a_claim_without_an_answer_gets_the_same_jobs_when_it_asks_again",
        (
            "mlq_cli/worker/claiming.py",
            "self._tokens.setdefault(lane.name, new_token())",
            "self._tokens[lane.name] = new_token()",
        ),
    ),
    mutant(
        "recall",
        "a job that was taken back in the moment in which it began is not run",
        "worker/test_board.py::test_no_job_is_both_run_and_taken_back_and_none_is_lost",
        ("mlq_cli/worker/board.py", "        return mark >= limit\n", "        return False\n"),
    ),
    mutant(
        "recall-settled",
        "what begins while the worker takes back is not taken",
        "worker/test_board.py::test_no_job_is_both_run_and_taken_back_and_none_is_lost",
        (
            "mlq_cli/worker/board.py",
            "        self._words[_RECALL] = number\n        time.sleep(_SETTLED)\n",
            FIRST_LOOKED,
        ),
        ("mlq_cli/worker/board.py", "        last: int = self._words[_SLOTS]\n", "        last: int = at\n"),
    ),
    mutant(
        "recall-late",
        "a recall that came too late draws no line in the next slice",
        "worker/test_board.py::test_a_recall_that_comes_too_late_draws_no_line_in_the_next_slice",
        ("mlq_cli/worker/board.py", "last + 1 if at_it else number << PLACE_BITS", "last + 1"),
    ),
    mutant(
        "reclaim",
        "what a dead executor had received and not noted comes back",
        "worker/test_slices.py::test_a_slice_that_was_received_and_not_noted_comes_back",
        (
            "mlq_cli/worker/supply.py",
            "            self.wait(self.slices.take(number) if last is None",
            "            last and (self.slices.take(number) if last is None",
        ),
    ),
    mutant(
        "blame",
        "only what it had begun is blamed for the end of an executor",
        "worker/test_slices.py::test_one_job_is_blamed_for_a_death_and_those_behind_it_come_back",
        # What is behind is recalled first, for a thread that cannot be killed: either would do for a process.
        ("mlq_cli/worker/supply.py", "            self.recall(dead)  #", "            pass  #"),
        ("mlq_cli/worker/slices.py", "[: mark % MOST + 1] if", "[:] if"),
    ),
    mutant(
        "reclaim-others",
        "what another executor has run is not taken for lost while its outcome is on the way",
        "worker/test_slices.py::test_what_others_run_or_have_run_is_not_taken_for_lost",
        ("mlq_cli/worker/supply.py", "            hear(executor)\n", "            pass\n"),
    ),
    mutant(
        "reclaim-leaving",
        "an executor that is to leave still owns what it runs",
        "worker/test_slicing.py::test_a_warm_stop_lets_a_job_finish_while_other_executors_end_before_it",
        (
            "mlq_cli/worker/lane.py",
            "        begun = self._supply.reclaim(executor)\n        self._supply.find(self.executors.values(),",
            "        begun = self._supply.reclaim(executor)\n        self._supply.find(self.staff.able(),",
        ),
    ),
    mutant(
        "unsent",
        "outcomes that an executor had not sent count when it dies",
        "worker/test_slices.py::test_one_job_is_blamed_for_a_death_and_those_behind_it_come_back",
        (
            "mlq_cli/worker/hearing.py",
            "        self.hear_all(executor)\n        self.hear_unsent(executor)\n",
            "        self.hear_all(executor)\n",
        ),
    ),
    mutant(
        "unsent-late",
        "an outcome that was read from the board is not the next attempt's when it is sent",
        "worker/test_slices.py::test_an_outcome_that_is_sent_late_does_not_count_for_the_next_attempt",
        ("mlq_cli/worker/supply.py", "if job is None or job.token != token:", "if job is None:"),
    ),
    mutant(
        "note-first",
        "who received a slice is known whatever comes of reading it",
        "worker/test_line.py::test_a_slice_is_noted_before_its_descriptor_is_found_missing",
        ("mlq_cli/worker/line.py", "        self._noted(-number)\n        if not extra:", "        if not extra:"),
    ),
    mutant(
        "own-place",
        "each async job is noted in a place of its own",
        "worker/test_slicing.py::test_each_async_job_has_a_place_of_its_own_on_the_board",
        (
            "mlq_cli/worker/child.py",
            "self._next_job(slots[-1])  # another",
            "self._next_job(self._slot)  # another",
        ),
    ),
    mutant(
        "full-line",
        "a worker never waits for room in the line",
        "worker/test_line.py::test_a_full_line_says_so_and_loses_nothing",
        (
            "mlq_cli/worker/line.py",
            "                    self._ours.sendmsg([_HEADER.pack(-number)], [passed], _TRY)\n",
            "                    self._ours.sendmsg([_HEADER.pack(-number)], [passed])\n",
        ),
    ),
    mutant(
        "move-hold",
        "what is on its way to another queue is taken by no worker",
        "store/test_moving.py::test_what_is_held_is_taken_by_no_worker_and_given_back_by_no_sweep",
        (f"{LUA}/depart.lua", "enter(job.id, queue, BLOCKED, 0,", "enter(job.id, queue, QUEUED, 0,"),
    ),
    mutant(
        "move-cancel",
        "what may run elsewhere already is not canceled here",
        "store/test_moving.py::test_a_job_that_is_on_its_way_cannot_be_canceled_and_one_that_stays_can",
        (f"{LUA}/cancel.lua", "  elseif job.state == BLOCKED and redis.call(", "  elseif false and redis.call("),
    ),
    mutant(
        "move-once",
        "what has arrived is known when it is sent again, though it ran and was forgotten since",
        "store/test_moving.py::test_what_has_arrived_does_so_once_even_if_it_ran_and_was_forgotten_since",
        (f"{LUA}/arrive.lua", "      came[id] = true", "      came[id] = nil"),
    ),
    mutant(
        "move-known",
        "what came is known until nothing of it can be held any more",
        "store/test_moving.py::test_what_came_before_is_known_until_nothing_of_it_is_held",
        (f"{LUA}/arrive.lua", "    kept_ids = ids\n", "    kept_ids = {}\n"),
    ),
    mutant(
        "move-late-there",
        "a mover that wakes up late brings in nothing",
        "store/test_moving.py::test_who_wakes_up_late_is_refused_on_both_sides",
        (f"{LUA}/arrive.lua", "  if epoch > args.epoch then", "  if false then"),
    ),
    mutant(
        "move-late-here",
        "a mover that wakes up late takes nothing away",
        "store/test_moving.py::test_who_wakes_up_late_is_refused_on_both_sides",
        (
            f"{LUA}/depart.lua",
            "if tonumber(redis.call('HGET', leaving_key, queue .. ':epoch')) ~= args.epoch then",
            "if false then",
        ),
    ),
    mutant(
        "move-elsewhere",
        "what is held for one destination does not go to another",
        "store/test_moving.py::test_jobs_that_are_held_for_one_place_do_not_go_to_another",
        (f"{LUA}/embark.lua", "if held > 0 and before[1] ~= args.to then", "if false then"),
    ),
    mutant(
        "move-first",
        "a job is forgotten at the source only when it has arrived",
        "api/test_moving.py::test_a_destination_without_room_sends_back_what_it_did_not_take",
        (
            "mlq_cli/moving.py",
            "                arrived = self._arrive(step.jobs, fresh=step.fresh)\n",
            "                arrived = [job.id for job in step.jobs]\n"
            "                self._depart(0, arrived, more=False)\n"
            "                self._arrive(step.jobs, fresh=step.fresh)\n",
        ),
    ),
    mutant(
        "copy-once",
        "a copy that was made is known when the queue is copied again",
        "api/test_moving.py::test_copying_again_adds_what_is_not_there_yet",
        (f"{LUA}/arrive.lua", "    elseif there and there[2] == origin then", "    elseif false then"),
    ),
    mutant(
        "stop-words",
        "words to stop outlast what is taken back",
        "worker/test_line.py::test_words_to_stop_outlast_what_is_taken_back_until_all_have_gone",
        (
            "mlq_cli/worker/line.py",
            "            self.stop()\n        return [number",
            "            pass\n        return [number",
        ),
    ),
)
