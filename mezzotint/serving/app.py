"""The application: routes, what their errors look like, and the guard in front of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from mezzotint.serving import (
    comparing,
    dropping,
    exploring,
    generating,
    paging,
    telling,
    training,
    uploading,
    watching,
)
from mezzotint.serving.forms import FaultResponse
from mezzotint.serving.guard import Guard, refused
from mezzotint.serving.hub import Hub
from mezzotint.serving.refusing import Refusal
from mezzotint.serving.settings import Settings

ROUTERS = (
    telling.router,
    generating.router,
    uploading.router,
    watching.router,
    training.router,
    dropping.router,
    exploring.router,
    comparing.router,
    paging.router,
)
FAULTS = (400, 401, 403, 404, 408, 409, 413, 415, 431, 503)


def create_app(settings: Settings) -> FastAPI:
    """A server as an ASGI application; ``app.state.hub`` and ``app.state.guard`` are its parts."""
    hub = Hub(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with hub.running():
            yield

    app = FastAPI(title="mezzotint", version="1", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.hub = hub
    for router in ROUTERS:
        app.include_router(router, responses={code: {"model": FaultResponse} for code in FAULTS})
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _unknown)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _failed)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def guarded(app: FastAPI) -> Guard:
    """The application behind its guard; this is what is served."""
    return Guard(app, app.state.hub.settings, app.state.hub.counts)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)  # noqa: S101
    return refused(error)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    return refused(uploading.invalid(error.errors()))


async def _unknown(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    if isinstance(error.__cause__, Refusal):  # met while the body was read
        return refused(error.__cause__)
    response = refused(Refusal(error.status_code, str(error.detail), code="http"))
    response.headers.update(error.headers or {})
    return response


async def _gone(_: Request, error: Exception) -> Response:
    return refused(Refusal(499, "the client has gone", code="gone"))


async def _failed(_: Request, error: Exception) -> Response:
    return refused(Refusal(500, "the server failed at this request", code="failed"))


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The description of all routes, with our errors in the place of FastAPI's."""
    if app.openapi_schema is None:
        found = get_openapi(title=app.title, version=app.version, routes=app.routes)
        for methods in found["paths"].values():
            for operation in methods.values():
                operation["responses"].pop("422", None)
        for name in ("HTTPValidationError", "ValidationError"):
            found["components"]["schemas"].pop(name, None)
        app.openapi_schema = found
    return app.openapi_schema
