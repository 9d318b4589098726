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
    from mlq_cli.model.call import Call
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
        WrongCall,
    )
    from mlq_cli.model.job import Record, State
    from mlq_cli.model.tally import Tally

__version__ = "0.1.0"

_HOMES = {
    "Call": "mlq_cli.model.call",
    "Event": "mlq_cli.following",
    "MLQ": "mlq_cli.mlq",
    "Record": "mlq_cli.model.job",
    "Registered": "mlq_cli.api.functions",
    "State": "mlq_cli.model.job",
    "Tally": "mlq_cli.model.tally",
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
            "WrongCall",
        ),
        "mlq_cli.model.errors",
    ),
}

__all__ = [
    "MLQ",
    "Call",
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
    "Tally",
    "WaitTimeout",
    "WrongCall",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
