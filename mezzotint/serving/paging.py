"""The page: files of this package, read once; no name of a request ever becomes a path."""

import functools
import hashlib
import re
from pathlib import Path
from typing import NamedTuple

from fastapi import APIRouter, Request
from starlette.responses import Response

from mezzotint.reporting.templating import TEMPLATES
from mezzotint.serving.refusing import Refusal

FOLDER = Path(__file__).parent / "page"
SHARED = "latents_math.js"  # also part of the page that inspect writes
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
router = APIRouter(include_in_schema=False)


class Part(NamedTuple):
    """A file of the page: its content, media type and a tag that changes with it."""

    content: bytes
    kind: str
    tag: str


@functools.cache
def parts() -> dict[str, Part]:
    """Name -> file, of all there are."""
    contents = {path.name: path.read_bytes() for path in sorted(FOLDER.iterdir())}
    contents[SHARED] = as_module((TEMPLATES / SHARED).read_text(encoding="utf-8"))
    return {
        name: Part(content, TYPES[Path(name).suffix], tag_of(content))
        for name, content in contents.items()
        if Path(name).suffix in TYPES
    }


def as_module(script: str) -> bytes:
    """A script of functions as a module that exports them all."""
    names = re.findall(r"^function (\w+)\(", script, re.MULTILINE)
    return f"{script}\nexport {{ {', '.join(names)} }};\n".encode()


def tag_of(content: bytes) -> str:
    """An ETag of some bytes."""
    return f'"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'


def tagged(request: Request, content: bytes, kind: str, tag: str | None = None) -> Response:
    """A response that a browser need not load again while nothing has changed."""
    tag = tag or tag_of(content)
    headers = {"etag": tag, "cache-control": "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=kind, headers=headers)


@router.get("/")
async def index(request: Request) -> Response:
    """The page itself."""
    part = parts()["index.html"]
    return tagged(request, part.content, part.kind, part.tag)


@router.get("/page/{name}")
async def file(name: str, request: Request) -> Response:
    """A script, a style or a picture of the page."""
    if name not in parts():
        raise Refusal(404, "the page has no such file", "name", "not_found")
    part = parts()[name]
    return tagged(request, part.content, part.kind, part.tag)
