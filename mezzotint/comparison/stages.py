"""One view over several pieces of work: which of how many, and the time that all of them take."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from mezzotint.progress import Progress

NEARLY = 0.98  # of a stage of unknown length, until it ends


@dataclass
class Stage:
    """A piece of work.

    Attributes:
        title: what is done.
        seconds: it is expected to take.
        steady: whether it reports its own share; another one is taken to go on as time does.
        share: that is done.
    """

    title: str
    seconds: float
    steady: bool
    share: float = 0.0


@dataclass
class Stages:
    """Reports pieces of work as one; pass it on as the progress of the piece that has begun.

    Attributes:
        stages: the pieces in order.
        show: where progress goes.
    """

    stages: Sequence[Stage]
    show: Progress
    _at: int = -1
    _started: float = 0.0
    _said: set[str] = field(default_factory=set)

    @contextmanager
    def next(self) -> Iterator[None]:
        """Begin the next piece; unsteady ones after it are expected to last as long as it did."""
        self._at += 1
        self._started = time.monotonic()
        self.update(0, 1)
        yield
        stage = self.stages[self._at]
        stage.share = 1.0
        for later in self.stages[self._at + 1 :] if not stage.steady else ():
            later.seconds = later.seconds if later.steady else time.monotonic() - self._started
        self.update(1, 1)

    def update(self, done: float, total: float, note: str = "", seconds_left: float = 0) -> None:
        """Pass on how far the whole is."""
        stage = self.stages[self._at]
        gone = (time.monotonic() - self._started) / max(stage.seconds, 1e-9)
        share = done / max(total, 1e-9) if stage.steady else min(NEARLY, gone)
        stage.share = max(stage.share, min(1.0, share))
        whole = sum(each.seconds for each in self.stages)
        left = sum(each.seconds * (1 - each.share) for each in self.stages)
        words = f"{self._at + 1} of {len(self.stages)}: {stage.title}"
        self.show.update(whole - left, whole, f"{words}  {note}".rstrip(), left)

    def say(self, text: str) -> None:
        """Pass a line on, the same one only once."""
        if text not in self._said:
            self._said.add(text)
            self.show.say(text)
