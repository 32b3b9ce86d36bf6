"""Sets of images over HTTP: which there are, a new one as a zip file, and the doctor's report."""

import asyncio
import contextlib
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import JSONResponse, Response

from mezzotint.serving.datasets import Dataset
from mezzotint.serving.forms import Json
from mezzotint.serving.hub import hub_of
from mezzotint.serving.refusing import Refusal

WAIT_SECONDS = 20.0
router = APIRouter(tags=["data"])
BODY = {"requestBody": {"required": True, "content": {"application/zip": {"schema": {
    "type": "string", "format": "binary"}}}}}  # fmt: skip


@router.get("/v1/data")
def sets(request: Request) -> Json:
    """Every set of images that a run can be started on."""
    return {"data": [told(one) for one in hub_of(request).datasets.all()]}


@router.post("/v1/data", status_code=201, openapi_extra=BODY)
async def drop(request: Request, name: Annotated[str, Query(max_length=200)] = "pictures") -> Json:
    """Take a zip file of images; folders in it are classes."""
    hub = hub_of(request)
    if hub.shelf.single:
        raise Refusal(409, "serve a folder of runs to drop images", "body", "single")
    length = request.headers.get("content-length", "0")
    part = hub.datasets.place(name, int(length) if length.isdecimal() else 0)
    try:
        with part.open("wb") as file:
            async for chunk in request.stream():
                file.write(chunk)
        return told(hub.datasets.keep(part, name))
    except OSError:
        raise Refusal(507, "the disk is full", "body", "disk_full") from None
    finally:
        part.unlink(missing_ok=True)


@router.get("/v1/data/{data}/checkup", responses={202: {"description": "still at it"}})
async def checkup(data: str, request: Request) -> Response:
    """What the dataset doctor says of a set; 202 while it is still looking."""
    hub = hub_of(request)
    task = hub.checkups.of(hub.datasets.by_id(data))
    with contextlib.suppress(TimeoutError):
        found = await asyncio.wait_for(asyncio.shield(task), WAIT_SECONDS)
        return JSONResponse({"status": "done", **found})
    return JSONResponse({"status": "checking"}, 202, {"Retry-After": "1"})


def told(one: Dataset) -> Json:
    """A set as the list shows it; no path is told."""
    return {"id": one.id, "name": one.name, "note": one.note, "stamp": one.stamp}
