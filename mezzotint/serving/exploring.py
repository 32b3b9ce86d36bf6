"""Latents over HTTP: maps of them, what is near an image, and walks between two."""

import asyncio
import base64
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request
from numpy.typing import NDArray
from pydantic import Field
from starlette.responses import Response

from mezzotint.errors import MezzotintError
from mezzotint.serving import mapping, processes
from mezzotint.serving.forms import Form, Json
from mezzotint.serving.hub import Hub, client_of, hub_of
from mezzotint.serving.paging import tagged
from mezzotint.serving.reading import plain
from mezzotint.serving.refusing import Refusal
from mezzotint.serving.shelf import Entry
from mezzotint.serving.telling import about
from mezzotint.serving.wire import split
from mezzotint.storage.files import make_folder, replace_json
from mezzotint.storage.readers import load_file

PLACE, ASKED = ".latents", "asked.json"
KINDS = {b"\x89PNG": "image/png", b"\xff\xd8": "image/jpeg", b"RIFF": "image/webp"}
MOST_POINTS, MOST_NEAR = 50_000, 60
router = APIRouter(tags=["latents"])
Row = Annotated[int, Field(ge=0, lt=MOST_POINTS)]


class Mapping(Form):
    """Maps to make."""

    data: Annotated[str, Field(max_length=200)] | None = Field(
        None, description="id of a set of images; by default what the run was trained on"
    )
    points: Annotated[int, Field(ge=10, le=MOST_POINTS)] = 5000


class Walk(Form):
    """A way from one image to another."""

    first: Row
    second: Row
    steps: Annotated[int, Field(ge=2, le=24)] = 9


@router.post("/v1/runs/{run}/latents", status_code=202)
def make(run: str, asked: Mapping, request: Request) -> Json:
    """Encode images and lay them out; it goes on by itself."""
    hub = hub_of(request)
    entry = encoding(hub, run)
    folder = place(hub, entry)
    if processes.alive(folder):
        return status(hub, entry)
    spec = _spec(hub, entry, asked.data)
    make_folder(folder)
    (folder / mapping.MAP).unlink(missing_ok=True)
    replace_json(folder / ASKED, {"stamp": entry.stamp, "points": asked.points})
    words = [str(entry.path), spec, str(folder), str(asked.points)]
    processes.launch(folder, words, "mezzotint.serving.mapping")
    if not hub.shelf.single:
        processes.keep_newest(folder.parent)
    return status(hub, entry)


@router.get("/v1/runs/{run}/latents")
def state(run: str, request: Request) -> Json:
    """Whether there are maps: none, working, ready or failed, and what was said last."""
    hub = hub_of(request)
    return status(hub, encoding(hub, run))


@router.get("/v1/runs/{run}/latents/map")
def points(run: str, request: Request) -> Response:
    """Names, classes, errors and places of all images; numbers are base64, little-endian."""
    return _file(request, run, mapping.MAP)


@router.get("/v1/runs/{run}/latents/atlas", response_class=Response)
def atlas(run: str, request: Request) -> Response:
    """Thumbnails of all images in one picture, in the order of the map."""
    return _file(request, run, mapping.ATLAS)


@router.get("/v1/runs/{run}/latents/picture", response_class=Response)
def picture(
    run: str, request: Request, row: Annotated[int, Query(ge=0, lt=MOST_POINTS)]
) -> Response:
    """One image of the map, larger than its thumbnail; where ``larger`` of the map is a number."""
    hub = hub_of(request)
    folder = place(hub, encoding(hub, run))
    ends = _rows(folder / mapping.ENDS).reshape(-1)
    _require_row(ends, row)
    start, end = int(ends[row - 1]) if row else 0, int(ends[row])
    try:
        with plain(folder / mapping.LARGER) as file:
            file.seek(start)
            content = file.read(min(max(0, end - start), mapping.MOST_LARGER))
    except (OSError, ValueError):
        content = b""
    if not content:
        raise Refusal(404, "this image is there as a thumbnail only", "row", "not_found")
    return tagged(request, content, _kind(content))


