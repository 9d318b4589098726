"""A store whose clock the test moves: verbs are tried at t=0, t=1, t=61 without waiting."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mlq_cli.model.job import State
from timed_store import Bench


@pytest.fixture
def bench(redis_url: str, namespace: str) -> Iterator[Bench]:
    made = Bench(redis_url, namespace)
    yield made
    for job_id in made.store.ids(None, list(State), None):
        assert len(made.sets_of(job_id)) == 1 and made.sets_of(job_id)[0][1] == made.state(job_id)
    made.store.close()
