"""The listener that `mlq bench` runs."""

from __future__ import annotations

from typing import Any


def echo(msg: Any) -> Any:
    """Return the message."""
    return msg
