"""The OpenAPI document: made from the routes, with every model, and served without the framework's own pages."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from mlq_cli.http import schemas

TAGS = [
    {"name": "jobs", "description": "Post messages, look at jobs, cancel them, run them again."},
    {"name": "results", "description": "What jobs say, and what they gave."},
    {"name": "operations", "description": "Queues, workers, dead letters."},
    {"name": "server", "description": "The server itself."},
]
_ABOUT = (
    "A job queue for machine-learning work. Errors are `application/problem+json`. On the machine of the server itself "
    "no token is needed unless it is set up to ask for one; elsewhere each request brings `Authorization: Bearer …`."
)


def describe(app: FastAPI) -> None:
    """Let the application make its OpenAPI document when it is first asked for it."""

    def openapi() -> dict[str, Any]:
        if not app.openapi_schema:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    made = get_openapi(title=app.title, version=app.version, description=_ABOUT, routes=app.routes, tags=TAGS)
    models = [each for each in vars(schemas).values() if isinstance(each, type) and issubclass(each, BaseModel)]
    models.remove(BaseModel)
    _, defined = models_json_schema(
        [(model, "validation") for model in models], ref_template="#/components/schemas/{model}"
    )
    components = made.setdefault("components", {})
    components["schemas"] = defined["$defs"]
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "`mlq token add` makes one."}
    }
    for path in made["paths"].values():
        for operation in path.values():
            operation.setdefault("security", [{"token": []}, {}])
    return made
