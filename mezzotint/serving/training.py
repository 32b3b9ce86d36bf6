"""Training from the page: an ordinary ``mezzotint train`` that outlives the server."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import Field

from mezzotint.describing import describe_form
from mezzotint.errors import MezzotintError
from mezzotint.families import FAMILIES
from mezzotint.serving import processes
from mezzotint.serving.forms import Form, Json
from mezzotint.serving.hub import Hub, hub_of
from mezzotint.serving.refusing import Refusal, busy, refusal_of
from mezzotint.serving.shelf import START, Entry
from mezzotint.storage.files import make_folder, replace_json
from mezzotint.storage.readers import load_file
from mezzotint.training.plans import make_plan
from mezzotint.training.recipe import Recipe

OPTIONS = "options.json"
NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*$"
Value = str | int | float | bool | None
Short = Annotated[str, Field(max_length=200)]
router = APIRouter(tags=["training"])


class Training(Form):
    """A run to start."""

    name: Annotated[str, Field(pattern=NAME, max_length=80, description="of the run's folder")]
    family: Short
    data: Short = Field(description="id of a set of images, of /v1/data")
    preset: Short | None = None
    options: Annotated[
        dict[Annotated[str, Field(max_length=40)], Annotated[str, Field(max_length=1000)] | Value],
        Field(max_length=100),
    ] = Field(default_factory=dict)


@router.get("/v1/families/{family}")
def family(family: str) -> Json:
    """The options of a family and of training: types, bounds, defaults, presets."""
    if family not in FAMILIES:
        raise Refusal(404, "there is no such family", "family", "not_found")
    return describe_form(family)


@router.post("/v1/runs", status_code=201)
def start(asked: Training, request: Request) -> Json:
    """Start a run; it goes on whatever becomes of the server."""
    hub = hub_of(request)
    data = hub.datasets.by_id(asked.data)
    require_room(hub)
    folder = hub.shelf.root / asked.name
    if folder.exists() or folder.is_symlink():
        raise Refusal(409, "there is something of that name already", "name", "exists")
    told = {"family": asked.family, "data": data.spec, "preset": asked.preset}
    check(told, asked.options)
    make_folder(folder)
    replace_json(folder / START, told)
    return _begin(hub, asked.name, told, asked.options)


@router.post("/v1/runs/{run}/stop", status_code=202)
def stop(run: str, request: Request) -> Json:
    """Ask a run to save and stop; it can be resumed."""
    entry = hub_of(request).shelf.by_id(run)
    processes.stop(entry.path)
    return {"id": entry.id, "status": "stopping"}


@router.post("/v1/runs/{run}/resume", status_code=202)
def resume(run: str, request: Request) -> Json:
    """Go on with a run that was stopped, from its newest checkpoint."""
    hub = hub_of(request)
    entry = hub.shelf.by_id(run)
    if entry.status not in ("interrupted", "failed"):
        raise Refusal(409, "this run is not stopped", "run", "not_stopped")
    require_room(hub)
    try:
        told, options = _as_started(entry)
    except (MezzotintError, OSError, KeyError, TypeError, AttributeError):
        raise Refusal(409, "this run does not say how it was started", "run", "unknown") from None
    hub.datasets.require_allowed(told["data"])
    check(told, options)
    return _begin(hub, entry.name, told, options)


@router.get("/v1/runs/{run}/log")
def log(run: str, request: Request) -> Json:
    """The last lines that a run started here has said."""
    return {"lines": processes.tail(hub_of(request).shelf.by_id(run).path)}


def require_room(hub: Hub) -> None:
    """Refuse a training too many, or a place that takes none.

    Raises:
        Refusal: with what to do.
    """
    if hub.shelf.single:
        told = "this server serves one run: serve a folder of runs to train more"
        raise Refusal(409, told, "name", "single")
    most = hub.settings.limits.trainings
    if sum(entry.status in ("running", "starting") for entry in hub.shelf.entries()) >= most:
        raise busy(f"{most} runs are training already; wait for one, or stop it", 30)


def check(told: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Find a wrong option before a process is started.

    Raises:
        Refusal: names it.
    """
    try:
        make_plan(told["family"], told["preset"], options)
    except MezzotintError as error:
        refusal = refusal_of(error)
        refusal.status = 400
        raise refusal from None


def _begin(hub: Hub, name: str, told: Mapping[str, Any], options: Mapping[str, Any]) -> Json:
    folder = hub.shelf.root / name
    replace_json(folder / OPTIONS, dict(options))
    words = ["train", told["family"], told["data"], "--out", str(folder)]
    words += ["--config", str(folder / OPTIONS)]
    words += ["--preset", told["preset"]] if told["preset"] else []
    processes.launch(folder, words)
    hub.shelf.refresh()
    found = next(entry for entry in hub.shelf.entries() if entry.path == folder)
    return {"id": found.id, "name": found.name, "status": found.status}


def _as_started(entry: Entry) -> tuple[dict[str, Any], dict[str, Any]]:
    """Family, data, preset and options that go on with a run."""
    if not entry.run:
        told = load_file(entry.path / START)
        named = {key: told[key] for key in ("family", "data", "preset")}
        return named, load_file(entry.path / OPTIONS)
    header = entry.folder.header()
    recipe = set(Recipe.__dataclass_fields__)
    model = {key: value for key, value in header["model"].items() if key not in recipe}
    told = {"family": header["family"], "data": header["data"]["spec"], "preset": None}
    return told, {**model, **header["recipe"]}
