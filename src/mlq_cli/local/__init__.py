"""Jobs with no server at all: the same listeners, in this process or in executors of its own."""
