"""Functions over HTTP: an envelope is verified and kept, the original's body only where that is asked for."""

from __future__ import annotations

import base64
import json
import os
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import httpx
import pytest
from tests_http import Served

from mlq_cli import MLQ
from mlq_cli.model.envelope import LARGEST

SECRET = "whsec_" + base64.b64encode(b"a secret of the tests, 32 bytes.").decode()
OCTETS = {"Content-Type": "application/octet-stream"}


@pytest.fixture
def mlq(redis_url: str, namespace: str) -> Iterator[MLQ]:
    with MLQ.from_profile(redis_url=redis_url, namespace=namespace, secret=SECRET) as opened:
        yield opened


@pytest.fixture
def naive(serve: Callable[..., Served], mlq: MLQ) -> Iterator[httpx.Client]:
    """A client of a server that takes unsigned functions."""
    with httpx.Client(base_url=serve(mlq, unsigned=True).url, timeout=20) as opened:
        yield opened


def double(msg: Any) -> Any:
    return msg * 2


class Canary:
    """Touches a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return (os.system, (f"touch {self.file}",))


def original(function: Any) -> dict[str, str]:
    """The original's body: `jsonpickle.encode(cloudpickle.dumps(function))`."""
    return {"py/b64": base64.b64encode(cloudpickle.dumps(function)).decode()}


