"""What every method of MLQ needs: the profile, and the store that it names."""

from __future__ import annotations

from mlq_cli.model.profile import Profile
from mlq_cli.store.base import Store


class Connected:
    """Knows where the jobs are, and connects when that is first asked for."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._store: Store | None = None

    @property
    def store(self) -> Store:
        """Where the jobs are."""
        if self._store is None:
            from mlq_cli.store.redis import open_store  # `import redis` takes longer than all the rest

            self._store = open_store(self.profile)
        return self._store

    @property
    def namespace(self) -> str:
        """The namespace of all jobs that this object knows."""
        return self.profile.namespace

    def close(self) -> None:
        """Close all connections."""
        if self._store is not None:
            self._store.close()
            self._store = None
