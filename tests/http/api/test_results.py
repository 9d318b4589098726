"""Results over HTTP: their types, ranges, and that no browser ever runs one."""

from __future__ import annotations

import itertools
from typing import Any

import httpx
import pytest
from tests_http import fail, finish

from mlq_cli import MLQ
from mlq_cli.http.results import SHOWN, Result, shown_as

ACTIVE = ["html", "htm", "xhtml", "svg", "xml", "mht", "js", "mjs", "css", "pdf", "swf", "wasm", "hta", "exe", "zip"]


def result(mlq: MLQ, value: Any, short: str | None = None) -> str:
    job_id = mlq.post(1)
    finish(mlq, job_id, value, short)
    return job_id


@pytest.mark.parametrize(
    ("value", "kind", "data", "disposition"),
    [
        (b"\x00\xff", "application/octet-stream", b"\x00\xff", "attachment"),
        ("grüße", "text/plain; charset=utf-8", "grüße".encode(), "inline"),
        ({"a": [1, None, b"\x00"]}, "application/json", b'{"a":[1,null,{"$bytes":"AA=="}]}', "inline"),
        (42, "application/json", b"42", "inline"),
        (None, "application/json", b"null", "inline"),
        (float("nan"), "application/json", b"null", "inline"),
        ("", "text/plain; charset=utf-8", b"", "inline"),
    ],
)
def test_the_type_of_a_result_is_that_of_its_value(
    one_client: httpx.Client, one_mlq: MLQ, value: Any, kind: str, data: bytes, disposition: str
) -> None:
    for name in ("result", "results"):
        answer = one_client.get(f"/jobs/{result(one_mlq, value)}/{name}")
        assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, data, kind)
        assert answer.headers["content-disposition"].startswith(disposition)


def test_a_result_of_any_size_of_integer_can_be_shown(client: httpx.Client, mlq: MLQ) -> None:
    value = client.get(f"/jobs/{result(mlq, [7, 2**50_000])}/result").json()
    assert value[0] == 7 and int(value[1]["$int"], 16) == 2**50_000


def test_an_extension_sets_the_type_where_it_is_safe(one_client: httpx.Client, one_mlq: MLQ) -> None:
    job_id = result(one_mlq, b"\x89PNG\r\n\x1a\n")
    for extension, kind in SHOWN.items():
        answer = one_client.get(f"/jobs/{job_id}/result.{extension}")
        assert (answer.content, answer.headers["content-type"]) == (b"\x89PNG\r\n\x1a\n", kind)
        assert answer.headers["content-disposition"] == f'inline; filename="{job_id}.{extension}"'


@pytest.mark.parametrize("extension", [*ACTIVE, "npy", "pt", "x", "0"])
def test_whatever_could_run_is_only_downloaded(one_client: httpx.Client, one_mlq: MLQ, extension: str) -> None:
    for value in (b"<script>alert(1)</script>", "<script>alert(1)</script>"):
        job_id = result(one_mlq, value)
        answer = one_client.get(f"/jobs/{job_id}/result.{extension}")
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"] == f'attachment; filename="{job_id}.{extension}"'


@pytest.mark.parametrize("extension", ["HTML", "a.b", "%00", "..%2f..%2fetc", "toolongext", "p%6Eg%2500"])
def test_what_is_no_extension_is_no_address(one_client: httpx.Client, one_mlq: MLQ, extension: str) -> None:
    assert one_client.get(f"/jobs/{result(one_mlq, b'x')}/result.{extension}").status_code in (404, 422)


#: What passes for something harmless and is something else.
POLYGLOTS = {
    "a page": b"<html><script>alert(1)</script>",
    "a page after blanks": b" \r\n\t<!DOCTYPE html><script>alert(1)</script>",
    "a page after a mark": b"\xef\xbb\xbf<script>alert(1)</script>",
    "a page in UTF-16": "<script>alert(1)</script>".encode("utf-16"),
    "a page in UTF-7": b"+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
    "a drawing": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
    "a drawing with a head": b'<?xml version="1.0"?><svg onload="alert(1)"/>',
    "a GIF that is a script": b"GIF89a/*\x00*/=1;alert(1)//",
    "a GIF that is an archive": b"GIF89a" + b"\x00" * 20 + b"PK\x03\x04",
    "a PNG with a page": b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR<script>alert(1)</script>",
    "a JPEG with a page": b"\xff\xd8\xff\xe0\x00\x10JFIF<script>alert(1)</script>",
    "a document": b"%PDF-1.7\n1 0 obj<</OpenAction<</S/JavaScript>>>>",
    "a program": b"MZ\x90\x00\x03",
    "another program": b"\x7fELF\x02\x01\x01",
    "a shell script": b"#!/bin/sh\nid\n",
    "an archive": b"PK\x03\x04\x14\x00",
    "a bitmap that is a script": b"BM/*\x00\x00*/=1;alert(1)",
    "a sound that is a script": b"RIFF/*\x00WAVE*/=1;alert(1)",
    "a WebP with a page": b"RIFF\x24\x00\x00\x00WEBPVP8 <html onload=alert(1)>",
    "an import": b"@import url(//evil.example/x.css);",
}
SUSPECT = {
    "a page", "a page after blanks", "a page after a mark", "a page in UTF-16", "a drawing", "a drawing with a head",
    "a document", "a program", "another program", "a shell script", "an archive",
}  # fmt: skip
KINDS = ["png", "txt", "html"]


