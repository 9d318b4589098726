"""The bench of the store's tests, whose clock can be moved, for the fault tests too."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

_PATH = Path(__file__).parents[2] / "store" / "conftest.py"
_spec = importlib.util.spec_from_file_location("store_bench", _PATH)
assert _spec is not None and _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)

Bench: Any = _module.Bench
START: float = _module.START
