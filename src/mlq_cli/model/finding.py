"""What `mlq doctor` says of one thing that it looked at."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

INSTALLATION, SERVER, NAMESPACE = "installation", "server", "namespace"


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    INFO = "info"  # worth knowing; nothing is wrong
    WARNING = "warning"  # will go wrong one day, or waits for somebody
    ERROR = "error"  # is wrong now


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: how it is, and what to do next."""

    section: str  # installation, server or namespace
    name: str  # a word that stays the same: for scripts, and for the guide
    level: Level
    what: str  # one sentence without its full stop
    advice: str = ""  # what to do next; empty: nothing
    count: int = 0  # jobs, entries or keys that it is about; 0: not about any
    examples: tuple[str, ...] = ()  # a few of them
    repairable: bool = False  # --repair repairs it, with no guess and no loss
    repaired: bool = False  # it just has

    @property
    def well(self) -> bool:
        """Whether nobody has to do anything any more."""
        return self.repaired or self.level in (Level.OK, Level.INFO)
