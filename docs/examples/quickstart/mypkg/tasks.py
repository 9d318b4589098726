"""Listeners to try mlq with: run `mlq worker --fn mypkg.tasks:multiply` in the folder that holds `mypkg`."""

import time
from pathlib import Path


def multiply(msg, *args):
    """Return the product of two numbers."""
    print("I got a message: " + str(msg))
    return msg["arg1"] * msg["arg2"]


def total(msg):
    """Return the sum of the numbers in a file, one a line."""
    lines = Path(msg["path"]).read_text().split()
    return sum(float(line) for line in lines)


def countdown(msg, ctx):
    """Take `msg["seconds"]` seconds, and say after each how far it is, in percent."""
    for passed in range(msg["seconds"]):
        ctx.update_progress(100 * passed // msg["seconds"])
        time.sleep(1)
    return "lift-off", msg["seconds"]


def average(numbers, digits=2):
    """Return the mean of some numbers, rounded: a function to be called, which knows nothing of messages."""
    return round(sum(numbers) / len(numbers), digits)
