"""``POST /v1/images/generations``: what is asked for, and the pictures as they get done."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from mezzotint.serving.engine import Engine
from mezzotint.serving.forms import ImageRequest, ImageResponse
from mezzotint.serving.guard import refused
from mezzotint.serving.hub import Hub, client_of, hub_of, until_gone
from mezzotint.serving.refusing import Refusal
from mezzotint.serving.shelf import Entry
from mezzotint.serving.wire import Message

OPTIONS = {"solver": "solver", "num_inference_steps": "steps", "guidance_scale": "guidance"}
Events = AsyncGenerator[Message, None]
router = APIRouter(tags=["images"])


@router.post("/v1/images/generations", response_model=ImageResponse)
async def generate(asked: ImageRequest, request: Request) -> Any:
    """New images; image i has the seed ``seed + i``, as the file ``mezzotint sample`` writes.

    With ``stream`` the answer is server-sent events: ``image_generation.partial_image`` on the way
    and ``image_generation.completed`` for each image.
    """
    hub = hub_of(request)
    entry = hub.shelf.by_name(asked.model)
    client, engine = client_of(request, asked.user or asked.safety_identifier), hub.drawer()
    if len(engine) >= hub.settings.limits.queue:
        engine.require_room(client)  # a refusal has to be cheap where there are many
    head = {"do": "draw", "path": str(entry.path), "stamp": entry.stamp, **wanted(asked, entry)}
    if asked.stream:
        return await _stream(engine, client, head, entry, request)
    images: list[Message] = []
    async with aclosing(watched(_made(engine, client, head), request)) as events:
        async for event in events:
            images += [event] if event[0]["is"] == "image" else []
    hub.counts.images.inc(len(images))
    images.sort(key=lambda event: int(event[0]["index"]))
    data = [_image(event) for event in images]
    return ImageResponse(created=_now(), data=data, size=_size(entry), model=entry.name)  # type: ignore[arg-type]


def wanted(asked: ImageRequest, entry: Entry) -> dict[str, Any]:
    """A worker's message for a request.

    Raises:
        Refusal: the model does not do that; names the field.
    """
    family, config = entry.form()
    kind, sampling = family.kind, family.sampling
    if asked.size not in (None, "auto", _size(entry)):
        raise Refusal(400, f"this model makes {_size(entry)}", "size", "wrong_size")
    options = {
        ours: value
        for theirs, ours in OPTIONS.items()
        if (value := getattr(asked, theirs)) is not None
    }
    for theirs, ours in OPTIONS.items():
        if ours in options and ours not in sampling:
            raise Refusal(400, f"{kind} samples without {theirs}", theirs, "not_able")
    options = {**_words(asked, kind, config, sampling), **options}
    seed, n = asked.seed or 0, asked.n or 1
    partials = (asked.partial_images or 0) if asked.stream else 0
    head: dict[str, Any] = {"seed": seed, "n": n, "options": options, "partials": partials}
    return head | {"partial_side": asked.partial_side}


def _words(asked: ImageRequest, kind: str, config: Any, sampling: frozenset[str]) -> dict[str, Any]:
    """Prompt and label as options: text for models that read it, the name of a class for others.

    Raises:
        Refusal: the model cannot follow them.
    """
    avoided = {"negative_prompt": asked.negative_prompt} if asked.negative_prompt else {}
    if avoided and "negative_prompt" not in sampling:
        raise Refusal(400, f"{kind} reads no text", "negative_prompt", "not_able")
    if "prompt" in sampling:  # in the order of the command line, whose files are the same bytes
        given = {} if asked.label is None else {"label": asked.label}
        return {**given, "prompt": asked.prompt, **avoided}
    classes = getattr(config, "classes", ())
    label = asked.label
    if asked.prompt.strip():
        if label is not None or asked.prompt.strip() not in classes:
            names = ", ".join(classes[:20]) or "none: leave the prompt empty"
            told = f"{kind} reads no text; a prompt is the name of a class here ({names})"
            raise Refusal(400, told, "prompt", "not_able")
        label = asked.prompt.strip()
    return {} if label is None else {"label": label}


async def _made(engine: Engine, client: str, head: dict[str, Any]) -> Events:
    async with engine.job(client, head) as job:
        async for event in engine.events(job):
            yield event


async def watched(events: Events, request: Request) -> Events:
    """The events, as long as the client is there; it hangs up, and the work is cancelled.

    Raises:
        Refusal: the client has gone; nobody reads it.
    """
    gone = asyncio.ensure_future(until_gone(request))
    try:
        while True:
            step = asyncio.ensure_future(anext(events, None))
            await asyncio.wait({step, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not step.done():
                step.cancel()
                await asyncio.wait({step})
                _ = step.cancelled() or step.exception()  # nobody is left to be told
                hub_of(request).counts.cancelled.inc()
                raise Refusal(499, "the client has gone", code="gone")
            event = step.result()
            if event is None:
                return
            yield event
    finally:
        gone.cancel()
        await events.aclose()


async def _stream(
    engine: Engine, client: str, head: dict[str, Any], entry: Entry, request: Request
) -> Response:
    """Server-sent events; what is refused before the first one has a status of its own."""
    events = watched(_made(engine, client, head), request)
    try:
        first = await anext(events)
    except Refusal as refusal:
        return refused(refusal)
    hub, size = hub_of(request), _size(entry)

    async def lines() -> AsyncIterator[bytes]:
        try:
            yield _line(first, size, hub)
            async for event in events:
                yield _line(event, size, hub)
        except Refusal as refusal:
            yield _sse("error", refusal.body())
        finally:
            await events.aclose()

    return StreamingResponse(lines(), media_type="text/event-stream")


def _line(event: Message, size: str, hub: Hub) -> bytes:
    """One event as the OpenAI API names it."""
    head, content = event
    done = head["is"] == "image"
    kind = f"image_generation.{'completed' if done else 'partial_image'}"
    told = {"type": kind, "b64_json": base64.b64encode(content).decode(), "created_at": _now()}
    told |= {"size": size, "quality": "auto", "background": "opaque", "output_format": "png"}
    told["image_index"] = head["index"]
    if done:
        hub.counts.images.inc()
        told |= {"seed": head["record"]["seed"], "label": head["record"]["label"], "usage": USAGE}
    else:
        told["partial_image_index"] = head["partial"]
    return _sse(kind, told)


USAGE = {
    "input_tokens": 0,
    "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
    "output_tokens": 0,
    "total_tokens": 0,
}


def _sse(kind: str, told: dict[str, Any]) -> bytes:
    return f"event: {kind}\ndata: {json.dumps(told)}\n\n".encode()


def _image(event: Message) -> dict[str, Any]:
    head, content = event
    record = head["record"]
    told = {"seed": record["seed"], "label": record["label"]}
    return {"b64_json": base64.b64encode(content).decode(), **told}


def _size(entry: Entry) -> str:
    height, width = entry.form().config.size
    return f"{width}x{height}"


def _now() -> int:
    return int(time.time())
