"""The server's side of a worker: starts it, starts it again, and hands messages to and fro."""

import asyncio
import contextlib
import itertools
import time
from collections import Counter, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from mezzotint.serving import early
from mezzotint.serving.counting import Counts
from mezzotint.serving.limits import Limits
from mezzotint.serving.refusing import Refusal, busy
from mezzotint.serving.wire import Decoder, Message, encode

CHUNK = 1 << 20
QUICK_SECONDS, MOST_QUICK = 10.0, 5
PAUSE_SECONDS, START_SECONDS, END_SECONDS = 0.2, 30.0, 1.0
Process = asyncio.subprocess.Process | early.Adopted
_numbers = itertools.count(1)


@dataclass
class Job:
    """A request that a worker works on."""

    id: str
    client: str
    events: "asyncio.Queue[Message | Refusal]" = field(default_factory=asyncio.Queue)
    asked: float = field(default_factory=time.monotonic)
    answered: bool = False


class Engine:
    """One worker process.

    Args:
        name: of the worker, for the counts.
        device: where its models work.
        limits: how much may be asked.
        counts: where it counts.
    """

    def __init__(self, name: str, device: str, limits: Limits, counts: Counts) -> None:
        self.name, self.device = name, device
        self._limits, self._counts = limits, counts
        self._jobs: dict[str, Job] = {}
        self._process: Process | None = None
        self._ready = asyncio.Event()
        self._deaths: deque[float] = deque(maxlen=MOST_QUICK)
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """Requests at work and waiting."""
        return len(self._jobs)

    @property
    def started(self) -> bool:
        """Whether it was ever started."""
        return self._task is not None

    @property
    def ready(self) -> bool:
        """Whether the worker answers."""
        return self._ready.is_set()

    @property
    def pid(self) -> int | None:
        """Of the worker."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the worker; it is ready a little later."""
        self._task = asyncio.create_task(self._keep())

    async def wait_ready(self) -> None:
        """Wait for the worker.

        Raises:
            Refusal: it does not come up.
        """
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._ready.wait()
        except TimeoutError:
            raise busy("no worker is ready", 5) from None

    async def stop(self) -> None:
        """End the worker, whose work is done or given up."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def idle(self, seconds: float) -> None:
        """Wait until no request is left, or for so long."""
        end = time.monotonic() + seconds
        while self._jobs and time.monotonic() < end:
            await asyncio.sleep(0.05)

    async def _keep(self) -> None:
        """Run a worker, and the next one when it dies; five quick deaths are the last."""
        while True:
            started = time.monotonic()
            await self._run()
            self._died(started)
            if len(self._deaths) == MOST_QUICK:
                return
            await asyncio.sleep(PAUSE_SECONDS)

    async def _run(self) -> None:
        process: Process | None = await early.take(self.device)
        if process is None:
            pipe, words = asyncio.subprocess.PIPE, early.words(self.device)
            process = await asyncio.create_subprocess_exec(*words, stdin=pipe, stdout=pipe)
        self._process, decoder = process, Decoder()
        assert process.stdout is not None  # noqa: S101
        while data := await process.stdout.read(CHUNK):
            for message in decoder.feed(data):
                self._heard(message)
        await _ended(process)

    def _died(self, started: float) -> None:
        """Tell everyone who waits; a worker that lived long forgives the deaths before it."""
        self._ready.clear()
        self._counts.restarts.labels(self.name).inc()
        if time.monotonic() - started > QUICK_SECONDS:
            self._deaths.clear()
        self._deaths.append(time.monotonic())
        for job in self._jobs.values():
            job.events.put_nowait(busy("the worker ended before this was done", 2))

    def _heard(self, message: Message) -> None:
        head = message[0]
        if head["is"] == "ready":
            self._ready.set()
        elif head["is"] == "pass":
            self._counts.passes.observe(head["rows"])
            self._counts.steps.observe(head["seconds"])
        elif (job := self._jobs.get(head["id"])) is not None:
            job.events.put_nowait(message)
            if not job.answered:
                job.answered = True
                self._counts.waits.observe(time.monotonic() - job.asked)

    @contextlib.asynccontextmanager
    async def job(
        self, client: str, head: dict[str, Any], payload: bytes = b""
    ) -> AsyncIterator[Job]:
        """Give the worker something to do; leaving the block early takes it back.

        Raises:
            Refusal: the queue is full, or there is no worker.
        """
        self.require_room(client)
        job = Job(str(next(_numbers)), client)
        self._jobs[job.id] = job
        self._counts.queue.labels(self.name).set(len(self._jobs))
        done = False
        try:
            self._send({**head, "id": job.id, "client": client}, payload)
            yield job
            done = True
        finally:
            del self._jobs[job.id]
            self._counts.queue.labels(self.name).set(len(self._jobs))
            if not done:
                self._send({"do": "cancel", "id": job.id})

    async def events(self, job: Job) -> AsyncIterator[Message]:
        """What the worker says of a job, up to its end.

        Raises:
            Refusal: the worker refused, died, or takes too long.
        """
        while True:
            left = job.asked + self._limits.wait_seconds - time.monotonic()
            try:
                event = await asyncio.wait_for(job.events.get(), max(0.01, left))
            except TimeoutError:
                raise busy("this takes too long", 10) from None
            if isinstance(event, Refusal):
                raise event
            head = event[0]
            if head["is"] == "failed":
                named = ("status", "message", "param", "code", "retry")
                raise Refusal(*(head[key] for key in named))
            if head["is"] == "done":
                return
            yield event

    def require_room(self, client: str) -> None:
        """Refuse a job too many, before anything is done for it.

        Raises:
            Refusal: the queue is full, or there is no worker.
        """
        if not self.ready:
            raise busy("no worker is ready", 2)
        if len(self._jobs) >= self._limits.queue:
            raise busy("the queue is full", 1)
        if Counter(job.client for job in self._jobs.values())[client] >= self._limits.client:
            told = f"this client has {self._limits.client} requests at work already"
            raise busy(told, 1)

    def _send(self, head: dict[str, Any], payload: bytes = b"") -> None:
        process = self._process
        if process is not None and process.stdin is not None and not process.stdin.is_closing():
            process.stdin.write(encode(head, payload))


async def _ended(process: Process) -> None:
    """Wait for the end of a process whose output has ended; one that lives on is killed.

    A signal to a process that is dead already would reap it behind the back of asyncio.
    """
    try:
        async with asyncio.timeout(END_SECONDS):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