def told(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_an_envelope_is_kept_listed_and_removed(client: httpx.Client, mlq: MLQ) -> None:
    envelope = mlq.seal_function(double)
    answer = client.post("/consumer", content=envelope, headers=OCTETS)
    assert answer.status_code == 201 and answer.json()["name"] == "double"
    (kept,) = mlq.functions()
    assert (kept.name, kept.version, kept.sound) == ("double", answer.json()["version"], True)
    (listed,) = client.get("/functions").json()["functions"]
    assert listed["name"] == "double" and listed["workers"] == 0
    assert listed["registered"] == {name: value for name, value in kept._asdict().items() if name != "name"}
    assert client.post("/consumer", content=envelope).status_code == 201, "again, and as curl sends it: no harm"
    assert client.delete("/consumer", params={"name": "double"}).json() == {"name": "double", "removed": True}
    assert client.delete("/consumer", params={"name": "double"}).json() == {"name": "double", "removed": False}
    assert client.get("/functions").json() == {"functions": []}
    assert told(client.post("/consumer", content=envelope, headers=OCTETS)) == (409, "refused"), "a replay"
    assert mlq.functions() == []


def test_a_function_is_removed_by_its_envelope(client: httpx.Client, mlq: MLQ) -> None:
    mlq.register_function(double)
    (envelope,) = mlq.store.functions().get_all().values()
    removed = client.request("DELETE", "/consumer", content=envelope, headers=OCTETS)
    assert removed.json() == {"name": "double", "removed": True} and mlq.functions() == []
    bent = client.request("DELETE", "/consumer", content=envelope[:-1] + b"x", headers=OCTETS)
    assert told(bent) == (403, "envelope-refused")
    assert told(client.delete("/consumer")) == (422, "invalid")
    other = client.request("DELETE", "/consumer?name=other", content=envelope, headers=OCTETS)
    assert told(other) == (422, "invalid"), "which of the two?"
    assert told(client.request("DELETE", "/consumer?name=double", json=[None])) == (403, "envelope-refused")


def test_what_others_have_signed_or_nobody_is_refused(client: httpx.Client, mlq: MLQ, redis_url: str) -> None:
    other = base64.b64encode(b"somebody else's secret").decode()
    envelope = mlq.seal_function(double)
    with (
        MLQ.from_profile(redis_url=redis_url, namespace=mlq.namespace, secret=f"whsec_{other}") as foreign,
        MLQ.from_profile(redis_url=redis_url, namespace="elsewhere", secret=SECRET) as elsewhere,
    ):
        for body, why in (
            (foreign.seal_function(double), "foreign key"),
            (elsewhere.seal_function(double), "namespace elsewhere"),
            (envelope[:-1], "damaged or forged"),
            (envelope[:200] + b"\x00" + envelope[201:], "damaged or forged"),
            (pickle.dumps(double), "not signed"),
            (b"MLQF", "not signed"),
        ):
            answer = client.post("/consumer", content=body, headers=OCTETS)
            assert told(answer) == (403, "envelope-refused") and why in answer.json()["detail"]
    for answer in (
        client.post("/consumer", json=original(double)),
        client.request("DELETE", "/consumer", json=original(double)),
    ):
        assert told(answer) == (403, "envelope-refused") and "register-fn" in answer.json()["hint"]
    assert mlq.functions() == []


def test_a_server_without_a_secret_says_so(
    serve: Callable[..., Served], redis_url: str, namespace: str, mlq: MLQ
) -> None:
    with MLQ.from_profile(redis_url=redis_url, namespace=namespace) as poor:
        url = serve(poor).url
        envelope = mlq.seal_function(double)
        assert told(httpx.post(f"{url}/consumer", content=envelope, headers=OCTETS)) == (409, "no-secret")
        mlq.register_function(double)
        (listed,) = httpx.get(f"{url}/functions").json()["functions"]
        assert listed["registered"]["sound"] is False and "no secret" in listed["registered"]["why"]
        assert httpx.delete(f"{url}/consumer?name=double").json()["removed"] is True, "to remove one needs none"


def test_what_is_registered_meanwhile_is_listed_and_read_once(client: httpx.Client, server: Served, mlq: MLQ) -> None:
    mlq.register_function(double, "first")
    mlq.register_function(double, "second")
    asked: list[int] = []
    store = server.app.state.served.mlq.store
    whole = store.registered
    store.registered = lambda after: asked.append(after) or whole(after)
    named = lambda: [one["name"] for one in client.get("/functions").json()["functions"]]  # noqa: E731
    assert named() == ["first", "second"]
    mlq.remove_function("first")
    mlq.register_function(double, "third")
    assert named() == ["second", "third"] == named()
    assert asked[0] == 0 and min(asked[1:]) > 0, "only what has changed"


def test_the_originals_body_is_taken_where_it_is_asked_for_and_runs(
    naive: httpx.Client, mlq: MLQ, start_worker: Any
) -> None:
    body = original(lambda msg: msg * 2)  # a function of a module travels by name alone here, as in the original
    start_worker(registered=True, secret=SECRET)
    answer = naive.post("/consumer", json=body)
    name = answer.json()["name"]
    assert answer.status_code == 201 and name.startswith("consumer-") and len(name) == 17
    assert naive.post("/consumer?name=doubled", json=body).json()["name"] == "doubled"
    assert mlq.wait(mlq.post(21, functions=["doubled"]), 20) == 42
    assert mlq.wait(mlq.post(4, functions=[name]), 20) == 8
    assert naive.request("DELETE", "/consumer", json=body).json() == {"name": name, "removed": True}
    assert naive.get("/stats").json()["server"]["unsigned_functions"] is True


@pytest.mark.parametrize(
    "body",
    [
        {"py/reduce": [{"py/function": "os.system"}, {"py/tuple": ["touch canary"]}]},
        {"py/b64": "AAAA", "py/object": "os.system"},
        {"py/b64": {"py/b64": "AAAA"}},
        {"py/b64": "no base64!"},
        {"py/b64": "AAA"},
        {"py/b64": ""},
        {"py/b64": "AA\nAA"},
        {"py/bytes": "AAAA"},
        [],
        "AAAA",
        None,
    ],
    ids=str,
)
def test_of_the_originals_body_nothing_but_base64_is_read(naive: httpx.Client, mlq: MLQ, body: Any) -> None:
    for method in ("POST", "DELETE"):
        assert told(naive.request(method, "/consumer", content=json.dumps(body), headers={
            "Content-Type": "application/json"})) == (422, "invalid")  # fmt: skip
    assert mlq.functions() == []


def test_what_a_proxy_passes_on_is_not_taken_unsigned(naive: httpx.Client, mlq: MLQ) -> None:
    for header in ("X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"):
        answer = naive.post("/consumer", json=original(double), headers={header: "127.0.0.1"})
        assert told(answer) == (403, "envelope-refused")
    assert mlq.functions() == []


def test_a_function_may_be_large_and_not_larger(naive: httpx.Client, mlq: MLQ) -> None:
    large = {"py/b64": base64.b64encode(bytes(LARGEST)).decode()}
    assert naive.post("/consumer?name=large", json=large).status_code == 201
    assert mlq.functions()[0].size == LARGEST
    larger = {"py/b64": base64.b64encode(bytes(LARGEST + 3)).decode()}
    assert told(naive.post("/consumer", json=larger)) == (413, "too-large")


def test_the_server_unpickles_nothing_whatever_it_is_sent(redis_url: str, namespace: str, tmp_path: Path) -> None:
    """In a process of its own, in which each import and each class that is looked up by a pickle is noted."""
    canary = tmp_path / "canary"
    (tmp_path / "body").write_bytes(pickle.dumps(Canary(canary)))
    code = f"""
        import base64, sys
        from pathlib import Path

        noted = []
        sys.addaudithook(lambda event, args: noted.append(args) if event.startswith("pickle") else None)
        from mlq_cli import MLQ
        from mlq_cli.model.envelope import seal
        sys.path.insert(0, {str(Path(__file__).parents[2] / "support")!r})
        import httpx
        from tests_http import Served

        mlq = MLQ.from_profile(redis_url={redis_url!r}, namespace={namespace!r}, secret={SECRET!r})
        blob = Path("body").read_bytes()
        said = dict(python="3.11", cloudpickle="3.1", created_at=1.0)
        sealed = seal(mlq.signing_keys()[0], mlq.namespace, "evil", 7, blob, **said)
        served = Served(mlq, unsigned=True)
        served.start()
        client = httpx.Client(base_url=served.url)
        octets = {{"Content-Type": "application/octet-stream"}}
        encoded = {{"py/b64": base64.b64encode(blob).decode()}}
        print(client.post("/consumer", content=sealed, headers=octets).status_code)
        print(client.post("/consumer", json=encoded).status_code)
        print(client.post("/consumer", content=blob, headers=octets).status_code)
        print(len(client.get("/functions").json()["functions"]))
        print(client.request("DELETE", "/consumer", json=encoded).status_code)
        print(client.request("DELETE", "/consumer", content=sealed, headers=octets).status_code)
        served.stop()
        print(noted, [name for name in ("cloudpickle", "jsonpickle", "dill") if name in sys.modules])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split("\n")[:-1] == ["201", "201", "403", "2", "200", "200", "[] []"], done.stderr
    assert not canary.exists()
    subprocess.run([sys.executable, "-c", "import pickle; pickle.load(open('body', 'rb'))"], cwd=tmp_path, check=True)
    assert canary.exists(), "it would have sung"
