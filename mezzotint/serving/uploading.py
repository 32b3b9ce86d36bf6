"""``/v1/reconstruct``, ``/v1/encode``, ``/v1/anomaly``: what a model says of pictures."""

import base64
import binascii
from typing import Any

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from mezzotint.serving.forms import (
    Found,
    FoundResponse,
    Rebuilt,
    RebuiltResponse,
    Upload,
    VectorResponse,
)
from mezzotint.serving.generating import watched
from mezzotint.serving.hub import client_of, hub_of
from mezzotint.serving.refusing import Refusal
from mezzotint.serving.shelf import Entry
from mezzotint.serving.wire import joined, split

router = APIRouter(tags=["pictures"])
MULTIPART, JSON = "multipart/form-data", "application/json"
NUMBERS = {"noise": float, "strength": float, "seed": int, "false_alarms": float}
_SCHEMA = Upload.model_json_schema()
_FORM = {
    **_SCHEMA,
    "properties": {
        **_SCHEMA["properties"],
        "image": {
            "type": "array",
            "items": {"type": "string", "format": "binary"},
            "minItems": 1,
            "maxItems": 8,
        },
    },
}
BODY = {
    "requestBody": {
        "required": True,
        "content": {JSON: {"schema": _SCHEMA}, MULTIPART: {"schema": _FORM}},
    }
}


@router.post("/v1/reconstruct", response_model=RebuiltResponse, openapi_extra=BODY)
async def reconstruct(request: Request) -> Any:
    """A model's version of pictures; ``noise`` damages them first; diffusion takes ``strength``."""
    entry, answer, pictures = await asked(request, "reconstruct")
    texts = [base64.b64encode(one).decode() for one in pictures]
    data = [
        Rebuilt(original=texts[3 * at], seen=texts[3 * at + 1], b64_json=texts[3 * at + 2], error=e)
        for at, e in enumerate(answer["errors"])
    ]
    return RebuiltResponse(model=entry.name, data=data)


@router.post("/v1/encode", response_model=VectorResponse, openapi_extra=BODY)
async def encode(request: Request) -> Any:
    """A vector of each picture, the same at every call."""
    entry, answer, _ = await asked(request, "encode")
    return VectorResponse(model=entry.name, data=answer["vectors"])


@router.post("/v1/anomaly", response_model=FoundResponse, openapi_extra=BODY)
async def anomaly(request: Request) -> Any:
    """How far pictures are from the good ones a run was trained on, and where."""
    entry, answer, pictures = await asked(request, "anomaly")
    texts = [base64.b64encode(one).decode() for one in pictures]
    limit = answer["threshold"]
    data = [
        Found(
            original=texts[2 * at],
            b64_json=texts[2 * at + 1],
            score=score,
            p_value=answer["p_values"][at],
            bad=None if limit is None else score > limit,
        )
        for at, score in enumerate(answer["scores"])
    ]
    told = {key: answer[key] for key in ("score", "threshold", "held_out")}
    return FoundResponse(model=entry.name, data=data, **told)


async def asked(request: Request, do: str) -> tuple[Entry, dict[str, Any], list[bytes]]:
    """Ask a worker about uploaded pictures.

    Raises:
        Refusal: the upload is not what it has to be, or the worker refuses.
    """
    files, form = await uploaded(request)
    hub = hub_of(request)
    entry = hub.shelf.by_name(form.model)
    engine = await hub.looking()
    lengths, payload = joined(files)
    options = form.model_dump(exclude={"image", "model"}, exclude_none=True)
    head: dict[str, Any] = {"do": do, "path": str(entry.path), "stamp": entry.stamp}
    head |= {"lengths": lengths, "options": options}

    async def events() -> Any:
        async with engine.job(client_of(request), head, payload) as job:
            async for event in engine.events(job):
                yield event

    async for told, content in watched(events(), request):
        return entry, told["answer"], split(content, told["lengths"])
    raise Refusal(500, "the worker gave no answer", code="failed")


async def uploaded(request: Request) -> tuple[list[bytes], Upload]:
    """The files and options of an upload, whichever of the two forms it has.

    Raises:
        Refusal: neither, or wrong.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().casefold()
    if kind == MULTIPART:
        return await _multipart(request)
    if kind == JSON:
        form = _validated(await request.body())
        return [_bytes(text) for text in form.image], form
    raise Refusal(415, f"send {JSON} or {MULTIPART}", "content-type", "not_supported")


def _validated(body: bytes) -> Upload:
    try:
        return Upload.model_validate_json(body)
    except ValidationError as error:
        raise invalid(error.errors(include_input=False, include_url=False)) from None


def _bytes(text: str) -> bytes:
    """Base64, also as a data URL; an address is refused: nothing is ever fetched."""
    head, sign, rest = text.partition(",")
    body = rest if sign and head.startswith("data:image/") and head.endswith(";base64") else text
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise Refusal(400, "not base64", "image", "invalid_base64") from None


async def _multipart(request: Request) -> tuple[list[bytes], Upload]:
    limits = hub_of(request).settings.limits
    try:
        form = await request.form(max_files=limits.upload_files, max_fields=16, max_part_size=4096)
    except HTTPException as error:
        raise Refusal(400, str(error.detail)[:200], "body", "invalid_form") from None
    files, options = [], {}
    for key, value in form.multi_items():
        if isinstance(value, UploadFile):
            if key not in ("image", "image[]"):
                raise Refusal(400, "files go into the field image", "image", "unknown_field")
            files.append(await value.read())
        else:
            options[key] = _number(key, value)
    try:
        whole = Upload.model_validate({**options, "image": ["x"] * len(files)})
    except ValidationError as error:
        raise invalid(error.errors(include_input=False, include_url=False)) from None
    return files, whole


def _number(key: str, text: str) -> Any:
    try:
        return NUMBERS[key](text) if key in NUMBERS else text
    except ValueError:
        raise Refusal(400, f"{key} has to be a number", key, "invalid_number") from None


def invalid(errors: Any) -> Refusal:
    """The first thing wrong with a request's form."""
    first = errors[0]
    where = [str(part) for part in first["loc"] if part not in ("body", "query", "path")]
    param = where[0] if where else "body"
    told = f"{'.'.join(where) or 'body'}: {first['msg']}"
    return Refusal(400, told[:300], param[:100], "invalid")