@pytest.mark.parametrize(("name", "extension"), list(itertools.product(POLYGLOTS, KINDS)))
def test_a_polyglot_gets_a_type_that_does_not_let_it_act(name: str, extension: str) -> None:
    kind, inline = shown_as(Result(POLYGLOTS[name], "application/octet-stream", '""'), extension)

    harmless = {"png": "image/png", "txt": "text/plain; charset=utf-8"}
    if extension == "html" or (extension == "png" and name in SUSPECT):
        assert (kind, inline) == ("application/octet-stream", False)
    else:
        assert (kind, inline) == (harmless[extension], True)


def test_every_result_is_sandboxed_whatever_it_is(one_client: httpx.Client, one_mlq: MLQ) -> None:
    for data in POLYGLOTS.values():
        job_id = result(one_mlq, data)
        for address in ("result", "result.png", "result.txt", "result.html"):
            headers = one_client.get(f"/jobs/{job_id}/{address}").headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["content-security-policy"] == "sandbox; default-src 'none'; frame-ancestors 'none'"
            assert headers["cross-origin-resource-policy"] == "same-origin"
            assert "html" not in headers["content-type"] and "xml" not in headers["content-type"]
            assert headers["content-disposition"].startswith("attachment") or address in ("result.png", "result.txt")


@pytest.mark.parametrize(
    ("asked", "status", "part", "said"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=8-", 206, b"89", "bytes 8-9/10"),
        ("bytes=8-100", 206, b"89", "bytes 8-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=-100", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=10-", 416, None, "bytes */10"),
        ("bytes=-0", 416, None, "bytes */10"),
        ("bytes=5-2", 200, b"0123456789", None),
        ("bytes=0-1,4-5", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
        ("bytes=-", 200, b"0123456789", None),
        ("bytes=0-99999999999999999999999", 200, b"0123456789", None),
    ],
)
def test_a_part_of_a_result(
    one_client: httpx.Client, one_mlq: MLQ, asked: str, status: int, part: bytes | None, said: str | None
) -> None:
    answer = one_client.get(f"/jobs/{result(one_mlq, b'0123456789')}/result", headers={"range": asked})

    assert (answer.status_code, answer.headers.get("content-range")) == (status, said)
    assert answer.headers["content-type"] == (
        "application/problem+json" if part is None else "application/octet-stream"
    )
    assert part is None or answer.content == part


def test_a_download_can_be_resumed_and_asked_for_again(client: httpx.Client, mlq: MLQ) -> None:
    address = f"/jobs/{result(mlq, bytes(range(256)) * 4096)}/result"
    whole = client.get(address)
    etag = whole.headers["etag"]
    rest = client.get(address, headers={"range": "bytes=1000-", "if-range": etag})
    other = client.get(address, headers={"range": "bytes=1000-", "if-range": '"another"'})
    same = client.get(address, headers={"if-none-match": f'W/"x", {etag}'})
    head = client.head(address)

    assert (rest.status_code, rest.content) == (206, whole.content[1000:])
    assert (other.status_code, len(other.content)) == (200, len(whole.content))
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", etag)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(whole.content)))


def test_what_is_no_result_is_a_problem_that_says_why(client: httpx.Client, mlq: MLQ) -> None:
    queued, dead, canceled = mlq.post(1), mlq.post(2, queue="q"), mlq.post(3)
    fail(mlq, dead)
    mlq.cancel(canceled)

    answers = {name: client.get(f"/jobs/{name}/result") for name in (queued, dead, canceled, "999")}
    assert [answer.status_code for answer in answers.values()] == [409, 424, 410, 404]
    codes = ["not-finished", "job-failed", "job-canceled", "job-not-found"]
    assert [answer.json()["code"] for answer in answers.values()] == codes
    assert answers[queued].headers["retry-after"] == "1"
    assert "Traceback" not in answers[dead].text


def test_a_short_result_and_the_progress_are_text(client: httpx.Client, mlq: MLQ) -> None:
    job_id = result(mlq, b"x", "widget <b>")
    queued = mlq.post(1)

    short = client.get(f"/jobs/{job_id}/short_result")
    assert (short.text, short.headers["content-type"]) == ("widget <b>", "text/plain; charset=utf-8")
    assert client.get(f"/jobs/{queued}/short_result").text == "[no result]"
    assert client.get(f"/jobs/{job_id}/progress").text == "[completed]"
    assert client.get(f"/jobs/{queued}/progress").text == "[queued; not started]"
    assert client.get("/jobs/999/progress").status_code == client.get("/jobs/999/short_result").status_code == 404
