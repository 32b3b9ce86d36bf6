"""What every request has to pass before anything else sees it.

It stands in front of all routes, so that a route cannot be forgotten: the host it is made to, the
page it comes from, who makes it, and how much it brings and how slowly.
"""

import asyncio
import contextlib
import hmac
import secrets
import time
from collections.abc import MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from mezzotint.serving.counting import Counts
from mezzotint.serving.refusing import Refusal
from mezzotint.serving.settings import Settings

OPEN = frozenset({"/livez", "/readyz", "/v2/health/live", "/v2/health/ready"})
LOGIN = "/login"
COOKIE = "mezzotint"
UPLOADS = ("/v1/reconstruct", "/v1/encode", "/v1/anomaly")
DATA = "/v1/data"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
DRAINED, DRAIN_SECONDS = 4 << 20, 1.0
Message = MutableMapping[str, Any]


class Guard:
    """ASGI middleware around the whole application.

    Args:
        app: what it guards.
        settings: who may ask, from where, and how much.
        counts: where requests are counted.
    """

    def __init__(self, app: ASGIApp, settings: Settings, counts: Counts) -> None:
        self._app, self._settings, self._counts = app, settings, counts
        self.link_key = secrets.token_urlsafe(24)
        self._session = secrets.token_urlsafe(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let through."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status, shielded = _with_headers(send)
        await self._answered(scope, receive, shielded)
        path = getattr(scope.get("route"), "path", "unknown")
        self._counts.requests.labels(path, str(status.get("code", 499))).inc()
        self._counts.seconds.labels(path).observe(time.perf_counter() - started)

    async def _answered(self, scope: Scope, receive: Receive, shielded: Send) -> None:
        try:
            response = self._answer(scope)
        except Refusal as refusal:
            response = refused(refusal)
        if response is not None:
            await drained(receive)
            await response(scope, receive, shielded)
            return
        limits = self._settings.limits
        seconds = limits.data_seconds if scope["path"] == DATA else limits.body_seconds
        bounded = Bounded(receive, self._most_bytes(scope), seconds)
        await self._app(scope, bounded, shielded)

    def _answer(self, scope: Scope) -> Response | None:
        """What is answered here; None lets the request through.

        Raises:
            Refusal: it may not pass.
        """
        headers = _headers(scope, self._settings.limits.headers)
        self._check_host(headers)
        _check_origin(headers)
        if scope["path"] == LOGIN and self._settings.token is not None:
            return self._login(scope)
        if scope["path"] not in OPEN:
            self._check_token(headers)
        _check_length(headers, self._most_bytes(scope))
        return None

    def _most_bytes(self, scope: Scope) -> int:
        limits = self._settings.limits
        upload = scope["path"].startswith(UPLOADS)
        if scope["path"] == DATA:
            return limits.data_bytes
        return limits.upload_bytes if upload else limits.json_bytes

    def _check_host(self, headers: dict[str, str]) -> None:
        if not self._settings.knows_host(headers.get("host", "")):
            raise Refusal(403, "this server does not go by that host name", "host", "wrong_host")

    def _check_token(self, headers: dict[str, str]) -> None:
        token = self._settings.token
        if token is None:
            return
        scheme, _, given = headers.get("authorization", "").partition(" ")
        bearer = given.strip() if scheme.casefold() == "bearer" else ""
        cookie = _cookie(headers.get("cookie", ""))
        if not (_same(bearer, token) or _same(cookie, self._session)):
            told = "a token is needed: Authorization: Bearer TOKEN, or the link the server printed"
            raise Refusal(401, told, code="unauthorized")

    def _login(self, scope: Scope) -> Response:
        """Trade the key of the printed link, once, for a cookie."""
        words = parse_qs(scope["query_string"].decode("latin-1"))
        if not self.link_key or not _same(words.get("key", [""])[0], self.link_key):
            raise Refusal(401, "this link was used or is not the server's", code="unauthorized")
        self.link_key = ""
        response = RedirectResponse("/", status_code=303)
        response.set_cookie(COOKIE, self._session, httponly=True, samesite="strict", path="/")
        return response


class Bounded:
    """A body that may neither be too long nor take too long.

    Args:
        receive: of the server.
        most: bytes.
        seconds: until all of it has come.
    """

    def __init__(self, receive: Receive, most: int, seconds: float) -> None:
        self._receive, self._left = receive, most
        self._end: float | None = asyncio.get_running_loop().time() + seconds

    async def __call__(self) -> Message:
        """The next message.

        Raises:
            Refusal: too much, or too slow.
        """
        if self._end is None:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._end):
                message = await self._receive()
        except TimeoutError:
            raise Refusal(408, "the body took too long", "body", "too_slow") from None
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            await drained(self._receive, message)
            raise _too_large()
        if not message.get("more_body", False):
            self._end = None
        return message


async def drained(receive: Receive, message: Message | None = None) -> None:
    """Let a refused body pass by for a moment: a sender that is cut off never reads the answer."""
    left = DRAINED
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            while left > 0 and (message is None or message.get("more_body", False)):
                message = await receive()
                left -= len(message.get("body", b""))


def refused(refusal: Refusal) -> Response:
    """A refusal as a response."""
    headers = refusal.headers()
    if refusal.status in (408, 413):
        headers["Connection"] = "close"
    if refusal.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(refusal.body(), refusal.status, headers)


def _headers(scope: Scope, most: int) -> dict[str, str]:
    if len(scope["headers"]) > most:
        raise Refusal(431, "too many headers", "headers", "too_many")
    return {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}


def _check_origin(headers: dict[str, str]) -> None:
    """A page of another origin may not ask, whatever cookie its browser sends along."""
    origin = headers.get("origin")
    own = headers["host"].casefold()
    foreign = origin is not None and _place(origin).casefold() != own
    crossed = headers.get("sec-fetch-site") in ("cross-site", "same-site")
    if foreign or (crossed and headers.get("sec-fetch-mode") != "navigate"):
        raise Refusal(403, "requests of other pages are refused", "origin", "wrong_origin")


def _place(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _check_length(headers: dict[str, str], most: int) -> None:
    """Refuse by the announced length, before the body is read; never decompress one."""
    if headers.get("content-encoding", "identity") != "identity":
        raise Refusal(415, "compressed bodies are not read", "content-encoding", "not_supported")
    length = headers.get("content-length", "0")
    if length.isascii() and length.isdecimal() and int(length[:20]) > most:
        raise _too_large()


def _too_large() -> Refusal:
    return Refusal(413, "the body is too large", "body", "too_large")


def _cookie(text: str) -> str:
    try:
        found = SimpleCookie(text).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())


def _with_headers(send: Send) -> tuple[dict[str, int], Send]:
    """Add the headers that no response may lack; tells the status once there is one."""
    status: dict[str, int] = {}

    async def shielded(message: Message) -> None:
        if message["type"] == "http.response.start":
            status["code"] = message["status"]
            present = {key for key, _ in message["headers"]}
            extra = [(key.encode(), value.encode()) for key, value in HEADERS.items()]
            message["headers"] = [
                *message["headers"],
                *(pair for pair in extra if pair[0] not in present),
            ]
        await send(message)

    return status, shielded
