"""A target of callbacks that does wrong, as it is told; the tests start it as a process of its own, that steps aside.

It prints its port, and notes the id of each job that it is told of in a file, a line each.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from contextlib import suppress

ANSWERS = {
    "redirects": b"HTTP/1.1 302 There\r\nLocation: /there\r\n\r\n",
    "answers 500": b"HTTP/1.1 500 Oops\r\n\r\n",
    "sends a gigabyte": b"HTTP/1.1 503 Busy\r\n",
}
MEBIBYTE = bytes(1 << 20)  # made once: what this process takes of the machine is missing elsewhere


def serve(connection: socket.socket, what: str, notes: int) -> None:
    with connection, suppress(OSError):
        words = connection.recv(65536).partition(b"job_id=")[2]
        os.write(notes, words.partition(b"&")[0] + b"\n")
        if what == "hangs":
            connection.recv(1)
        elif what == "resets":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        else:
            connection.sendall(ANSWERS[what])
            for _ in range(1024 if what == "sends a gigabyte" else 0):
                connection.sendall(MEBIBYTE)


if __name__ == "__main__":
    os.nice(15)
    notes = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with socket.create_server(("127.0.0.1", 0), backlog=128) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)  # not megabytes for each that only hangs up
        print(server.getsockname()[1], flush=True)
        while True:
            threading.Thread(target=serve, args=(server.accept()[0], sys.argv[1], notes), daemon=True).start()