@router.get("/v1/runs/{run}/latents/near")
def near(
    run: str,
    request: Request,
    row: Annotated[int, Query(ge=0, lt=MOST_POINTS)],
    n: Annotated[int, Query(ge=1, le=MOST_NEAR)] = 12,
) -> Json:
    """The images whose latents are nearest to that of one, and how far they are."""
    hub = hub_of(request)
    rows = _rows(place(hub, encoding(hub, run)) / mapping.NARROW)
    _require_row(rows, row)
    apart = np.linalg.norm(rows - rows[row], axis=1)
    apart[row] = np.inf
    count = min(n, len(rows) - 1)
    found = np.argpartition(apart, count - 1)[:count]
    found = found[np.argsort(apart[found], kind="stable")]
    return {"rows": found.tolist(), "distances": apart[found].astype(float).tolist()}


@router.post("/v1/runs/{run}/latents/walk")
async def walk(run: str, asked: Walk, request: Request) -> Json:
    """Pictures on the straight way from one image's latent to another's."""
    hub = hub_of(request)
    entry = encoding(hub, run)
    if not status(hub, entry)["fresh"]:
        raise Refusal(409, "the model has changed since: make the maps anew", "run", "changed")
    rows = await asyncio.to_thread(_rows, place(hub, entry) / mapping.VECTORS)
    for row in (asked.first, asked.second):
        _require_row(rows, row)
    share = np.linspace(0, 1, asked.steps, dtype=np.float32)[:, None]
    course = (1 - share) * rows[asked.first] + share * rows[asked.second]
    told: dict[str, object] = {"rows": asked.steps}
    payload = np.ascontiguousarray(course, np.float32).tobytes()
    engine = await hub.looking()
    client = client_of(request)
    [(head, content)] = await hub.ask(engine, client, "decode", entry, told, payload)
    pictures = split(content, head["lengths"])
    return {"data": [base64.b64encode(one).decode() for one in pictures]}


def encoding(hub: Hub, run: str) -> Entry:
    """A run whose model encodes.

    Raises:
        Refusal: there is none of that id, or it does not.
    """
    entry = hub.shelf.by_id(run)
    try:
        able = bool(entry.stamp) and "encode" in about(entry).can
    except (MezzotintError, OSError):
        able = False
    if not able:
        raise Refusal(409, "this run has no model that encodes pictures", "run", "not_able")
    return entry


def place(hub: Hub, entry: Entry) -> Path:
    """Where a run's maps lie."""
    root = hub.shelf.root
    return root / PLACE if hub.shelf.single else root / PLACE / entry.id


def status(hub: Hub, entry: Entry) -> Json:
    """What there is by now."""
    folder = place(hub, entry)
    busy, ready = processes.alive(folder), (folder / mapping.MAP).is_file()
    try:
        asked = load_file(folder / ASKED)
    except (MezzotintError, OSError):
        asked = {}
    word = "ready" if ready else "working" if busy else "failed" if asked else "none"
    lines = processes.tail(folder)[-3:]
    told: Json = {"status": word, "working": busy, "said": lines, "points": asked.get("points")}
    mark = (folder / mapping.MAP).stat().st_mtime_ns if ready else 0
    return {**told, "fresh": asked.get("stamp") == entry.stamp, "mark": str(mark)}


def _spec(hub: Hub, entry: Entry, data: str | None) -> str:
    if data is not None:
        return hub.datasets.by_id(data).spec
    header: dict[str, Any] = {}
    if entry.run:
        header = entry.folder.header()
    spec = (header.get("data") or {}).get("spec")
    if not isinstance(spec, str):
        raise Refusal(400, "this model does not say what it was trained on", "data", "missing")
    hub.datasets.require_allowed(spec)
    return spec


def _file(request: Request, run: str, name: str) -> Response:
    hub = hub_of(request)
    path = place(hub, encoding(hub, run)) / name
    try:
        with plain(path) as file:
            content = file.read()
    except OSError:
        raise Refusal(404, "there are no maps of this run yet", "run", "not_found") from None
    return tagged(request, content, _kind(content))


def _kind(content: bytes) -> str:
    """The media type of a picture or of a map."""
    kinds = [kind for start, kind in KINDS.items() if content.startswith(start)]
    return kinds[0] if kinds else "application/json"


def _rows(path: Path) -> NDArray[Any]:
    try:
        plain(path).close()
        rows: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):
        raise Refusal(404, "there are no maps of this run yet", "run", "not_found") from None
    return rows


def _require_row(rows: NDArray[Any], row: int) -> None:
    if row >= len(rows):
        raise Refusal(400, f"there are {len(rows)} images", "row", "too_large")
