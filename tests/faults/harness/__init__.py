"""The harness of the fault tests: servers, a bad network, failpoints, a ledger outside Redis, a checker, a nemesis."""
