"""The floor of actors: the worker that holds leases, and the executors that run user code."""
