"""A module that says what it exports."""

from __future__ import annotations

from os.path import basename

__all__ = ["basename", "shown"]


def shown() -> str:
    return "shown"


def hidden() -> str:
    return "hidden"
