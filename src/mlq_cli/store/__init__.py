"""The floor where jobs live: `base` says what a store promises, `redis` keeps the promise."""
