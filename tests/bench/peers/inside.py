"""A listener in the process that talks to Redis: what `mlq worker` would be without isolation. For promise.py."""

import ticking

from mlq_cli import MLQ

MLQ().create_listener(ticking.job)
