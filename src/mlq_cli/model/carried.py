"""A profile as it is carried to an executor: all but the secret, for what jobs can read signs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlq_cli.model.settings import SECTIONS, SETTINGS, Profile

WITHHELD = frozenset({"secret"})


def carried(profile: Profile) -> dict[str, Any]:
    """Return the settings of a profile by dotted key, as msgpack can hold them."""
    values: dict[str, Any] = {}
    for key in SETTINGS.keys() - WITHHELD:
        value: Any = profile
        for name in key.split("."):
            value = getattr(value, name)
        values[key] = list(value) if isinstance(value, tuple) else value
    return values


def profile_of(values: Mapping[str, Any]) -> Profile:
    """Return the profile that was carried; neither files nor the environment have a say in it."""
    read: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    sections = {
        name: section(**{key.partition(".")[2]: value for key, value in read.items() if key.startswith(f"{name}.")})
        for name, section in SECTIONS.items()
    }
    return Profile(**sections, **{key: value for key, value in read.items() if "." not in key})
