"""Run a listener in a test: no server, no process, no thread."""
