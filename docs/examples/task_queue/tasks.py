"""The task of all the listings: any function that a module defines will do, with no decorator."""


def print_task(text):
    print(text)
