"""The guards of jobs that block on others, as those of `guards.py`: that they end, and that nothing leaks to them."""

from __future__ import annotations

from guards import LUA, mutant

WAITS = "store/test_waits.py::"
STANDINS = "worker/test_standins.py::"
NESTING = "worker/test_nesting.py::"
HERE = "api/test_reaching.py::"
WORKER = "mlq_cli/worker"

#: Of blocking, and of what a job reaches of its namespace.
OF_NESTING = (
    mutant(
        "await-cycle",
        "jobs that wait for each other are refused",
        WAITS + "test_a_cycle_is_refused_and_says_which_way_it_goes",
        (f"{LUA}/await.lua", "    elseif at == args.id then", "    elseif false then"),
    ),
    mutant(
        "await-own-token",
        "only the holder of a job may let it wait",
        WAITS + "test_a_claim_leaves_nothing_of_the_waits_before_it",
        (f"{LUA}/await.lua", "if token ~= args.token then", "if not token then"),
    ),
    mutant(
        "await-stale",
        "a wait counts only under the token of the present attempt",
        WAITS + "test_a_stale_token_in_the_record_is_no_wait",
        (
            f"{LUA}/await.lua",
            "  if job[1] == RUNNING and job[2] == token then",
            "  if job[1] == RUNNING and token then",
        ),
    ),
    mutant(
        "await-running",
        "a wait counts only while its job runs",
        WAITS + "test_a_wait_of_an_attempt_that_is_over_counts_no_more",
        (f"{LUA}/await.lua", "  if job[1] == RUNNING and job[2] == token then", "  if job[2] == token then"),
        (
            f"{LUA}/lib/settle.lua",
            "PROGRESS, AWAITS)\n  enter(job.id, job.queue, SCHEDULED, now + us(math",
            "PROGRESS)\n  enter(job.id, job.queue, SCHEDULED, now + us(math",
        ),
    ),
    mutant(
        "await-each",
        "each of several waits of a job counts",
        WAITS + "test_of_many_waits_of_one_job_each_counts",
        (f"{LUA}/await.lua", "  own[args.serial] = other\n", "  own = {[args.serial] = other}\n"),
    ),
    mutant(
        "await-first",
        "a job that is waited for comes first in its line",
        WAITS + "test_a_job_that_is_waited_for_comes_first_in_its_line_and_is_first_only_once",
        (f"{LUA}/await.lua", "    place(other, queue, line[2] - 1)\n", ""),
    ),
    mutant(
        "await-full",
        "a job may block while Redis is full",
        WAITS + "test_a_job_may_block_on_others_while_redis_is_full",
        (f"{LUA}/await.lua", "drain()\nlocal MOST", "local MOST"),
    ),
    mutant(
        "await-again",
        "who is not the holder any more is told so while it waits",
        HERE + "test_a_thread_that_blocks_is_told_when_its_job_was_canceled",
        ("mlq_cli/waiting.py", "state = look() if look else store.states", "state = store.states"),
    ),
    mutant(
        "stand-in",
        "while a job blocks another executor takes its place",
        NESTING + "test_a_job_that_posts_another_and_blocks_on_it_finishes",
        (f"{WORKER}/standins.py", "lacking + self._extra(now)", "lacking"),
    ),
    mutant(
        "stand-in-places",
        "no more jobs go on at a time than the worker was told, stand-ins or not",
        STANDINS + "test_a_stand_in_is_hired_for_each_place_that_blocks_and_only_then",
        (f"{WORKER}/standins.py", "min(self._size * width - going_on, free)", "free"),
    ),
    mutant(
        "stand-in-open",
        "only a job that still runs blocks",
        STANDINS + "test_a_job_that_ends_without_a_word_blocks_no_more",
        (
            f"{WORKER}/standins.py",
            "        places = len(running) if executor.leaving",
            "        return True\n        places = len(running) if executor.leaving",
        ),
    ),
    mutant(
        "stand-in-leaving",
        "who takes no more jobs and only waits has no place either",
        STANDINS + "test_an_executor_that_is_about_to_leave_and_only_waits_gets_one_too",
        (f"{WORKER}/standins.py", "len(running) if executor.leaving else executor.width", "executor.width"),
    ),
    mutant(
        "stand-in-own",
        "an executor that dies beside stand-ins is replaced under its number",
        STANDINS + "test_an_executor_that_dies_while_its_job_blocks_comes_back_under_its_number",
        (f"{WORKER}/standins.py", "return self._hired or bool(self._blocks)", "return bool(self._blocks)"),
    ),
    mutant(
        "stand-in-going",
        "who was asked to leave is nobody's stand-in",
        STANDINS + "test_one_that_was_asked_to_leave_does_not_count",
        (f"{WORKER}/standins.py", "if each not in self._going and not", "if not"),
    ),
    mutant(
        "loop-threads",
        "jobs that block in threads of an event loop do not run out of them",
        HERE + "test_async_listeners_in_this_process_may_nest",
        (f"{WORKER}/child.py", 'ThreadPoolExecutor(THREADS, "mlq-thread")', 'ThreadPoolExecutor(6, "mlq-thread")'),
    ),
    mutant(
        "loop-block",
        "an event loop cannot be blocked",
        NESTING + "test_an_event_loop_cannot_be_blocked",
        (f"{WORKER}/reach.py", "        refuse_loop()\n", ""),
    ),
    mutant(
        "secret-withheld",
        "no signing key reaches an executor",
        NESTING + "test_no_signing_key_is_anywhere_in_an_executor",
        ("mlq_cli/model/carried.py", 'frozenset({"secret"})', "frozenset()"),
    ),
    mutant(
        "chain-threads",
        "a chain of jobs has its limit also where threads post",
        NESTING + "test_a_chain_of_jobs_that_post_from_threads_has_its_limit_too",
        (f"{WORKER}/reach.py", "        context.run(enter, job.generation + 1)\n", ""),
    ),
    mutant(
        "fork-block",
        "a process that a listener has forked speaks for nobody",
        NESTING + "test_a_process_that_a_listener_forks_has_connections_of_its_own_and_cannot_block",
        (f"{WORKER}/reach.py", "        if os.getpid() != self._pid:\n", "        if False:\n"),
    ),
)
