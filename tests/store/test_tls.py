"""Connections with TLS: redis-py opens them, and the socket behind it is ours all the same."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mlq_cli import MLQ, State
from mlq_cli.model.errors import StoreUnavailable
from mlq_cli.store.redis.connect import UrlEndpoint, Wire
from tests_support import Server

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="makes its certificate with openssl")


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server behind TLS; `ssl_ca_certs` has to be added."""
    folder = tmp_path_factory.mktemp("tls")
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", "key", "-out", "cert"]
    subprocess.run([*made, *subject], cwd=folder, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert", folder / "key")
    short = Path(tempfile.mkdtemp(prefix="mlq", dir="/tmp"))
    with Server(short), socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_serve, args=(listening, context, f"{short}/s"), daemon=True).start()
        yield f"rediss://127.0.0.1:{listening.getsockname()[1]}/0?ssl_ca_certs={folder}/cert"
        listening.shutdown(socket.SHUT_RDWR)
    shutil.rmtree(short)


def _serve(listening: socket.socket, context: ssl.SSLContext, path: str) -> None:
    while True:
        try:
            client = context.wrap_socket(listening.accept()[0], server_side=True)
        except ssl.SSLError:
            continue
        except OSError:
            return
        server = socket.socket(socket.AF_UNIX)
        server.connect(path)
        for source, target in ((client, server), (server, client)):
            threading.Thread(target=_carry, args=(source, target), daemon=True).start()


def _carry(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(1 << 20):
            target.sendall(data)
    except OSError:
        pass
    finally:
        for end in (source, target):
            end.close()


def test_answers_of_any_size_come_over_tls(tls: str) -> None:
    with closing(Wire(UrlEndpoint(tls))) as wire:
        for size in (1, 1 << 14, 3 << 20):
            assert wire.exchange([("ECHO", b"x" * size), ("PING",)]) == [b"x" * size, b"PONG"]
        assert len(wire._idle) == 1, "one connection served for all"


def test_a_job_is_posted_waited_for_and_told_of_over_tls(tls: str, namespace: str) -> None:
    with MLQ.from_profile(redis_url=tls, namespace=namespace) as mlq:
        job_id = mlq.post(b"x" * 100_000)
        threading.Timer(0.2, mlq.cancel, (job_id,)).start()
        mlq.wait_ended(job_id, 10)
        assert mlq.get_job(job_id)["state"] is State.CANCELED and len(mlq.get_job(job_id)["msg"]) == 100_000


def test_a_bell_rings_over_tls(tls: str, namespace: str) -> None:
    with MLQ.from_profile(redis_url=tls, namespace=namespace) as mlq, closing(mlq.store.bell(["default"])) as bell:
        bell.listen(10)
        mlq.post("x")
        bell.answered()


def test_a_server_that_cannot_prove_who_it_is_is_out_of_reach(tls: str) -> None:
    with pytest.raises(StoreUnavailable, match="certificate"):
        Wire(UrlEndpoint(tls.partition("?")[0])).exchange([("PING",)])
