"""mlq: a job queue for machine-learning work on Redis.

    from mlq_cli import MLQ

    mlq = MLQ()
    job_id = mlq.post({"arg1": 6, "arg2": 3})
    print(mlq.wait(job_id))

Importing this package reads nothing and starts nothing; the names below are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlq_cli.api.functions import Registered
    from mlq_cli.following import Event
    from mlq_cli.mlq import MLQ
    from mlq_cli.model.errors import (
        DataNotFound,
        EnvelopeRefused,
        JobCanceled,
        JobFailed,
        JobNotFound,
        Misuse,
        MlqError,
        NotAllowed,
        Refused,
        StoreFull,
        StoreUnavailable,
        WaitTimeout,
    )
    from mlq_cli.model.job import Record, State

__version__ = "0.1.0"

_HOMES = {
    "Event": "mlq_cli.following",
    "MLQ": "mlq_cli.mlq",
    "Record": "mlq_cli.model.job",
    "Registered": "mlq_cli.api.functions",
    "State": "mlq_cli.model.job",
    **dict.fromkeys(
        (
            "DataNotFound",
            "EnvelopeRefused",
            "JobCanceled",
            "JobFailed",
            "JobNotFound",
            "Misuse",
            "MlqError",
            "NotAllowed",
            "Refused",
            "StoreFull",
            "StoreUnavailable",
            "WaitTimeout",
        ),
        "mlq_cli.model.errors",
    ),
}

__all__ = [
    "MLQ",
    "DataNotFound",
    "EnvelopeRefused",
    "Event",
    "JobCanceled",
    "JobFailed",
    "JobNotFound",
    "Misuse",
    "MlqError",
    "NotAllowed",
    "Record",
    "Refused",
    "Registered",
    "State",
    "StoreFull",
    "StoreUnavailable",
    "WaitTimeout",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
