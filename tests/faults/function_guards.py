"""The guards of functions that are registered at run time, as those of `guards.py`: nothing forged is unpickled."""

from __future__ import annotations

from guards import LUA, mutant

ENVELOPE, SHELF = "mlq_cli/model/envelope.py", "mlq_cli/worker/shelf.py"
SEALED, SHELVED, KEPT = "model/test_envelope.py::", "worker/test_shelf.py::", "store/test_functions.py::"
ATTACKS = SEALED + "test_what_is_not_signed_for_this_place_is_refused_with_a_clear_line"

OF_FUNCTIONS = (
    mutant(
        "fn-signature",
        "no byte of a signed function can be changed",
        SHELVED + "test_of_a_hundred_thousand_mutated_envelopes_none_is_unpickled",
        (ENVELOPE, "    if not hmac.compare_digest(_tag(found, signed), tag):", "    if False:"),
    ),
    mutant(
        "fn-half-a-signature",
        "the whole signature counts",
        SEALED + "test_no_byte_of_an_envelope_can_be_changed_and_none_left_out",
        (ENVELOPE, "compare_digest(_tag(found, signed), tag)", "compare_digest(_tag(found, signed)[:31], tag[:31])"),
    ),
    mutant(
        "fn-own-key",
        "what was signed with the secret for something else is no function",
        SEALED + "test_the_key_signs_functions_with_a_key_of_their_own",
        (ENVELOPE, '    return hmac.digest(secret, _DOMAIN, "sha256")', "    return secret"),
        (
            ENVELOPE,
            '    made = hmac.new(key, _DOMAIN + b"\\0", hashlib.sha256)',
            "    made = hmac.new(key, b'', 'sha256')",
        ),
    ),
    mutant(
        "fn-namespace",
        "a function that was signed for one namespace counts in no other",
        ATTACKS,
        (ENVELOPE, "    if head.namespace != namespace:", "    if False:"),
    ),
    mutant(
        "fn-name",
        "a function counts under its own name only",
        ATTACKS,
        (ENVELOPE, "    if name is not None and head.name != name:", "    if False:"),
    ),
    mutant(
        "fn-size",
        "what is too large is refused before it is looked at",
        ATTACKS,
        (ENVELOPE, "    if len(envelope) > LONGEST:", "    if False:"),
    ),
    mutant(
        "fn-replay",
        "what was removed or replaced is not taken up again",
        SHELVED + "test_a_version_that_was_rolled_back_does_not_replace_the_newer_one",
        (SHELF, "        if head.version <= self._newest.get(name, 0):", "        if False:"),
    ),
    mutant(
        "fn-refused-stays",
        "an envelope that is refused takes nothing away",
        "worker/test_registered.py::test_what_is_forged_in_redis_is_refused_and_everything_else_goes_on",
        (
            SHELF,
            "        except EnvelopeRefused as error:\n",
            "        except EnvelopeRefused as error:\n            self._drop(name)\n",
        ),
    ),
    mutant(
        "fn-python",
        "code of another version of Python is not taken up",
        SHELVED + "test_another_version_of_python_is_refused_and_the_outdated_function_goes",
        (SHELF, "        if head.python != self._python:", "        if False:"),
    ),
    mutant(
        "fn-older",
        "an older version does not replace a newer one in the store",
        KEPT + "test_only_a_higher_version_replaces_and_saying_it_again_does_no_harm",
        (f"{LUA}/register.lua", "elseif not forget and tonumber(args.version) <= version then", "elseif false then"),
    ),
    mutant(
        "fn-removed",
        "what was made before a removal does not come back after it",
        KEPT + "test_what_was_made_before_a_removal_is_not_taken_after_it",
        (
            f"{LUA}/register.lua",
            "  redis.call('HSET', versions_key, args.name, string.format('%.0f', revision))\n",
            "  redis.call('HDEL', versions_key, args.name)\n",
        ),
    ),
    mutant(
        "fn-lost",
        "a store that has lost functions is believed",
        SHELVED + "test_a_store_that_has_lost_what_it_had_is_asked_for_all_of_it",
        (SHELF, "        if changes.newest < self._revision:", "        if False:"),
    ),
    mutant(
        "fn-pile",
        "shelves do not pile up before an executor",
        SHELVED + "test_an_executor_gets_a_shelf_only_when_it_asks_and_then_the_newest",
        (
            SHELF,
            "            if executor.asks_for is not None and executor.asks_for < self._serial:",
            "            if True:",
        ),
    ),
    mutant(
        "fn-sealed-file",
        "no executor can change what others unpickle",
        SHELVED + "test_the_file_of_a_shelf_cannot_be_changed_by_an_executor",
        (SHELF, "        _seal(file)\n", "        pass\n"),
    ),
    mutant(
        "fn-killer",
        "a function that kills whoever unpickles it takes the worker down no more than once",
        "worker/test_registered.py::test_a_function_that_kills_whoever_unpickles_it_is_left_out",
        (
            "mlq_cli/worker/lane.py",
            "            self.shelf.blame(executor.taking, message.rem",
            "            str(message.rem",
        ),
    ),
    mutant(
        "fn-calls",
        "what was shipped to be called gets no messages",
        SHELVED + "test_a_function_for_calls_may_take_what_it_likes_and_gets_no_messages",
        ("mlq_cli/worker/taking.py", "None if use == CALL else _listener", "None if use == 'none' else _listener"),
    ),
    mutant(
        "fn-secret",
        "no executor has the secret",
        "worker/test_registered.py::test_the_secret_is_nowhere_in_an_executor",
        ("mlq_cli/worker/executor.py", 'return dict.fromkeys(holding | {"MLQ_SECRET"}, "")', "return {}"),
    ),
)
