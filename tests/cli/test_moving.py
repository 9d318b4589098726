"""`mlq queue copy`, `move` and `rezero`, and what `mlq queue list` and `mlq status` say of a queue's work."""

from __future__ import annotations

import json
from pathlib import Path

from mlq_cli import MLQ
from mlq_cli.cli.status import TALLY_COLUMNS
from mlq_cli.model.job import State

from .conftest import End, Run, one_line_error


def test_a_queue_is_copied_and_moved_by_its_names(cli: Run, mlq: MLQ, redis_url: str) -> None:
    mlq.post_many(range(3))
    done = cli("queue", "copy", "default", "--to-queue", "again")
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr.decode().startswith(f"3 jobs copied to queue again of namespace {mlq.namespace} at ")
    moved = cli("queue", "move", "default", "--to-namespace", f"{mlq.namespace}b", "--json")
    assert json.loads(moved.stdout) == {
        "queue": "default",
        "moved": 3,
        "to": {"queue": "default", "namespace": f"{mlq.namespace}b"},
    }
    assert {c.queue: c.states[State.QUEUED] for c in mlq.counts()} == {"default": 0, "again": 3}
    assert one_line_error(cli("queue", "move", "default")) == "where to?"
    assert cli("queue", "move", "default", "--to-queue", "default").returncode == 7
    assert cli("queue", "move", "default", "--to", "nowhere.yaml").returncode == 2
    with MLQ.from_profile(redis_url=redis_url, namespace=f"{mlq.namespace}b") as there:
        assert there.tally().enqueued == 3


def test_the_destinations_profile_is_not_overruled_by_what_is_said_of_this_one(
    cli: Run, mlq: MLQ, redis_url: str, tmp_path: Path
) -> None:
    """MLQ_REDIS_URL and MLQ_NAMESPACE are set here: they name the source."""
    profile = tmp_path / "there.yaml"
    profile.write_text(f"redis: {{url: '{redis_url}'}}\nnamespace: {mlq.namespace}c\n")
    mlq.post_many(range(2))
    assert cli("queue", "move", "default", "--to", str(profile)).returncode == 0
    with MLQ.from_profile(str(profile)) as there:
        assert (there.namespace, there.tally().enqueued) == (f"{mlq.namespace}c", 2)
    assert mlq.tally().enqueued == 0


def test_a_move_that_broke_off_is_undone(cli: Run, mlq: MLQ) -> None:
    mlq.post_many(range(3))
    here = mlq.store.moving()
    here.depart("default", here.embark("default", "somewhere", "there").epoch, 2, [], more=True)
    assert one_line_error(cli("queue", "move", "default", "--to-namespace", "x")).startswith("2 jobs of queue default")
    assert cli("queue", "move", "default", "--undo", "--to", "x").returncode == 2
    assert cli("queue", "move", "default", "--undo").stderr == b"2 jobs of queue default wait again\n"
    assert mlq.counts()[0].states[State.QUEUED] == 3


def test_a_tally_is_shown_and_set_to_zero(cli: Run, mlq: MLQ, end: End) -> None:
    end(1)
    mlq.post_many(range(3))
    titles = [column.title for column in TALLY_COLUMNS]
    assert titles == ["INSERTED", "ENQUEUED", "COMPLETED", "LEASED"]
    assert cli("queue", "list").stdout.decode().rstrip("\n").split("\t")[-4:] == ["4", "3 (75% left)", "1 (25%)", "0"]
    assert cli("status").stdout.decode().rstrip("\n").endswith("\t25%")
    assert cli("queue", "rezero", "default").stderr == b"queue default counts from zero\n"
    (queue,) = [json.loads(line) for line in cli("queue", "list", "--json").stdout.splitlines()]
    assert queue["tally"] == {"inserted": 0, "enqueued": 3, "completed": 0, "leased": 0}
    assert queue["stats"]["posted"] == 4
    assert cli("queue", "list").stdout.decode().rstrip("\n").split("\t")[-4:] == ["0", "3", "0", "0"]
