"""What the routes share: settings, the shelf, workers and counts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request

from mezzotint.serving.checkups import Checkups
from mezzotint.serving.counting import Counts
from mezzotint.serving.datasets import Datasets
from mezzotint.serving.engine import Engine
from mezzotint.serving.reading import Histories
from mezzotint.serving.refusing import Refusal
from mezzotint.serving.settings import Settings
from mezzotint.serving.shelf import Entry, Shelf
from mezzotint.serving.thumbnails import Thumbnails
from mezzotint.serving.wire import Message


class Hub:
    """One server's parts.

    Args:
        settings: how it is set up.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings, self.shelf, self.counts = settings, Shelf(settings.root), Counts()
        self.drawers = [
            Engine(f"draw-{device}", device, settings.limits, self.counts)
            for device in devices(settings.device)
        ]
        self.looker = Engine("look", self.drawers[0].device, settings.limits, self.counts)
        self.histories, self.checkups = Histories(), Checkups()
        self.thumbnails = Thumbnails()
        self.datasets = Datasets(self.shelf.root, settings.data)
        self.stopping = False

    @property
    def engines(self) -> list[Engine]:
        """All workers."""
        return [*self.drawers, self.looker]

    @property
    def ready(self) -> bool:
        """Whether images can be asked for."""
        return not self.stopping and any(engine.ready for engine in self.drawers)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Workers at work while the block runs; at its end they finish what they have begun."""
        for engine in self.drawers:
            engine.start()
        preload = asyncio.create_task(self._preload())
        try:
            yield
        finally:
            preload.cancel()
            self.checkups.close()
            seconds = self.settings.limits.drain_seconds
            await asyncio.gather(*(engine.idle(seconds) for engine in self.engines))
            await asyncio.gather(*(engine.stop() for engine in self.engines))

    async def _preload(self) -> None:
        """Load the model that is asked for by default, so that the first request does not wait."""
        for engine in self.drawers:
            await engine.wait_ready()
            try:
                await self.ask(engine, "server", "open", self.shelf.by_name(None), {})
            except Refusal:
                continue  # there is none yet, or it cannot be loaded: whoever asks for it is told

    def drawer(self) -> Engine:
        """The worker with the least to do."""
        ready = [engine for engine in self.drawers if engine.ready]
        return min(ready or self.drawers, key=len)

    async def looking(self) -> Engine:
        """The worker that looks at uploads, started when it is first needed."""
        if not self.looker.started:
            self.looker.start()
        await self.looker.wait_ready()
        return self.looker

    async def ask(
        self,
        engine: Engine,
        client: str,
        do: str,
        entry: Entry,
        head: dict[str, object],
        payload: bytes = b"",
    ) -> list[Message]:
        """Everything a worker has to say on a question.

        Raises:
            Refusal: it refuses, or cannot be asked.
        """
        whole = {"do": do, "path": str(entry.path), "stamp": entry.stamp, **head}
        async with engine.job(client, whole, payload) as job:
            return [message async for message in engine.events(job)]


def devices(given: str | None) -> list[str]:
    """Where models work: what was asked for, or every GPU, or the CPU."""
    if given is not None:
        return [given]
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [f"cuda:{at}" for at in range(count)] or ["cpu"]


def hub_of(request: Request) -> Hub:
    """The hub of the server a request came to."""
    found: Hub = request.app.state.hub
    return found


def client_of(request: Request, user: str | None = None) -> str:
    """Whose request it is: who says so by OpenAI's ``user``, or else the connection."""
    if user:
        return f"user {user}"
    return f"{request.client.host} {request.client.port}" if request.client else "unknown"


async def until_gone(request: Request) -> None:
    """Wait until whoever asked hangs up."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
