"""The queue over HTTP: what `mlq serve` runs. Nothing else imports it."""
