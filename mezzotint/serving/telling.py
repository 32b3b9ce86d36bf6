"""What the server says of itself: health, models, limits, numbers."""

from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import JSONResponse, Response

from mezzotint.families import FAMILIES
from mezzotint.families.base import Family
from mezzotint.families.capabilities import Denoises, Encodes, Reconstructs, Samples
from mezzotint.serving.forms import Json, Model, ModelList, State
from mezzotint.serving.hub import hub_of
from mezzotint.serving.shelf import Entry, readable
from mezzotint.solvers import SOLVERS

ASKED = {"label", "prompt", "negative_prompt", "guidance", "steps", "solver", "strength"}
router = APIRouter(tags=["server"])


@router.get("/livez", response_model=State)
@router.get("/v2/health/live", response_model=State, include_in_schema=False)
async def live() -> Any:
    """The server answers."""
    return State(status="ok")


@router.get("/readyz", response_model=State, responses={503: {"model": State}})
@router.get("/v2/health/ready", response_model=State, include_in_schema=False)
async def ready(request: Request) -> Any:
    """Images can be asked for."""
    hub = hub_of(request)
    if hub.ready:
        return State(status="ready")
    state = "stopping" if hub.stopping else "starting"
    return JSONResponse({"status": state}, 503, {"Retry-After": "1"})


@router.get("/metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """Numbers for Prometheus."""
    return Response(hub_of(request).counts.text(), media_type=CONTENT_TYPE_LATEST)


@router.get("/v1/limits")
async def limits(request: Request) -> Json:
    """How much may be asked for."""
    return hub_of(request).settings.limits.as_dict()


@router.get("/v1/about")
async def about_server(request: Request) -> Json:
    """What forms need to know: limits, solvers, families, and which version this is."""
    hub = hub_of(request)
    told: Json = {"limits": hub.settings.limits.as_dict(), "solvers": list(SOLVERS)}
    told |= {"families": list(FAMILIES), "version": version("mezzotint")}
    return {**told, "root": hub.shelf.root.name, "single": hub.shelf.single}


@router.get("/v1/models", response_model=ModelList)
async def models(request: Request) -> Any:
    """What can be asked, and what each can do."""
    shelf = hub_of(request).shelf
    return ModelList(data=[about(one) for one in shelf.entries() if one.stamp and readable(one)])


def about(entry: Entry) -> Model:
    """A model as the list shows it; errors as :meth:`Entry.form`."""
    family, config = entry.form()
    return Model(
        id=entry.name,
        created=int(entry.path.stat().st_mtime),
        family=family.kind,
        size=f"{config.size[1]}x{config.size[0]}",
        channels=config.channels,
        classes=list(getattr(config, "classes", ())),
        can=abilities(family, entry.run),
    )


def abilities(family: type[Family], run: bool) -> list[str]:
    """What models of a family can be asked for, and by which options."""
    rebuilds = issubclass(family, Reconstructs) or "image" in family.sampling
    # a class cannot be asked for a protocol that names attributes of instances
    denoises = hasattr(family, Denoises.squared_error.__name__)
    able = {
        "generate": issubclass(family, Samples),
        "reconstruct": rebuilds,
        "encode": issubclass(family, Encodes),
        "anomaly": run and (denoises or issubclass(family, Reconstructs)),
    }
    asked = sorted(family.sampling & ASKED)
    return [name for name, yes in able.items() if yes] + asked
