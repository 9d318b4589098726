"""Ways to fail, and what is said about it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mlq_cli import MLQ
from mlq_cli.cli.main import app

from .conftest import SOURCE, Run, one_line_error


def test_redis_out_of_reach_is_one_line_with_the_address_and_exit_69(cli: Run) -> None:
    done = cli("post", "x", "--redis-url", "redis://:secret@127.0.0.1:1")
    assert done.returncode == 69
    assert "127.0.0.1:1 is out of reach" in one_line_error(done)
    assert b"secret" not in done.stderr


def test_an_unknown_key_of_the_profile_asks_did_you_mean(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "mlq.yaml").write_text("worker: {leese: 5m}\n")
    done = cli("post", "x")
    assert done.returncode == 2
    assert b"did you mean 'lease'?" in done.stderr


@pytest.mark.parametrize(("word", "hint"), [("lst", "did you mean 'mlq list'?"), ("zzzz", "mlq --help")])
def test_an_unknown_command_suggests_the_nearest(word: str, hint: str) -> None:
    done = CliRunner().invoke(app, [word])
    assert done.exit_code == 2
    assert hint in done.stderr


def test_an_unexpected_error_is_one_line_unless_the_traceback_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> str:
        raise RuntimeError("oh\nno")

    monkeypatch.setattr(MLQ, "post", broken)
    short, long = CliRunner().invoke(app, ["post", "x"]), CliRunner().invoke(app, ["post", "x", "-v"])
    assert (short.exit_code, long.exit_code) == (1, 1)
    assert short.stderr.splitlines()[0] == "error: unexpected RuntimeError: oh no"
    assert "Traceback" not in short.stderr
    assert "Traceback" in long.stderr


def test_an_interruption_is_quiet_and_exit_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(MLQ, "post", interrupted)
    done = CliRunner().invoke(app, ["post", "x"])
    assert (done.exit_code, done.output) == (130, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a device that is always full")
@pytest.mark.parametrize("words", [("list",), ("--help",), ("config", "show", "--json")])
def test_an_output_that_cannot_be_written_is_exit_74(cli: Run, mlq: MLQ, words: tuple[str, ...]) -> None:
    mlq.post("x")
    with open("/dev/full", "wb") as full:
        done = cli(*words, stdout=full)
    assert done.returncode == 74
    assert "No space left" in one_line_error(done)


@pytest.mark.parametrize("words", [("list",), ("--help",), ("config", "show")])
def test_an_output_that_nobody_reads_any_more_is_no_error(cli: Run, mlq: MLQ, words: tuple[str, ...]) -> None:
    mlq.post("x")
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as closed:
        done = cli(*words, stdout=closed)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_command_imports_only_what_it_needs(redis_url: str, namespace: str) -> None:
    code = """if True:
        import sys
        from mlq_cli.cli.main import main
        try:
            main()
        except SystemExit as stop:
            assert stop.code == 0, stop.code
        unwanted = {"rich", "yaml", "pydantic", "fastapi", "numpy"} & set(sys.modules)
        ours = {name.rpartition(".")[2] for name in sys.modules if name.startswith("mlq_cli.cli.")}
        others = ours & {"get", "wait", "jobs", "status", "worker", "dlq", "queue", "config", "server", "result"}
        rare = {"doctor", "finding", "audit", "defects", "examination", "server_info", "nodes", "sentinel", "cluster"}
        others |= rare & {name.rpartition(".")[2] for name in sys.modules if name.startswith("mlq_cli.")}
        assert not unwanted | others, unwanted | others
    """
    words = ["post", "x", "--redis-url", redis_url, "-n", namespace, "--priority", "3"]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    done = subprocess.run([sys.executable, "-c", code, *words], env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_an_interruption_before_anything_is_loaded_is_quiet_too(tmp_path: Path) -> None:
    (tmp_path / "difflib.py").write_text("raise KeyboardInterrupt\n")
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{SOURCE}"}
    done = subprocess.run([sys.executable, "-m", "mlq_cli", "list"], env=environment, capture_output=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")
