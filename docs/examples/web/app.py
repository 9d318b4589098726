"""A web app whose model is too slow for a request: it posts jobs, shows how they stand, and takes their callbacks.

    mlq worker --fn tasks:read_digit --setup tasks:load
    WEBHOOK_SECRET=$(mlq config secret) uvicorn app:app

The app holds nothing that matters: stop it while a job runs, start it again, and the page goes on where it was.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from threading import Condition

from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from fastapi.staticfiles import StaticFiles
from signature import Forged, verified
from tasks import SIDE

from mlq_cli import MLQ

mlq = MLQ()  # as the profile says; without one, the embedded server
secret = os.environ["WEBHOOK_SECRET"]  # that mlq signs callbacks with
app = FastAPI(title="What digit is this?")
told: dict[str, str] = {}  # by job: what its callback said
news = Condition()  # that something came into it


@app.post("/drawings", status_code=202)
async def post(request: Request) -> dict[str, str]:
    """Take a drawing, SIDE x SIDE bytes, and post it. The answer does not wait for the job."""
    drawing = await request.body()
    if len(drawing) != SIDE * SIDE:
        raise HTTPException(422, f"a drawing has {SIDE * SIDE} bytes, one each pixel")
    callback = str(request.url_for("take_callback"))
    job_id = await run_in_threadpool(mlq.post, drawing, callback, callback_method="POST")
    return {"id": job_id}


@app.get("/drawings/{job_id}/events")
def events(job_id: str, request: Request) -> StreamingResponse:
    """Pass on what happens to a job as server-sent events, until it has ended and its callback has come."""
    if mlq.states([job_id]) == [None]:
        raise HTTPException(404, f"there is no drawing {job_id}")
    follow = news_of(job_id, request.headers.get("Last-Event-ID"))
    return StreamingResponse(follow, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})


def news_of(job_id: str, after: str | None) -> Iterator[str]:
    """Yield the events of a job, what came of it, and what its callback said."""
    for event in mlq.events(job_id, after=after):
        yield sse(event.kind, event.value, event.id)
    record = mlq.get_job(job_id)
    if record["result"] is not None:
        yield sse("answer", record["result"])
    with news:
        if news.wait_for(lambda: job_id in told, timeout=20):
            yield sse("callback", told[job_id])
    yield sse("end", None)


def sse(kind: str, value: object, number: str | None = None) -> str:
    """Return one server-sent event. With a number, a browser that was cut off says where to go on."""
    numbered = f"id: {number}\n" if number else ""
    return f"{numbered}event: {kind}\ndata: {json.dumps(value, default=str)}\n\n"


@app.post("/callback", name="take_callback")
async def take_callback(request: Request) -> dict[str, str]:
    """Take a callback, if it is from mlq: anybody can send a request to a web app."""
    body = await request.body()
    try:
        said = verified(request.headers, body, secret)
    except Forged as error:
        raise HTTPException(401, str(error)) from None
    job = said["data"]
    with news:
        told[job["id"]] = f"The callback for job {job['id']} has come, signed: {job['state']}, {job['short_result']}."
        news.notify_all()
    return {"thanks": job["id"]}


app.mount("/", StaticFiles(directory=Path(__file__).parent / "page", html=True))
