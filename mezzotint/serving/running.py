"""The server as a command: it says where it is, serves, and finishes its work when told to stop."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from mezzotint.errors import BusyError
from mezzotint.serving.app import create_app, guarded
from mezzotint.serving.hub import Hub
from mezzotint.serving.limits import Limits
from mezzotint.serving.settings import Settings, is_loopback

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Timed(H11Protocol):
    """Closes connections on which the head of a request does not arrive in time."""

    seconds = Limits.header_seconds
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Start to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Stop waiting once the head is there."""
        if self._timer is None and self._between:
            self._wait()
        super().data_received(data)
        if not self._between and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def _between(self) -> bool:
        return self.conn.their_state is h11.IDLE

    def _wait(self) -> None:
        self._timer = self.loop.call_later(self.seconds, self._give_up)

    def _give_up(self) -> None:
        self._timer = None
        if self._between and not self.transport.is_closing():
            self.transport.close()


class Server(uvicorn.Server):
    """Tells ``/readyz`` of a signal at once, and ends without a signal of its own.

    Args:
        config: of uvicorn.
        hub: of the application.
    """

    def __init__(self, config: uvicorn.Config, hub: Hub) -> None:
        super().__init__(config)
        self._hub = hub

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take both signals over while serving."""
        before = {number: signal.signal(number, self._stop) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: Any) -> None:
        self._hub.stopping = True
        self.handle_exit(number, frame)


def serve(settings: Settings) -> int:
    """Serve until a signal comes.

    Returns:
        0: everything that was begun is done.

    Raises:
        BusyError: the port is taken.
    """
    bound = _bind(settings)
    app = create_app(settings)
    guard = guarded(app)
    limits = settings.limits
    config = uvicorn.Config(
        guard,
        http=Timed,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=round(limits.idle_seconds),
        timeout_graceful_shutdown=round(limits.drain_seconds),
        proxy_headers=False,
    )
    print(greeting(settings, bound.getsockname()[1], guard.link_key), flush=True)
    Server(config, app.state.hub).run(sockets=[bound])
    return 0


def greeting(settings: Settings, port: int, key: str) -> str:
    """What is printed, an address a line; the first is the page, or the link that lets one in."""
    named = "localhost" if is_loopback(settings.host) else settings.host
    shown = f"[{named}]" if ":" in named else named
    place = f"http://{shown}:{port}/"
    page = f"page: {place}"
    if settings.token is not None:
        page = f"page, for the one browser that comes first: {place}login?key={key}"
    return f"{page}\nfor programs: {place}v1\ndescribed in: {place}openapi.json"


def _bind(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((settings.host, settings.port))
    except OSError as error:
        bound.close()
        what = f"cannot listen on {settings.host} port {settings.port}: {error.strerror}"
        raise BusyError(what, "--port", "--port 0 takes a free one") from error
    return bound
