"""The round in its order: what is installed here, the server, what is stored, how things go."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mlq_cli.doctor.installation import examine_installation
from mlq_cli.doctor.operation import examine_operation
from mlq_cli.model.finding import Finding
from mlq_cli.model.profile import Profile
from mlq_cli.model.rules import rules_of
from mlq_cli.store.base import Store


def diagnose(
    profile: Profile, store: Callable[[], Store], *, repair: bool, looked: Callable[[int], None]
) -> Iterator[Finding]:
    """Yield all findings. The store is opened when it comes to it, so that what needs none is said in any case."""
    yield from examine_installation(profile)
    opened = store()
    yield from opened.examine(profile.limits.largest)
    unusable = False
    for finding in opened.audit(rules=rules_of(profile), repair=repair, looked=looked):
        yield finding
        unusable |= finding.name == "wrong-type"
    if not unusable:  # or counting the jobs would fail
        yield from examine_operation(opened.counts(), opened.workers(), opened.unable())
