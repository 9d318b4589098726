"""The guards of loops in the caller's own process, how each is taken away, and the test that must notice."""

from __future__ import annotations

from guards import mutant

WORKER = "mlq_cli/worker"

OF_LOOPS = (
    mutant(
        "loop-finish",
        "a message is finished only when the loop asks for the next one",
        "worker/test_consuming.py::test_a_loop_that_is_left_gives_back_what_it_has_with_no_attempt_spent",
        (
            f"{WORKER}/consuming.py",
            "                stock.give_back(self.values[0].decode())\n            self.values",
            "                self.finish()\n            self.values",
        ),
    ),
    mutant(
        "loop-leave",
        "what was claimed ahead goes back when the loop is left",
        "worker/test_consuming.py::test_a_loop_that_is_left_gives_back_what_it_has_with_no_attempt_spent",
        (
            f"{WORKER}/messages.py",
            "        self._finalizer = weakref.finalize(self, loop.close)",
            "        self._finalizer = print",
        ),
    ),
    mutant(
        "loop-lease",
        "a thread keeps the lease of what the body is at",
        "worker/test_consuming.py::test_the_lease_is_kept_while_the_body_is_at_work",
        (f"{WORKER}/keeper.py", "            if now >= self._beat_at:", "            if self._beat_at == 0:"),
    ),
    mutant(
        "loop-behind",
        "what waits behind a long message goes to others",
        "worker/test_consuming.py::test_what_waits_behind_a_long_message_goes_to_another_loop_and_what_is_done_is_told",
        (f"{WORKER}/keeper.py", "if stock.give_back_unbegun() or stock", "if stock"),
    ),
    mutant(
        "loop-told",
        "what is done is told while the body is at a long message",
        "worker/test_consuming.py::test_what_waits_behind_a_long_message_goes_to_another_loop_and_what_is_done_is_told",
        (
            f"{WORKER}/stock.py",
            "        if outcomes := outbox.take(MOST, MOST_BYTES):",
            "        if count and (outcomes := outbox.take(MOST, MOST_BYTES)):",
        ),
    ),
    mutant(
        "loop-late",
        "nothing is handed out whose lease may be over",
        "worker/test_consuming.py::test_nothing_is_handed_out_whose_lease_may_be_over",
        (f"{WORKER}/consuming.py", "        if now >= stock.fresh_until:", "        if now >= stock.fresh_until + 60:"),
    ),
    mutant(
        "loop-let-go",
        "what was canceled before it began is not handed out",
        "worker/test_consuming.py::test_what_was_canceled_or_lost_before_it_began_is_not_handed_out",
        (f"{WORKER}/stock.py", "        if gone:\n", "        if not gone:\n"),
    ),
    mutant(
        "loop-fork",
        "a fork has no part in the loop",
        "worker/test_consuming.py::test_a_fork_neither_takes_nor_gives_back_what_the_loop_has",
        (f"{WORKER}/consuming.py", "        if self.closed or self._pid != os.getpid():", "        if self.closed:"),
    ),
    mutant(
        "loop-outage",
        "outcomes are kept while Redis is away",
        "faults/test_consuming.py::test_a_loop_waits_for_redis_and_goes_on_where_it_was",
        (f"{WORKER}/stock.py", "        self.outbox.all_back()\n", "        self.outbox.under_way.clear()\n"),
    ),
    mutant(
        "loop-token",
        "a claim whose answer was lost is sent again with its token",
        "worker/test_consuming.py::test_what_a_claim_without_an_answer_has_taken_is_asked_for_again",
        (
            f"{WORKER}/stock.py",
            "            self._token = self._token or new_token()",
            "            self._token = new_token()",
        ),
    ),
    mutant(
        "poll-interrupt",
        "a job that Ctrl-C ends goes back and has not failed",
        "worker/test_polling.py::test_a_worker_that_is_interrupted_gives_the_message_back",
        (f"{WORKER}/polling.py", "            if not isinstance(error, Exception):", "            if False:"),
    ),
    mutant(
        "hook-stop",
        "an executor whose hook says stop begins nothing more",
        "worker/test_hooks.py::test_a_worker_stops_warmly_when_its_hook_says_so",
        (f"{WORKER}/child.py", '        return "its hook says that it is time to stop"', "        return None"),
    ),
    mutant(
        "hook-after",
        "a hook that raises after an attempt changes nothing",
        "worker/test_hooks.py::test_hooks_that_raise_after_a_job_are_told_in_the_log_and_change_nothing",
        (f"{WORKER}/attempts.py", "            self.on_hook_error(error)", "            raise"),
    ),
)
