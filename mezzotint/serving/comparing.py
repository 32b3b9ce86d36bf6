"""Comparisons from the page: an ordinary ``mezzotint compare`` that outlives the server."""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi import Path as InPath
from pydantic import Field

from mezzotint.comparison.measures import GROUPS, Measure
from mezzotint.errors import MezzotintError
from mezzotint.serving import processes
from mezzotint.serving.forms import Form, Json
from mezzotint.serving.hub import Hub, hub_of
from mezzotint.serving.reading import plain, rounded
from mezzotint.serving.refusing import Refusal
from mezzotint.serving.shelf import Entry
from mezzotint.storage.files import make_folder

PLACE, FOUND = ".compare", "compare.json"
MOST_BYTES = 16 << 20
Id = Annotated[str, Field(max_length=40)]
Key = Annotated[str, InPath(pattern=r"^[0-9a-f]{16}$")]
router = APIRouter(tags=["comparison"])


class Comparing(Form):
    """Runs to measure side by side."""

    runs: Annotated[list[Id], Field(min_length=2, max_length=6)]
    data: Annotated[str, Field(max_length=200)] | None = Field(
        None, description="id of a set of images; by default what the first run was trained on"
    )
    samples: Annotated[int, Field(ge=20, le=10_000)] | None = None


@router.post("/v1/compare", status_code=202)
def start(asked: Comparing, request: Request) -> Json:
    """Measure runs on the same images; the key tells where the table will be."""
    hub = hub_of(request)
    entries = [hub.shelf.by_id(run) for run in asked.runs]
    if len({entry.id for entry in entries}) < len(entries):
        raise Refusal(400, "a run stands twice", "runs", "twice")
    for entry in entries:
        if not entry.stamp:
            raise Refusal(409, f"{entry.name} has no model yet", "runs", "not_able")
    spec = _spec(hub, entries, asked.data)
    stamps = [[entry.id, entry.stamp] for entry in entries]
    whole = json.dumps([stamps, spec, asked.samples]).encode()
    key = hashlib.blake2b(whole, digest_size=8).hexdigest()
    folder = _place(hub) / key
    if not processes.alive(folder) and not (folder / FOUND).is_file():
        make_folder(folder)
        words = ["compare", spec, *(str(entry.path) for entry in entries), "--out", str(folder)]
        words += ["--samples", str(asked.samples)] if asked.samples else []
        processes.launch(folder, words)
        processes.keep_newest(_place(hub))
    return {"key": key, **_status(folder)}


@router.get("/v1/compare/{key}")
def state(key: Key, request: Request) -> Json:
    """How a comparison stands, and its table once it is there."""
    folder = _place(hub_of(request)) / key
    told = _status(folder)
    if told["status"] == "none":
        raise Refusal(404, "there is no such comparison", "key", "not_found")
    return {"key": key, **told}


def _place(hub: Hub) -> Path:
    return hub.shelf.root / PLACE


def _spec(hub: Hub, entries: list[Entry], data: str | None) -> str:
    if data is not None:
        return hub.datasets.by_id(data).spec
    for entry in entries:
        try:
            spec = (entry.folder.header().get("data") or {}).get("spec") if entry.run else None
        except MezzotintError:
            continue
        if isinstance(spec, str):
            hub.datasets.require_allowed(spec)
            return spec
    told = "none of these models says what it was trained on"
    raise Refusal(400, told, "data", "missing")


def _status(folder: Path) -> Json:
    if processes.alive(folder):
        return {"status": "working", "said": processes.tail(folder)[-3:], "table": None}
    try:
        with plain(folder / FOUND) as file:
            found = json.loads(file.read(MOST_BYTES))
        return {"status": "ready", "said": [], "table": table(found)}
    except OSError:
        said = processes.tail(folder)[-6:]
        return {"status": "failed" if said else "none", "said": said, "table": None}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {"status": "failed", "said": ["the comparison cannot be read"], "table": None}


def table(found: dict[str, Any]) -> Json:
    """What ``compare.json`` holds as rows of a number and columns of a model."""
    models = found["models"]
    groups = []
    for title, measures in GROUPS.items():
        rows = [_row(name, each, found) for name, each in measures.items()]
        if known := [row for row in rows if any(row["cells"])]:
            groups.append({"title": title, "rows": known})
    return {
        "models": [{"name": one["name"], "good_for": one["good_for"]} for one in models],
        "groups": groups,
        "headline": found["headline"],
        "cautions": found["cautions"],
    }


def _row(name: str, measure: Measure, found: dict[str, Any]) -> Json:
    rank = found["ranks"].get(name, {})
    cells = [_cell(model["name"], model["values"].get(name), rank) for model in found["models"]]
    told = {"name": name, "title": measure.title, "meaning": measure.meaning}
    return {**told, "better": measure.better, "cells": cells}


def _cell(model: str, value: Any, rank: dict[str, Any]) -> Json | None:
    if not isinstance(value, dict):
        return None
    told: Json = {key: rounded(value.get(key)) for key in ("value", "low", "high")}
    told |= {"unit": str(value.get("unit") or ""), "place": ""}
    if rank.get("why") == "":
        best, tied = model == rank.get("best"), model in rank.get("tied", ())
        told["place"] = "best" if best else "not told apart" if tied else "behind"
    return told
