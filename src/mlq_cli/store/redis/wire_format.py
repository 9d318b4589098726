"""The page `docs/internals/wire-format.md`, made from the layout."""

from __future__ import annotations

from mlq_cli.store.redis.layout import BOUNDS, ENTRIES, EVENTS, JOB_FIELDS, LAYOUT, SCORES, STATES


def wire_format() -> str:
    """Return the page `docs/internals/wire-format.md`."""
    rows = [f"| `{key.pattern}` | {key.type} | {key.holds} | {key.life} |" for key in (*LAYOUT, EVENTS)]
    scores = [f"| `{state}` | {meaning} |" for state, meaning in SCORES.items()]
    states = [f"| `{state}` | `{stored}` |" for state, stored in STATES.items()]
    buckets = [f"| {number} | {bound:g} |" for number, bound in enumerate(BOUNDS)] + [f"| {len(BOUNDS)} | longer |"]
    fields = [f"| `{name}` | `{field.stored}` | {field.meaning} |" for name, field in JOB_FIELDS.items()]
    return "\n".join(
        [
            "# What mlq keeps in Redis",
            "",
            "Made from `src/mlq_cli/store/redis/layout.py` by `make docs`; edit that.",
            "",
            "Every key begins with `mlq:{<namespace>}:`. Instants are whole microseconds of Unix time on",
            "Redis' clock: numbers that it stores in nine bytes.",
            "",
            "| key | type | holds | lives |",
            "|---|---|---|---|",
            *rows,
            "",
            "## Scores of the state sets",
            "",
            "| state | score |",
            "|---|---|",
            *scores,
            "",
            "## Entries of a stream",
            "",
            "Fields: `k` what it is, `a` the attempt, `v` the value.",
            "",
            "| entry | `k` | `v` |",
            "|---|---|---|",
            *(f"| `{kind}` | `{stored}` | {meaning} |" for kind, (stored, meaning) in ENTRIES.items()),
            "",
            "## Fields of a job",
            "",
            "| field | stored as | meaning |",
            "|---|---|---|",
            *fields,
            "",
            "## Histograms of a queue",
            "",
            "Among the counters of `stats:<queue>` are how many jobs waited for so long (`wait_0` …), how many",
            "attempts that succeeded ran for so long (`run_0` …), and how many that did not (`fail_0` …); the sums are",
            "`wait_us`, `run_us` and `fail_us`.",
            "",
            "| bucket | up to seconds |",
            "|---|---|",
            *buckets,
            "",
            "A job's wait begins when it is posted, when it is due, or when it was given back. `recent_run_us` is what",
            "an attempt took of late. How many were claimed and succeeded is not counted once more: the buckets tell.",
            "`zero_posted` and `zero_succeeded` are what was counted when the tally of the queue was set to zero last.",
            "",
            "## States in the field",
            "",
            "| state | stored as |",
            "|---|---|",
            *states,
            "",
        ]
    )
