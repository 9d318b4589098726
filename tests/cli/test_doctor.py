"""`mlq doctor`: what it prints, and what its exit code says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlq_cli.model.finding import Level
from mlq_cli.store.redis import layout
from mlq_cli.store.redis.connect import UrlEndpoint, Wire

from .conftest import Run, one_line_error

Command = Callable[..., Any]


@pytest.fixture
def private(cli: Run, short_folder: Path) -> Iterator[Run]:
    """Run `mlq` on an embedded server of the test's own: with it, all is well."""

    def run(*words: str, **more: Any) -> Any:
        environment = {"MLQ_REDIS_URL": "", "MLQ_REDIS_DATA": str(short_folder / "data"), "MLQ_NAMESPACE": ""}
        return cli(*words, env=environment, **more)

    yield run
    assert run("redis", "stop").returncode == 0


@pytest.fixture
def command(short_folder: Path) -> Iterator[Command]:
    """Send a raw command to that server; its second word is a key without the prefix."""
    wires = []

    def send(name: str, key: str, *rest: str) -> Any:
        wires.append(Wire(UrlEndpoint(f"unix://{short_folder}/data/redis.sock")))
        (answer,) = wires[-1].exchange([(name, f"mlq:{{mlq_default}}:{key}", *rest)])
        assert not isinstance(answer, Exception), answer
        return answer

    yield send
    for wire in wires:
        wire.close()


def _marks(output: bytes) -> set[str]:
    return {line[2] for line in output.decode().splitlines() if line.startswith("  ") and line[2] != " "}


def test_on_a_clean_embedded_server_all_is_well(private: Run) -> None:
    done = private("doctor")
    assert (done.returncode, done.stderr) == (0, b"all is well\n")
    text = done.stdout.decode()
    assert [line for line in text.splitlines() if not line.startswith(" ")] == [
        "installation",
        "server",
        "namespace mlq_default",
    ]
    assert _marks(done.stdout) == {"✓", "·"} and "→" not in text
    assert private("doctor", "--repair", "--quiet").stderr == b""


def test_a_finding_says_what_it_is_and_what_to_do_and_a_repair_mends_it(private: Run, command: Command) -> None:
    job_id = private("post", "x", "--delay", "1h").stdout.decode().strip()
    assert private("doctor").returncode == 0
    command("ZREM", "q:default:scheduled", job_id)
    done = private("doctor")
    assert (done.returncode, done.stderr) == (1, b"1 thing is not well\n")
    lines = done.stdout.decode().splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("  ✗ 1 job is missing"))
    assert lines[at + 1 : at + 3] == [f"      {job_id}", "    → mlq doctor --repair enters what is missing"]
    repaired = private("doctor", "--repair")
    assert (repaired.returncode, repaired.stderr) == (0, b"1 repaired, all is well\n")
    assert "    → repaired: entered there again" in repaired.stdout.decode().splitlines()
    assert _marks(repaired.stdout) == {"✓", "·"}
    (record,) = map(json.loads, private("list", "--json").stdout.splitlines())
    assert record["id"] == job_id


def test_what_a_repair_cannot_mend_keeps_it_from_saying_that_all_is_well(private: Run, command: Command) -> None:
    private("post", "x", "--delay", "1h")
    command("HSET", "job:1", layout.field("timestamp"), "yes\x1b[2J\nterday")
    command("SET", "theirs\x1b[2J", "x")
    command("ZADD", "q:default:dead", "1", "99")
    done = private("doctor", "--repair")
    assert done.returncode == 1
    assert done.stderr == b"1 repaired, 2 things are not well\n"
    assert b"\x1b" not in done.stdout and b"theirs\\x1b[2J" in done.stdout
    assert _marks(done.stdout) == {"✓", "·", "✗", "!"}


def test_the_document_holds_every_finding(private: Run, command: Command) -> None:
    private("post", "x", "--delay", "1h")
    command("SET", b"b\xffd".decode(errors="replace"), "x")
    command("EXPIRE", "q:default:scheduled", "1000")
    done = private("doctor", "--json")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert (document["well"], document["namespace"]) == (False, "mlq_default")
    found = {finding["name"]: finding for finding in document["findings"]}
    assert found["expires"] | {"what": "", "advice": ""} == {
        "section": "namespace", "name": "expires", "level": "error", "what": "", "advice": "", "count": 1,
        "examples": ["mlq:{mlq_default}:q:default:scheduled"], "repairable": True, "repaired": False,
    }  # fmt: skip
    assert found["foreign"]["level"] == Level.WARNING
    assert {"mlq", "client", "eviction", "walk"} <= set(found)
    assert json.loads(private("doctor", "--json", "--repair").stdout)["well"] is False
    command("DEL", b"b\xffd".decode(errors="replace"))
    assert json.loads(private("doctor", "--json").stdout)["well"] is True


def test_jobs_that_nobody_serves_and_dead_ones_are_told(cli: Run, mlq: Any, end: Callable[..., str]) -> None:
    end(error=("ValueError", "no"))
    mlq.post("x", queue="gpu")
    done = cli("doctor", "--json")
    found = {finding["name"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert (found["unserved"]["level"], found["unserved"]["examples"]) == ("warning", ["gpu (1)"])
    assert (found["dead"]["level"], found["persistence"]["level"]) == ("info", "warning")
    assert done.returncode == 1


def test_when_redis_is_out_of_reach_the_installation_is_shown_all_the_same(cli: Run) -> None:
    done = cli("doctor", "--redis-url", "redis://127.0.0.1:1/0")
    assert done.returncode == 69
    assert "out of reach" in one_line_error(done)
    assert done.stdout.startswith(b"installation\n") and b"\nserver\n" not in done.stdout
    document = cli("doctor", "--redis-url", "redis://127.0.0.1:1/0", "--json")
    assert document.returncode == 69
    found = json.loads(document.stdout)
    assert found["well"] is False and {finding["section"] for finding in found["findings"]} == {"installation"}


def test_what_the_profile_warns_of_is_told_once(cli: Run, tmp_path: Path, redis_url: str) -> None:
    profile = tmp_path / "mine.yaml"
    profile.write_text("secret: s3cret\n")
    profile.chmod(0o644)
    done = cli("doctor", "--profile", str(profile))
    assert done.returncode == 1
    assert (done.stdout + done.stderr).count(b"others can read it") == 1
    assert b"s3cret" not in done.stdout


def test_a_short_string_limit_is_told_by_the_other_commands_too(cli: Run, short_folder: Path) -> None:
    from tests_support import Server

    with Server(short_folder, "--appendonly", "yes", "--proto-max-bulk-len", "1048576") as server:
        done = cli("config", "check", "--redis-url", server.url)
        assert b"warning: proto-max-bulk-len is 1,048,576" in done.stderr
        assert b"proto-max-bulk-len" in cli("reaper", "--once", "--redis-url", server.url).stderr
        short = {"MLQ_LIMITS_MESSAGE": "1MiB", "MLQ_LIMITS_RESULT": "1MiB"}
        assert cli("config", "check", "--redis-url", server.url, env=short).stderr == b""
