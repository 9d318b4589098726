"""The round that `mlq doctor` makes over installation, server and jobs."""
