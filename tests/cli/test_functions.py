"""`mlq register-fn` and `mlq fn`."""

from __future__ import annotations

import json
from pathlib import Path

from mlq_cli import MLQ
from mlq_cli.model.signing import new_secret

from .conftest import Run, one_line_error

SECRET = {"MLQ_SECRET": new_secret()}


def test_a_function_of_this_folder_is_registered_listed_and_removed(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text("def multiply(msg):\n    return msg * 2\n")
    done = cli("register-fn", "tasks:multiply", env=SECRET)
    assert (done.returncode, done.stdout) == (0, b"multiply\n"), done.stderr
    done = cli("register-fn", "tasks:multiply", "--name", "other", "--json", env=SECRET)
    assert json.loads(done.stdout) == {"name": "other"}
    shown = [json.loads(line) for line in cli("fn", "list", "--json", env=SECRET).stdout.splitlines()]
    assert [(one["name"], one["use"], one["sound"]) for one in shown] == [
        ("multiply", "listener", True),
        ("other", "listener", True),
    ]
    assert shown[0]["created_at"].startswith("20") and shown[0]["size"] > 100
    lines = cli("fn", "list", env=SECRET).stdout.decode().splitlines()
    assert [line.split("\t")[0] for line in lines] == ["multiply", "other"] and lines[0].endswith("\tsound")
    done = cli("fn", "remove", "multiply", "other")
    assert done.returncode == 0 and done.stderr == b"2 functions removed\n"
    done = cli("fn", "remove", "multiply")
    assert done.returncode == 3 and one_line_error(done) == "there is no registered function 'multiply'"
    assert cli("fn", "list").stdout == b""


def test_a_list_with_another_secret_shows_what_no_worker_here_would_take(cli: Run, tmp_path: Path, mlq: MLQ) -> None:
    (tmp_path / "tasks.py").write_text("def f(msg):\n    return msg\n")
    assert cli("register-fn", "tasks:f", env=SECRET).returncode == 0
    assert b"it is signed with a foreign key" in cli("fn", "list", env={"MLQ_SECRET": new_secret()}).stdout
    assert b"there is no secret here" in cli("fn", "list").stdout
    mlq.store.functions().register("strange", mlq.store.functions().clock(), b"\x80\x05pickle")
    assert b"strange" in cli("fn", "list").stdout and b"it is not signed" in cli("fn", "list").stdout


def test_what_cannot_be_registered_is_said_in_one_line(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(
        "import threading\nlock = threading.Lock()\ndef f(msg):\n    return lock\ndef ok(msg):\n    return msg\n"
        "def many(a, b, c):\n    return a\n"
    )
    done = cli("register-fn", "tasks:ok")
    assert done.returncode == 2 and "there is no secret to sign with" in one_line_error(done)
    done = cli("register-fn", "tasks:f", env=SECRET)
    assert done.returncode == 2 and "the function f cannot travel" in one_line_error(done)
    assert cli("register-fn", "tasks:none", env=SECRET).returncode == 2
    done = cli("register-fn", "tasks:many", env=SECRET)
    assert done.returncode == 2 and one_line_error(done) == "many asks for more than a listener gets"
    done = cli("register-fn", "tasks:ok", "--name", "", env=SECRET)
    assert done.returncode == 2 and "cannot be the name of a function" in one_line_error(done)
    done = cli("register-fn", "tasks:ok", "--name", "a,b", env=SECRET)
    assert done.returncode == 2 and "cannot be the name of a function" in one_line_error(done)


def test_a_worker_needs_a_function_or_registered_and_that_needs_a_secret(cli: Run) -> None:
    done = cli("worker")
    assert done.returncode == 2 and one_line_error(done) == "a worker needs a function"
    done = cli("worker", "--registered", "--burst")
    assert done.returncode == 2 and b"there is no secret" in done.stderr
    assert cli("worker", "--registered", "--burst", env=SECRET).returncode == 0
