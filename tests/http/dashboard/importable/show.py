"""A listener that does what its message says, step by step."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any


def act(msg: Any, ctx: Any) -> Any:
    for step, value in msg["steps"]:
        match step:
            case "progress":
                ctx.update_progress(value)
            case "part":
                ctx.emit(value)
            case "talk":  # for so many seconds, at such a rate
                seconds, rate = value
                for number in range(int(seconds * rate)):
                    ctx.emit(f"{number} {'x' * 400}")
                    time.sleep(1 / rate)
            case "wait":  # for a file
                deadline = time.monotonic() + 60
                while not Path(value).exists() and time.monotonic() < deadline:
                    time.sleep(0.01)
            case "fail":
                kind, words = value
                raise type(kind, (Exception,), {})(words)
    return msg.get("short"), msg.get("result")
