"""The floor of words: what a job, an outcome, an error and a profile are. Imports nothing of ours."""
