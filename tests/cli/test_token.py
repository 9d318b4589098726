"""`mlq token`."""

from __future__ import annotations

import json

from mlq_cli import MLQ
from mlq_cli.model.access import Role, opens, read_key

from .conftest import Run, one_line_error


def test_a_token_is_printed_once_and_nothing_else(cli: Run, mlq: MLQ) -> None:
    done = cli("token", "add", "--role", "post", "--name", "web app")
    assert done.returncode == 0 and done.stdout.count(b"\n") == 1
    key = read_key(done.stdout.decode().strip())
    assert key is not None and key.role is Role.POST
    ((kept,), _) = mlq.store.access().all()
    assert opens(key, kept) and (kept.name, kept.expires_at) == ("web app", None)
    assert key.secret not in done.stderr.decode() + cli("token", "list", "--json").stdout.decode()


def test_tokens_are_listed_and_removed(cli: Run) -> None:
    added = json.loads(cli("token", "add", "--role", "read", "--expires", "1h", "--json").stdout)
    (shown,) = [json.loads(line) for line in cli("token", "list", "--json").stdout.splitlines()]
    assert (shown["id"], shown["role"], shown["expired"]) == (added["id"], "read", False)
    assert shown["expires_at"] > shown["created_at"]
    assert cli("token", "list").stdout.decode().split("\t")[:2] == [added["id"], "read"]
    assert cli("token", "remove", added["token"]).returncode == 0, "the whole token names itself"
    assert cli("token", "list").stdout == b""
    done = cli("token", "remove", added["id"])
    assert done.returncode == 3 and one_line_error(done) == f"there is no token {added['id']}"


def test_a_token_needs_a_role_that_exists_and_a_life(cli: Run) -> None:
    assert cli("token", "add").returncode == 2
    assert one_line_error(cli("token", "add", "--role", "root")) == "'root' is no role"
    assert cli("token", "add", "--role", "read", "--expires", "0").returncode == 2
    assert cli("token", "add", "--role", "read", "--name", "x\x1b[2J").returncode == 2
    assert cli("token", "list").stdout == b""
