"""The guards between the web and the queue, as those of `guards.py`: who is let in, and who is called."""

from __future__ import annotations

from guards import mutant

DOOR = "mlq_cli/http/door"
CALLERS = "http/test_door.py::"

#: Of the HTTP server and of callbacks.
OF_THE_DOOR = (
    mutant(
        "door-host",
        "a page that points its own name at this machine is turned away",
        CALLERS + "test_a_name_that_is_not_ours_is_turned_away_whatever_is_asked",
        (f"{DOOR}/hosts.py", "if host in self._right or host.lower() in self._right:", "if True:"),
    ),
    mutant(
        "door-page",
        "a page of another origin changes nothing",
        CALLERS + "test_a_page_of_another_origin_changes_nothing",
        (
            f"{DOOR}/pages.py",
            "            raise _foreign()\n        if site is None",
            "            pass\n        if site is None",
        ),
    ),
    mutant(
        "door-form",
        "what a browser sends without asking first is not read",
        CALLERS + "test_only_json_changes_anything_and_what_curl_calls_a_form",
        (f"{DOOR}/pages.py", "    if not (is_json(head) or", "    if not (True or"),
    ),
    mutant(
        "door-body",
        "a body that is too large is refused before it is read",
        CALLERS + "test_a_body_that_is_too_large_is_refused_before_it_is_read_and_while_it_comes",
        (f"{DOOR}/door.py", "if length is not None and int(length) > most:", "if False:"),
    ),
    mutant(
        "door-octets",
        "bytes are read only where functions come in",
        CALLERS + "test_bytes_change_something_only_where_functions_come_in",
        (f"{DOOR}/door.py", "octets=path == FUNCTIONS)", "octets=True)"),
    ),
    mutant(
        "door-function",
        "a function that is too large is refused before it is read",
        CALLERS + "test_a_function_has_a_limit_of_its_own_within_that_of_all_bodies",
        (f"{DOOR}/door.py", "if path == FUNCTIONS else self.body", "if False else self.body"),
    ),
    mutant(
        "function-signed",
        "a function that nobody has signed is not taken unless that was asked for",
        "http/api/test_functions.py::test_what_others_have_signed_or_nobody_is_refused",
        ("mlq_cli/http/routes/functions.py", "if not served(request).unsigned or FORWARDED in", "if FORWARDED in"),
    ),
    mutant(
        "function-proxy",
        "what a proxy passes on is not taken unsigned",
        "http/api/test_functions.py::test_what_a_proxy_passes_on_is_not_taken_unsigned",
        (
            "mlq_cli/http/routes/functions.py",
            'if not served(request).unsigned or FORWARDED in read_head(request.scope["headers"]):',
            "if not served(request).unsigned:",
        ),
    ),
    mutant(
        "function-alone",
        "unsigned functions are taken by no server that others reach",
        "http/test_serve.py::test_unsigned_functions_are_taken_by_nobody_but_this_machine",
        (
            "mlq_cli/cli/serve.py",
            "                _check_alone(mlq, local=listening.local)\n",
            "                pass\n",
        ),
    ),
    mutant(
        "door-token",
        "an id of a token without its secret opens nothing",
        CALLERS + "test_a_token_has_its_role_and_nothing_else_is_one",
        (f"{DOOR}/caller.py", "if opens(key, token) and token is not None:", "if token is not None:"),
    ),
    mutant(
        "door-expired",
        "a token that has expired opens nothing",
        CALLERS + "test_a_token_that_has_expired_opens_nothing_even_while_the_store_is_away",
        (f"{DOOR}/book.py", "token if token.expires_at is None or token.expires_at > now else None", "token"),
    ),
    mutant(
        "door-proxy",
        "what a proxy on this machine passes on is not taken for this machine's own",
        CALLERS + "test_what_comes_by_a_proxy_needs_a_token_although_the_proxy_is_on_this_machine",
        (f"{DOOR}/door.py", "rules.token_needed or FORWARDED in head or", "rules.token_needed or"),
    ),
    mutant(
        "door-guesses",
        "whoever guesses tokens has to wait",
        CALLERS + "test_whoever_guesses_has_to_wait_and_nobody_else_has_to",
        (f"{DOOR}/caller.py", "        if wait is not None:", "        if False:"),
    ),
    mutant(
        "door-role",
        "each role may only what it may",
        "http/test_roles.py::test_each_role_may_exactly_what_it_may",
        ("mlq_cli/http/roles.py", "if given is None or given < role:", "if given is None:"),
    ),
    mutant(
        "strangers",
        "callbacks of strangers reach no private network",
        "http/api/test_posting.py::test_the_callbacks_of_strangers_reach_no_private_network",
        ("mlq_cli/http/routes/posting.py", "bool(request.scope.get(STRANGER, True)) and", "False and"),
    ),
    mutant(
        "metadata",
        "metadata services are never called, in no spelling",
        "model/test_addresses.py::test_what_is_never_called_is_known_in_every_spelling_and_mode",
        ("mlq_cli/model/callback_policy.py", "if reach is Reach.NEVER:", "if False:"),
    ),
    mutant(
        "rebinding",
        "the addresses that a name has when it is called are checked, whatever they were before",
        "worker/test_deliveries.py::test_a_name_that_changed_its_mind_after_the_posting_is_refused",
        (
            "mlq_cli/model/callback_policy.py",
            "        for address in addresses:\n            reach",
            "        for address in addresses if target.address else ():\n            reach",
        ),
    ),
    mutant(
        "unsigned",
        "nothing is sent unsigned that was to be signed",
        "worker/test_deliveries.py::test_a_worker_without_a_secret_sends_nothing_unsigned",
        ("mlq_cli/worker/callbacks.py", "        if not self._keys:", "        if False:"),
    ),
)
