"""The list of guards fits the code, so that `make mutants` can take each of them away."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from consuming_guards import OF_LOOPS

from door_guards import OF_THE_DOOR
from function_guards import OF_FUNCTIONS
from guards import ASKED_FOR, EXTRA, SOURCE, Mutant
from nesting_guards import OF_NESTING

TESTS = Path(__file__).parents[1]


EVERY = [*ASKED_FOR, *EXTRA, *OF_THE_DOOR, *OF_FUNCTIONS, *OF_NESTING, *OF_LOOPS]


@pytest.mark.parametrize("mutant", EVERY, ids=lambda mutant: mutant.name)
def test_every_guard_is_where_its_mutant_looks_for_it_and_its_test_exists(mutant: Mutant, tmp_path: Path) -> None:
    for file in {change.file for change in mutant.changes}:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(SOURCE / file, tmp_path / file)
    for change in mutant.changes:
        change.apply(tmp_path)
    path, _, name = mutant.test.partition("::")
    assert f"def {name}(" in (TESTS / path).read_text()


def test_all_that_the_research_on_faults_asks_for_is_there() -> None:
    assert [int(mutant.name.split("-")[0]) for mutant in ASKED_FOR] == list(range(1, 16))
