"""Cursors: where a page of a list has ended, as one opaque word that a client gives back."""

from __future__ import annotations

import base64
import json

from mlq_cli.http.problems import Problem
from mlq_cli.model.job import State
from mlq_cli.store.base import Place


def write_cursor(place: Place) -> str:
    """Return a place as a cursor."""
    packed = json.dumps(list(place), separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def read_cursor(cursor: str) -> Place:
    """Return the place that a cursor stands for. Raises Problem."""
    try:
        value = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        place = Place(*value)
        State(place.state)
        if not all(isinstance(part, str) and len(part) < 200 for part in place):
            raise ValueError
        score, _, ended_at = place.at.partition("/")
        if place.at:
            float(score), float(ended_at or 0)
        if place.state == State.SUCCEEDED and (int(score) < 0 or int(ended_at) < 0):
            raise ValueError
    except (ValueError, TypeError):
        raise Problem(404, "no-such-page", "no page has this cursor", hint="take `next` of the page before") from None
    return place
