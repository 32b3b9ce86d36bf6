"""The process that holds the models; ``python -m mezzotint.serving.worker``, started by the server.

It reads messages from its standard input and writes messages to its standard output. Between two
forward passes it looks whether there is something new, so a request joins, or is cancelled, within
one step. It ends when its input ends, so it never outlives the server.
"""

import os
import select
import signal
import sys
import traceback
from collections import deque
from typing import Any

import numpy as np

from mezzotint.serving.drawing import Drawing, Request
from mezzotint.serving.limits import Limits
from mezzotint.serving.models import Models
from mezzotint.serving.pictures import DOES, decode_rows, decoded
from mezzotint.serving.refusing import refusal_of
from mezzotint.serving.wire import Decoder, Message, encode, joined, split

CHUNK = 1 << 20
TOLD = ("id", "client", "seed", "n", "options", "partials", "partial_side")  # of a request


class Worker:
    """One worker.

    Args:
        source, sink: file descriptors of messages in and out.
        device: where the models work.
        limits: see :class:`Limits`.
    """

    def __init__(self, source: int, sink: int, device: str, limits: Limits) -> None:
        self._source, self._sink, self._limits = source, sink, limits
        self._models = Models(device)
        self._drawing = Drawing(self.send, limits.work_seconds, self._listen)
        self._jobs: deque[Message] = deque()
        self._decoder = Decoder()

    def send(self, head: dict[str, Any], payload: bytes = b"") -> None:
        """Write a message."""
        left = memoryview(encode(head, payload))
        while left:
            left = left[os.write(self._sink, left) :]

    def run(self) -> None:
        """Work until the input ends."""
        self.send({"is": "ready"})
        while self._listen():
            if self._jobs:
                self._attempt(self._jobs[0][0], self._do, *self._jobs.popleft())
            if len(self._drawing):
                self._drawing.turn()

    def _listen(self) -> bool:
        """Take what has come in, waiting for it if there is nothing to do; False at the end."""
        busy = bool(self._jobs) or len(self._drawing) > 0
        ready, _, _ = select.select([self._source], [], [], 0 if busy else None)
        if not ready:
            return True
        data = os.read(self._source, CHUNK)
        for head, payload in self._decoder.feed(data):
            self._take(head, payload)
        return bool(data)

    def _take(self, head: dict[str, Any], payload: bytes) -> None:
        if head["do"] == "cancel":
            self._drawing.cancel(head["id"])
            self._jobs = deque(job for job in self._jobs if job[0]["id"] != head["id"])
            self.send({"is": "cancelled", "id": head["id"]})
        elif head["do"] == "draw":
            self._attempt(head, self._draw, head)
        else:
            self._jobs.append((head, payload))

    def _draw(self, head: dict[str, Any]) -> None:
        model = self._models.get(head["path"], head["stamp"])
        named = {key: head[key] for key in TOLD}
        self._drawing.add(Request(model=model, **named))

    def _do(self, head: dict[str, Any], payload: bytes) -> None:
        model = self._models.get(head["path"], head["stamp"])
        if head["do"] == "open":
            self.send({"is": "done", "id": head["id"]})
            return
        if head["do"] == "decode":
            rows = np.frombuffer(payload, np.float32).reshape(head["rows"], -1)
            answer, pictures = decode_rows(model, rows)
        else:
            channels, height, width = model.family.shape
            files = split(payload, head["lengths"])
            pixels = decoded(files, (height, width), channels, self._limits)
            answer, pictures = DOES[head["do"]](model, pixels, head["options"])
        lengths, content = joined(pictures)
        told = {"is": "answer", "id": head["id"], "lengths": lengths, "answer": answer}
        self.send(told, content)
        self.send({"is": "done", "id": head["id"]})

    def _attempt(self, head: dict[str, Any], work: Any, *given: Any) -> None:
        """Do some work; what goes wrong is an answer to whoever asked for it."""
        try:
            work(*given)
        except Exception as error:
            refusal = refusal_of(error)
            if refusal.status >= 500:
                traceback.print_exc()
            self.send({"is": "failed", "id": head["id"], **refusal.as_dict()})


def main(device: str) -> None:
    """Serve messages; whatever else is printed goes to the standard error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server decides when to stop
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sink = os.dup(1)
    os.dup2(2, 1)
    Worker(0, sink, device, Limits()).run()


if __name__ == "__main__":
    main(sys.argv[1])
