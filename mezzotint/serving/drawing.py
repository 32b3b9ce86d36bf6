"""New images for requests: who is next, what a step gives, and pictures as they get done."""

import time
import traceback
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from mezzotint.api.samples import picture_record
from mezzotint.errors import UsageError
from mezzotint.families.capabilities import Joins, Pictures, Samples
from mezzotint.families.conditions import spread
from mezzotint.images import png_bytes, to_uint8
from mezzotint.reporting.pictures import shrunk
from mezzotint.seeds import image_seeds
from mezzotint.serving.models import Opened
from mezzotint.serving.pooling import Failed, Moved, Pool
from mezzotint.serving.refusing import Refusal, refusal_of

Send = Callable[[dict[str, Any], bytes], None]
EVALUATIONS = {"heun": 2}


@dataclass
class Request:
    """Images asked for together.

    Attributes:
        id: of the request.
        client: whose it is.
        model: what makes them.
        seed: image i has the seed ``seed + i``.
        n: how many.
        options: of the family's ``sample``.
        partials: pictures shown on the way of each image.
        partial_side: pixels of their longer side at the most; None for the image's own.
    """

    id: str
    client: str
    model: Opened
    seed: int
    n: int
    options: dict[str, Any]
    partials: int = 0
    partial_side: int | None = None
    done: int = 0
    walked: dict[int, int] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """Of each image."""
        return int(self.options.get("steps", getattr(self.model.family.config, "steps", 1)))

    def seconds(self) -> float:
        """How long a device is busy with it alone, as estimated."""
        config, pool = self.model.family.config, self.model.pool
        if pool is None:
            return 0.0
        guidance = self.options.get("guidance", config.guidance)
        rows = self.n * (2 if guidance != 1 and config.kinds else 1)
        solver = self.options.get("solver", config.solver)
        passes = self.steps * EVALUATIONS.get(solver, 1) * -(-rows // pool.rows)
        return float(passes * self.model.seconds)


class CancelledError(Exception):
    """Nobody waits for this any more."""


class Drawing:
    """Requests for images, in the order of a round over their clients.

    Args:
        send: takes a message and a payload for the server.
        most_seconds: of work that one request may cost.
        listen: takes what the server has said meanwhile, without waiting for more.
    """

    def __init__(
        self, send: Send, most_seconds: float, listen: Callable[[], object] = lambda: None
    ) -> None:
        self._send, self._most, self._listen = send, most_seconds, listen
        self._waiting: OrderedDict[str, deque[tuple[Request, int]]] = OrderedDict()
        self._requests: dict[str, Request] = {}

    def __len__(self) -> int:
        """Requests that are not done."""
        return len(self._requests)

    def add(self, request: Request) -> None:
        """Take a request.

        Raises:
            Refusal, UsageError, ConfigError: it cannot be done.
        """
        check(request, self._most)
        self._requests[request.id] = request
        line = self._waiting.setdefault(request.client, deque())
        whole = request.model.pool is None
        line.extend((request, index) for index in range(1 if whole else request.n))

    def cancel(self, name: str) -> None:
        """Forget a request, wherever it is."""
        request = self._requests.pop(name, None)
        if request is None:
            return
        if request.model.pool is not None:
            request.model.pool.remove({(name, index) for index in range(request.n)})
        for client, line in list(self._waiting.items()):
            kept = deque(item for item in line if item[0].id != name)
            self._waiting[client] = kept
            if not kept:
                del self._waiting[client]

    def turn(self) -> None:
        """Let images join while passes have room, then one forward pass of each model."""
        while (item := self._next()) is not None:
            self._start(*item)
            if item[0].model.pool is None:
                break
        for model in self._models():
            if model.pool is not None and model.pool.waiting:
                self._pass(model, model.pool)

    def _models(self) -> list[Opened]:
        found = {id(request.model): request.model for request in self._requests.values()}
        return list(found.values())

    def _next(self) -> tuple[Request, int] | None:
        """The next image that has room, of the client whose turn it is."""
        for client in list(self._waiting):
            line = self._waiting[client]
            pool = line[0][0].model.pool
            if pool is not None and pool.waiting >= pool.rows:
                continue
            item = line.popleft()
            self._waiting.move_to_end(client)
            if not line:
                del self._waiting[client]
            return item
        return None

    def _start(self, request: Request, index: int) -> None:
        try:
            if request.model.pool is None:
                self._whole(request)
            else:
                walk = looking(request, index)
                self._moved(request.model.pool.add((request.id, index), walk))
        except CancelledError:
            return
        except Exception as error:
            self._fail(request, error)

    def _fail(self, request: Request, error: Exception) -> None:
        self.cancel(request.id)
        refusal = refusal_of(error)
        if refusal.status >= 500:
            traceback.print_exception(error)
        self._send({"is": "failed", "id": request.id, **refusal.as_dict()}, b"")

    def _whole(self, request: Request) -> None:
        """All images of a family that makes them in one go; a step may be the last one."""
        family: Any = request.model.family

        def watch(done: int, total: int) -> None:
            self._listen()
            if request.id not in self._requests:
                raise CancelledError

        watched = {"watch": watch} if "watch" in family.sampling else {}
        images = family.sample(image_seeds(request.seed, request.n), **request.options, **watched)
        for index, image in enumerate(images.split(1)):
            self._finish(request, index, image)

    def _pass(self, model: Opened, pool: Pool) -> None:
        started = time.perf_counter()
        try:
            moved, rows = pool.turn()
        except Exception as error:  # nobody can tell whose rows the pass failed at
            for request in [one for one in self._requests.values() if one.model is model]:
                self._fail(request, error)
            return
        seconds = time.perf_counter() - started
        if rows == pool.rows:
            model.measured(seconds)
        self._moved(moved)
        self._send({"is": "pass", "rows": rows, "seconds": seconds}, b"")

    def _moved(self, events: list[Moved | Failed]) -> None:
        for event in events:
            name, index = event.key
            request = self._requests.get(name)
            if request is None:  # another image of the same request has failed
                continue
            if isinstance(event, Failed):
                self._fail(request, event.error)
            elif event.last:
                self._finish(request, index, pictured(request, event.step.noisy))
            elif request.partials:
                self._show(request, index, event.step.clean)

    def _show(self, request: Request, index: int, clean: Tensor) -> None:
        """A picture of what is to come, at moments equally far apart."""
        walked = request.walked[index] = request.walked.get(index, 0) + 1
        moments = spread(request.steps, request.partials + 1)[:-1]
        if walked - 1 in moments:
            head = {"is": "partial", "id": request.id, "index": index}
            head["partial"] = moments.index(walked - 1)
            pixels = to_uint8(pictured(request, clean).clamp(-1, 1))
            side = request.partial_side
            shown = pixels if side is None else shrunk(pixels, side)
            self._send(head, png_bytes(shown[0]))

    def _finish(self, request: Request, index: int, image: Tensor) -> None:
        pixels = to_uint8(image.clamp(-1, 1))[0]
        record = picture_record(request.model.family, request.seed, index, request.options)
        head = {"is": "image", "id": request.id, "index": index, "record": record}
        self._send(head, png_bytes(pixels, record))
        request.done += 1
        if request.done == request.n:
            del self._requests[request.id]
            self._send({"is": "done", "id": request.id}, b"")


def pictured(request: Request, state: Tensor) -> Tensor:
    """A state of a walk as images: of a model that walks among latents, what they stand for."""
    family = request.model.family
    return family.pictures(state) if isinstance(family, Pictures) else family.outward(state)


def looking(request: Request, index: int) -> Any:
    """The walk of one image."""
    family: Any = request.model.family
    return family.looking(request.seed + index, **request.options)


def check(request: Request, most_seconds: float) -> None:
    """Refuse what the model cannot do, and what would take too long.

    Raises:
        Refusal, UsageError, ConfigError: with the field that is wrong.
    """
    family: Any = request.model.family
    if not isinstance(request.model.family, Samples):
        raise UsageError(f"{family.kind} has no distribution to sample from", "model")
    for name in request.options:
        if name not in family.sampling:
            raise UsageError(f"{family.kind} samples without '{name}'", name, "leave it out")
    image_seeds(request.seed, request.n)
    if "label" in family.sampling:
        family.labels_of([request.seed], request.options.get("label"))
    if isinstance(request.model.family, Joins):
        looking(request, 0).close()
    seconds = request.seconds()
    if seconds > most_seconds:
        told = f"this would take about {seconds:.0f} s, and {most_seconds:.0f} s are allowed"
        raise Refusal(400, told, "num_inference_steps", "too_much_work")
