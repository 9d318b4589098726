"""The rules of the house that no linter knows."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

from mlq_cli.model import errors
from mlq_cli.model.job import State
from mlq_cli.store.base import Store
from mlq_cli.store.redis import layout
from mlq_cli.store.redis.scripts import script, verbs
from mlq_cli.store.redis.store import RedisStore

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "mlq_cli"
LUA = sorted((SOURCE / "store" / "redis" / "lua").rglob("*.lua"))


@pytest.mark.parametrize("path", LUA, ids=lambda path: path.name)
def test_only_the_chapter_move_changes_a_state(path: Path) -> None:
    if path.name == "move.lua":
        return
    body = re.sub(r"--.*", "", path.read_text())
    assert not re.search(r"'HSET', job_key\([^)]*\), STATE\b", body), "writes the field"
    keys = re.findall(r"'(?:ZADD|ZREM|RPUSH|LPUSH|LSET|LREM|LTRIM|LPOP)', (\w+)", body)
    assert all(key in ("workers_key", "able_key", "changes_key", "bell") for key in keys), keys


@pytest.mark.parametrize("path", LUA, ids=lambda path: path.name)
def test_every_script_is_bounded_local_and_named_by_the_layout(path: Path) -> None:
    body = re.sub(r"--.*", "", path.read_text())
    assert not re.search(r"\bwhile\b|\brepeat\b", body), "a loop whose limit is not to be seen"
    assert not re.search(r"'(KEYS|SCAN|SMEMBERS)'", body), "as long as there are members"
    assert "error_reply" not in body and "cjson" not in body
    assert not re.search(r"^(?:function|[a-z_]+ =)", body, re.MULTILINE), "a global"
    assert "'mlq:" not in body and "P .." not in body, "a key that layout.py does not name"


@pytest.mark.parametrize("verb", verbs())
def test_every_verb_says_what_goes_in_and_comes_out(verb: str) -> None:
    head = (SOURCE / "store" / "redis" / "lua" / f"{verb}.lua").read_text()
    assert head.startswith(f"--- {verb} — ") and "\n-- in   " in head and "\n-- out  " in head
    assert script(verb).body.startswith(f"-- mlq {verb}\nlocal P = KEYS[1]\n")


def test_the_redis_store_keeps_every_promise_of_the_store() -> None:
    for name, promised in inspect.getmembers(Store, inspect.isfunction):
        if name.startswith("_"):
            continue
        kept = getattr(RedisStore, name)
        assert inspect.signature(kept).parameters.keys() == inspect.signature(promised).parameters.keys(), name


def test_every_state_has_its_score_explained() -> None:
    assert set(layout.SCORES) == {state.value for state in State}


def test_every_error_knows_its_exit_code_and_status_and_explains_itself() -> None:
    found = [each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, errors.MlqError)]
    assert len(found) > 10
    for each in found:
        assert each.__doc__ and each.__name__ in (errors.__doc__ or "")
        assert each.exit_code in (1, 2, 3, 4, 5, 6, 7, 69, 75, 77) and 400 <= each.http_status < 600


def test_rooms_stay_small() -> None:
    for path in SOURCE.rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 400, path
    for path in LUA:
        assert len(path.read_text().splitlines()) <= 120, path


def test_no_module_gives_a_name_to_two_things() -> None:
    """Two who add the same name to a module get no conflict, and the second one wins."""
    for path in SOURCE.rglob("*.py"):
        given: set[str] = set()
        for node in ast.parse(path.read_text()).body:
            names = {each.id for each in getattr(node, "targets", []) if isinstance(each, ast.Name)}
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                names.add(node.name)
            assert not names & given, (path.name, names & given)
            given |= names


def test_only_executors_unpickle_functions_and_only_who_ships_one_pickles() -> None:
    """A pickle is code: whoever loads one runs it."""
    allowed = {"worker/taking.py": {"pickle"}, "by_value.py": {"cloudpickle"}, "shipping.py": {"cloudpickle"}}
    # Between a process and its own children, which nobody else can write to: bulk posts and local runs.
    allowed |= {"poster.py": {"pickle"}, "worker/own.py": {"pickle"}}
    allowed["worker/own.py"] = {"pickle"}  # in executors of a local run, what the process that started them gave them
    dangerous = {"pickle", "cloudpickle", "dill", "jsonpickle", "marshal"}
    for path in SOURCE.rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        imported |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
        found = {name.partition(".")[0] for name in imported} & dangerous
        assert found <= allowed.get(str(path.relative_to(SOURCE)), set()), path


def test_only_the_profile_reads_settings_from_the_environment() -> None:
    allowed = {"model/profile.py", "worker/executor.py", "store/redis/embedded.py", "store/redis/server_folder.py"}
    allowed.add("worker/surroundings.py")  # it reads none: it puts back what a job has changed
    for path in SOURCE.rglob("*.py"):
        name = str(path.relative_to(SOURCE))
        if name not in allowed and not name.startswith("cli/"):
            assert "os.environ" not in path.read_text(), name


def test_importing_the_package_loads_nothing_heavy() -> None:
    import subprocess
    import sys

    heavy = ("redis", "rich", "typer", "yaml", "numpy", "cloudpickle", "msgpack")
    code = f"import sys, mlq_cli; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_an_executor_starts_without_redis_or_the_command_line() -> None:
    import subprocess
    import sys

    heavy = ("redis", "rich", "typer", "yaml", "asyncio", "ctypes")
    code = f"import sys, mlq_cli.worker.child; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
