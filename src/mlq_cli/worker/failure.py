"""What is kept of an exception that a listener raised: its type, its message, its traceback; none of them endless."""

from __future__ import annotations

import os
import traceback
from typing import Any

_MOST_TEXT = 65_536  # characters of a message or a traceback that are kept
_MOST_NAME = 200  # characters of the name of an error's type

_OURS = os.path.dirname(__file__) + os.sep


def described(error: BaseException) -> tuple[bytes, bytes, bytes]:
    """Describe what a listener raised. Whatever its __str__ does, this does not fail and stays short."""
    try:
        kind = str.__str__(type(error).__qualname__)[:_MOST_NAME]  # a metaclass may have it computed
    except BaseException:
        kind = "Exception"
    try:
        message = str.__str__(str(error))[:_MOST_TEXT]
    except BaseException:
        message = "(its message cannot be shown)"
    try:
        frames = traceback.format_exception(type(error), error, user_frames(error), limit=-50)
        trace = _cut("".join(frames))
    except BaseException:
        trace = ""
    first, second, third = (text.encode(errors="replace") for text in (kind, message, trace))
    return first, second, third


def first_line(text: bytes) -> str:
    """Return the beginning of a message, for a log."""
    return text.decode(errors="replace").splitlines()[0][:200] if text.strip() else ""


def _cut(trace: str) -> str:
    """Return a traceback without its middle when it is long: the frames stand first, the error last."""
    half = _MOST_TEXT // 2
    return trace if len(trace) <= _MOST_TEXT else f"{trace[:half]}\n[…]\n{trace[-half:]}"


def user_frames(error: BaseException) -> Any:
    """Return the traceback from the first frame that is not ours: users look for their own code."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_OURS):
        trace = trace.tb_next
    return trace or error.__traceback__
