"""hotqueue."""

import os
from urllib.parse import urlsplit

from client import chunks
from hotqueue import HotQueue

address = urlsplit(os.environ["BENCH_REDIS"])
queue = HotQueue("bench", host=address.hostname, port=address.port)


def post(msgs):
    for msg in msgs:
        queue.put(msg)


def bulk(msgs):
    for chunk in chunks(msgs, 500):
        queue.put(*chunk)


if __name__ == "__main__":
    from ticking import job

    for msg in queue.consume():
        job(msg)
