"""Runs as they are: where each one stands, its curves and its pictures while it trains."""

import functools
import json
import math
import os
from typing import Any, Literal

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from mezzotint.config import to_dict
from mezzotint.errors import MezzotintError
from mezzotint.families import FAMILIES, family_class
from mezzotint.serving.forms import Json, Model
from mezzotint.serving.hub import Hub, hub_of
from mezzotint.serving.paging import tagged
from mezzotint.serving.reading import Curve, picture_path, pictures, plain, rounded
from mezzotint.serving.refusing import Refusal
from mezzotint.serving.shelf import Entry
from mezzotint.serving.telling import about
from mezzotint.serving.thumbnails import PNG, Thumbnail, View

JSON = "application/json"
SPARK = 60
SHOWN = ("data", "recipe", "model", "versions")
BLANK: Json = {"family": "", "size": "", "can": [], "classes": [], "images": 0, "progress": 0.0}
router = APIRouter(tags=["runs"])


@router.get("/v1/runs")
def runs(request: Request) -> Response:
    """Every run and model: state, images seen, loss, newest picture; read from their folders."""
    hub = hub_of(request)
    told = {"data": [summary(hub, entry) for entry in hub.shelf.entries()]}
    return tagged(request, _json(told), JSON)


@router.get("/v1/runs/{run}")
def run(run: str, request: Request) -> Response:
    """One run: what it is, its curves and all its pictures."""
    hub = hub_of(request)
    entry = hub.shelf.by_id(run)
    curve = hub.histories.curve(entry.folder.history)
    told = {**summary(hub, entry), "curves": curve.columns(), "events": curve.events}
    told |= {"pictures": pictures(entry.folder.samples), "last": curve.last}
    told["header"] = {key: value for key, value in _header(entry).items() if key in SHOWN}
    return tagged(request, _json(told), JSON)


@router.get("/v1/runs/{run}/pictures/{kind}/{images}", response_class=Response)
def picture(
    run: str,
    kind: Literal["samples", "reconstructions"],
    request: Request,
    images: int = Path(ge=0, lt=10**15),
    view: View | None = None,
) -> Response:
    """A picture that a run drew of itself after so many images; PNG.

    With ``view`` at most 560 (``small``) or 1280 (``medium``) pixels a side, as JPEG or WebP where
    the file is larger than that.
    """
    hub = hub_of(request)
    path = picture_path(hub.shelf.by_id(run).folder.samples, kind, images)
    try:
        if path is None:
            raise FileNotFoundError
        with plain(path) as file:
            mark = _mark(os.fstat(file.fileno()))
            tag = f'"{mark}-{view or "whole"}"'
            if request.headers.get("if-none-match") == tag:
                return tagged(request, b"", PNG, tag)
            content = file.read()
    except OSError:
        raise Refusal(404, "this run has no such picture", "images", "not_found") from None
    made = hub.thumbnails.of(path, mark, view, content) if view else Thumbnail(content, PNG)
    return tagged(request, made.content, made.kind, tag)


def _mark(found: os.stat_result) -> str:
    """Changes when a file does: pictures are replaced, never written on."""
    return f"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}"


def summary(hub: Hub, entry: Entry) -> Json:
    """A run in a few lines; one that cannot be read says so in ``error``."""
    told: Json = {"id": entry.id, "name": entry.name, "status": entry.status}
    told |= {"has_model": bool(entry.stamp), "stamp": entry.stamp}
    if entry.pending:
        return {**told, **BLANK, "family": entry.asked_family}
    try:
        model, defaults = _about(entry, entry.changed)
    except (MezzotintError, OSError) as error:
        what = error.what if isinstance(error, MezzotintError) else "it cannot be read"
        return {**told, **BLANK, "error": what}
    told |= model.model_dump(include={"family", "size", "channels", "classes", "can", "created"})
    return {**told, "defaults": defaults, **_progress(hub, entry, model.family)}


@functools.lru_cache(1024)
def _about(entry: Entry, changed: str) -> tuple[Model, Json]:
    """What a run is, which changes only with the file that says so."""
    config = entry.form().config
    given = {name: getattr(config, name, None) for name in ("steps", "guidance", "solver")}
    return about(entry), {name: value for name, value in given.items() if value is not None}


def _progress(hub: Hub, entry: Entry, family: str) -> Json:
    curve = hub.histories.curve(entry.folder.history)
    last, key = curve.last, loss_key(curve, family)
    shown = pictures(entry.folder.samples)
    kind = next(iter(shown), None)
    seconds = rounded(_number(last.get("seconds")))
    return {
        "images": int(_number(last.get("images")) or 0),
        "progress": 1.0 if entry.status == "finished" else _number(last.get("progress")) or 0.0,
        "seconds": seconds,
        "left": _left(last),
        "headline": _headline(last, family),
        "spark": _spark(curve, key),
        "preview": {"kind": kind, "images": shown[kind][-1]} if kind else None,
    }


def _left(last: Json) -> float | None:
    """Seconds until the end at the pace so far."""
    seconds, share = _number(last.get("seconds")), _number(last.get("progress"))
    return rounded(seconds * (1 - share) / share) if seconds and share else None


def _headline(last: Json, family: str) -> list[Json]:
    """The numbers a family wants to be judged by, validation before training."""
    told = []
    wanted = family_class(family).headline if family in FAMILIES else {}
    for name, key in wanted.items():
        for place, title in ((f"validation_{key}", f"{name}, held out"), (key, name)):
            if _number(last.get(place)) is not None:
                told.append({"name": title, "key": place, "value": rounded(last[place])})
                break
    return told


def loss_key(curve: Curve, family: str) -> str | None:
    """The number that a family's small curve is drawn of."""
    wanted = family_class(family).headline.values() if family in FAMILIES else ()
    return next((key for key in wanted if any(key in row for row in curve.rows[:5])), None)


def _spark(curve: Curve, key: str | None) -> list[float | None]:
    values = [rounded(row.get(key)) for row in curve.rows] if key else []
    step = max(1, -(-len(values) // SPARK))
    return values[::step]


def _number(value: Any) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if known and math.isfinite(value) else None


def _header(entry: Entry) -> Json:
    try:
        return entry.folder.header() if entry.run else {"model": to_dict(entry.form().config)}
    except (MezzotintError, OSError):
        return {}


def _json(told: Json) -> bytes:
    return json.dumps(finite(told), separators=(",", ":"), allow_nan=False, default=str).encode()


def finite(value: Any) -> Any:
    """A value as JSON can have it: numbers that are not finite become null."""
    if isinstance(value, dict):
        return {key: finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
